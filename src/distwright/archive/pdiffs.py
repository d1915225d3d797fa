"""Packages.diff and Sources.diff: what changed since earlier publications, so that apt need not fetch whole indexes.

Each publication adds one patch to each index that changed: an ed script (the only one that apt's rred reads), found by comparing
leaves, so its cost is that of the change, and of counting lines. A client that is several publications back applies the
patches from its state on. The files' format is that of dak (X-Patch-Precedence is not said: patches apply one after the other);
source: apt's ParseDiffIndex in acquire-item.cc.
"""

import gzip
import hashlib
import re
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from distwright.archive.indexes import index_leaves
from distwright.archive.rendering import IndexSet, Patch
from distwright.archive.tree import Get, Leaf, TreeRoot
from distwright.formats.release import IndexEntry
from distwright.model.digests import Sha256, sha256_of
from distwright.store.objects import ObjectStore

KEPT = 20  # publications that a client may be behind; dak keeps two weeks of four a day
_LISTS = ("/Packages", "/Sources")
_NAME = re.compile(r"T-(\d{4}-\d\d-\d\d-\d{4}\.\d\d)(?:\.(\d{6}))?-")
T = TypeVar("T", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Earlier:
    """What clients may have: the state that was served until now, and its indexes."""

    root: TreeRoot
    indexes: IndexSet


@dataclass(frozen=True, slots=True)
class _Hunk:
    """Lines of the old text, from `first` (1-based) on, that become `new`."""

    first: int
    count: int
    new: bytes


def with_patches(
    indexes: IndexSet, root: TreeRoot, earlier: Earlier | None, now: datetime, objects: ObjectStore
) -> IndexSet:
    """Add the patches from the last KEPT states to an index set."""
    history: dict[str, tuple[Patch, ...]] = {}
    if earlier is not None:
        before = index_leaves(earlier.root, earlier.indexes.lists)
        for path, leaves in index_leaves(root, indexes.lists).items():
            if path.endswith(_LISTS) and path in earlier.indexes.plain:
                kept = _extended(path, indexes, earlier, (before[path], leaves), now, objects)
                if kept:
                    history[path] = kept
    files = dict(indexes.files)
    hidden = set()
    for path, patches in history.items():
        text = _index_text(indexes.plain[path], patches)
        name = f"{path}.diff/Index"
        files[name] = IndexEntry(name, len(text), objects.put(text))
        for patch in patches:
            name = f"{path}.diff/{patch.name}.gz"
            files[name] = IndexEntry(name, patch.packed_size, patch.packed)
            hidden.add(name)
    return IndexSet(indexes.lists, files, indexes.plain, indexes.has_contents, frozenset(hidden), history)


def _extended(
    path: str,
    indexes: IndexSet,
    earlier: Earlier,
    leaves: tuple[Sequence[Leaf], Sequence[Leaf]],
    now: datetime,
    objects: ObjectStore,
) -> tuple[Patch, ...]:
    before, patches = earlier.indexes.plain[path], _intact(earlier.indexes.history.get(path, ()), objects)
    after = indexes.plain[path]
    if before.sha256 == after.sha256:
        return patches
    script = ed_script(*leaves, objects.read)
    if script is None:
        return ()
    packed = gzip.compress(script, 9, mtime=0)
    old, new = leaves
    made = Patch(
        _name(now, after, patches), before.sha256, before.size, sha256_of(script), len(script), objects.put(packed), len(packed),
        before_sha1=(patches[-1].after_sha1 if patches else "") or _sha1(objects.read(leaf.digest) for leaf in old),
        after_sha1=_sha1(objects.read(leaf.digest) for leaf in new),
        plain_sha1=_sha1([script]),
    )  # fmt: skip
    return (*patches, made)[-KEPT:]


def _name(now: datetime, after: IndexEntry, patches: Sequence[Patch]) -> str:
    """Name a patch by its time, and the index it leads to, so that it sorts after all earlier ones: debmirror applies them so.

    Several publications may be of one second, and a clock may be set back.
    """
    moment, count = f"{now:%Y-%m-%d-%H%M.%S}", 0
    last = _NAME.match(patches[-1].name) if patches else None
    if last is not None and last[1] >= moment:
        moment, count = last[1], int(last[2] or 0) + 1
    return f"T-{moment}{f'.{count:06d}' if count else ''}-{after.sha256[:12]}"


def _intact(patches: tuple[Patch, ...], objects: ObjectStore) -> tuple[Patch, ...]:
    """Give the patches after the last damaged one: a client that is behind it fetches the whole index."""
    damaged = [
        at for at, patch in enumerate(patches) if not (objects.has(patch.packed) and objects.is_intact(patch.packed))
    ]
    return patches[damaged[-1] + 1 :] if damaged else patches


def _index_text(current: IndexEntry, patches: Sequence[Patch]) -> bytes:
    """Write what debmirror reads (the SHA1 fields, which Debian has too), and what apt reads."""
    lines: list[str] = []
    if all(patch.before_sha1 for patch in patches):
        lines += [f"SHA1-Current: {patches[-1].after_sha1} {current.size}", "SHA1-History:"]
        lines += [f" {patch.before_sha1} {patch.before_size} {patch.name}" for patch in patches]
        lines += ["SHA1-Patches:", *(f" {patch.plain_sha1} {patch.plain_size} {patch.name}" for patch in patches)]
    lines += [f"SHA256-Current: {current.sha256} {current.size}", "SHA256-History:"]
    lines += [f" {patch.before} {patch.before_size} {patch.name}" for patch in patches]
    lines += ["SHA256-Patches:", *(f" {patch.plain} {patch.plain_size} {patch.name}" for patch in patches)]
    lines += ["SHA256-Download:", *(f" {patch.packed} {patch.packed_size} {patch.name}.gz" for patch in patches)]
    return "".join(f"{line}\n" for line in lines).encode()


def _sha1(parts: Iterable[bytes]) -> str:
    """Hash for readers that know nothing better; Release names the whole by SHA-256."""
    whole = hashlib.sha1(usedforsecurity=False)
    for part in parts:
        whole.update(part)
    return whole.hexdigest()


def ed_script(old: Sequence[Leaf], new: Sequence[Leaf], get: Get) -> bytes | None:
    """Say with commands of ed(1), last lines first, how the text of some leaves becomes that of others; None if ed cannot."""
    script = []
    for hunk in reversed(list(_hunks(old, new, get))):
        last = hunk.first + hunk.count - 1
        place = f"{hunk.first}" if hunk.count == 1 else f"{hunk.first},{last}"
        if b"\n.\n" in b"\n" + hunk.new:
            return None  # a dot alone ends the input of ed
        if not hunk.count:
            script.append(b"%da\n%b.\n" % (hunk.first - 1, hunk.new))
        elif hunk.new:
            script.append(place.encode() + b"c\n" + hunk.new + b".\n")
        else:
            script.append(place.encode() + b"d\n")
    return b"".join(script)


def _hunks(old: Sequence[Leaf], new: Sequence[Leaf], get: Get) -> Iterator[_Hunk]:
    line = 1
    for gone, come, same in _aligned([leaf.digest for leaf in old], [leaf.digest for leaf in new]):
        before, after = _stanzas(gone, get), _stanzas(come, get)
        for fewer, more, stanza in _aligned(before, after):
            count = sum(text.count(b"\n") for text in fewer)
            if fewer or more:
                yield _Hunk(line, count, b"".join(more))
            line += count + (0 if stanza is None else stanza.count(b"\n"))
        line += 0 if same is None else get(same).count(b"\n")


def _stanzas(leaves: Sequence[Sha256], get: Get) -> list[bytes]:
    return [part + b"\n\n" for digest in leaves for part in get(digest).split(b"\n\n")[:-1]]


def _aligned(old: Sequence[T], new: Sequence[T]) -> Iterator[tuple[Sequence[T], Sequence[T], T | None]]:
    """Give what goes and what comes before each member that stays, and that; at the end None.

    Right for any two sequences; short if what both have stands in the same order, as in sorted lists.
    """
    places: Mapping[T, int] = {member: place for place, member in reversed(list(enumerate(new)))}
    from_old = from_new = 0
    for at, member in enumerate(old):
        place = places.get(member, -1)
        if place >= from_new:
            yield old[from_old:at], new[from_new:place], member
            from_old, from_new = at + 1, place + 1
    yield old[from_old:], new[from_new:], None
