"""Metrics and scores; the METRICS registry imports every module here when it is first asked.

What scores words alone (``functional``) needs neither torch nor MMEngine.
"""
