"""The differences of two files of a build, in words: which member of which package, what about it, where, and why."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from itertools import zip_longest
from typing import BinaryIO, Self

from distwright.checks.causes import Markers, Sides, cause_of, mode_cause, mtime_cause, owner_cause, shown_time
from distwright.errors import BadInput, quoted
from distwright.formats.deb822 import parse_one
from distwright.formats.packagetree import (
    TreeMember,
    TreePart,
    open_members,
    path_of,
    pieces_of,
    raw_tar,
    read_tree,
)
from distwright.formats.streaming import unpacked
from distwright.model import plain
from distwright.model.digests import Json

MOST = 60  # differences of one file that are told
_LOOKED_INTO = 30  # contents of one tar that are read once more, to say where they differ
_WHOLE_BYTES = 1 << 20
_BEFORE, _BEHIND = 400, 400
_SHOWN_BEFORE, _SHOWN = 24, 60
_INNER_BYTES = 8 << 20


class DifferenceKind(StrEnum):
    """What about a file is not the same."""

    CONTENT = "content"
    FIELD = "field"
    MODE = "mode"
    OWNER = "owner"
    TIME = "time"
    LINK = "link target"
    TYPE = "type"
    ORDER = "order"
    MISSING = "missing"
    ADDED = "added"
    PACKING = "packing"


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference. file: the package; part: the tar in it ("" for the file as a whole); path: the member of that.

    first, second: what there is, cut and fit to print. offset: of the first byte that differs, -1 where that says nothing.
    """

    file: str
    part: str
    path: str
    kind: DifferenceKind
    first: str = ""
    second: str = ""
    cause: str = ""
    offset: int = -1

    @classmethod
    def of_file(cls, name: str, *, is_first: bool) -> Self:
        """Say that only one build gave a file."""
        return cls(name, "", "", DifferenceKind.MISSING if is_first else DifferenceKind.ADDED)

    def in_words(self) -> str:
        """Put it into a sentence."""
        where = ": ".join(
            text for text in (self.file, " ".join(part for part in (self.part, self.path) if part)) if text
        )
        said = f"{where}: {self._what()}"
        return f"{said}; {self.cause}" if self.cause else said

    def _what(self) -> str:
        kind, both = self.kind, f"{self.first} against {self.second}"
        if kind in (DifferenceKind.MISSING, DifferenceKind.ADDED):
            return f"only in the {'first' if kind is DifferenceKind.MISSING else 'second'} build"
        if kind is DifferenceKind.CONTENT:
            return (
                f"the content differs at byte {self.offset}: {both}"
                if self.offset >= 0
                else f"the content differs: {both}"
            )
        if kind is DifferenceKind.FIELD:
            return f"field {both}"
        return f"another {kind.value}: {both}"

    def to_json(self) -> Json:
        """Give it as plain values."""
        return {row.name: getattr(self, row.name) for row in fields(self)}

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """Read what `to_json` gave; raise BadInput."""
        given = plain.mapping({"difference": value}, "difference")
        texts = {row.name: plain.text(given, row.name) for row in fields(cls) if row.name not in ("kind", "offset")}
        return cls(**texts, kind=DifferenceKind(plain.text(given, "kind")), offset=plain.number(given, "offset"))


Look = Callable[[], None]


def compare_files(
    name: str, first: BinaryIO, second: BinaryIO, markers: Markers | None = None, *, look: Look = lambda: None
) -> list[Difference]:
    """Say what differs in two files of the same name, the most telling first; nothing if all bytes are the same.

    first, second: seekable, read several times. markers: what a second build had otherwise. look: called often, may raise to stop.
    Memory: the names and hashes of what is in both, and two MiB. Takes what nobody can read, or will not: for that, only the first
    byte that differs is told.
    """
    if _first_byte(pieces_of(first), pieces_of(second)) is None:
        return []
    try:
        trees = read_tree(first, name, look=look), read_tree(second, name, look=look)
        found = _compare_trees(name, (first, second), trees, markers) if all(trees) else []
    except BadInput as problem:
        return [_raw(name, "", pieces_of(first), pieces_of(second), f"it cannot be looked into: {problem.message}")]
    return sorted(found, key=_telling)[:MOST] or [_compare_whole(name, first, second, markers)]


