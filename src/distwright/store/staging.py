"""Many small objects at once: written, brought to disk together, and only then given their names."""

import hashlib
import os
import tempfile
from pathlib import Path

from distwright.model.digests import Sha256
from distwright.store.settle import settle_file_system, settle_folders
from distwright.store.touching import touch_file

_FEW = 16


class Stage:
    """Objects that are not there yet. A crash before `settle` leaves partial files, which are removed like all others."""

    def __init__(self, root: Path) -> None:
        """Stage for the store below `root`."""
        self._root = root
        self._incoming = root / "incoming"
        self._partials: dict[Sha256, str] = {}

    def put(self, content: bytes) -> Sha256:
        """Take bytes; they become an object by `settle`."""
        digest = Sha256(hashlib.sha256(content).hexdigest())
        final = self._final(digest)
        if digest in self._partials or (touch_file(final) and final.read_bytes() == content):
            return digest
        self._incoming.mkdir(parents=True, exist_ok=True)
        descriptor, partial = tempfile.mkstemp(dir=self._incoming, prefix=f"{os.getpid()}-")
        self._partials[digest] = partial
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            os.fchmod(descriptor, 0o444)
            if len(self._partials) <= _FEW:
                file.flush()
                os.fsync(descriptor)
        return digest

    def settle(self) -> None:
        """Make everything that was put an object, on disk when this returns."""
        if len(self._partials) > _FEW:
            settle_file_system(self._root)
        folders = set()
        for digest, partial in list(self._partials.items()):
            final = self._final(digest)
            final.parent.mkdir(parents=True, exist_ok=True)
            os.rename(partial, final)  # noqa: PTH104  # thousands of times
            del self._partials[digest]
            folders |= {final.parent, final.parent.parent}
        settle_folders(folders)

    def drop(self) -> None:
        """Forget what has not become an object."""
        for partial in self._partials.values():
            Path(partial).unlink(missing_ok=True)
        self._partials.clear()

    def _final(self, digest: Sha256) -> Path:
        return self._root / "sha256" / digest[:2] / digest[2:]
