"""Add package files to a suite without an upload: what an administrator does by hand, and what moving in consists of."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from distwright.archive.changing import SuiteChange, edited, move, other_content, refuse_other_content, root_of
from distwright.archive.editing import StanzaReader
from distwright.archive.indexes import SOURCE, is_for_apt, other_homes
from distwright.archive.intake import TakenDeb
from distwright.archive.intake_source import TakenSource
from distwright.archive.merging import Difference, newest, with_stones
from distwright.archive.poolindex import pool_files
from distwright.archive.spool import Spool, Spooled
from distwright.archive.taking import take_files
from distwright.archive.tree import Stanzas
from distwright.errors import NotFound, Refused, listed, quoted
from distwright.jobs.step import Context
from distwright.model.digests import Sha256
from distwright.model.records import SuiteState
from distwright.model.versions import DebVersion
from distwright.store.adopting import FoundFile
from distwright.store.suites import get_suite

_PROBLEMS_SHOWN = 50
ALL = "all"


@dataclass(frozen=True, slots=True)
class Added:
    """What became of the files. unchanged: packages that were there already. passed: those of which there was a newer one."""

    revision: Sha256
    added: int
    unchanged: int
    passed: int


@dataclass(slots=True)
class _Batch:
    """What was read so far. lists: list -> name -> stanza on disk. versions: of what was chosen, by list and name."""

    spool: Spool
    components: Sequence[str]
    architectures: Sequence[str]
    lists: dict[str, Spooled] = field(default_factory=dict)
    texts: dict[str, Spooled] = field(default_factory=dict)
    versions: dict[tuple[str, str], str] = field(default_factory=dict)
    files: dict[tuple[str, str], Sequence[tuple[str, FoundFile]]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    passed: int = 0

    def take(self, taken: TakenDeb | TakenSource) -> None:
        """Keep a package unless the files have a newer one of its name."""
        if taken.component not in self.components:
            return self.problems.append(
                f"{taken.name} {taken.version} is for component {taken.component}, the archive has {', '.join(self.components)}"
            )
        if taken.architecture not in ("source", ALL, *self.architectures):
            return self.problems.append(
                f"{taken.name} {taken.version} is for {taken.architecture}, the archive has {', '.join(self.architectures)}"
            )
        place = (taken.list_name, taken.name)
        known = self.versions.get(place)
        if known is not None:
            if _is_older(taken.version, known):
                self.passed += 1
                return None
            if known == taken.version:
                return self._same_again(place, taken)
            self.passed += 1
        self.versions[place] = taken.version
        self.files[place] = taken.pool_files
        self.lists.setdefault(taken.list_name, Spooled(self.spool)).replace(taken.name, taken.stanza)
        if isinstance(taken, TakenDeb) and not taken.is_udeb:
            texts = self.texts.setdefault(
                taken.component, Spooled(self.spool)
            )  # of all architectures: one name, many texts
            (texts.add if taken.name in texts else texts.replace)(taken.name, taken.translation)
        return None

    def _same_again(self, place: tuple[str, str], taken: TakenDeb | TakenSource) -> None:
        if [(path, file.sha256) for path, file in taken.pool_files] != [(p, f.sha256) for p, f in self.files[place]]:
            self.problems.append(f"{taken.name} {taken.version} comes twice with different content ({taken.list_name})")
        self.passed += 1

    def choose_homes(self) -> None:
        """Keep the newer one of packages that come both for all architectures and for single ones."""
        for place in sorted(self.versions):
            for other in other_homes(place[0], self.lists):
                mine, theirs = self.versions.get(place), self.versions.get((other, place[1]))
                if mine is None or theirs is None:
                    continue
                if mine == theirs:
                    self.problems.append(f"{place[1]} {mine} comes for all architectures and for one")
                self.drop(place if _is_older(mine, theirs) else (other, place[1]))
                self.passed += 1

    def leave(self, list_name: str, name: str) -> None:
        """Take a package out of a list."""
        self.lists.setdefault(list_name, Spooled(self.spool)).empty(name)

    def drop(self, place: tuple[str, str]) -> None:
        """Leave a package out after all."""
        del self.versions[place], self.files[place]
        self.lists[place[0]].drop(place[1])


def add_packages(
    context: Context, archive: str, suite: str, paths: Iterable[str], *, link: bool, actor: str, reason: str
) -> Added:
    """Add .deb and .dsc files (with what a .dsc names, from beside it) to a suite: all of them, or none.

    A newer version replaces the one of its name; an older one, or the same with other content, is refused. link: share the files
    with the archive instead of copying them (store/adopting.py). Raises Refused naming everything that is wrong.
    """
    with context.database.read() as tx:
        before = get_suite(tx, archive, suite)
    table = context.config.archives[archive]
    with Spool(context.paths.cache / "import") as spool:
        batch = _Batch(spool, table.components, table.architectures)
        _read_all(context, batch, sorted(paths), f"read packages for {archive}/{suite}")
        batch.choose_homes()
        root = root_of(context, before)
        left = _leave_homes(context, batch, before)  # first: of what is there already, an old home may still be, too
        unchanged = _compare(context, batch, before)
        names = [(path, file.sha256) for files in batch.files.values() for path, file in files]
        with context.database.read() as tx:
            _refuse([*batch.problems, *other_content(tx, archive, names)])
        if not batch.versions and not left:
            return Added(before.revision, 0, unchanged, batch.passed)
        changes = [*left, *(Difference(*place, "", version) for place, version in batch.versions.items())]
        stones = with_stones(root, changes) if root.tombstones or left else ()
        after = edited(context, root, batch.lists, batch.texts, stones)
        context.objects.adopt([file for files in batch.files.values() for _, file in files], link=link)
        added = tuple(sorted({name for list_name, name in batch.versions if is_for_apt(list_name)}))
        with context.write() as tx:
            refuse_other_content(tx, archive, names)
            move(tx, before, after.revision, SuiteChange("add", reason, actor, _few(added)), context, names)
    return Added(after.revision, len(batch.versions), unchanged, batch.passed)


def files_below(places: Sequence[str]) -> Iterator[str]:
    """List the .deb and .dsc files that are named, or lie below folders that are named; raise NotFound."""
    for place in places:
        if os.path.isdir(place):  # noqa: PTH112  # an import walks through fifty thousand names
            for folder, _, names in os.walk(place):
                yield from (f"{folder}/{name}" for name in names if name.endswith((".deb", ".udeb", ".dsc")))
        elif os.path.exists(place):  # noqa: PTH110  # as above
            yield place
        else:
            raise NotFound(f"{quoted(place)} does not exist", hint="name .deb or .dsc files, or folders of them")


def _read_all(context: Context, batch: _Batch, paths: Sequence[str], stage: str) -> None:
    for number, answer in enumerate(take_files(paths), start=1):
        if isinstance(answer, str):
            batch.problems.append(answer)
        else:
            batch.take(answer)
        if number % 64 == 0 or number == len(paths):
            context.progress(stage, number, len(paths), "packages")
            context.check_cancelled()
    if not paths:
        raise NotFound("there are no packages in what was named", hint="name .deb or .dsc files, or folders of them")


def _compare(context: Context, batch: _Batch, before: SuiteState) -> int:
    """Look at what the suite has of the names; drop what is there already, note what must not be. Gives how many were there."""
    reader = StanzaReader(root_of(context, before), context.objects.read)
    unchanged = 0
    for place in sorted(batch.versions):
        list_name, name = place
        present = reader.find(list_name, name)
        here = newest(present)
        if here is None:
            continue
        version = batch.versions[place]
        if batch.lists[list_name][name] == present or _has_same_files(list_name, present, batch.files[place]):
            batch.drop(place)
            unchanged += 1
        elif _is_older(version, str(here)):
            batch.problems.append(f"{name} {version} ({list_name}) is older than {here}, which {before.name} has")
        elif not _is_older(str(here), version):
            batch.problems.append(f"{name} {version} ({list_name}) is in {before.name} already, with other content")
    return unchanged


def _leave_homes(context: Context, batch: _Batch, before: SuiteState) -> list[Difference]:
    """Take packages that change between all architectures and single ones out of where they were; apt would take either."""
    root = root_of(context, before)
    reader = StanzaReader(root, context.objects.read)
    left: dict[tuple[str, str], Difference] = {}
    for (list_name, name), version in sorted(batch.versions.items()):
        for other in other_homes(list_name, root.lists):
            here = newest(reader.find(other, name))
            if here is None:
                continue
            if _is_older(version, str(here)):
                batch.problems.append(
                    f"{name} {version} ({list_name}) is older than {here}, which {before.name} has ({other})"
                )
            else:
                batch.leave(other, name)
                left[other, name] = Difference(other, name, str(here), "")
    return list(left.values())


def _has_same_files(list_name: str, present: Stanzas, files: Sequence[tuple[str, FoundFile]]) -> bool:
    """Say whether a suite has these very files: its paragraph may say more about them, as an upload's section does."""
    index = "Sources" if list_name.endswith(f"/{SOURCE}") else "Packages"
    here = {(file.path, file.sha256) for stanza in present for file in pool_files(index, stanza)}
    return here == {(path, file.sha256) for path, file in files}


def _refuse(problems: Sequence[str]) -> None:
    if not problems:
        return
    shown = list(problems[:_PROBLEMS_SHOWN])
    if len(problems) > _PROBLEMS_SHOWN:
        shown.append(f"and {len(problems) - _PROBLEMS_SHOWN} more")
    raise Refused(
        f"nothing was added:\n{listed(shown)}", hint="leave out or mend these files, then run the same command again"
    )


def _is_older(one: str, other: str) -> bool:
    return one != other and DebVersion(one).sort_key() < DebVersion(other).sort_key()


def _few(names: tuple[str, ...]) -> tuple[str, ...]:
    """Name what is new in the event if it is little enough to be installed as a proof; an import is not."""
    return names if len(names) <= _PROBLEMS_SHOWN else ()
