"""A simple model of suites, and a process that may end at any change: for random histories."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.worlds.installation import WorldContext

from distwright.archive.merging import Difference
from distwright.archive.tree import Tombstone, TreeEntry, TreeRoot, build_tree
from distwright.model.digests import Sha256, sha256_of
from distwright.model.versions import DebVersion
from distwright.store.database import Transaction
from distwright.store.memory import MemoryObjects

PACKAGE = b"what all of these packages consist of"
Place = tuple[str, str]
"""List and name."""


@dataclass(frozen=True)
class Held:
    """One package as the model knows it. text: its long description."""

    source: str
    version: str
    text: str = ""

    def stanza(self, name: str) -> bytes:
        said = f"Source: {self.source}\n" if self.source != name else ""
        fields = f"Package: {name}\n{said}Version: {self.version}\nDescription-md5: {self.md5}\n"
        return f"{fields}Filename: pool/package.deb\nSize: {len(PACKAGE)}\nSHA256: {sha256_of(PACKAGE)}\n".encode()

    def translation(self, name: str) -> bytes:
        return f"Package: {name}\nDescription-md5: {self.md5}\nDescription-en: {self.text}\n".encode()

    @property
    def md5(self) -> str:
        return hashlib.md5(self.text.encode(), usedforsecurity=False).hexdigest()

    @property
    def key(self) -> bytes:
        return DebVersion(self.version).sort_key()


@dataclass
class Model:
    """What a suite should be. undos: the states that undo goes back to, newest last."""

    packages: dict[Place, Held] = field(default_factory=dict)
    stones: dict[Place, str] = field(default_factory=dict)
    undos: list[tuple[dict[Place, Held], dict[Place, str]]] = field(default_factory=list)

    def state(self) -> tuple[dict[Place, Held], dict[Place, str]]:
        return dict(self.packages), dict(self.stones)

    def become(self, packages: Mapping[Place, Held], stones: Mapping[Place, str]) -> bool:
        """Move to another state, if it is another; say whether."""
        if (packages, stones) == (self.packages, self.stones):
            return False
        self.undos.append(self.state())
        self.packages, self.stones = dict(packages), dict(stones)
        return True

    def built_of(self, source: str) -> set[Place]:
        return {place for place, held in self.packages.items() if held.source == source}


def root_of_model(model: Model, objects: MemoryObjects) -> TreeRoot:
    entries, texts = [], set()
    for (list_name, name), held in model.packages.items():
        entries.append(TreeEntry(list_name, name, DebVersion(held.version), held.stanza(name)))
        texts.add((f"{list_name.partition('/')[0]}/i18n", name, held.translation(name)))
    entries += [TreeEntry(list_name, name, DebVersion("0"), text) for list_name, name, text in texts]
    stones = [Tombstone(*place, DebVersion(version)) for place, version in sorted(model.stones.items())]
    return build_tree(entries, objects.put, stones)


def differing(old: Mapping[Place, Held], new: Mapping[Place, Held]) -> set[Difference]:
    return {
        Difference(*place, old[place].version if place in old else "", new[place].version if place in new else "")
        for place in old.keys() | new.keys()
        if old.get(place) != new.get(place)
    }


class CrashError(BaseException):
    """The process is gone."""


@dataclass
class Fuse:
    """Lets the process end at the change of this number from now on; 0 never."""

    left: int = 0

    def burn(self) -> None:
        """One change more."""
        self.left -= 1
        if self.left == 0:
            raise CrashError


class FragileObjects(MemoryObjects):
    """Objects of a process that may end at each of them."""

    def __init__(self, fuse: Fuse) -> None:
        super().__init__()
        self.fuse = fuse

    def put(self, content: bytes) -> Sha256:
        self.fuse.burn()
        return super().put(content)


@dataclass(slots=True)
class FragileContext(WorldContext):
    """A process that may end before a transaction commits, and just after."""

    fuse: Fuse = field(default_factory=Fuse)

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        with WorldContext.write(self) as tx:
            yield tx
            self.fuse.burn()
        self.fuse.burn()
