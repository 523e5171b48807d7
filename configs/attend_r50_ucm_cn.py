"""Deprecated name of ``sat_r50_ucm_cn.py``."""
_base_ = './sat_r50_ucm_cn.py'
_deprecation_ = dict(expected='sat_r50_ucm_cn.py', removal='0.3')
