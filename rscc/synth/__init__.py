"""The built-in dataset: rendered bi-temporal aerial scenes with masks and captions."""
