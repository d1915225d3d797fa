"""Sets of package files to compare, as people name them: files on disk, the number of a build, a package of a suite."""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from distwright.archive.resolve import Ground, resolve_suites
from distwright.archive.shelf import Shelf
from distwright.checks.contents import Contents, read_binary, read_source
from distwright.checks.difference import compare_files
from distwright.checks.explain import pairs_of
from distwright.errors import BadInput, BadUsage, NotFound, Refused, quoted
from distwright.formats.changes import parse_changes
from distwright.formats.clearsign import without_armour
from distwright.formats.compression import decompress, split_ending
from distwright.formats.deb822 import raw_field, raw_stanzas
from distwright.formats.dsc import parse_dsc
from distwright.jobs.order import get_job
from distwright.model import plain
from distwright.model.digests import Sha256
from distwright.model.versions import DebVersion
from distwright.store.objects import ObjectStore
from distwright.worker.context import CommandContext

BINARIES = (".deb", ".udeb", ".ddeb")
_ON_DISK = (*BINARIES, ".changes", ".dsc")
_OF_SUITE = re.compile(r"([a-z0-9.+-]+)/([^:\s]+):([a-z0-9][a-z0-9.+-]*)(?:=([0-9A-Za-z.+~:-]+))?")
_TEXT_BYTES = 16 << 20
_INDEX_BYTES = 2 << 30
_CHUNK = 1 << 20

Opener = Callable[[], BinaryIO]


@dataclass(frozen=True, slots=True)
class PackageSet:
    """Files by name. label: what a person called it. repo: of a build, "" otherwise; digests: of files that are objects here."""

    label: str
    files: Mapping[str, Opener]
    repo: str = ""
    digests: Mapping[str, Sha256] | None = None


def is_on_disk(name: str) -> bool:
    """Say whether a name means files of this machine, for which no installation is needed."""
    return name.endswith(_ON_DISK) and not _OF_SUITE.fullmatch(name)


def set_on_disk(name: str) -> PackageSet:
    """Take a .deb, or a .changes or .dsc with what it names beside it; raise NotFound, BadInput."""
    path = Path(name)
    if not path.is_file():
        raise NotFound(f"there is no file {quoted(name)}", hint=f"ls -l {quoted(str(path.parent))}")
    if path.name.endswith(BINARIES):
        return PackageSet(name, {path.name: lambda: path.open("rb")})
    text = without_armour(_small(path))
    wanted = _named_in(path.name, text)
    files: dict[str, Opener] = {}
    for beside, sha256 in wanted.items():
        there = path.parent / beside
        if not there.is_file():
            raise NotFound(f"{quoted(name)} names {beside}, which is not beside it", hint=f"put {beside} there")
        if _hash(there.open("rb")) != sha256:
            raise BadInput(f"{quoted(str(there))} is not the file that {quoted(name)} names", hint="fetch both again")
        files[beside] = _opener(there)
    if path.name.endswith(".dsc"):
        files[path.name] = _opener(path)
    return PackageSet(name, files)


def _small(path: Path) -> bytes:
    if path.stat().st_size > _TEXT_BYTES:
        raise BadInput(
            f"{quoted(str(path))} is larger than {_TEXT_BYTES} bytes",
            hint=f"look at what it is: file {quoted(str(path))}",
        )
    return path.read_bytes()


def _named_in(name: str, text: bytes) -> dict[str, str]:
    if name.endswith(".changes"):
        return {file.name: file.sha256 for file in parse_changes(text).files}
    return {file.name: file.sha256 for file in parse_dsc(text).files}


def _opener(path: Path) -> Opener:
    return lambda: path.open("rb")


def set_of_job(context: CommandContext, number: int) -> PackageSet:
    """Take what a build gave, or what its rebuild gave; raise NotFound, Refused for a job that gave no packages."""
    with context.database.read() as tx:
        job = get_job(tx, number)
    outputs, inputs = job.outputs or {}, job.inputs
    if "verdict" in outputs and "built" in inputs:
        files = plain.digest_map(inputs, "built")
        if "pairs" in outputs:
            files |= {name: second for name, (_, second) in pairs_of(outputs).items()}
    elif "files" in outputs:
        files = plain.digest_map(outputs, "files")
    else:
        raise Refused(f"job {number} has built no packages", hint=f"distwright job show {number}")
    return _set_of_objects(context.objects, f"job {number}", files, plain.text(inputs, "repo"))


