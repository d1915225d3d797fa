"""Where two images differ: followed down from the ISO to its files, and into the squashfs, by the programs of the tool root.

What is looked into becomes a tar, which is read as that of a package is (checks/difference.py): names, owners, modes, times, bytes.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from distwright.builds.environment import root_of
from distwright.checks.causes import Markers
from distwright.checks.difference import Difference, DifferenceKind, compare_files
from distwright.jobs.step import Earlier, Plan, PlannedCommand, StepEnd, Verdict, judge_by_exit
from distwright.model.digests import Sha256
from distwright.model.outcomes import Outcome
from distwright.store.objects import ObjectStore

SQUASHFS = "live/filesystem.squashfs"
_TIMEOUT_S = 1800
_SIDES = ("first", "second")
Pair = tuple[Sha256, Sha256]

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
        write={"look.sh": _LOOK.replace("@SQUASHFS@", SQUASHFS)},
        collect_always={"tree": "*-*.tar"},
    )


def judge_look(end: StepEnd) -> Verdict:
    """Judge the look: where it fails, that the files differ is known all the same."""
    verdict = judge_by_exit(end)
    return verdict if verdict.outcome is Outcome.OK else replace(verdict, outcome=Outcome.OK)


def compare_isos(
    name: str, iso: Pair, looked: Mapping[str, Sha256], objects: ObjectStore, markers: Markers, look: Callable[[], None]
) -> list[Difference]:
    """Say what differs in two ISOs, what is in the squashfs first. looked: what `plan_look` gave, perhaps nothing."""
    files = _of_tree(name, "iso", looked, objects, markers, look)
    inside = _of_tree(f"{name}: {SQUASHFS}", "squashfs", looked, objects, markers, look)
    told = [one for one in files if not (inside and one.path == SQUASHFS and one.kind is DifferenceKind.CONTENT)]
    found = [*inside, *sorted(told, key=lambda one: not one.path.startswith("live/"))]
    return found or _compare(name, iso, objects, markers, look)


def _of_tree(
    name: str, part: str, looked: Mapping[str, Sha256], objects: ObjectStore, markers: Markers, look: Callable[[], None]
) -> list[Difference]:
    trees = [looked.get(f"tree/{side}-{part}.tar") for side in _SIDES]
    if trees[0] is None or trees[1] is None or trees[0] == trees[1]:
        return []
    found = _compare(f"{part}.tar", (trees[0], trees[1]), objects, markers, look)
    return list(_named(name, found))


def _compare(
    name: str, pair: Pair, objects: ObjectStore, markers: Markers, look: Callable[[], None]
) -> list[Difference]:
    with objects.open(pair[0]) as first, objects.open(pair[1]) as second:
        return compare_files(name, first, second, markers, look=look)


def _named(name: str, found: Iterable[Difference]) -> Iterable[Difference]:
    for one in found:
        yield replace(one, file=name, part="")
