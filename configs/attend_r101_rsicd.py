"""Deprecated name of ``sat_r101_rsicd.py``."""
_base_ = './sat_r101_rsicd.py'
_deprecation_ = dict(expected='sat_r101_rsicd.py', removal='0.3')
