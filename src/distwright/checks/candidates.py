"""Candidates: packages of one source that somebody thinks of letting in, as a suite that apt can read beside the others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from distwright.archive.chosen import files_of, tree_entries_where
from distwright.archive.intake import TakenDeb, take_deb
from distwright.archive.made_suite import made_entry
from distwright.archive.resolve import Ground, resolve_suites
from distwright.archive.tree import TreeEntry, build_tree, parse_root
from distwright.builds.environment import EnvironmentRecipe
from distwright.checks.reverse_depends import provided_by, source_of
from distwright.errors import BadInput, BadUsage, NotFound, Refused, quoted
from distwright.formats.clearsign import without_armour
from distwright.formats.deb import read_deb
from distwright.formats.deb822 import raw_field
from distwright.formats.dsc import Dsc, parse_dsc
from distwright.formats.paths import safe_file_name
from distwright.formats.values import comma_list
from distwright.jobs.step import Inputs, ShelfEntry
from distwright.model import plain
from distwright.model.digests import Json, Sha256
from distwright.model.versions import DebVersion
from distwright.store.database import Database
from distwright.store.jobs import find_job
from distwright.store.objects import ObjectStore

ARCHIVE = "_candidate"
BUILDS = ("package.build", "package.try")
_QUIET = ("NotAutomatic", "ButAutomaticUpgrades")  # else apt would not take the candidate by itself
_DBGSYM = "-dbgsym"
_DSC_LIMIT_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class CandidatePackage:
    """One package. provides: virtual names. sha256: of its file, file_name as a pool has it."""

    version: str
    provides: tuple[str, ...]
    file_name: str
    sha256: Sha256


@dataclass(frozen=True, slots=True)
class Candidate:
    """entry: the suite that has it. source_files: its source, by name; none if nobody gave it. has_tests: for autopkgtest."""

    source: str
    version: str
    entry: ShelfEntry
    components: tuple[str, ...]
    packages: Mapping[str, CandidatePackage]
    source_files: Mapping[str, Sha256]
    has_tests: bool

    @property
    def name(self) -> str:
        """How people call it."""
        return f"{self.source} {self.version}"

    @property
    def offered(self) -> frozenset[str]:
        """The names that others may depend on."""
        return frozenset([*self.packages, *(name for one in self.packages.values() for name in one.provides)])

    @property
    def debs(self) -> dict[str, Sha256]:
        """Its files by name."""
        return {one.file_name: one.sha256 for one in self.packages.values()}

    def to_json(self) -> dict[str, Json]:
        """Give the part of a job's inputs."""
        packages: dict[str, Json] = {
            name: {
                "version": one.version,
                "provides": list(one.provides),
                "file": one.file_name,
                "sha256": str(one.sha256),
            }
            for name, one in self.packages.items()
        }
        return {
            "source": self.source, "version": self.version, "entry": self.entry.to_json(), "packages": packages,
            "components": list(self.components), "tests": self.has_tests,
            "source_files": {name: str(digest) for name, digest in self.source_files.items()},
        }  # fmt: skip

    @classmethod
    def from_json(cls, values: plain.Plain) -> Self:
        """Read what `to_json` gave; raise BadInput."""
        packages = plain.mapping(values, "packages")
        rows = {name: plain.mapping(packages, name) for name in packages}
        return cls(
            plain.text(values, "source"),
            plain.text(values, "version"),
            ShelfEntry.from_json(values["entry"]),
            plain.texts(values, "components"),
            {
                name: CandidatePackage(
                    plain.text(row, "version"),
                    plain.texts(row, "provides"),
                    plain.text(row, "file"),
                    plain.digest(row, "sha256"),
                )
                for name, row in rows.items()
            },
            plain.digest_map(values, "source_files"),
            plain.flag(values, "tests"),
        )

    def added_to(self, reference: EnvironmentRecipe) -> EnvironmentRecipe:
        """Give a state with the candidate as its last suite, for the first names the distribution; apt takes the later version."""
        return replace(
            reference,
            shelf=(*reference.shelf, self.entry),
            components={**reference.components, self.entry.name: self.components},
        )


