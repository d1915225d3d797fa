"""Signing keys of the worlds: made once per run, used through the real signer."""

import tempfile
from functools import cache
from pathlib import Path

from distwright.signing.signer import SequoiaSigner, make_key


@cache
def key_file(name: str) -> bytes:
    """Give the secret key of a name, as the file that a credential is."""
    with tempfile.TemporaryDirectory(prefix="distwright-keys-") as folder:
        path = Path(folder) / "key.pgp"
        make_key(path, f"{name} <{name}@example.org>")
        return path.read_bytes()


@cache
def signer(name: str) -> SequoiaSigner:
    """Give the signer of a name; the same name has the same key for the whole run."""
    with tempfile.NamedTemporaryFile(suffix=".pgp") as file:
        file.write(key_file(name))
        file.flush()
        return SequoiaSigner(Path(file.name))
