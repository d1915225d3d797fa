"""What changed between packages: whole values, as debdiff says it and more."""

import hashlib
import io
from dataclasses import replace

import pytest
from tests.worlds.debs import CONTROL, Member, deb_of, packed, tar_of
from tests.worlds.packages import make_source

from distwright.checks.contents import Contents, read_binary, read_source
from distwright.checks.delta import Delta, FieldDelta, FileDelta, compare_packages, compare_sets
from distwright.errors import BadInput


def contents(*members: Member, control: str = CONTROL, scripts: dict[str, bytes] | None = None) -> Contents:
    deb = deb_of(*members, control=control, scripts=scripts)
    return read_binary(io.BytesIO(deb), "tern_1.0_amd64.deb", hashlib.sha256(deb).hexdigest())


def test_a_package_is_its_fields_its_files_and_its_control_files() -> None:
    one = contents(Member("usr", None, 0o755), Member("usr/bin", b"x", 0o755), scripts={"postinst": b"#!/bin/sh\n"})
    assert (one.name, one.version, one.architecture, one.key) == ("tern", "1.0", "amd64", ("tern", ""))
    assert list(one.files) == ["usr", "usr/bin"]
    assert list(one.control_files) == ["control", "postinst"]
    assert one.fields["Depends"] == "libc6 (>= 2.36)"


def test_the_same_package_is_the_same() -> None:
    one = contents(Member("a"))
    assert compare_sets([one], [one]).is_same
    assert not compare_packages(one, one).is_told


def test_files_come_go_move_and_change() -> None:
    first = contents(Member("gone", b"1"), Member("old/place", b"moved"), Member("mode"), Member("size", b"12"),
                     Member("same"), Member("text", b"one"))  # fmt: skip
    second = contents(Member("come", b"2"), Member("new/place", b"moved"), Member("mode", mode=0o755),
                      Member("size", b"123", owner=(7, 0, "lp", "root")), Member("same"), Member("text", b"two"))  # fmt: skip
    delta = compare_packages(first, second)
    assert [member.path for member in delta.added] == ["come"]
    assert [member.path for member in delta.removed] == ["gone"]
    assert delta.moved == (("old/place", "new/place"),)
    digests = [hashlib.sha256(text).hexdigest()[:12] for text in (b"one", b"two")]
    assert delta.changed == (
        FileDelta("mode", {"mode": ("0644", "0755")}),
        FileDelta("size", {"owner": ("root/root (0/0)", "lp/root (7/0)"), "size": ("2", "3")}),
        FileDelta("text", {"content": (digests[0], digests[1])}),
    )


def test_empty_files_and_those_that_are_there_more_than_once_are_not_said_to_move() -> None:
    first = contents(Member("a"), Member("b", b"x"), Member("c", b"x"))
    second = contents(Member("d"), Member("e", b"x"), Member("f", b"x"))
    assert compare_packages(first, second).moved == ()


def test_types_and_links_are_compared() -> None:
    first = contents(Member("a", link="b"), Member("c", None), Member("d", link="e"))
    second = contents(Member("a", link="z"), Member("c"), Member("d"))
    assert compare_packages(first, second).changed == (
        FileDelta("a", {"link": ("'b'", "'z'")}),
        FileDelta("c", {"type": ("folder", "file")}),
        FileDelta("d", {"type": ("symlink", "file"), "link": ("'e'", "''")}),
    )


def test_dependencies_are_compared_one_by_one() -> None:
    second = CONTROL.replace("libc6 (>= 2.36)", "libc6 (>= 2.36),\n libgull1 | gull").replace(
        "Version: 1.0", "Version: 1.1"
    )
    delta = compare_packages(contents(), contents(control=second + "Multi-Arch: same\n"))
    assert delta.fields == (
        FieldDelta("Version", "1.0", "1.1"),
        FieldDelta("Depends", "libc6 (>= 2.36)", "libc6 (>= 2.36),\n libgull1 | gull", (), ("libgull1 | gull",)),
        FieldDelta("Multi-Arch", None, "same"),
    )


