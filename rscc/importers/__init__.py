"""Importers: checkpoints of the original systems under our names."""
