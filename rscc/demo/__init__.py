"""The web page: two images in, mask, sentences, doubts and files out, in a browser.

``python tools/demo.py`` and ``rscc demo`` start it, see docs/en/demo.md.
"""
