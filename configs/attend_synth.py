"""Deprecated name of ``sat_synth.py``."""
_base_ = './sat_synth.py'
_deprecation_ = dict(expected='sat_synth.py', removal='0.3')