def _telling(difference: Difference) -> tuple[int, int]:
    """Put what follows from something else behind that: sums, sizes and ids of contents."""
    follows = difference.path == "md5sums" or (
        difference.kind is DifferenceKind.FIELD and "Installed-Size" in difference.first
    )
    kinds = list(DifferenceKind)
    return (2 if follows else 0 if difference.part.startswith("data") else 1), (
        0 if difference.cause else 1 + kinds.index(difference.kind)
    )


def _compare_trees(
    name: str,
    files: tuple[BinaryIO, BinaryIO],
    trees: tuple[Sequence[TreePart], Sequence[TreePart]],
    markers: Markers | None,
) -> list[Difference]:
    found: list[Difference] = []
    stems = [[part.stem for part in tree] for tree in trees]
    if stems[0] != stems[1]:
        one_list, other_list = (quoted(" ".join(stem)) for stem in stems)
        return [Difference(name, "", "", DifferenceKind.ORDER, one_list, other_list)]
    for number, (one, other) in enumerate(zip(*trees, strict=True)):
        found += _compare_parts(name, files, number, one, other, markers)
    if found or not trees[0]:
        return found
    for number, (one, other) in enumerate(zip(*trees, strict=True)):
        if _first_byte(raw_tar(files[0], name, number), raw_tar(files[1], name, number)) is not None:
            streams = raw_tar(files[0], name, number), raw_tar(files[1], name, number)
            return [_raw(name, one.stem, *streams, "the tar headers or the padding differ, the members do not")]
        found += _packing(name, one, other)
    return found


def _packing(name: str, one: TreePart, other: TreePart) -> Iterator[Difference]:
    part = one.stem
    if one.ending != other.ending:
        yield Difference(name, part, "", DifferenceKind.PACKING, one.ending or "none", other.ending or "none")
    elif one.ending == ".gz" and one.head[4:8] != other.head[4:8]:
        before, after = (shown_time(int.from_bytes(side.head[4:8], "little")) for side in (one, other))
        yield Difference(
            name, part, "", DifferenceKind.PACKING, before, after, "the time in a gzip header: use gzip -n"
        )
    if one.mtime != other.mtime:
        before, after = shown_time(one.mtime), shown_time(other.mtime)
        yield Difference(
            name, part, "", DifferenceKind.TIME, before, after, "the time of a member of the package itself"
        )
    if one.mode != other.mode:
        yield Difference(name, part, "", DifferenceKind.MODE, f"{one.mode:o}", f"{other.mode:o}")


def _compare_parts(
    name: str, files: tuple[BinaryIO, BinaryIO], number: int, one: TreePart, other: TreePart, markers: Markers | None
) -> list[Difference]:
    part = one.stem or "tar"
    sides = tuple({member.path: (at, member) for at, member in enumerate(side.members)} for side in (one, other))
    only = [Difference(name, part, _clean(path), DifferenceKind.MISSING) for path in sides[0] if path not in sides[1]]
    only += [Difference(name, part, _clean(path), DifferenceKind.ADDED) for path in sides[1] if path not in sides[0]]
    found = only[:MOST]
    common = sides[0].keys() & sides[1].keys()
    shared = [[member.path for member in side.members if member.path in common] for side in (one, other)]
    places = next(((a, b) for a, b in zip_longest(*shared, fillvalue="nothing") if a != b), None)
    if places is not None:
        cause = (
            "they are in the order of the file system: sort them"
            if sorted(shared[0]) == sorted(shared[1])
            else "a path is there twice"
        )
        before, after = (quoted(place, 80) for place in places)
        found.append(Difference(name, part, "", DifferenceKind.ORDER, before, after, cause))
    contents: list[tuple[int, int]] = []
    for path, (at, member) in sides[0].items():
        if path not in sides[1] or len(found) > MOST:
            continue
        there, same = sides[1][path]
        found += _compare_members(name, part, member, same, markers)
        if member.kind is same.kind and member.sha256 != same.sha256:
            contents.append((at, there))
    return found + list(_compare_contents(name, part, files, number, contents, markers))


