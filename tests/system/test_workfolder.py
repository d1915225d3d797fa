"""The work folder of a step: what is put into it, and what is taken out though hostile programs were in it."""

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from distwright.errors import BadInput, DistwrightError, NotFound, OutOfSpace, Refused
from distwright.model.digests import sha256_of
from distwright.store.memory import MemoryObjects
from distwright.store.objects import FileObjects
from distwright.tools.sandbox import Sandbox, sandbox_for
from distwright.worker.workfolder import collect, collect_found, fill

pytestmark = pytest.mark.system
OUTSIDE = b"not for them\n"


@pytest.fixture
def objects() -> MemoryObjects:
    return MemoryObjects()


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Give the folder that a program worked in; beside it lies a file that it must not get at."""
    (tmp_path / "outside").write_bytes(OUTSIDE)
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


# Filling


@pytest.mark.parametrize("text", ["hooks/!clock", "hooks/./!clock", "hooks/!clock/below", "hooks"])
def test_a_name_for_two_files_is_refused_and_no_object_is_written_into(tmp_path: Path, text: str) -> None:
    objects = FileObjects(tmp_path / "objects")
    kept = objects.put(b"hardening")
    with pytest.raises(BadInput, match="name of more than one file of this step"):
        fill(tmp_path / "work", {"hooks/!clock": kept}, {text: "#!/bin/sh\n"}, objects, Sandbox(None))
    assert objects.read(kept) == b"hardening"
    assert objects.path(kept).stat().st_mode & 0o777 == 0o444


def test_files_and_texts_are_put_in_their_places(tmp_path: Path, objects: MemoryObjects) -> None:
    tar = objects.put(b"tar")
    texts = {"bin/run": "#!/bin/sh\ntrue\n", "conf/a/b.conf": "x = ü\n", "empty": ""}
    fill(tmp_path / "work", {"source/x.tar": tar, "y.tar": tar}, texts, objects, Sandbox(None))
    found = {
        str(file.relative_to(tmp_path / "work")): (file.read_bytes(), file.stat().st_mode & 0o777)
        for file in (tmp_path / "work").rglob("*")
        if file.is_file()
    }
    assert found == {
        "source/x.tar": (b"tar", 0o444),
        "y.tar": (b"tar", 0o444),
        "bin/run": (b"#!/bin/sh\ntrue\n", 0o755),
        "conf/a/b.conf": ("x = ü\n".encode(), 0o644),
        "empty": (b"", 0o644),
    }


def test_folders_belong_to_the_sandbox_and_files_to_us(tmp_path: Path) -> None:
    sandbox = sandbox_for(os.geteuid())
    objects = FileObjects(tmp_path / "objects")
    sandbox.make_folder(tmp_path / "theirs")
    theirs = (tmp_path / "theirs").stat().st_uid
    fill(tmp_path / "work", {"a/b/x": objects.put(b"x")}, {"c/y": "y"}, objects, sandbox)
    owners = {str(path.relative_to(tmp_path / "work")): path.stat().st_uid for path in (tmp_path / "work").rglob("*")}
    us = os.geteuid()
    assert owners == {"a": theirs, "a/b": theirs, "c": theirs, "a/b/x": us, "c/y": us}
    assert (tmp_path / "work").stat().st_uid == theirs


def test_program_that_is_ourselves_gets_copies_that_share_nothing(tmp_path: Path) -> None:
    objects = FileObjects(tmp_path / "objects")
    fill(tmp_path / "work", {"x": objects.put(b"x")}, {}, objects, Sandbox(None))
    assert not (tmp_path / "work" / "x").samefile(objects.path(sha256_of(b"x")))


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/x", "", ".", ".."])
def test_nothing_is_put_outside(tmp_path: Path, objects: MemoryObjects, name: str) -> None:
    digest = objects.put(b"x")
    for place, write in (({name: digest}, {}), ({}, {name: "x"})):
        with pytest.raises(BadInput, match="is not a path inside the work folder"):
            fill(tmp_path / "work", place, write, objects, Sandbox(None))


def test_object_that_is_gone_is_not_found(tmp_path: Path, objects: MemoryObjects) -> None:
    with pytest.raises(NotFound):
        fill(tmp_path / "work", {"x": sha256_of(b"gone")}, {}, objects, Sandbox(None))


# Collecting


def test_outputs_are_kept_by_their_names(work: Path, objects: MemoryObjects) -> None:
    (work / "out" / "deep").mkdir(parents=True)
    for name in ("a.deb", "b.deb", "c.txt", "deep/d.deb"):
        (work / "out" / name).write_text(name)
    kept = collect(work, {"debs": "out/*.deb", "note": "out/c.txt", "none": "out/*.udeb"}, objects)
    assert kept == {"debs/a.deb": sha256_of(b"a.deb"), "debs/b.deb": sha256_of(b"b.deb"), "note": sha256_of(b"c.txt")}
    assert {objects.read(digest) for digest in kept.values()} == {b"a.deb", b"b.deb", b"c.txt"}


@pytest.mark.parametrize("name", ["a[1].deb", "a?b", "[x]"])
def test_name_without_a_star_is_that_name_and_no_pattern(work: Path, objects: MemoryObjects, name: str) -> None:
    for other in (name, "a1.deb", "axb", "x"):
        (work / other).write_text(other)
    assert collect(work, {"out": name}, objects) == {"out": sha256_of(name.encode())}


def _symlink(work: Path) -> None:
    (work / "x.deb").symlink_to(work.parent / "outside")


def _dangling_symlink(work: Path) -> None:
    (work / "x.deb").symlink_to("nowhere")


def _symlink_loop(work: Path) -> None:
    (work / "x.deb").symlink_to("x.deb")


def _hard_link(work: Path) -> None:
    (work / "x.deb").hardlink_to(work.parent / "outside")


def _fifo(work: Path) -> None:
    os.mkfifo(work / "x.deb")


def _folder(work: Path) -> None:
    (work / "x.deb").mkdir()


def _socket(work: Path) -> None:
    here = os.open(work, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as opened:  # by a short path: those of sockets are limited to 108 bytes
        opened.bind(f"/proc/self/fd/{here}/x.deb")
    os.close(here)


HOSTILE: list[Callable[[Path], None]] = [
    _symlink,
    _dangling_symlink,
    _symlink_loop,
    _hard_link,
    _fifo,
    _folder,
    _socket,
]


@pytest.mark.parametrize("make", HOSTILE)
@pytest.mark.parametrize("wanted", ["x.deb", "*.deb"])
def test_only_plain_files_with_one_name_are_read(
    work: Path, objects: MemoryObjects, make: Callable[[Path], None], wanted: str
) -> None:
    make(work)
    with pytest.raises(Refused, match=r"output x\.deb is not a plain file"):
        collect(work, {"out": wanted}, objects)
    assert list(objects.digests()) == []


@pytest.mark.parametrize("name", [b"x\xff.deb", b"x\n.deb", b"\x1b[2J.deb"])
def test_file_whose_name_is_no_line_of_text_is_refused(work: Path, objects: MemoryObjects, name: bytes) -> None:
    """It would become part of identities, which are UTF-8, and of what people read."""
    (work / os.fsdecode(name)).touch()
    with pytest.raises(Refused, match="has a name that is not UTF-8 to print"):
        collect(work, {"out": "*.deb"}, objects)


def test_folder_that_became_a_link_is_not_followed(work: Path, objects: MemoryObjects) -> None:
    for place in ("out", "deep/out"):
        (work / place).parent.mkdir(exist_ok=True)
        (work / place).symlink_to(work.parent)
        with pytest.raises(Refused, match=f"{place} is no longer a folder"):
            collect(work, {"out": f"{place}/outside"}, objects)
        with pytest.raises(Refused, match=f"{place} is no longer a folder"):
            collect(work, {"out": f"{place}/*"}, objects)


def test_folder_that_became_a_file_is_refused(work: Path, objects: MemoryObjects) -> None:
    (work / "out").touch()
    with pytest.raises(Refused, match="out is no longer a folder"):
        collect(work, {"out": "out/x"}, objects)


def test_missing_output_is_named(work: Path, objects: MemoryObjects) -> None:
    with pytest.raises(BadInput, match=r"the program did not leave x\.deb"):
        collect(work, {"out": "x.deb"}, objects)
    with pytest.raises(BadInput, match="the program removed its folder out"):
        collect(work, {"out": "out/x.deb"}, objects)


@pytest.mark.parametrize("wanted", ["../outside", "a/../../outside", "../*", "/etc/passwd", "", "."])
def test_nothing_is_taken_from_outside(work: Path, objects: MemoryObjects, wanted: str) -> None:
    with pytest.raises(BadInput, match="is not a path inside the work folder"):
        collect(work, {"out": wanted}, objects)


def test_refused_output_leaves_no_file_open(work: Path, objects: MemoryObjects) -> None:
    for make in HOSTILE:
        make(work)
        before = sorted(Path("/proc/self/fd").iterdir())
        for wanted in ("x.deb", "*.deb", "x.deb/y", "no/y"):
            with pytest.raises(DistwrightError):
                collect(work, {"out": wanted}, objects)
        assert sorted(Path("/proc/self/fd").iterdir()) == before, make.__name__
        (work / "x.deb").rmdir() if make is _folder else (work / "x.deb").unlink()


def test_files_that_are_longer_than_what_they_take_of_the_disk_are_not_copied(
    work: Path, objects: MemoryObjects
) -> None:
    for name in ("one", "two"):
        (work / name).touch()
        os.truncate(work / name, 3 << 20)
    wanted = {"one": "one", "two": "two"}
    assert sorted(collect(work, wanted, objects, limit_bytes=6 << 20)) == ["one", "two"]
    with pytest.raises(Refused, match=f"output two has {3 << 20} bytes, {2 << 20} are left of what all may have"):
        collect(work, wanted, objects, limit_bytes=5 << 20)
    said: list[str] = []
    assert list(collect_found(work, wanted, objects, said.append, limit_bytes=1 << 20)) == []
    assert [line.partition(":")[0] for line in said] == ["one is not kept", "two is not kept"]


def test_an_output_that_would_fill_the_disk_is_our_trouble_before_it_does(work: Path, objects: MemoryObjects) -> None:
    (work / "large").touch()
    os.truncate(work / "large", shutil.disk_usage(work).free + 1)
    with pytest.raises(OutOfSpace, match="are free here"):
        collect(work, {"large": "large"}, objects, limit_bytes=1 << 60)
    assert objects._content == {}


def test_large_outputs_are_moved_and_small_ones_and_evidence_stay(work: Path, tmp_path: Path) -> None:
    """A second copy of what an image's steps leave would take the disk twice, and seconds."""
    store = FileObjects(tmp_path / "objects")
    large, small = os.urandom(2 << 20), b"small"
    (work / "large").write_bytes(large)
    (work / "small").write_bytes(small)
    inode = (work / "large").stat().st_ino
    wanted = {"large": "large", "small": "small"}
    assert collect_found(work, wanted, store, print) == {"large": sha256_of(large), "small": sha256_of(small)}
    assert sorted(path.name for path in work.iterdir()) == ["large", "small"]
    store = FileObjects(tmp_path / "others")
    assert collect(work, wanted, store) == {"large": sha256_of(large), "small": sha256_of(small)}
    assert [path.name for path in work.iterdir()] == ["small"]
    assert store.path(sha256_of(large)).stat().st_ino == inode


def test_an_output_that_somebody_can_change_still_is_copied(work: Path, tmp_path: Path) -> None:
    store = FileObjects(tmp_path / "objects")
    (work / "large").write_bytes(bytes(2 << 20))
    with (work / "large").open("rb+") as still:
        assert collect(work, {"large": "large"}, store) == {"large": sha256_of(bytes(2 << 20))}
        still.write(b"changed afterwards")
    assert store.is_intact(sha256_of(bytes(2 << 20)))
