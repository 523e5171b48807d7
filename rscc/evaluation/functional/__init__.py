"""Metrics as pure functions of words and arrays, without files, registries or torch."""