def test_maintainer_scripts_are_compared_and_sums_are_not() -> None:
    first = contents(scripts={"postinst": b"one", "prerm": b"x", "md5sums": b"1"})
    second = contents(scripts={"postinst": b"three", "postrm": b"y", "md5sums": b"2"})
    assert compare_packages(first, second).control == (
        FileDelta("postinst", {"size": ("3", "5")}),
        FileDelta("postrm", {"there": ("no", "yes")}),
        FileDelta("prerm", {"there": ("yes", "no")}),
    )


def test_packages_of_a_set_are_paired_by_name_and_files_move_between_them() -> None:
    tern, gull, petrel = (
        replace(contents(Member(f"usr/share/{name}"), Member("usr/share/shared", b"x")), name=name, sha256=name)
        for name in ("tern", "gull", "petrel")
    )
    bare = replace(contents(Member("usr/share/tern")), name="tern", sha256="bare")
    delta = compare_sets([tern, gull], [bare, petrel])
    assert [(one.name, one.first is None, one.second is None) for one in delta.packages] == [
        ("gull", False, True),
        ("petrel", True, False),
        ("tern", False, False),
    ]
    assert delta.between == (("usr/share/shared", "tern", "petrel"),)
    assert not delta.is_same


def test_one_package_is_compared_with_one_of_another_name() -> None:
    other = replace(contents(Member("b")), name="gull", sha256="other")
    [one] = compare_sets([contents(Member("a"))], [other]).packages
    assert [member.path for member in one.removed] == ["a"]
    assert compare_sets([], []) == Delta(())


def test_a_source_is_what_its_tars_unpack_to() -> None:
    first, second = (make_source("tern", text=text) for text in ("one", "two"))
    read = [
        read_source(
            made.dsc, made.dsc_name, hashlib.sha256(made.dsc).hexdigest(), {made.tar_name: io.BytesIO(made.tar)}
        )
        for made in (first, second)
    ]
    assert sorted(read[0].files) == ["README", "debian", "debian/control"]
    [delta] = compare_sets(read[:1], read[1:]).packages
    assert (delta.name, [one.path for one in delta.changed], delta.fields) == ("tern", ["README"], ())


def test_a_debian_tar_keeps_its_folder() -> None:
    made = make_source("tern")
    tar = packed(tar_of([Member("debian", None), Member("debian/rules", b"x")]), ".xz")
    read = read_source(made.dsc, made.dsc_name, "", {"tern_1.0.debian.tar.xz": io.BytesIO(tar)})
    assert sorted(read.files) == ["debian", "debian/rules"]


def test_what_is_no_package_is_named() -> None:
    for content in (b"", b"text", deb_of(Member("a"))[:-30], b"!<arch>\n"):
        with pytest.raises(BadInput, match=r"'gull\.deb': "):
            read_binary(io.BytesIO(content), "gull.deb", "")


def test_json_says_everything() -> None:
    first = contents(Member("a", b"1"))
    second = contents(Member("a", b"22"), control=CONTROL.replace("Version: 1.0", "Version: 1.1"))
    said = compare_packages(first, second).to_json()
    assert said == {
        "package": "tern",
        "same": False,
        "first": {"file": "tern_1.0_amd64.deb", "version": "1.0", "architecture": "amd64", "sha256": first.sha256,
                  "size": first.size_bytes, "installed_size": 8, "files": 1},
        "second": {"file": "tern_1.0_amd64.deb", "version": "1.1", "architecture": "amd64", "sha256": second.sha256,
                   "size": second.size_bytes, "installed_size": 8, "files": 1},
        "fields": [{"field": "Version", "first": "1.0", "second": "1.1", "gone": (), "new": ()}],
        "added": [],
        "removed": [],
        "moved": [],
        "changed": [{"path": "a", "size": ["1", "2"]}],
        "control": [],
    }  # fmt: skip