def candidate_of_suite(database: Database, ground: Ground, archive: str, suite: str, source: str) -> Candidate:
    """Take what a suite of ours has of a source, in front of the whole suite: what it depends on there comes with it.

    Raises NotFound if the suite has none, NotReadyError if it was never published.
    """
    name = f"{archive}/{suite}"
    with database.read() as tx:
        resolved = resolve_suites(tx, ground, [name])
    entry = resolved.shelf[0]
    root = parse_root(ground.objects.read(entry.document))
    wanted = source.encode()
    packages = [
        one
        for one in tree_entries_where(root, ground.objects.read, lambda raw: source_of(raw) == source)
        if not one.name.endswith(_DBGSYM)
    ]
    sources = list(
        tree_entries_where(root, ground.objects.read, lambda raw: raw_field(raw, b"Package") == wanted, sources=True)
    )
    if not packages:
        raise NotFound(f"suite {name} has no packages of source {quoted(source)}", hint=f"distwright suite show {name}")
    quiet = replace(entry, fields=tuple((key, value) for key, value in entry.fields if key not in _QUIET))
    newest = max(sources, key=lambda one: one.version.sort_key(), default=None)
    files = {} if newest is None else {file.path.rpartition("/")[2]: file.sha256 for file in files_of([newest])}
    tests = newest is not None and _has_tests((raw_field(newest.stanza, b"Testsuite") or b"").decode())
    return _candidate(source, quiet, resolved.components[name], packages, files, has_tests=tests)


def candidate_of_job(
    database: Database, objects: ObjectStore, number: int, source: str, architecture: str
) -> Candidate:
    """Take what a job built or tried. Raises NotFound, Refused if it built nothing, or another source."""
    with database.read() as tx:
        job = find_job(tx, number)
    if job is None:
        raise NotFound(f"job {number} does not exist", hint="distwright job list")
    if job.kind not in BUILDS or job.outputs is None or "files" not in job.outputs:
        raise Refused(f"job {number} ({job.title}) has built no packages", hint="distwright job list")
    if job.inputs["source"] != source:
        raise Refused(
            f"job {number} built {job.inputs['source']}, not {quoted(source)}", hint=f"distwright job show {number}"
        )
    return candidate_of_objects(objects, _all_files(job.inputs, job.outputs), source, architecture)


def _all_files(inputs: Inputs, outputs: Inputs) -> dict[str, Sha256]:
    given = plain.digest_map(inputs, "source_files") if "source_files" in inputs else {}
    return {**given, **plain.digest_map(outputs, "files")}


def candidate_of_files(objects: ObjectStore, paths: Sequence[Path], source: str, architecture: str) -> Candidate:
    """Take files of this machine: .deb files, and a .dsc with what it names beside it. Raises BadUsage, BadInput, NotFound."""
    files: dict[str, Sha256] = {}
    for path in paths:
        if not path.is_file():
            raise NotFound(
                f"{quoted(str(path))} does not exist", hint="name .deb and .dsc files, a suite or the number of a job"
            )
        if path.suffix == ".dsc":
            for file in _dsc_of(path).files:
                files[file.name] = _kept(objects, path.with_name(safe_file_name(file.name)), path.name, file.sha256)
        files[safe_file_name(path.name)] = _kept(objects, path)
    return candidate_of_objects(objects, files, source, architecture)


def _dsc_of(path: Path) -> Dsc:
    try:
        return _dsc(path.read_bytes()[:_DSC_LIMIT_BYTES])
    except BadInput as error:
        raise BadInput(
            f"{path.name}: {error.message}", hint="name .deb and .dsc files as dpkg-deb and dpkg-source write them"
        ) from error


