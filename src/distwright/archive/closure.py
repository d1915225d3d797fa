"""What listed packages need: computed by apt itself, in an empty system whose only sources are the recorded indexes."""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from distwright.archive.beside import Beside, OwnSuite
from distwright.archive.indexes import UDEBS
from distwright.archive.snapshots import RecordedIndex, RecordedSuite
from distwright.archive.stanzas import plain_text
from distwright.errors import ProgramFailed, Refused, listed
from distwright.formats.compression import split_ending
from distwright.formats.deb822 import raw_field, raw_stanzas
from distwright.formats.release import IndexEntry, parse_release, write_release
from distwright.store.objects import ObjectStore
from distwright.tools.apt import PrivateApt, make_private_apt


def closure(
    suites: Mapping[str, RecordedSuite],
    packages: Sequence[str],
    architectures: Sequence[str],
    objects: ObjectStore,
    folder: Path,
    *,
    recommends: bool,
    is_cancelled: Callable[[], bool],
    beside: Sequence[Beside] = (),
    more: Sequence[str] = (),
) -> frozenset[str]:
    """Give the pool paths, of these suites, of packages and of everything that they need, of all architectures together.

    It is what `apt-get install PACKAGES` would fetch in an empty system of each architecture; if apt cannot have all of them at
    once (two mail servers), what it would fetch for each of them alone. A package that an architecture has not is left out there.
    beside: suites of other archives that apt has too; what it takes from these is theirs. more: packages that the others list: they
    count as far as apt can install them. folder: where temporary files may lie.
    Raises Refused for a package that no architecture has or that apt cannot install.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found: set[str] = set()
    known: set[str] = set()
    with tempfile.TemporaryDirectory(prefix="closure-", dir=folder) as name:
        base = Path(name)
        ours = base / "archive"
        everything: list[tuple[Path, RecordedSuite | OwnSuite]] = [(ours, suite) for suite in suites.values()]
        everything += [(base / "beside" / other.archive, other.suite) for other in beside]
        for archive, suite in everything:
            _lay_out(suite, archive, objects)
        sources = [_line(archive, suite) for archive, suite in everything]
        for architecture in architectures:
            there = _names((suite for _, suite in everything), architecture, objects)
            wanted = [package for package in dict.fromkeys((*packages, *more)) if package in there]
            known |= set(wanted)
            if wanted:
                apt = make_private_apt(
                    base / architecture,
                    sources,
                    architecture=architecture,
                    recommends=recommends,
                    is_cancelled=is_cancelled,
                )
                apt.update()
                paths = _needed(apt, wanted, architecture, frozenset(more) - frozenset(packages))
                found |= {path.removeprefix(f"{ours}/") for path in paths if path.startswith(f"{ours}/")}
    _refuse_unknown(set(packages) - known, architectures)
    return frozenset(found)


def _needed(apt: PrivateApt, packages: Sequence[str], architecture: str, optional: frozenset[str]) -> set[str]:
    try:
        return set(apt.needed(packages))
    except ProgramFailed as error:
        if len(packages) == 1 and packages[0] in optional:
            return set()
        if len(packages) == 1:
            raise Refused(
                f"{packages[0]} cannot be installed on {architecture}: {error.message}",
                hint="name the suite that has what it needs in together_with, or take it from the list of packages",
            ) from error
    return {path for package in packages for path in _needed(apt, [package], architecture, optional)}


def _lay_out(suite: RecordedSuite | OwnSuite, archive: Path, objects: ObjectStore) -> None:
    """Put the lists of packages where apt finds them, with a Release that names nothing else: the rest is not here."""
    folder = archive / "dists" / suite.name
    if isinstance(suite, OwnSuite):
        for path, content in suite.files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
        return
    entries: dict[str, IndexEntry] = {}
    release = parse_release(objects.read(suite.release))
    for index in filter(_lists_packages, suite.indexes):
        objects.place(index.sha256, folder / index.path)
        stem = split_ending(index.path)[0]
        entries[index.path] = IndexEntry(index.path, index.size_bytes, index.sha256)
        if stem in release.indexes:
            entries[stem] = release.indexes[stem]
    plain = replace(release, indexes=entries, acquire_by_hash=False, valid_until=None, signed_by=(), extra=())
    (folder / "Release").write_bytes(write_release(plain))


def _line(archive: Path, suite: RecordedSuite | OwnSuite) -> str:
    return f"deb [trusted=yes] file:{archive} {suite.name} {' '.join(suite.components)}"


def _lists_packages(index: RecordedIndex) -> bool:
    return index.path.rpartition("/")[2].startswith("Packages") and f"/{UDEBS}/" not in index.path


def _names(suites: Iterable[RecordedSuite | OwnSuite], architecture: str, objects: ObjectStore) -> set[str]:
    """List the packages that an architecture has."""
    kinds = (f"/binary-{architecture}/", "/binary-all/")
    return {
        (raw_field(raw, b"Package") or b"").decode()
        for suite in suites
        for path, text in _texts(suite, objects)
        if any(kind in f"/{path}" for kind in kinds)
        for raw in raw_stanzas(text())
    }


def _texts(suite: RecordedSuite | OwnSuite, objects: ObjectStore) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Give the lists of packages: path, and how to read it."""
    if isinstance(suite, OwnSuite):
        for path in suite.files:
            yield path, partial(suite.files.__getitem__, path)
        return
    for index in filter(_lists_packages, suite.indexes):
        yield index.path, partial(plain_text, index, objects)


def _refuse_unknown(names: set[str], architectures: Sequence[str]) -> None:
    if names:
        raise Refused(
            f"these packages are in none of {', '.join(architectures)}:\n{listed(sorted(names))}",
            hint="correct packages of the archive, or record the suite that has them",
        )
