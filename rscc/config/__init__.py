"""Configs: their schema, their check, and reading them out of checkpoints."""
