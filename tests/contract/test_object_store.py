"""What every object store does, and what objects as files do beyond that."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distwright.errors import NotFound, Refused
from distwright.model.digests import sha256_of
from distwright.store.adopting import FoundFile, found_file
from distwright.store.objects import FileObjects, MemoryObjects, ObjectStore

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


def found(path: Path, content: bytes = CONTENT) -> FoundFile:
    """Write a file and describe it as somebody does who has read it."""
    path.write_bytes(content)
    return found_file(str(path), sha256_of(content), path.stat())


@pytest.mark.parametrize("link", [True, False], ids=["linked", "copied"])
@pytest.mark.parametrize("count", [0, 1, 3, 150])
def test_adopted_files_are_objects_and_adopting_them_again_changes_nothing(
    store: ObjectStore,
    tmp_path: Path,
    count: int,
    link: bool,  # noqa: FBT001  # given by pytest
) -> None:
    files = [found(tmp_path / f"file-{number}", b"%d" % number) for number in range(count)]
    for _ in range(2):
        store.adopt(files, link=link)
        assert {digest: store.read(digest) for digest in store.digests()} == {
            sha256_of(b"%d" % number): b"%d" % number for number in range(count)
        }


@pytest.mark.parametrize("link", [True, False], ids=["linked", "copied"])
def test_one_content_in_two_files_is_one_object(store: ObjectStore, tmp_path: Path, link: bool) -> None:  # noqa: FBT001  # as above
    store.adopt([found(tmp_path / "one"), found(tmp_path / "two")], link=link)
    assert (list(store.digests()), store.read(DIGEST)) == ([DIGEST], CONTENT)


def other_content(path: Path) -> None:
    path.write_bytes(b"other")


@pytest.mark.parametrize("link", [True, False], ids=["linked", "copied"])
@pytest.mark.parametrize("change", [other_content, Path.unlink], ids=["changed", "gone"])
def test_adopting_a_file_that_is_not_what_was_read_is_refused_and_leaves_no_object_of_it(
    store: ObjectStore,
    tmp_path: Path,
    change: Callable[[Path], None],
    link: bool,  # noqa: FBT001  # as above
) -> None:
    file = found(tmp_path / "file")
    change(tmp_path / "file")
    with pytest.raises(Refused):
        store.adopt([file], link=link)
    assert list(store.digests()) == []


def test_objects_of_a_stage_are_there_when_it_ends(store: ObjectStore) -> None:
    contents = [b"%d" % number for number in range(100)]
    store.put(contents[7])
    with store.staging() as put:
        digests = [put(content) for content in (*contents, contents[3])]
    assert [store.read(digest) for digest in digests] == [*contents, contents[3]]
    assert sorted(store.digests()) == sorted(set(digests))


def test_an_empty_stage_is_nothing(store: ObjectStore) -> None:
    with store.staging():
        pass
    assert list(store.digests()) == []


def test_objects_are_not_known_to_be_placed_anywhere_but_where_they_are(store: ObjectStore, tmp_path: Path) -> None:
    store.put(CONTENT)
    (tmp_path / "same").write_bytes(CONTENT)
    other = store.put(b"other")
    store.place(other, tmp_path / "other")
    assert [store.is_placed(DIGEST, tmp_path / name) for name in ("same", "other", "nothing")] == [False] * 3
    assert not store.is_placed(MISSING, tmp_path / "other")


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
