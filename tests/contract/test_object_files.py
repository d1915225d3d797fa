"""What objects as files do beyond what every object store does."""

import os
import re
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path
from textwrap import dedent

import pytest
from tests.contract.test_object_store import CONTENT, DIGEST, aged, found, other_content

from distwright.errors import Refused, Rotten
from distwright.model.digests import sha256_of
from distwright.store.memory import MemoryObjects
from distwright.store.objects import FileObjects

DAY = date(2024, 1, 10)


@pytest.fixture
def files(tmp_path: Path) -> FileObjects:
    """Give an empty store of files."""
    return FileObjects(tmp_path / "objects")


def rot(files: FileObjects) -> None:
    files.put(CONTENT)
    files.path(DIGEST).chmod(0o644)
    files.path(DIGEST).write_bytes(CONTENT[:-1] + b"!")


def test_rotten_file_is_not_intact_and_nobody_reads_it_whole(files: FileObjects) -> None:
    rot(files)
    assert (files.has(DIGEST), files.is_intact(DIGEST)) == (True, False)
    with pytest.raises(Rotten, match=f"object {DIGEST} has rotted"):
        files.read(DIGEST)


def test_rotten_file_comes_back_with_whoever_keeps_the_same_bytes(files: FileObjects) -> None:
    rot(files)
    assert files.put(CONTENT) == DIGEST
    assert files.read(DIGEST) == CONTENT
    rot(files)
    with files.staging() as put:
        put(CONTENT)
    assert files.read(DIGEST) == CONTENT


def test_file_is_named_by_its_digest_and_nobody_may_write_it(files: FileObjects, tmp_path: Path) -> None:
    files.put(CONTENT)
    path = tmp_path / "objects" / "sha256" / DIGEST[:2] / DIGEST[2:]
    assert (files.path(DIGEST), path.stat().st_mode & 0o777, path.stat().st_nlink) == (path, 0o444, 1)
    assert list((tmp_path / "objects" / "incoming").iterdir()) == []


def test_placed_file_shares_the_bytes_on_disk(files: FileObjects, tmp_path: Path) -> None:
    files.place(files.put(CONTENT), tmp_path / "file")
    assert (tmp_path / "file").samefile(files.path(DIGEST))


def test_object_as_a_file_for_a_program_is_the_object_itself(files: FileObjects) -> None:
    assert files.local_path(files.put(CONTENT)) == files.path(DIGEST)


def test_object_in_memory_is_no_file() -> None:
    memory = MemoryObjects()
    with pytest.raises(Refused, match=f"object {DIGEST} is in memory only"):
        memory.local_path(memory.put(CONTENT))


def test_touched_object_keeps_the_date_under_which_it_is_published(files: FileObjects, tmp_path: Path) -> None:
    """A placed file is the object: rsync and web caches would take a new date for new content."""
    files.place(files.put(CONTENT), tmp_path / "file")
    aged(files)
    before = (tmp_path / "file").stat().st_mtime_ns
    files.put(CONTENT)
    assert (tmp_path / "file").stat().st_mtime_ns == before


def test_store_that_may_only_be_read_is_touched_in_vain(files: FileObjects, tmp_path: Path) -> None:
    """In a mount namespace of its own, read-only: no error, and nothing changes."""
    files.put(CONTENT)
    before = aged(files)
    script = dedent("""\
        import sys
        from pathlib import Path
        from distwright.model.digests import Sha256
        from distwright.store.objects import FileObjects
        store = FileObjects(Path(sys.argv[1]))
        print(store.touch(Sha256(sys.argv[2])), store.put(store.read(Sha256(sys.argv[2]))) == sys.argv[2])
    """)
    mounted = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
    root = tmp_path / "objects"
    done = subprocess.run(
        [
            "unshare",
            "--user",
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            mounted,
            root,
            sys.executable,
            "-c",
            script,
            root,
            DIGEST,
        ],
        capture_output=True,
        text=True,
    )
    assert (done.stderr, done.stdout) == ("", "True True\n")
    assert files.touched_at(DIGEST) == before


def test_placed_file_is_known_to_be_the_object(files: FileObjects, tmp_path: Path) -> None:
    files.place(files.put(CONTENT), tmp_path / "file")
    assert files.is_placed(DIGEST, tmp_path / "file")


@pytest.mark.parametrize("count", [1, 20])
def test_stage_that_raises_leaves_neither_objects_nor_partial_files(
    files: FileObjects, tmp_path: Path, count: int
) -> None:
    def stage_and_raise() -> None:
        with files.staging() as put:
            for number in range(count):
                put(b"%d" % number)
            raise KeyError("no")

    with pytest.raises(KeyError, match="no"):
        stage_and_raise()
    assert (list(files.digests()), list((tmp_path / "objects" / "incoming").iterdir())) == ([], [])


