"""Outside programs: `run` starts them, one module per program knows how it is called."""
