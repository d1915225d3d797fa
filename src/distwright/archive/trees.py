"""The tree below `public/ARCHIVE/` that web servers, rsync and apt read: plain files (hard links to objects) and symbolic links."""

import os
import shutil
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from pathlib import Path

from distwright.errors import Refused
from distwright.formats.release import IndexEntry
from distwright.model.digests import Sha256
from distwright.store.objects import ObjectStore, sha256_of_file
from distwright.store.paths import half_made
from distwright.store.settle import settle_folders

_OTHER_CONTENT = (
    "distwright archive fsck --repair mends a damaged file; to change a package, give it a new version: dch -i"
)
REVISIONS, INDEXES, BY_HASH, SNAPSHOTS = "dists/.rev", "dists/.index", "dists/.by-hash", "snapshots"


class ServedTree:
    """The served files of one archive. What is added becomes visible to clients only by `serve`."""

    def __init__(self, root: Path) -> None:
        """Use `root`, made when first written to."""
        self.root = root

    def add_pool(self, files: Iterable[tuple[str, Sha256]], objects: ObjectStore) -> int:
        """Publish pool files and settle them; give how many were new. Raises Refused for a path that means other bytes."""
        count, seen, changed = 0, dict[str, Path](), set[Path]()
        for path, digest in files:
            here, _, name = path.rpartition("/")
            folder = seen.get(here)
            if folder is None:
                folder = seen[here] = self.root / here
                folder.mkdir(parents=True, exist_ok=True)
            if _place(digest, folder / name, objects):
                count += 1
                changed.add(folder)
        settle_folders(changed)
        return count

    def add_indexes(
        self, document: Sha256, files: Mapping[str, IndexEntry], objects: ObjectStore, *, again: bool = False
    ) -> None:
        """Lay out an index set once, and its names by hash, which all sets share and which stay for slow clients.

        again: mend what is there already but has other bytes by now.
        """
        final = self.root / INDEXES / document
        for path, entry in files.items() if again else ():
            shared = self.root / BY_HASH / path.rpartition("/")[0] / "SHA256"
            for target in (final / path, shared / entry.sha256):
                if target.is_file() and not is_whole(target, entry.sha256, objects):
                    lay_again(target, entry.sha256, objects)
        if final.exists():
            return
        partial = half_made(final)
        folders = {partial}
        for path, entry in files.items():
            folder, _, _ = path.rpartition("/")
            shared = self.root / BY_HASH / folder / "SHA256"
            _place(entry.sha256, shared / entry.sha256, objects)
            _place(entry.sha256, partial / path, objects)
            link = partial / folder / "by-hash"
            if not link.is_symlink():
                link.symlink_to(os.path.relpath(shared.parent, final / folder))
            folders |= {shared, partial / folder}
        settle_folders(folders)
        partial.rename(final)
        settle_folders({final.parent})

    def add_publication(
        self, suite: str, number: int, files: Mapping[str, Sha256], objects: ObjectStore, indexes: Sha256
    ) -> None:
        """Lay out a publication: its Release files, and a link to the index set for each component."""
        final = self.publication(suite, number)
        for name, digest in files.items():
            _place(digest, final / name, objects)
        of_set = self.root / INDEXES / indexes
        for name in sorted(entry.name for entry in of_set.iterdir()):
            if not (final / name).is_symlink():
                (final / name).symlink_to(os.path.relpath(of_set / name, final))
        settle_folders({final, final.parent})

    def serve(self, suite: str, number: int, serial: str = "") -> None:
        """Let `dists/SUITE`, or that of a snapshot, name a publication: a new symlink renamed over the old one."""
        link = self.link(suite, serial)
        _make_later(self.publication(suite, number), link)
        link.parent.mkdir(parents=True, exist_ok=True)
        pool = self.root / SNAPSHOTS / serial / "pool"
        if serial and not pool.is_symlink():
            pool.symlink_to("../../pool")
        _point(link, os.path.relpath(self.publication(suite, number), link.parent))
        settle_folders({link.parent, link.parent.parent})

    def served(self, suite: str, serial: str = "") -> int | None:
        """Say which publication is served; None if there is none."""
        link = self.link(suite, serial)
        return int(link.readlink().name) if link.is_symlink() and not _second_of(link) else None

    def refuse_codename(self, suite: str, codename: str, serial: str = "") -> None:
        """Raise Refused if the second name of a suite is that of another one which is served."""
        if codename != suite and self.served(codename, serial) is not None:
            raise Refused(
                f"{codename} is a suite of its own, so it cannot be the codename of {suite}",
                hint=f"choose another codename in [suite.{suite}]",
            )

    def withdraw(self, suite: str) -> None:
        """Serve a suite no more: its name goes, what clients may be reading stays for `collect`."""
        link = self.link(suite)
        if link.is_symlink():
            link.unlink()
            settle_folders({link.parent})

    def withdraw_all_but(self, suites: Collection[str]) -> list[str]:
        """Serve nothing but these suites and their second names; give what was served beside them."""
        links = [link for link in self._entries("dists") if link.is_symlink() and not link.name.startswith(".")]
        gone = [link.name for link in links if link.name not in suites and not _second_of(link)]
        for name in gone:
            self.withdraw(name)
        return gone

    def serve_codename(self, suite: str, codename: str, serial: str = "") -> None:
        """Let `dists/CODENAME` follow `dists/SUITE`: a link to the name, so that both change in one rename."""
        link = self.link(codename, serial)
        if codename != suite and _second_of(link) != suite:
            _point(link, suite)
            settle_folders({link.parent})

    def forget_codenames(self, suites: Mapping[str, str]) -> int:
        """Take away the second names that no suite has any more; give how many. suites: of those in use, codename -> suite."""
        gone = [
            link for link in self._entries("dists") if _second_of(link) and suites.get(link.name) != _second_of(link)
        ]
        for link in gone:
            link.unlink()
        return len(gone)

    def forget_snapshot(self, serial: str) -> None:
        """Stop serving a snapshot: what it pointed to stays for `collect`."""
        folder, gone = self._of_snapshot(serial)
        _remove_tree(folder)
        shutil.rmtree(gone, ignore_errors=True)  # of one that was cut off

    def has_snapshot(self, serial: str) -> bool:
        """Say whether anything of a snapshot is served, or left of one that was being forgotten."""
        return any(folder.exists() for folder in self._of_snapshot(serial))

    def _of_snapshot(self, serial: str) -> tuple[Path, Path]:
        folder = self.root / SNAPSHOTS / serial
        return folder, folder.with_name(f".gone-{serial}")

    def forget_publication(self, suite: str, number: int) -> None:
        """Take away a publication that is not served; its index set stays."""
        _remove_tree(self.publication(suite, number))

    def forget_indexes(self, keep: Collection[str], before: datetime) -> int:
        """Take away index sets, and index files by hash, that are older than `before` and not among `keep`.

        Gives how many sets went. keep: digests of sets and of files.
        """
        count = 0
        for folder in self._entries(INDEXES):
            if folder.name not in keep and folder.stat().st_mtime < before.timestamp():
                _remove_tree(folder)
                count += 1
        for file in (self.root / BY_HASH).rglob("*"):
            if file.is_file() and file.name not in keep and file.stat().st_mtime < before.timestamp():
                file.unlink()
        return count

    def drop_leftovers(self) -> None:
        """Remove what cut-off publishes left half-made. Whoever adds to the tree has its archive's lock, as the caller has now."""
        folders = (self.root / INDEXES, self.root / SNAPSHOTS, *(self.root / REVISIONS).glob("*"))
        for place in (place for folder in folders for place in folder.glob(".*")):
            shutil.rmtree(place)
        for link in [*self.root.glob("dists/.new-*"), *self.root.glob(f"{SNAPSHOTS}/*/dists/.new-*")]:
            link.unlink()

    def _entries(self, folder: str) -> list[Path]:
        place = self.root / folder
        return sorted(place.iterdir()) if place.is_dir() else []

    def link(self, suite: str, serial: str = "") -> Path:
        """The public pointer."""
        return self.root / SNAPSHOTS / serial / "dists" / suite if serial else self.root / "dists" / suite

    def publication(self, suite: str, number: int) -> Path:
        """The folder of one publication."""
        return self.root / REVISIONS / suite / str(number)


