"""Deprecated name of ``sat_r50_sydney_cn.py``."""
_base_ = './sat_r50_sydney_cn.py'
_deprecation_ = dict(expected='sat_r50_sydney_cn.py', removal='0.3')
