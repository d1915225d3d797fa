"""`package compare`: files on disk without any installation, and the same lists and fields as Debian's own programs say."""

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest
from tests.system.line import DISTWRIGHT
from tests.worlds.commands import command_line
from tests.worlds.debs import CONTROL, Member, deb_of
from tests.worlds.packages import make_deb, make_source, make_upload

pytestmark = pytest.mark.system
RULES = """#!/bin/sh
set -eu
mkdir -p tree/DEBIAN tree/usr/bin tree/usr/share/doc/tern
printf '%s\\n' 'Package: tern' "Version: $1" 'Architecture: all' 'Maintainer: Ada Example <ada@example.org>' \\
    'Installed-Size: 40' "Depends: $2" 'Description: a bird' ' It flies.' > tree/DEBIAN/control
echo "bird $1" > tree/usr/bin/tern
chmod 755 tree/usr/bin/tern
echo text > "tree/usr/share/doc/tern/$3"
ln -s tern tree/usr/bin/bird
dpkg-deb --root-owner-group --build tree .
"""


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a program where there is no installation and no home."""
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": str(folder)}
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False)


def compare(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return run(folder, str(DISTWRIGHT), "package", "compare", *words)


def made(folder: Path, version: str, depends: str, doc: str) -> Path:
    """Have dpkg-deb make a package."""
    folder.mkdir()
    (folder / "make").write_text(RULES)
    done = run(folder, "sh", "make", version, depends, doc)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.deb"))


def listed(deb: Path) -> list[tuple[str, str, str]]:
    """Give what dpkg-deb lists: mode in letters, owner, path."""
    rows = [line.split(None, 5) for line in run(deb.parent, "dpkg-deb", "-c", deb.name).stdout.splitlines()]
    return [(row[0], row[1], row[5].removeprefix("./").strip("/") or ".") for row in rows]


def letters(row: dict[str, str]) -> str:
    """Write a mode as ls does."""
    kind = {"folder": "d", "symlink": "l", "file": "-"}[row["type"]]
    bits = int(row["mode"], 8)
    return kind + "".join(
        sign if bits >> at & 1 else "-" for at, sign in zip(range(8, -1, -1), "rwxrwxrwx", strict=True)
    )


def paths(rows: Iterable[str]) -> set[str]:
    return {row.split()[-1].strip("/") for row in rows if row.startswith(("-rw", "lrw", "drw"))}


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Give two versions of a package that dpkg-deb has made."""
    folder = tmp_path_factory.mktemp("versions")
    return made(folder / "a", "1.0", "libc6 (>= 2.36)", "old"), made(
        folder / "b", "1.1", "libc6 (>= 2.36), libgull1", "new"
    )


def test_debdiff_says_the_same_of_two_versions(versions: tuple[Path, Path], tmp_path: Path) -> None:
    first, second = map(str, versions)
    done = compare(tmp_path, first, second, "--json")
    assert done.returncode == 1, done.stderr
    [package] = json.loads(done.stdout)["packages"]
    theirs = run(tmp_path, "debdiff", "--nocontrol", first, second)
    assert theirs.returncode == 1, theirs.stderr
    new, _, gone = theirs.stdout.partition("Files in first .deb but not in second")
    # debdiff knows no moves: one of ours is both of its lists.
    come = {row["path"] for row in package["added"]} | {row["to"] for row in package["moved"]}
    went = {row["path"] for row in package["removed"]} | {row["from"] for row in package["moved"]}
    assert {f"/{path}" for path in come} == {f"/{path}".replace("//", "/") for path in paths(new.splitlines())}
    assert {f"/{path}" for path in went} == {f"/{path}".replace("//", "/") for path in paths(gone.splitlines())}
    assert (come, went) == ({"usr/share/doc/tern/new"}, {"usr/share/doc/tern/old"})


def test_dpkg_deb_says_the_same_fields_and_files(versions: tuple[Path, Path], tmp_path: Path) -> None:
    deb = versions[1]
    (tmp_path / "empty.deb").write_bytes(deb_of(control=CONTROL))
    [package] = json.loads(compare(tmp_path, "empty.deb", str(deb), "--json").stdout)["packages"]
    ours = [
        (letters(row), row["owner"].split()[0], row["path"] + (f" -> {row['link']}" if row["link"] else ""))
        for row in package["added"]
    ]
    assert sorted(ours) == sorted(listed(deb))
    said = {row["field"]: row["second"] for row in package["fields"] if row["second"] is not None}
    assert said == {name: run(tmp_path, "dpkg-deb", "-f", str(deb), name).stdout.rstrip("\n") for name in said}


