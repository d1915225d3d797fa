"""What every object store does, and what objects as files do beyond that."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distwright.errors import NotFound, Refused
from distwright.model.digests import sha256_of
from distwright.store.memory import MemoryObjects
from distwright.store.objects import FileObjects, ObjectStore

STORES: dict[str, Callable[[Path], ObjectStore]] = {
    "files": lambda folder: FileObjects(folder / "objects"),
    "memory": lambda _folder: MemoryObjects(),
}
CONTENT = b"petrel\n" * 1000
DIGEST = sha256_of(CONTENT)
MISSING = sha256_of(b"never kept")


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    """Give an empty store of each kind."""
    return STORES[request.param](tmp_path)


@pytest.fixture
def files(tmp_path: Path) -> FileObjects:
    """Give an empty store of files."""
    return FileObjects(tmp_path / "objects")


def test_bytes_come_back_under_their_digest(store: ObjectStore) -> None:
    assert store.put(CONTENT) == DIGEST
    with store.open(DIGEST) as file:
        assert file.read() == CONTENT
    assert (store.read(DIGEST), store.size(DIGEST), store.has(DIGEST)) == (CONTENT, len(CONTENT), True)


@given(st.binary(max_size=300))
def test_any_bytes_are_kept_as_they_are(content: bytes) -> None:
    memory = MemoryObjects()
    assert memory.read(memory.put(content)) == content


def test_empty_object_is_an_object(store: ObjectStore) -> None:
    assert store.read(store.put(b"")) == b""


def test_keeping_the_same_bytes_again_changes_nothing(store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(CONTENT)
    with store.writing() as writer:
        writer.write(CONTENT)
    assert [store.put(CONTENT), store.put(CONTENT), store.put_file(tmp_path / "file"), writer.digest] == [DIGEST] * 4
    assert list(store.digests()) == [DIGEST]


def test_keeping_or_touching_what_is_here_makes_it_young(store: ObjectStore) -> None:
    """Objects first, rows second: what is found here may be collected before it is named, unless it counts as new."""
    store.put(CONTENT)

    def by_writing() -> object:
        with store.writing() as writer:
            writer.write(CONTENT)
        return writer

    ways: list[Callable[[], object]] = [lambda: store.put(CONTENT), by_writing, lambda: store.touch(DIGEST)]
    for way in ways:
        before = _aged(store)
        way()
        assert store.touched_at(DIGEST) > before


def test_reading_of_whether_something_is_here_does_not_make_it_young(store: ObjectStore) -> None:
    store.put(CONTENT)
    before = _aged(store)
    assert (store.has(DIGEST), store.size(DIGEST), store.touched_at(DIGEST)) == (True, len(CONTENT), before)


def test_touch_says_whether_the_object_is_here(store: ObjectStore) -> None:
    assert (store.touch(store.put(CONTENT)), store.touch(MISSING), store.has(MISSING)) == (True, False, False)


def test_writing_in_pieces_is_writing_at_once(store: ObjectStore) -> None:
    with store.writing(DIGEST) as writer:
        for start in range(0, len(CONTENT), 999):
            writer.write(memoryview(CONTENT)[start : start + 999])
    assert (writer.digest, writer.size_bytes, store.read(DIGEST)) == (DIGEST, len(CONTENT), CONTENT)


def test_other_bytes_than_promised_are_refused_and_leave_nothing(store: ObjectStore) -> None:
    with (
        pytest.raises(Refused, match=f"has SHA-256 {DIGEST}, {MISSING} was promised"),
        store.writing(MISSING) as writer,
    ):
        writer.write(CONTENT)
    assert list(store.digests()) == []


def test_block_that_raises_leaves_nothing(store: ObjectStore) -> None:
    def write_and_raise() -> None:
        with store.writing() as writer:
            writer.write(CONTENT)
            raise KeyError("no")

    with pytest.raises(KeyError, match="no"):
        write_and_raise()
    assert list(store.digests()) == []


def test_what_is_not_here_is_not_found(store: ObjectStore, tmp_path: Path) -> None:
    target = tmp_path / "target"
    calls: list[Callable[[], object]] = [
        lambda: store.open(MISSING),
        lambda: store.read(MISSING),
        lambda: store.size(MISSING),
        lambda: store.touched_at(MISSING),
        lambda: store.local_path(MISSING),
        lambda: store.is_intact(MISSING),
        lambda: store.place(MISSING, target),
    ]
    for call in calls:
        with pytest.raises(NotFound, match=f"object {MISSING} is not here"):
            call()
    assert (store.has(MISSING), target.exists()) == (False, False)


def test_placed_object_is_a_read_only_file_in_a_folder_made_for_it(store: ObjectStore, tmp_path: Path) -> None:
    target = tmp_path / "work" / "deep" / "file"
    store.place(store.put(CONTENT), target)
    assert (target.read_bytes(), target.stat().st_mode & 0o777) == (CONTENT, 0o444)


def test_place_that_is_taken_is_left_alone(store: ObjectStore, tmp_path: Path) -> None:
    target = tmp_path / "taken"
    target.write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        store.place(store.put(CONTENT), target)
    assert target.read_bytes() == b"mine"


def test_removing_a_placed_file_leaves_the_object(store: ObjectStore, tmp_path: Path) -> None:
    store.place(store.put(CONTENT), tmp_path / "file")
    (tmp_path / "file").unlink()
    assert store.read(DIGEST) == CONTENT


def test_all_digests_are_listed_once(store: ObjectStore) -> None:
    kept = {store.put(bytes([number])) for number in range(50)}
    assert sorted(store.digests()) == sorted(kept)


def test_objects_are_intact_as_long_as_nothing_touches_them(store: ObjectStore) -> None:
    assert store.is_intact(store.put(CONTENT))


def test_rotten_file_is_not_intact(files: FileObjects) -> None:
    files.put(CONTENT)
    files.path(DIGEST).chmod(0o644)
    files.path(DIGEST).write_bytes(CONTENT[:-1] + b"!")
    assert (files.has(DIGEST), files.is_intact(DIGEST)) == (True, False)


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
    _aged(files)
    before = (tmp_path / "file").stat().st_mtime_ns
    files.put(CONTENT)
    assert (tmp_path / "file").stat().st_mtime_ns == before


def test_store_that_may_only_be_read_is_touched_in_vain(files: FileObjects, tmp_path: Path) -> None:
    """In a mount namespace of its own, read-only: no error, and nothing changes."""
    files.put(CONTENT)
    before = _aged(files)
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


def _aged(store: ObjectStore) -> datetime:
    """Let the one object be an hour old if it is a file; say when it was touched last."""
    if isinstance(store, FileObjects):
        before = store.touched_at(DIGEST).timestamp() - 3600
        os.utime(store.path(DIGEST), (before, before))
    return store.touched_at(DIGEST)


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
