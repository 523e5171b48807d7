"""Deprecated name of ``sat_r101_sydney_cn.py``."""
_base_ = './sat_r101_sydney_cn.py'
_deprecation_ = dict(expected='sat_r101_sydney_cn.py', removal='0.3')