def _compare_members(
    name: str, part: str, one: TreeMember, other: TreeMember, markers: Markers | None
) -> Iterator[Difference]:
    path = _clean(one.path)
    if one.kind is not other.kind:
        yield Difference(name, part, path, DifferenceKind.TYPE, one.kind, other.kind)
        return
    if one.link != other.link:
        yield Difference(name, part, path, DifferenceKind.LINK, quoted(one.link), quoted(other.link))
    if one.mode != other.mode:
        cause = mode_cause(one.mode, other.mode, markers)
        yield Difference(name, part, path, DifferenceKind.MODE, f"{one.mode:04o}", f"{other.mode:04o}", cause)
    if one.owner != other.owner:
        cause = owner_cause(other.owner, markers)
        owners = shown_owner(one.owner), shown_owner(other.owner)
        yield Difference(name, part, path, DifferenceKind.OWNER, *owners, cause)
    if one.mtime != other.mtime:
        cause = mtime_cause(one.mtime, other.mtime, markers)
        yield Difference(name, part, path, DifferenceKind.TIME, shown_time(one.mtime), shown_time(other.mtime), cause)


def _clean(path: str) -> str:
    return quoted(path, 200)[1:-1]


def shown_owner(owner: tuple[int, int, str, str]) -> str:
    """Write an owner as `tar -tv` does, with the numbers."""
    uid, gid, user, group = owner
    return quoted(f"{user or uid}/{group or gid} ({uid}/{gid})")[1:-1]


def _compare_contents(
    name: str, part: str, files: tuple[BinaryIO, BinaryIO], number: int, wanted: Sequence[tuple[int, int]],
    markers: Markers | None,
) -> Iterator[Difference]:  # fmt: skip
    """Say where contents differ: both tars are read side by side, once, as far as the order of their members is the same."""
    ascending: list[tuple[int, int]] = []
    for pair in wanted:
        if not ascending or pair[1] > ascending[-1][1]:
            ascending.append(pair)
    streams = [enumerate(open_members(file, name, number)) for file in files]
    for places in ascending[:_LOOKED_INTO]:
        one, other = (
            next(entry for at, entry in stream if at == place) for stream, place in zip(streams, places, strict=True)
        )
        path = _clean(path_of(one.header.name))
        sides = _sides(one.content, other.content, max(one.header.size, other.header.size) <= _WHOLE_BYTES)
        if sides is not None:
            yield from _content(name, part, path, sides, markers)


def _sides(first: Iterable[bytes], second: Iterable[bytes], is_small: bool) -> Sides | None:  # noqa: FBT001
    """Read two contents to their first difference and a little on; None if they are the same."""
    if is_small:
        one, other = b"".join(first), b"".join(second)
        return None if one == other else Sides(one, other, _shared_length(one, other), is_whole=True)
    kept, at = b"", 0
    pairs = zip_longest(first, second, fillvalue=b"")
    for one, other in pairs:
        if one == other:
            kept, at = (kept + one)[-_BEFORE:], at + len(one)
            continue
        more = next(pairs, (b"", b""))
        left, right = kept + one + more[0], kept + other + more[1]
        offset = _shared_length(left, right)
        begin = max(0, offset - _BEFORE)
        end = offset + _BEHIND
        return Sides(left[begin:end], right[begin:end], offset - begin, at - len(kept) + begin)
    return None