def test_adopting_leaves_no_partial_file_and_objects_that_nobody_may_write(files: FileObjects, tmp_path: Path) -> None:
    good, bad = found(tmp_path / "good"), found(tmp_path / "bad", b"bad")
    files.adopt([good], link=False)
    other_content(tmp_path / "bad")
    with pytest.raises(Refused, match="changed while it was taken in"):
        files.adopt([bad], link=False)
    assert (files.path(DIGEST).stat().st_mode & 0o777, list((tmp_path / "objects" / "incoming").iterdir())) == (
        0o444,
        [],
    )
    assert (tmp_path / "good").stat().st_mode & 0o200


def test_linked_file_is_the_object(files: FileObjects, tmp_path: Path) -> None:
    files.adopt([found(tmp_path / "file")], link=True)
    assert files.path(DIGEST).samefile(tmp_path / "file")
    assert files.path(DIGEST).stat().st_mode & 0o777 == 0o444


def test_files_of_another_file_system_are_copied_where_they_should_be_linked(
    files: FileObjects, tmp_path: Path
) -> None:
    elsewhere = Path("/dev/shm") / f"distwright-adopt-{os.getpid()}"
    assert Path("/dev/shm").stat().st_dev != tmp_path.stat().st_dev, "this test needs two file systems"
    try:
        files.adopt([found(elsewhere)], link=True)
        assert (files.read(DIGEST), files.path(DIGEST).samefile(elsewhere)) == (CONTENT, False)
    finally:
        elsewhere.unlink(missing_ok=True)


def test_placing_across_file_systems_copies(files: FileObjects, tmp_path: Path) -> None:
    files.put(CONTENT)
    elsewhere = Path("/dev/shm") / f"distwright-test-{os.getpid()}"
    assert Path("/dev/shm").stat().st_dev != tmp_path.stat().st_dev, "this test needs two file systems"
    try:
        files.place(DIGEST, elsewhere)
        assert (elsewhere.read_bytes(), elsewhere.stat().st_mode & 0o777) == (CONTENT, 0o444)
        assert not elsewhere.samefile(files.path(DIGEST))
    finally:
        elsewhere.unlink(missing_ok=True)


def test_an_object_that_is_kept_again_stays_the_file_that_is_published(files: FileObjects, tmp_path: Path) -> None:
    """Else the pool and the object would be two copies from then on."""
    files.place(files.put(CONTENT), tmp_path / "placed")
    (tmp_path / "sent").write_bytes(CONTENT)
    before = aged(files)
    files.put_file(tmp_path / "sent")
    with files.writing(DIGEST) as writer:
        writer.write(CONTENT)
    assert (files.is_placed(DIGEST, tmp_path / "placed"), files.path(DIGEST).stat().st_nlink) == (True, 2)
    assert files.touched_at(DIGEST) > before
    assert list((tmp_path / "objects" / "incoming").iterdir()) == []


def test_an_object_that_has_rotted_is_replaced_when_its_bytes_are_kept_again(files: FileObjects) -> None:
    files.put(CONTENT)
    files.path(DIGEST).chmod(0o644)
    files.path(DIGEST).write_bytes(b"rotten")
    assert not files.is_intact(DIGEST)
    with files.writing(DIGEST) as writer:
        writer.write(CONTENT)
    assert files.is_intact(DIGEST)


def test_what_was_discarded_is_listed_until_somebody_asks_for_it_or_it_is_deleted(files: FileObjects) -> None:
    assert (list(files.discarded()), files.empty_trash(DAY)) == ([], (0, 0))
    kept, gone = files.put(CONTENT), files.put(b"gone")
    for digest in (kept, gone):
        assert files.discard(digest, DAY)
    assert sorted(files.discarded()) == sorted([kept, gone])
    assert files.has(kept)
    assert list(files.discarded()) == [gone]
    assert files.empty_trash(DAY) == (0, 0)
    assert files.empty_trash(DAY + timedelta(days=1)) == (1, len(b"gone"))
    assert (list(files.discarded()), list(files.digests())) == ([], [kept])


def test_partial_files_of_dead_writers_are_dropped_and_those_of_living_ones_kept(files: FileObjects) -> None:
    dead = _write_and_die(files)
    with files.writing() as writer:
        writer.write(CONTENT)
        (mine, other) = sorted(
            (files.path(DIGEST).parents[2] / "incoming").iterdir(), key=lambda file: str(dead) in file.name
        )
        assert other.name.startswith(f"{dead}-")
        assert files.drop_leftovers() == 1
        assert list(mine.parent.iterdir()) == [mine]
    assert (list(files.digests()), files.drop_leftovers()) == ([DIGEST], 0)


