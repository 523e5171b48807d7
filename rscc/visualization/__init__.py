"""Panels, overlays and the HTML report.

Nothing is imported here: overlays, fonts and picture files serve processes without torch, and the
registry of visualizers imports ``panels`` itself.
"""