def _shared_length(one: bytes, other: bytes) -> int:
    """Say how many bytes two texts begin with alike."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[low:middle] == other[low:middle] else (low, middle - 1)
    return low


def _first_byte(first: Iterator[bytes], second: Iterator[bytes]) -> int | None:
    sides = _sides(first, second, is_small=False)
    return None if sides is None else sides.at + sides.offset


def _raw(name: str, part: str, first: Iterator[bytes], second: Iterator[bytes], cause: str) -> Difference:
    sides = _sides(first, second, is_small=False) or Sides(b"", b"", 0)
    excerpts = _excerpt(sides.first, sides.offset), _excerpt(sides.second, sides.offset)
    return Difference(name, part, "", DifferenceKind.CONTENT, *excerpts, cause, sides.at + sides.offset)


def _compare_whole(name: str, first: BinaryIO, second: BinaryIO, markers: Markers | None) -> Difference:
    sides = _sides(pieces_of(first), pieces_of(second), is_small=False) or Sides(b"", b"", 0)
    excerpts = _excerpt(sides.first, sides.offset), _excerpt(sides.second, sides.offset)
    cause = cause_of(name, sides, markers)
    return Difference(name, "", "", DifferenceKind.CONTENT, *excerpts, cause, sides.at + sides.offset)


def _content(name: str, part: str, path: str, sides: Sides, markers: Markers | None) -> Iterator[Difference]:
    if part == "control.tar" and path == "control":
        fields_differ = list(_compare_fields(name, part, path, sides))
        if fields_differ:
            yield from fields_differ
            return
    inner = _inner(path, sides)
    if inner is not None:
        path, sides = f"{path} (unpacked)", inner
    excerpts = _excerpt(sides.first, sides.offset), _excerpt(sides.second, sides.offset)
    cause = cause_of(path, sides, markers)
    yield Difference(name, part, path, DifferenceKind.CONTENT, *excerpts, cause, sides.at + sides.offset)


def _inner(path: str, sides: Sides) -> Sides | None:
    """Look into a small file that is packed by itself; None if it is none, or both unpack to the same."""
    ending = next((ending for ending in (".gz", ".xz", ".bz2", ".zst") if path.endswith(ending)), None)
    if ending is None or not sides.is_whole:
        return None
    try:
        one, other = (
            b"".join(unpacked(_reading(side), ending, limit_bytes=_INNER_BYTES)) for side in (sides.first, sides.second)
        )
    except BadInput:
        return None
    return None if one == other else Sides(one, other, _shared_length(one, other), is_whole=True)


def _reading(content: bytes) -> Callable[[int], bytes]:
    at = 0

    def read(size: int) -> bytes:
        nonlocal at
        piece = content[at : at + size]
        at += len(piece)
        return piece

    return read


def _compare_fields(name: str, part: str, path: str, sides: Sides) -> Iterator[Difference]:
    if not sides.is_whole:
        return
    try:
        one, other = (dict(parse_one(side).items()) for side in (sides.first, sides.second))
    except BadInput:
        return
    for field in {**one, **other}:
        if one.get(field) != other.get(field):
            yield Difference(name, part, path, DifferenceKind.FIELD, _field(field, one), _field(field, other))


def _field(name: str, values: Mapping[str, str]) -> str:
    return f"no {name}" if name not in values else f"{name}: {quoted(values[name])}"


def _excerpt(content: bytes, offset: int) -> str:
    """Show what is around a place: text as it is, anything else as escapes."""
    begin = max(0, offset - _SHOWN_BEFORE)
    line = content.rfind(b"\n", begin, offset)
    begin = line + 1 if line >= 0 else begin
    piece = content[begin : offset + _SHOWN - _SHOWN_BEFORE]
    if not piece:
        return "the end"
    if sum(sign < 32 or sign > 126 for sign in piece) > len(piece) // 3:
        return content[offset : offset + 16].hex(" ") or "the end"
    return quoted(piece.decode("utf-8", "backslashreplace"), _SHOWN + 20)
