"""Numbers in, numbers out: metrics without files, registries or torch."""
