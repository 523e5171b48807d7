"""Deprecated name of ``sat_synth_zh.py``."""
_base_ = './sat_synth_zh.py'
_deprecation_ = dict(expected='sat_synth_zh.py', removal='0.3')
