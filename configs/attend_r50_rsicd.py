"""Deprecated name of ``sat_r50_rsicd.py``."""
_base_ = './sat_r50_rsicd.py'
_deprecation_ = dict(expected='sat_r50_rsicd.py', removal='0.3')
