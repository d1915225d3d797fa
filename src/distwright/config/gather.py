"""Find the tables in each file, and say which of them nobody knows, or stand in two files."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from distwright.config.documents import Document
from distwright.config.model import FORMAT, NOT_YET, TABLES
from distwright.config.problems import Fault, Path, Place, Problem, nearest, one_of, placed
from distwright.config.words import got

_TOP_LEVEL = ("format", *TABLES, *NOT_YET)


@dataclass(frozen=True, slots=True)
class Entry:
    """One table as it stands in a file: ("archive", "debian"), or ("site",)."""

    document: Document
    path: Path
    values: object


def format_fault(document: Document) -> Fault | None:
    """Say what is wrong with the `format` of a file; a file without one is right, if another has it."""
    value = document.values.get("format", FORMAT)
    if isinstance(value, bool) or not isinstance(value, int):
        return Fault(("format",), got(value), f"format = {FORMAT}")
    if value == FORMAT:
        return None
    known = f"format = {FORMAT}, the newest that this version understands"
    return Fault(("format",), f"{got(value)}, which this version does not understand", known)


def entries_of(document: Document) -> Iterator[Entry]:
    """Yield the tables of a file that have settings in this version."""
    for table, values in document.values.items():
        if table == "site":
            yield Entry(document, (table,), values)
        elif table in TABLES and isinstance(values, dict):
            for name, inner in values.items():
                yield Entry(document, (table, name), inner)


def top_level_faults(document: Document) -> Iterator[Fault]:
    """Yield what stands at the top of a file and is no table that has settings in this version."""
    for key, values in document.values.items():
        if key in NOT_YET:
            names = values if isinstance(values, dict) else ()
            paths: list[Path] = [(key, name) for name in names]
            for path in paths or [(key,)]:
                yield Fault(path, "is a known table, but has no settings in this version", "it left out")
        elif key not in _TOP_LEVEL:
            near = nearest(key, _TOP_LEVEL)
            want = f"{near} (the nearest known name)" if near else one_of([f"[{name}]" for name in TABLES])
            yield Fault((key,), "is not a known table", want)
        elif key in TABLES and key != "site" and not isinstance(values, dict):
            yield Fault((key,), got(values), f"tables, each written [{key}.NAME]")


def second_places(entries: Sequence[Entry]) -> Iterator[Problem]:
    """Yield a problem for each table that an earlier file has already; it names both places."""
    first_by_path: dict[Path, Entry] = {}
    for entry in entries:
        first = first_by_path.setdefault(entry.path, entry)
        if first is not entry:
            fault = Fault(entry.path, f"is already at {_place(first)}", "one place for each table")
            yield placed(fault, entry.document.file, entry.document.lines)


def places_of(documents: Sequence[Document], entries: Sequence[Entry]) -> Mapping[Path, Place]:
    """Map `format`, each table and each key in it (and each member of a list) to where it is written."""
    first_by_path: dict[Path, Document] = {}
    for entry in entries:
        first_by_path.setdefault(entry.path, entry.document)
    places: dict[Path, Place] = {}
    for document in documents:
        for path, line in document.lines.items():
            table = path[:1] if path[0] == "site" else path[:2]
            if first_by_path.get(table) is document or path == ("format",):
                places.setdefault(path, Place(document.file, line))
    return places


def _place(entry: Entry) -> Place:
    return Place(entry.document.file, entry.document.lines.get(entry.path, 1))