def _point(link: Path, target: str) -> None:
    """Make a symbolic link, or let it name something else: by one rename."""
    fresh = link.with_name(f".new-{link.name}")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.rename(link)


def _second_of(link: Path) -> str:
    """Say which suite a link is the second name of; "" if it is none, but names a publication."""
    target = link.readlink() if link.is_symlink() else Path()
    return target.name if target.parent == Path() else ""


def _make_later(publication: Path, served: Path) -> None:
    """Give Release files a time that those which are served do not reach: web servers and rsync compare whole seconds.

    Two publications of one second, or a clock that was set back, would leave clients where they are: "not modified".
    """
    for file in (place for place in publication.iterdir() if not place.is_symlink()):
        before = served / file.name
        status, least = file.stat(), int(before.stat().st_mtime) + 1 if before.exists() else 0
        if status.st_mtime < least and not (before.exists() and before.samefile(file)):
            os.utime(file, (status.st_atime, least))


def _remove_tree(folder: Path) -> None:
    """Take a folder away: first its name, at once, then what is in it."""
    gone = folder.with_name(f".gone-{folder.name}")
    if gone.is_dir():
        shutil.rmtree(gone)
    try:
        folder.rename(gone)
    except FileNotFoundError:
        return
    shutil.rmtree(gone)


def is_whole(target: Path, digest: Sha256, objects: ObjectStore) -> bool:
    """Read a served file and say whether it has the bytes that belong there; its object's own file counts as those."""
    return objects.is_placed(digest, target) or sha256_of_file(target) == digest


def lay_again(target: Path, digest: Sha256, objects: ObjectStore) -> None:
    """Put an object in the place of a damaged file, at once."""
    partial = half_made(target)
    partial.unlink(missing_ok=True)
    objects.place(digest, partial)
    partial.rename(target)
    partial.unlink(missing_ok=True)  # rename(2) leaves both names if they are links to one object


def _place(digest: Sha256, target: Path, objects: ObjectStore) -> bool:
    """Put an object at `target`; say whether it was not there yet. Raises Refused if something else is."""
    try:
        objects.place(digest, target)
    except FileExistsError:
        if is_whole(target, digest, objects):
            return False
        raise Refused(f"{target} is published with other content", hint=_OTHER_CONTENT) from None
    return True
