"""Check-up and overview of a dataset: what is wrong with it, and what is in it.

Samples come from a dataset class, a config or a plain folder (``sources``); each is examined alone
(``pictures``, ``sentences``), kept on disk (``register``), compared with all others
(``comparison``) and shown (``report``, ``page``).
"""
