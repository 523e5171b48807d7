"""Deprecated name of ``sat_r101_ucm.py``."""
_base_ = './sat_r101_ucm.py'
_deprecation_ = dict(expected='sat_r101_ucm.py', removal='0.3')
