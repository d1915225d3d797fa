"""The store of a server without a network between: what net/home.py and web/hosts.py are together; and a host that uses it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from distwright.model.digests import Sha256
from distwright.store.arriving import Arrivals
from distwright.store.home_objects import HomeObjects
from distwright.store.objects import FileObjects


@dataclass
class NearHome:
    """Takes and gives in small pieces. asked: which objects were fetched, from which offset on."""

    store: FileObjects
    piece_bytes: int = 1000
    asked: list[tuple[str, int]] = field(default_factory=list)

    def has(self, digest: Sha256) -> bool:
        """Say whether it is there."""
        return self.store.has(digest)

    def touch(self, digest: Sha256) -> bool:
        """Say whether it is there."""
        return self.store.touch(digest)

    def pieces(self, digest: Sha256, offset: int) -> Iterator[bytes]:
        """Give what is there."""
        self.asked.append((digest, offset))
        with self.store.open(digest) as file:
            file.seek(offset)
            while piece := file.read(self.piece_bytes):
                yield piece

    def send(self, digest: Sha256, path: Path) -> None:
        """Take it."""
        arrivals = Arrivals(self.store, self.store.path(digest).parents[2])
        content = path.read_bytes()
        offset = arrivals.offset("anvil", digest)
        while offset is not None:
            offset = arrivals.append("anvil", digest, offset, content[offset : offset + self.piece_bytes], len(content))


class ListedHomeObjects(HomeObjects):
    """The store of a host, with what only the server may be asked asked of the server: so one contract holds for both together."""

    def __init__(self, folder: Path) -> None:
        """Make both stores below a folder."""
        self.server = FileObjects(folder / "server")
        self.near = NearHome(self.server)
        super().__init__(folder / "cache", self.near)

    def digests(self) -> Iterator[Sha256]:
        """List what the server has."""
        return self.server.digests()

    def touched_at(self, digest: Sha256) -> datetime:
        """Say when the server has kept it."""
        return self.server.touched_at(digest)
