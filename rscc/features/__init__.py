"""Features computed once and stored: extraction, conversion, CLIP confidence files."""