def test_partial_files_of_a_writer_that_has_ended_and_that_nobody_waited_for_are_dropped(files: FileObjects) -> None:
    """As in a container whose first process waits for nobody."""
    pid = os.fork()
    if pid == 0:
        with files.writing() as writer:
            writer.write(CONTENT)
            os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert Path(f"/proc/{pid}").exists()
    assert files.drop_leftovers() == 1
    os.waitpid(pid, 0)


def test_store_that_was_never_written_has_no_leftovers(files: FileObjects) -> None:
    assert files.drop_leftovers() == 0


def test_full_disk_is_named_and_nothing_half_written_stays(tmp_path: Path) -> None:
    """In a user and mount namespace of its own, so that it runs for root and for any user, on a real, tiny, full file system."""
    script = dedent("""\
        import sys
        from pathlib import Path
        from distwright.errors import OutOfSpace
        from distwright.model.digests import sha256_of
        from distwright.store.objects import FileObjects
        folder = Path(sys.argv[1])
        store = FileObjects(folder / "objects")
        small, large = b"small", bytes(1 << 20)
        store.put(small)
        (folder / "large").symlink_to("/dev/zero")

        def in_pieces():
            with store.writing() as writer:
                for _ in range(1 << 20):
                    writer.write(large)

        for attempt in (lambda: store.put(large), lambda: store.put_file(folder / "large"), in_pieces):
            try:
                attempt()
            except OutOfSpace as error:
                print(error.message.replace(str(folder), "FOLDER"))
        assert list(store.digests()) == [sha256_of(small)], list(store.digests())
        assert list((folder / "objects/incoming").iterdir()) == []
        assert store.read(store.put(b"fits")) == b"fits"
        elsewhere = FileObjects(Path(sys.argv[2]))
        try:
            elsewhere.place(elsewhere.put(large), folder / "placed")
        except OutOfSpace as error:
            print(error.message.replace(str(folder), "FOLDER"))
        assert sorted(file.name for file in folder.iterdir()) == ["large", "objects"]
    """)
    mounted = 'mount -t tmpfs -o size=256k tmpfs /mnt && exec "$@"'
    done = subprocess.run(
        [
            "unshare",
            "--user",
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            mounted,
            "sh",
            sys.executable,
            "-c",
            script,
            "/mnt",
            tmp_path,
        ],
        capture_output=True,
        text=True,
    )
    assert (done.stderr, done.returncode) == ("", 0)
    assert done.stdout == "no space left below FOLDER/objects\n" * 3 + "no space left below FOLDER\n"


def test_objects_survive_a_power_cut_once_they_are_named(tmp_path: Path) -> None:
    """The order of system calls is the promise: content to disk, then the name, then the folders that hold the name."""
    script = dedent("""\
        import sys
        from pathlib import Path
        from distwright.store.objects import FileObjects
        FileObjects(Path(sys.argv[1])).put(b"petrel")
    """)
    root, trace = tmp_path / "objects", tmp_path / "trace"
    root.mkdir()
    traced = ["strace", "-f", "-y", "-qq", "-e", "trace=fsync,rename,mkdir", "-o", str(trace)]
    subprocess.run([*traced, sys.executable, "-c", script, str(root)], check=True)
    digest = sha256_of(b"petrel")
    lines = [line.partition(" ")[2].strip() for line in trace.read_text().splitlines() if f"{root}" in line]
    assert [f"{line.partition('(')[0]} {_named(line, root)}" for line in lines] == [
        "mkdir incoming",
        "fsync incoming/PARTIAL",
        "mkdir sha256",
        "fsync .",
        f"mkdir sha256/{digest[:2]}",
        "fsync sha256",
        "rename incoming/PARTIAL",
        f"fsync sha256/{digest[:2]}",
    ]


def _named(line: str, root: Path) -> str:
    """Say which path below `root` a line of strace names first."""
    (path,) = re.findall(rf"{root}/?([^\">]*)", line)[:1]
    return re.sub("^incoming/.*", "incoming/PARTIAL", path) or "."


def _write_and_die(files: FileObjects) -> int:
    """Fork a process that ends in the middle of writing; give its number."""
    pid = os.fork()
    if pid == 0:
        with files.writing() as writer:
            writer.write(CONTENT)
            os._exit(0)
    os.waitpid(pid, 0)
    return pid