def _set_of_objects(objects: ObjectStore, label: str, files: Mapping[str, Sha256], repo: str) -> PackageSet:
    gone = [name for name, digest in files.items() if not objects.has(digest)]
    if gone:
        raise NotFound(f"{gone[0]} of {label} is no longer kept", hint="distwright package build REPO --tag TAG")

    def opener(digest: Sha256) -> Opener:
        return lambda: objects.open(digest)

    return PackageSet(label, {name: opener(digest) for name, digest in files.items()}, repo, dict(files))


def set_of_suite(context: CommandContext, ground: Ground, name: str) -> PackageSet:
    """Take a package of a suite, `archive/suite:NAME[=VERSION]`, its newest version without one.

    Raises BadUsage for what is no such name, NotFound if there is none; Unreachable if upstream does not give it.
    """
    match = _OF_SUITE.fullmatch(name)
    if match is None:
        raise BadUsage(
            f"{quoted(name)} names no packages",
            hint="give a .deb, .changes or .dsc, the number of a build, or archive/suite:NAME=VERSION",
        )
    archive, suite, package, version = match.groups()
    if archive not in ground.config.archives:
        raise NotFound(f"archive {archive} is not configured", hint="distwright archive list")
    with context.database.read() as tx:
        resolved = resolve_suites(tx, ground, (f"{archive}/{suite}",))
    shelf = Shelf(resolved.shelf, context, context.paths.cache / "pool", mirrors=context.mirrors)
    table = ground.config.archives[archive]
    found: dict[str, str] = {}
    for component in table.components:
        for architecture in (*table.architectures, "all"):
            index = _index(shelf, f"{archive}/dists/{suite}/{component}/binary-{architecture}/Packages")
            for stanza in raw_stanzas(index):
                if (raw_field(stanza, b"Package") or b"").decode() == package:
                    found[(raw_field(stanza, b"Version") or b"").decode()] = (
                        raw_field(stanza, b"Filename") or b""
                    ).decode()
    if not found or (version is not None and version not in found):
        others = f", but {', '.join(sorted(found))}" if found else ""
        wanted = package if version is None else f"{package} {version}"
        raise NotFound(
            f"{archive}/{suite} has no package {wanted}{others}", hint=f"distwright suite show {archive}/{suite}"
        )
    path = found[max(found, key=DebVersion) if version is None else version]
    return PackageSet(name, {path.rpartition("/")[2]: lambda: shelf.find(f"{archive}/{path}")[0]})


def _index(shelf: Shelf, path: str) -> bytes:
    for ending in ("", ".xz", ".gz"):
        try:
            file, _ = shelf.find(path + ending)
        except NotFound:
            continue
        with file:
            return decompress(file.read(), split_ending(path + ending)[1], limit_bytes=_INDEX_BYTES)
    return b""


def read_set(given: PackageSet) -> list[Contents]:
    """Read every package and source package of a set; raise BadInput for one that is damaged or passes a limit."""
    read: list[Contents] = []
    for name, opener in sorted(given.files.items()):
        if not name.endswith((*BINARIES, ".dsc")):
            continue
        with opener() as file:
            sha256 = _hash(file)
            if not name.endswith(".dsc"):
                read.append(read_binary(file, name, sha256))
                continue
            file.seek(0)
            dsc = file.read(_TEXT_BYTES)
        named = {
            row.name
            for row in parse_dsc(without_armour(dsc)).files
            if ".tar" in row.name and not row.name.endswith(".asc")
        }
        tars = {tar: given.files[tar]() for tar in named if tar in given.files}
        try:
            read.append(read_source(dsc, name, sha256, tars))
        finally:
            for opened in tars.values():
                opened.close()
    if not read:
        raise NotFound(f"{given.label} has no packages", hint="give a .deb, .changes or .dsc")
    return read


def first_difference(first: PackageSet, second: PackageSet, one: Contents, other: Contents) -> str:
    """Say where two files differ of which nothing else tells it."""
    with first.files[one.file]() as before, second.files[other.file]() as after:
        found = compare_files(other.file, before, after)
    return found[0].in_words() if found else ""


def pairs_that_differ(first: PackageSet, second: PackageSet) -> dict[str, tuple[Sha256, Sha256]]:
    """Pair files of two sets of objects by name, as far as they differ."""
    before, after = first.digests or {}, second.digests or {}
    shared = [
        name for name in sorted(before.keys() & after.keys()) if name.endswith((*BINARIES, ".dsc")) or ".tar." in name
    ]
    return {name: (before[name], after[name]) for name in shared if before[name] != after[name]}


def _hash(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    while piece := file.read(_CHUNK):
        digest.update(piece)
    return digest.hexdigest()
