"""The layer is what two replays differ in, said as an overlay reads it; what could not stand for a full build is named."""

import tarfile
from collections.abc import Mapping

import pytest

from distwright.formats.tarstates import PathState
from distwright.images.layering import BACKUPS, Replay, layer_states, objections, parse_names

FOLDER = PathState(tarfile.DIRTYPE, 0o755, 0, 0, 1, 0, "")


def file(what: str, mode: int = 0o644, mtime: int = 1) -> PathState:
    return PathState(tarfile.REGTYPE, mode, 0, 0, mtime, 1, what)


def replay(
    before: Mapping[str, PathState], after: Mapping[str, PathState], *, linked: str = "", initrd: str = ""
) -> Replay:
    """Give a replay that touched what it names; the root is always there."""
    root = {"": FOLDER}
    touched = before.keys() | after.keys() | root.keys()
    return Replay(touched, {**root, **before}, {**root, **after}, frozenset(linked.split()), frozenset(initrd.split()))


NOTHING = replay({}, {})


def test_what_both_did_is_not_in_the_layer_and_what_one_did_is() -> None:
    was = {"etc": FOLDER, "etc/same": file("0")}
    base = replay(was, {"etc": FOLDER, "etc/same": file("1"), "etc/hook": file("1")})
    new = replay(
        {**was, "etc/pkg": file("1")},
        {"etc": FOLDER, "etc/same": file("1"), "etc/hook": file("2"), "etc/pkg": file("2")},
    )
    assert layer_states(base, new) == {"": FOLDER, "etc": FOLDER, "etc/hook": file("2"), "etc/pkg": file("2")}
    assert layer_states(base, base) == {}


def test_what_the_hooks_did_before_and_do_no_more_is_as_the_packages_have_it() -> None:
    base = replay(
        {"etc": FOLDER, "etc/a": file("of the package")},
        {"etc": FOLDER, "etc/a": file("changed"), "etc/b": file("made")},
    )
    assert layer_states(base, NOTHING) == {"": FOLDER, "etc": FOLDER, "etc/a": file("of the package"), "etc/b": None}


def test_a_folder_that_is_gone_is_one_whiteout_and_one_that_is_new_brings_those_above_it() -> None:
    old = {"usr": FOLDER, "usr/old": FOLDER, "usr/old/a": file("1"), "usr/old/b": FOLDER, "usr/old/b/c": file("1")}
    new = replay(old, {"usr": FOLDER, "usr/new": FOLDER, "usr/new/d": file("1")})
    assert layer_states(NOTHING, new) == {
        "": FOLDER, "usr": FOLDER, "usr/old": None, "usr/new": FOLDER, "usr/new/d": file("1"),
    }  # fmt: skip


def test_a_file_in_place_of_a_folder_hides_what_was_in_it() -> None:
    new = replay({"a": FOLDER, "a/b": file("1")}, {"a": file("2")})
    assert layer_states(NOTHING, new) == {"": FOLDER, "a": file("2")}
    assert layer_states(NOTHING, replay({"a": file("2")}, {"a": FOLDER, "a/b": file("1")})) == {
        "": FOLDER, "a": FOLDER, "a/b": file("1"),
    }  # fmt: skip


def test_a_changed_folder_is_named_and_an_unchanged_one_only_for_what_is_in_it() -> None:
    wide = PathState(tarfile.DIRTYPE, 0o1777, 0, 0, 1, 0, "")
    assert layer_states(NOTHING, replay({"a": FOLDER, "b": FOLDER}, {"a": wide, "b": FOLDER})) == {
        "": FOLDER,
        "a": wide,
    }


def test_backups_of_dpkg_say_nothing_of_what_is_installed() -> None:
    path = "var/lib/dpkg/status-old"
    assert path in BACKUPS
    assert layer_states(NOTHING, replay({path: file("1")}, {path: file("2")})) == {}


ETC, STATUS = {"etc": FOLDER, "etc/a": file("1")}, {"var/lib/dpkg/status": file("1")}


@pytest.mark.parametrize(
    ("base", "new", "said"),
    [
        (NOTHING, replay(STATUS, {"var/lib/dpkg/status": file("2")}, initrd=""), []),
        (NOTHING, replay(ETC, {**ETC, "etc/a": file("2")}, linked="etc/a"), ["/etc/a: a file with several names"]),
        (
            replay({}, {}, linked="a b c d"), NOTHING, ["/a, /b, /c and 1 more: a file with several names"],
        ),
        (
            replay({}, {}, initrd="etc etc/a"), replay(ETC, {**ETC, "etc/a": file("2")}, initrd="etc etc/a"),
            ["/etc/a: the initrd is made from it"],
        ),
        (replay({}, {}, initrd="etc"), replay(ETC, {**ETC, "etc/a": file("2")}, initrd="etc"), []),
        (
            replay({}, {}, initrd="bin/kmod"), replay({}, {}, initrd="bin/kmod sbin/zstd"),
            ["/sbin/zstd: the initrd would be made from other files"],
        ),
        (
            replay({}, {}, initrd="etc/modprobe.d"),
            replay({"etc": FOLDER, "etc/modprobe.d": FOLDER}, {"etc": FOLDER}, initrd="etc/modprobe.d"),
            ["/etc/modprobe.d: the initrd is made from it"],
        ),
        (
            replay({}, {}, initrd="usr/lib/os-release"),
            replay({"usr": FOLDER, "usr/lib": FOLDER, "usr/lib/os-release": file("1")},
                   {"usr": FOLDER, "usr/lib": FOLDER, "usr/lib/os-release": file("2")}, initrd="usr/lib/os-release"), [],
        ),
    ],
)  # fmt: skip
def test_what_may_not_stand_for_a_full_build_is_named(base: Replay, new: Replay, said: list[str]) -> None:
    assert objections(base, new, layer_states(base, new)) == said


def test_names_are_those_of_tars() -> None:
    assert parse_names(b".\0./etc\0./.hidden\0usr/bin\0a\nb\0\xff\0") == {
        "",
        "etc",
        ".hidden",
        "usr/bin",
        "a\nb",
        "\udcff",
    }
