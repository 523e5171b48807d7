"""Deprecated name of ``sat_r50_ucm.py``."""
_base_ = './sat_r50_ucm.py'
_deprecation_ = dict(expected='sat_r50_ucm.py', removal='0.3')
