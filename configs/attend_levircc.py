"""Deprecated name of ``sat_levircc.py``."""
_base_ = './sat_levircc.py'
_deprecation_ = dict(expected='sat_levircc.py', removal='0.3')
