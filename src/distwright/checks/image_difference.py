"""Where two images differ: followed down from the ISO to its files, and into the squashfs, by the programs of the tool root.

What is looked into becomes a tar, which is read as that of a package is (checks/difference.py): names, owners, modes, times, bytes.
An initrd becomes one by our own reader.
"""

import stat
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from distwright.builds.environment import root_of
from distwright.checks.causes import Markers
from distwright.checks.difference import Difference, DifferenceKind, compare_files
from distwright.errors import BadInput
from distwright.formats.cpio import CpioEntry, iter_initrd
from distwright.jobs.step import Earlier, Plan, PlannedCommand, StepEnd, Verdict, judge_by_exit
from distwright.model.digests import Sha256
from distwright.model.outcomes import Outcome
from distwright.store.objects import ObjectStore

SQUASHFS, INITRD = "live/filesystem.squashfs", "live/initrd.img"
_TIMEOUT_S = 1800
_SIDES = ("first", "second")
Pair = tuple[Sha256, Sha256]
_INITRD_BYTES = 2 << 30  # unpacked
_KINDS = {
    stat.S_IFDIR: tarfile.DIRTYPE, stat.S_IFLNK: tarfile.SYMTYPE, stat.S_IFCHR: tarfile.CHRTYPE, stat.S_IFBLK: tarfile.BLKTYPE,
    stat.S_IFIFO: tarfile.FIFOTYPE,
}  # fmt: skip

# unsquashfs says 2 where it could not make a device or set an attribute, which is the same on both sides.
_LOOK = """#!/bin/sh
set -eu
umask 022
packed() {
    tar --create --directory "$1" --sort=name --numeric-owner --format=pax \\
        --pax-option='exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime' --file "$2" .
}
for side in first second; do
    xorriso -osirrox on -indev "$side.iso" -extract / "$side" >"$side.log" 2>&1 || { cat "$side.log"; exit 1; }
done
if ! cmp -s first/@SQUASHFS@ second/@SQUASHFS@; then
    for side in first second; do
        [ -f "$side/@SQUASHFS@" ] || continue
        unsquashfs -no-progress -dest "$side.root" "$side/@SQUASHFS@" >"$side.log" 2>&1 || [ $? = 2 ] || {
            cat "$side.log"
            exit 1
        }
        packed "$side.root" "$side-squashfs.tar"
        rm -rf "$side.root"
    done
fi
cmp -s first/@INITRD@ second/@INITRD@ || for side in first second; do
    [ ! -f "$side/@INITRD@" ] || cp "$side/@INITRD@" "$side-initrd.img"
done
for side in first second; do
    packed "$side" "$side-iso.tar"
done
"""


def plan_look(earlier: Earlier, iso: Pair) -> Plan:
    """Plan to look into two ISOs that differ; their trees, and those of their squashfs if these differ, are the outputs."""
    command = PlannedCommand(("./look.sh",), _TIMEOUT_S, root=root_of(earlier["tools"]))
    return Plan(
        (command,),
        place={f"{side}.iso": digest for side, digest in zip(_SIDES, iso, strict=True)},
        write={"look.sh": _LOOK.replace("@SQUASHFS@", SQUASHFS).replace("@INITRD@", INITRD)},
        collect_always={"tree": "*-*.tar", "initrd": "*-initrd.img"},
    )


def judge_look(end: StepEnd) -> Verdict:
    """Judge the look: where it fails, that the files differ is known all the same."""
    verdict = judge_by_exit(end)
    return verdict if verdict.outcome is Outcome.OK else replace(verdict, outcome=Outcome.OK)


