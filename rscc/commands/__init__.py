"""The commands of rscc: argument parsing and one call each, shared by ``tools/`` and ``rscc``."""
