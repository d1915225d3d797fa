"""Take the packages of one suite of theirs: compare with what we have, read and verify the rest, keep the files as objects."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

from distwright.archive.editing import StanzaReader, in_order, version_of
from distwright.archive.intake import Placed, TakenDeb, take_deb
from distwright.archive.intake_source import TakenSource, take_source
from distwright.archive.spool import Spool, Spooled
from distwright.archive.theirs import SOURCE, Listing, TheirPackage
from distwright.archive.tree import Stanzas, TreeRoot
from distwright.errors import BadInput, quoted
from distwright.formats.deb822 import raw_field
from distwright.jobs.step import Context
from distwright.model.digests import Sha256
from distwright.model.versions import DebVersion
from distwright.store.adopting import FoundFile

_AT_ONCE = 2048  # files that become objects together: each time costs one settling of the file system
_PROBLEMS_KEPT = 10_000
_PATH_SHOWN = 400  # in problems: a file whose name is cut off cannot be found


class Batch:
    """What a suite will be. lists, texts: edits of its tree. newest: version by list and name. names: pool path -> content."""

    def __init__(self, context: Context, spool: Spool, root: TreeRoot, *, link: bool, dry_run: bool) -> None:
        """Begin with the present tree."""
        self.lists: dict[str, Spooled] = {}
        self.texts: dict[str, Spooled] = {}
        self.newest: dict[tuple[str, str], str] = {}
        self.names: dict[str, Sha256] = {}
        self.problems: list[str] = []
        self.added = self.unchanged = 0
        self._context = context
        self._spool = spool
        self._reader = StanzaReader(root, context.objects.read)
        self._link = link
        self._dry_run = dry_run
        self._waiting: list[FoundFile] = []

    def take_all(self, listing: Listing, stage: str) -> None:
        """Go through everything that they have."""
        total, began = listing.names, self._context.now()
        for number, (list_name, name, versions) in enumerate(listing.groups(), start=1):
            self._take_name(list_name, name, versions)
            if number % 64 == 0 or number == total:
                self._context.progress(stage, number, total, _pace(number, total, began, self._context.now()))
                self._context.check_cancelled()
        self._keep(at_least=1)

    def _take_name(self, list_name: str, name: str, versions: Sequence[TheirPackage]) -> None:
        try:
            newest = max((package.version for package in versions), key=lambda text: DebVersion(text).sort_key())
        except BadInput as error:
            return self._problem(f"{name} ({list_name}): {error.message}")
        present = self._reader.find(list_name, name)
        limit = DebVersion(newest).sort_key()
        wanted = [stanza for stanza in present if version_of(stanza).sort_key() > limit]
        digests: dict[str, str] = {}
        new: list[TakenDeb | TakenSource] = []
        unchanged = 0
        for package in versions:
            own = package.files[0]
            if digests.setdefault(package.version, own.sha256) != own.sha256:
                self._problem(f"{name} {package.version} ({list_name}) comes twice with different content")
                continue
            known, is_other = _find(present, package)
            if is_other:
                self._problem(f"{name} {package.version} ({list_name}) is here already, with other content")
            elif known is not None:
                wanted.append(known)
                unchanged += 1
            elif self._dry_run:
                self._look(package)
                self.added += 1
            elif (taken := self._taken(package)) is not None:
                wanted.append(taken.stanza)
                new.append(taken)
                self.added += 1
        self.unchanged += unchanged
        if self._dry_run or in_order(wanted) == present:
            return None
        self.newest[list_name, name] = newest
        spooled = self.lists.setdefault(list_name, Spooled(self._spool))
        for stanza in in_order(wanted):
            spooled.add(name, stanza)
        for taken in new:
            if isinstance(taken, TakenDeb) and list_name == f"{taken.component}/binary-{taken.architecture}":
                self.texts.setdefault(taken.component, Spooled(self._spool)).add(name, taken.translation)
        return None

    def _look(self, package: TheirPackage) -> None:
        """Say what is wrong with files as far as that shows without reading them."""
        said = f"{package.name} {package.version}"
        for file in package.files:
            try:
                size = Path(file.path).stat().st_size
            except OSError as error:
                self._problem(f"{said}: {quoted(file.path, _PATH_SHOWN)} cannot be read: {error.strerror}")
                continue
            if size != file.size_bytes:
                self._problem(
                    f"{said}: {quoted(file.path, _PATH_SHOWN)} has {size} bytes, their index says {file.size_bytes}"
                )

    def _taken(self, package: TheirPackage) -> TakenDeb | TakenSource | None:
        """Read a package and hold it against their index; what is wrong becomes a problem."""
        said = f"{package.name} {package.version}"
        placed = Placed(package.component, package.section, package.priority, package.phase)
        path = package.files[0].path
        try:
            taken: TakenDeb | TakenSource
            if package.architecture == SOURCE:
                taken = take_source(path, placed, paths={file.name: file.path for file in package.files})
            else:
                taken = take_deb(path, placed)
        except BadInput as error:
            self._problem(f"{said}: {error.message}")
            return None
        except OSError as error:
            self._problem(f"{said}: {quoted(error.filename or path, _PATH_SHOWN)} cannot be read: {error.strerror}")
            return None
        wrong = [*_other_files(package, taken), *_other_words(package, taken)]
        for pool_path, file in taken.pool_files:
            if self.names.get(pool_path, file.sha256) != file.sha256:
                wrong.append(f"{pool_path.rpartition('/')[2]} is another file in another place of this suite")
        if wrong:
            for problem in wrong:
                self._problem(f"{said}: {problem}")
            return None
        self.names |= {pool_path: file.sha256 for pool_path, file in taken.pool_files}
        self._waiting += [file for _, file in taken.pool_files]
        self._keep(at_least=_AT_ONCE)
        return taken

    def _keep(self, at_least: int) -> None:
        """Make objects of what was read; not once something is wrong, for then the suite stays out."""
        if len(self._waiting) < at_least:
            return
        if not self.problems:
            self._context.objects.adopt(self._waiting, link=self._link)
        self._waiting = []

    def _problem(self, text: str) -> None:
        if len(self.problems) < _PROBLEMS_KEPT:
            self.problems.append(text)


def _find(present: Stanzas, package: TheirPackage) -> tuple[bytes | None, bool]:
    """Find a package among our stanzas of its name: the stanza, if it says all that theirs says; and whether it is another file."""
    version = package.version.encode()
    for stanza in present:
        if raw_field(stanza, b"Version") != version:
            continue
        if not _names_file(stanza, package):
            return None, True
        fields = ((b"Section", package.section), (b"Priority", package.priority))
        says_all = all(not text or raw_field(stanza, name) == text.encode() for name, text in fields)
        return (stanza if says_all else None), False
    return None, False


def _names_file(stanza: bytes, package: TheirPackage) -> bool:
    own = package.files[0].sha256.encode()
    if package.architecture != SOURCE:
        return raw_field(stanza, b"SHA256") == own
    return own in (raw_field(stanza, b"Checksums-Sha256") or b"").split()


def _other_files(package: TheirPackage, taken: TakenDeb | TakenSource) -> Iterable[str]:
    """Name each file that is not what their index says."""
    said = {file.sha256: file for file in package.files}
    for _, file in taken.pool_files:
        theirs = said.get(file.sha256)
        if theirs is None:
            yield f"{quoted(file.path, _PATH_SHOWN)} is not the file that their index says, or the index says no SHA-256"
        elif theirs.size_bytes != file.size_bytes:
            yield f"{quoted(file.path, _PATH_SHOWN)} has {file.size_bytes} bytes, their index says {theirs.size_bytes}"


def _other_words(package: TheirPackage, taken: TakenDeb | TakenSource) -> Iterable[str]:
    read = f"{taken.name} {taken.version} {taken.architecture}"
    said = f"{package.name} {package.version} {package.architecture}"
    if read != said:
        yield f"{quoted(package.files[0].path, _PATH_SHOWN)} is {read}, their index calls it {said}"


def _pace(done: int, total: int, began: datetime, now: datetime) -> str:
    """Say how fast it goes and how long it will take."""
    seconds = (now - began).total_seconds()
    if seconds < 1:
        return "names"
    left = round(seconds / done * (total - done))
    return f"names, {done / seconds:.0f} a second, {left // 60}:{left % 60:02} left"
