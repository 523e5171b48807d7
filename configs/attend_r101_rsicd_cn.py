"""Deprecated name of ``sat_r101_rsicd_cn.py``."""
_base_ = './sat_r101_rsicd_cn.py'
_deprecation_ = dict(expected='sat_r101_rsicd_cn.py', removal='0.3')