def test_the_text_names_what_changed(versions: tuple[Path, Path], tmp_path: Path) -> None:
    done = compare(tmp_path, *map(str, versions))
    assert done.stderr == ""
    assert done.stdout.splitlines()[0] == "tern (all): 1.0 → 1.1"
    assert "    + libgull1" in done.stdout
    assert "  > usr/share/doc/tern/old → usr/share/doc/tern/new" in done.stdout


def test_the_same_file_is_the_same(versions: tuple[Path, Path], tmp_path: Path) -> None:
    done = compare(tmp_path, str(versions[0]), str(versions[0]))
    assert (done.returncode, done.stdout, done.stderr) == (0, "tern (all): the same, 1.0\n", "")


def test_another_compression_is_said_when_all_else_is_the_same(tmp_path: Path) -> None:
    for name, ending in (("a.deb", ".xz"), ("b.deb", ".zst")):
        (tmp_path / name).write_bytes(deb_of(Member("x"), ending=ending))
    done = compare(tmp_path, "a.deb", "b.deb")
    assert done.returncode == 1
    assert "its fields and files are the same; b.deb: data.tar: another packing: .xz against .zst" in done.stdout


def test_changes_are_compared_as_a_whole(tmp_path: Path) -> None:
    debs = make_deb("tern", content={"usr/share/a": "1"}), make_deb("gull", content={"usr/share/b": "2"})
    for folder, members in (("one", debs), ("two", (debs[0], make_deb("gull", content={"usr/share/c": "2"})))):
        upload = make_upload(make_source("tern"), *members)
        (tmp_path / folder).mkdir()
        for name, content in {**upload.files, upload.changes_name: upload.changes}.items():
            (tmp_path / folder / name).write_bytes(content)
    names = [f"{folder}/tern_1.0_amd64.changes" for folder in ("one", "two")]
    done = compare(tmp_path, *names)
    assert done.returncode == 1, done.stderr
    assert "gull (amd64): 1.0\n" in done.stdout
    assert "  > usr/share/b → usr/share/c" in done.stdout
    assert "tern (amd64): the same, 1.0" in done.stdout
    assert "tern (source): the same, 1.0" in done.stdout
    (tmp_path / "two" / "gull_1.0_amd64.deb").write_bytes(b"other")
    assert compare(tmp_path, *names).returncode == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "there is no file 'x.deb'"), (b"", "'x.deb': it is no .deb"), (b"!<arch>\n", "'x.deb': a .deb has")],
)
def test_what_is_no_package_is_refused_in_words(tmp_path: Path, content: bytes | None, said: str) -> None:
    (tmp_path / "a.deb").write_bytes(deb_of(Member("x")))
    if content is not None:
        (tmp_path / "x.deb").write_bytes(content)
    done = compare(tmp_path, "a.deb", "x.deb")
    assert done.returncode in (2, 10)
    assert done.stderr.startswith(f"distwright: {said}")
    assert "try: " in done.stderr


def test_packages_of_suites_are_compared_by_name(tmp_path: Path) -> None:
    line = command_line(tmp_path)
    line.publish("devel", make_deb("tern", "1.1", content={"usr/share/b": "22"}))
    line.publish("stable", make_deb("tern", "1.0", content={"usr/share/b": "2"}), make_deb("gull", architecture="all"))
    done = line.run("package", "compare", "petrel/stable:tern", "petrel/devel:tern=1.1")
    assert done.exit_code == 1, done.said
    assert done.text.splitlines()[0] == "tern (amd64): 1.0 → 1.1"
    assert "  ~ usr/share/b: size 1 → 2" in done.text
    assert line.run("package", "compare", "petrel/stable:gull", "petrel/stable:gull=1.0").exit_code == 0
    for name, said in (
        ("petrel/devel:tern=1.0", "petrel/devel has no package tern 1.0, but 1.1"),
        ("petrel/devel:gull", "petrel/devel has no package gull"),
        ("nowhere/devel:gull", "archive nowhere is not configured"),
        ("77", "job 77 does not exist"),
    ):
        refused = line.run("package", "compare", name, "petrel/stable:tern")
        assert (refused.exit_code, refused.said) == (10, said)
    assert line.run("package", "compare", "tern", "petrel/stable:tern").exit_code == 2