def _kept(objects: ObjectStore, path: Path, named_by: str = "", wanted: Sha256 | None = None) -> Sha256:
    """Keep a file if it is what it is called: anybody here can read objects, so a name for another file must not make it one."""
    if not path.is_file():
        raise NotFound(f"{quoted(str(path))} does not exist, which {named_by} names", hint="put it beside the .dsc")
    with path.open("rb") as opened:
        if path.suffix == ".deb":
            try:
                read_deb(opened)
            except BadInput as error:
                raise BadInput(
                    f"{path.name} is no package: {error.message}",
                    hint="name .deb and .dsc files as dpkg-deb and dpkg-source write them",
                ) from error
            opened.seek(0)
        elif wanted is None and path.suffix != ".dsc":
            raise BadUsage(f"{path.name} is neither a .deb nor a .dsc", hint="name .deb and .dsc files")
        with objects.writing(expect=wanted) as writer:
            while piece := opened.read(1 << 20):
                writer.write(piece)
    return writer.digest


def candidate_of_objects(
    objects: ObjectStore, files: Mapping[str, Sha256], source: str, architecture: str
) -> Candidate:
    """Make a suite of .deb files for this question only. Files for other architectures and debug symbols are left out.

    Raises BadUsage if nothing is left, or if a package is of another source.
    """
    entries: list[TreeEntry] = []
    for name in sorted(files):
        if not name.endswith(".deb"):
            continue
        try:
            taken = take_deb(str(objects.local_path(files[name])))
        except BadInput as error:
            raise BadInput(
                f"{name} is no package that can be taken: {error.message}",
                hint="name .deb and .dsc files as dpkg-deb and dpkg-source write them",
            ) from error
        if taken.architecture not in ("all", architecture) or taken.name.endswith(_DBGSYM):
            continue
        _refuse_other(taken, name, source)
        if any(entry.name == taken.name for entry in entries):
            raise BadUsage(f"{taken.name} is there twice among the files", hint="name one version of each package")
        entries.append(TreeEntry(taken.list_name, taken.name, DebVersion(taken.version), taken.stanza))
    if not entries:
        raise BadUsage(
            f"there is no package for {architecture} among the files", hint="name .deb files, or a job that built some"
        )
    root = build_tree(entries, objects.put)
    components = tuple(sorted({entry.list_name.partition("/")[0] for entry in entries}))
    entry = made_entry(objects, root, components, architecture, ARCHIVE, "candidate")
    sources = {name: digest for name, digest in files.items() if _is_of_source(name)}
    dsc = next((name for name in sources if name.endswith(".dsc")), None)
    tests = False
    if dsc is None:
        sources = {}
    else:
        described = _dsc(objects.read(sources[dsc]))
        named = {file.name for file in described.files} | {dsc}
        sources = {name: digest for name, digest in sources.items() if name in named}
        tests = _has_tests(described.stanza.get("Testsuite", ""))
    return _candidate(source, entry, components, entries, sources, has_tests=tests)


def _dsc(content: bytes) -> Dsc:
    """Read a .dsc, signed or not: whoever names it answers for it."""
    return parse_dsc(without_armour(content))


def _refuse_other(taken: TakenDeb, name: str, source: str) -> None:
    found = source_of(taken.stanza)
    if found != source:
        raise BadUsage(f"{name} is of source {found}, not {quoted(source)}", hint="name the packages of one source")


def _candidate(
    source: str, entry: ShelfEntry, components: tuple[str, ...], packages: Sequence[TreeEntry],
    source_files: Mapping[str, Sha256], *, has_tests: bool,
) -> Candidate:  # fmt: skip
    newest: dict[str, TreeEntry] = {}
    for one in packages:
        known = newest.get(one.name)
        if known is None or known.version.sort_key() < one.version.sort_key():
            newest[one.name] = one
    rows = {
        name: CandidatePackage(
            str(one.version),
            provided_by(one.stanza),
            (raw_field(one.stanza, b"Filename") or b"").decode().rpartition("/")[2],
            Sha256((raw_field(one.stanza, b"SHA256") or b"").decode()),
        )
        for name, one in sorted(newest.items())
    }
    version = max((one.version for one in newest.values()), key=DebVersion.sort_key)
    return Candidate(
        source, str(version), entry, components, rows, dict(source_files), has_tests and bool(source_files)
    )


def _is_of_source(name: str) -> bool:
    return not name.endswith((".deb", ".udeb", ".changes", ".buildinfo"))


def _has_tests(testsuite: str) -> bool:
    return any(suite.startswith("autopkgtest") for suite in comma_list(testsuite))
