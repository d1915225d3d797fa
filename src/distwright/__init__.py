"""distwright: from a git push to a signed, twice-built, boot-tested image on the mirrors."""

__version__ = "0.5.0"  # as in pyproject.toml; reading the metadata of the installation costs 20 ms at every start
