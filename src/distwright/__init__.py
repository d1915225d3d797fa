"""distwright: from a git push to a signed, twice-built, boot-tested image on the mirrors."""
