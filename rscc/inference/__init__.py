"""Inference: preparation of images, results, and maps merged from tiles."""
