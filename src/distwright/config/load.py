"""Read the configuration: the texts of its files in, one Config out, or one error with every problem in it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from types import MappingProxyType
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from distwright.config.documents import Document, read_document
from distwright.config.gather import Entry, entries_of, format_fault, places_of, second_places, top_level_faults
from distwright.config.leaks import leaks, without_leaked
from distwright.config.model import FORMAT, Config
from distwright.config.problems import Fault, Path, Place, Problem, dotted, is_below, placed, placed_in
from distwright.config.references import Unsure, reference_faults
from distwright.config.tables import Environment, Image, Person, Repo, Site
from distwright.config.tables_archive import OwnArchive, Suite, Table, Upload, UpstreamArchive
from distwright.config.tables_hosts import Host, Pool
from distwright.config.validate import check_table
from distwright.config.values import FetchUrl
from distwright.errors import BadConfig, BadUsage, listed

_T = TypeVar("_T", bound=Table)


def parse_config(files: Sequence[tuple[str, str]]) -> Config:
    """Make a Config of (file name, text) pairs; the order of the files does not matter.

    A table stands in one file; `format = 1` in at least one. Raises BadConfig, and nothing else for any text: its
    message lists all problems, one a line, sorted by file and line. A file that is no TOML, or has a newer format,
    gives one problem and the others are still checked; nothing is then called missing that the file might have.
    """
    documents, problems = _read(files)
    is_whole = not problems
    entries = [entry for document in documents for entry in entries_of(document)]
    tables: dict[Path, Table] = {}
    wrong: set[Path] = set()
    for document in documents:
        read, faults = _checked(document)
        tables = read | tables
        wrong |= {fault.path for fault in faults}
        problems += [placed(fault, document.file, document.lines) for fault in faults]
    problems += second_places(entries)
    if is_whole:
        problems += _required(files, documents, entries)
    places = places_of(documents, entries)
    config = _config(tables, places)
    settings = {path for path in wrong if len(path) > 2}
    for fault in reference_faults(config, _unsure(entries, wrong, is_whole=is_whole)):
        if not is_below(fault.path, settings):
            problems.append(placed_in(fault, places))
    if problems:
        raise _bad_config(problems)
    return config


def checked_fetch_url(text: str) -> str:
    """Give an address to fetch an archive from, without its last '/', if it may stand as `fetch_from`; raise BadUsage."""
    try:
        return TypeAdapter(FetchUrl).validate_python(text).rstrip("/")
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]["msg"].removeprefix("Value error, ")
        raise BadUsage(
            f"the address to fetch from {problem}",
            hint="give an http://, https:// or file:/// URL without a user name or password",
        ) from None


def _read(files: Sequence[tuple[str, str]]) -> tuple[list[Document], list[Problem]]:
    documents: list[Document] = []
    problems: list[Problem] = []
    for file, text in sorted(files):
        document = read_document(file, text)
        if isinstance(document, Problem):
            problems.append(document)
        elif fault := format_fault(document):
            problems.append(placed(fault, file, document.lines))
        else:
            documents.append(document)
    return documents, problems


def _checked(document: Document) -> tuple[dict[Path, Table], list[Fault]]:
    """Give the tables of a file, as far as they are right, and all faults. No table with a secret or a bad name."""
    leaked = list(leaks(document.values))
    faults = list(top_level_faults(document))
    secretive = {leak.path[:2] for leak in leaked} | {leak.path[:1] for leak in leaked if leak.path[0] == "site"}
    tables = {}
    for entry in entries_of(document):
        checked = check_table(entry.path, entry.values)
        faults += checked.faults
        is_named = not any(fault.path == entry.path for fault in checked.faults)
        if checked.value and is_named and entry.path not in secretive:
            tables[entry.path] = checked.value
    return tables, [*leaked, *without_leaked(faults, leaked)]


def _unsure(entries: Iterable[Entry], wrong: set[Path], *, is_whole: bool) -> Unsure:
    about = {path[:2] for path in wrong}
    declared = frozenset((str(entry.path[0]), str(entry.path[-1])) for entry in entries if entry.path in about)
    return Unsure(declared, files=not is_whole)


def _required(
    files: Sequence[tuple[str, str]], documents: Iterable[Document], entries: Iterable[Entry]
) -> Iterator[Problem]:
    first = min((file for file, _ in files), default="distwright.toml")
    if not any("format" in document.values for document in documents):
        yield Problem(first, 1, "format", "is missing", f"format = {FORMAT}")
    if not any(entry.path == ("site",) for entry in entries):
        yield Problem(first, 1, "site", "is missing", "a [site] table with a name")


def _config(tables: Mapping[Path, Table], places: Mapping[Path, Place]) -> Config:
    """Make a Config of the tables. Where some have faults or [site] is missing, it only serves to find more faults."""
    site = tables.get(("site",))
    archives = {
        str(path[-1]): table for path, table in tables.items() if isinstance(table, UpstreamArchive | OwnArchive)
    }
    return Config(
        site=site if isinstance(site, Site) else Site(name="(none)"),
        archives=MappingProxyType(dict(sorted(archives.items()))),
        suites=_named(tables, Suite),
        repos=_named(tables, Repo),
        environments=_named(tables, Environment),
        images=_named(tables, Image),
        persons=_named(tables, Person),
        uploads=_named(tables, Upload),
        hosts=_named(tables, Host),
        pools=_named(tables, Pool),
        origins=MappingProxyType({dotted(path): str(place) for path, place in places.items()}),
    )


def _named(tables: Mapping[Path, Table], kind: type[_T]) -> Mapping[str, _T]:
    named = {str(path[-1]): table for path, table in tables.items() if isinstance(table, kind)}
    return MappingProxyType(dict(sorted(named.items())))


def _bad_config(problems: Sequence[Problem]) -> BadConfig:
    count = "a problem" if len(problems) == 1 else f"{len(problems)} problems"
    return BadConfig(
        f"the configuration has {count}:\n{listed(str(problem) for problem in sorted(problems))}",
        hint="correct the lines that are named, then: distwright config check",
        problems=[asdict(problem) for problem in sorted(problems)],
    )
