"""Generation of captions token by token: search, beam scorers, decoders, options."""
