"""Who signs: a role of its own, so that no build and no web request reaches a key."""

import os
import stat
from pathlib import Path
from typing import Protocol

import pysequoia

from distwright.errors import NotFound, Refused, quoted


class Signer(Protocol):
    """Signs on behalf of a role; tests/contract/test_signer.py says it in full."""

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """The certificate's fingerprint, lower-case hexadecimal; of all, if several keys sign together."""
        ...

    def certificate(self) -> bytes:
        """Give the public certificate, in one block of ASCII armour."""
        ...

    def sign_clear(self, text: bytes) -> bytes:
        """Sign text with the cleartext framework (InRelease, .changes)."""
        ...

    def sign_detached(self, content: bytes) -> bytes:
        """Sign bytes; give the armoured signature alone (Release.gpg, SHA256SUMS.asc)."""
        ...


class SequoiaSigner:
    """A key in a file, used in this process (the default)."""

    def __init__(self, path: Path, *, is_guarded: bool = False) -> None:
        """Read the key; raise NotFound or Refused (others may read it, unreadable, without a secret part).

        is_guarded: the folder keeps others away, whatever the file's mode says: systemd shows its access list there.
        """
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
            if mode & 0o077 and not is_guarded:
                raise Refused(f"key {path} can be read by others (mode {mode:04o})", hint=f"chmod 600 {path}")
            self._key = pysequoia.Tsk.from_bytes(path.read_bytes())
            self._signer = self._key.signer()
        except FileNotFoundError:
            raise NotFound(f"key {path} does not exist", hint=f"distwright key make {path.stem}") from None
        except Refused:
            raise
        except Exception as error:  # pysequoia raises plain Exception subclasses
            raise Refused(f"key {path} cannot sign: {quoted(str(error))}", hint=f"sq inspect {path}") from error

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """The certificate's fingerprint."""
        return (str(self._key.extract_certificate().fingerprint),)

    def certificate(self) -> bytes:
        """Give the public certificate."""
        return str(self._key.extract_certificate()).encode()

    def sign_clear(self, text: bytes) -> bytes:
        """Sign text with the cleartext framework."""
        return bytes(pysequoia.sign(self._signer, text, mode=pysequoia.SignatureMode.CLEAR))

    def sign_detached(self, content: bytes) -> bytes:
        """Sign bytes, armoured."""
        return bytes(pysequoia.sign(self._signer, content, mode=pysequoia.SignatureMode.DETACHED))


def make_key(path: Path, user_id: str) -> bool:
    """Make a signing key without a password at `path` (mode 0600) unless one is there; say whether it was made."""
    if path.exists():
        return False
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = pysequoia.Tsk.generate(user_id)
    partial = path.with_name(f".new-{path.name}.{os.getpid()}")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(str(key).encode())
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(partial, path)  # not a rename: of two that make it at once, the first one's stays
    except FileExistsError:
        return False
    finally:
        partial.unlink()
    return True