def compare_isos(
    name: str,
    iso: Pair,
    looked: Mapping[str, Sha256],
    objects: ObjectStore,
    markers: Markers | None,
    look: Callable[[], None],
) -> list[Difference]:
    """Say what differs in two ISOs, what is in the squashfs first. looked: what `plan_look` gave, perhaps nothing."""
    inside = {
        SQUASHFS: _of_trees(_both(looked, "tree/{}-squashfs.tar"), objects, markers, look),
        INITRD: _of_initrds(_both(looked, "initrd/{}-initrd.img"), objects, markers, look),
    }
    found = [replace(one, file=f"{name}: {path}") for path, those in inside.items() for one in those]
    files = _of_trees(_both(looked, "tree/{}-iso.tar"), objects, markers, look)
    told = [one for one in files if not (one.kind is DifferenceKind.CONTENT and inside.get(one.path))]
    found += [replace(one, file=name) for one in sorted(told, key=lambda one: not one.path.startswith("live/"))]
    return found or _compare(name, iso, objects, markers, look)


def compare_initrds(
    name: str, pair: Pair, objects: ObjectStore, markers: Markers | None, look: Callable[[], None]
) -> list[Difference]:
    """Say what differs in two initrds; where one cannot be read, at which byte they do."""
    found = _of_initrds(pair, objects, markers, look)
    return [replace(one, file=name) for one in found] or _compare(name, pair, objects, markers, look)


def _both(looked: Mapping[str, Sha256], name: str) -> Pair | None:
    first, second = (looked.get(name.format(side)) for side in _SIDES)
    return None if first is None or second is None or first == second else (first, second)


def _of_trees(
    pair: Pair | None, objects: ObjectStore, markers: Markers | None, look: Callable[[], None]
) -> list[Difference]:
    """Compare two tars; the name of the file is for the caller to say."""
    return [] if pair is None else [replace(one, part="") for one in _compare("tree.tar", pair, objects, markers, look)]


def _of_initrds(
    pair: Pair | None, objects: ObjectStore, markers: Markers | None, look: Callable[[], None]
) -> list[Difference]:
    if pair is None:
        return []
    try:
        first, second = (_tar_of_initrd(digest, objects, look) for digest in pair)
    except BadInput:
        return []
    return [] if first == second else _of_trees((first, second), objects, markers, look)


def _tar_of_initrd(initrd: Sha256, objects: ObjectStore, look: Callable[[], None]) -> Sha256:
    """Write the members of an initrd as a tar, an object that nobody holds; raise BadInput."""
    with (
        objects.open(initrd) as file,
        objects.writing() as writer,
        tarfile.open(fileobj=writer, mode="w|", format=tarfile.GNU_FORMAT, errors="surrogateescape") as tar,  # type: ignore[call-overload]  # it only writes
    ):
        for entry in iter_initrd(file.read, limit_bytes=_INITRD_BYTES):
            look()
            member = _member(entry)
            tar.addfile(member, _Reading(entry.content) if member.isreg() else None)
    return writer.digest


def _member(entry: CpioEntry) -> tarfile.TarInfo:
    member = tarfile.TarInfo(entry.name.decode("utf-8", "surrogateescape"))
    member.type = _KINDS.get(stat.S_IFMT(entry.mode), tarfile.REGTYPE)
    member.mode, member.mtime = stat.S_IMODE(entry.mode), entry.mtime
    member.uid, member.gid = entry.uid, entry.gid
    member.devmajor, member.devminor = entry.device
    if member.issym():
        member.linkname = b"".join(entry.content).decode("utf-8", "surrogateescape")
    member.size = entry.size if member.isreg() else 0
    return member


class _Reading:
    """Pieces, as a file that is read once: what tarfile wants."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._kept = b""

    def read(self, size: int) -> bytes:
        while len(self._kept) < size and (piece := next(self._pieces, b"")):
            self._kept += piece
        found, self._kept = self._kept[:size], self._kept[size:]
        return found


def _compare(
    name: str, pair: Pair, objects: ObjectStore, markers: Markers | None, look: Callable[[], None]
) -> list[Difference]:
    with objects.open(pair[0]) as first, objects.open(pair[1]) as second:
        return compare_files(name, first, second, markers, look=look)
