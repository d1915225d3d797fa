"""By what an ISO starts: a line for each boot record, with the size and half the SHA-256 of its bytes."""

import hashlib
from collections.abc import Callable
from typing import BinaryIO

from distwright.formats.boot_records import boot_records

_HASH_DIGITS = 32  # half of it: 64 digits would be the name of an object, which the collector follows


def boot_lines(iso: BinaryIO, look: Callable[[], None] = lambda: None) -> dict[str, str]:
    """Give name -> what is said of it. look: called often, may raise to stop. Raises BadInput for what is damaged."""
    found: dict[str, str] = {}
    for record in boot_records(iso):
        look()
        words = [record.said] if record.said else []
        if record.content is not None:
            digest, size = hashlib.sha256(), 0
            for piece in record.content:
                look()
                digest.update(piece)
                size += len(piece)
            words.append(f"{size:,} {digest.hexdigest()[:_HASH_DIGITS]}")
        found[record.name] = ", ".join(words)
    return found
