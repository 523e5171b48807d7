"""Deprecated name of ``sat_r101_ucm_cn.py``."""
_base_ = './sat_r101_ucm_cn.py'
_deprecation_ = dict(expected='sat_r101_ucm_cn.py', removal='0.3')
