"""Deprecated name of ``sat_r101_sydney.py``."""
_base_ = './sat_r101_sydney.py'
_deprecation_ = dict(expected='sat_r101_sydney.py', removal='0.3')
