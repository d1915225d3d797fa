"""Build packages: from a source tree to signed .debs, in a clean, pinned, offline environment."""
