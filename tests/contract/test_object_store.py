"""What every object store does, and what objects as files do beyond that."""

import mmap
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.worlds.near_home import ListedHomeObjects

import distwright.store.objects as objects_module
from distwright.errors import BadInput, NotFound, Refused
from distwright.model.digests import sha256_of
from distwright.store.adopting import FoundFile, found_file
from distwright.store.memory import MemoryObjects
from distwright.store.objects import FileObjects, ObjectStore

STORES: dict[str, Callable[[Path], ObjectStore]] = {
    "files": lambda folder: FileObjects(folder / "objects"),
    "home": ListedHomeObjects,
    "memory": lambda _folder: MemoryObjects(),
}
CONTENT = b"petrel\n" * 1000
DIGEST = sha256_of(CONTENT)
MISSING = sha256_of(b"never kept")


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    """Give an empty store of each kind."""
    return STORES[request.param](tmp_path)


def test_bytes_come_back_under_their_digest(store: ObjectStore) -> None:
    assert store.put(CONTENT) == DIGEST
    with store.open(DIGEST) as file:
        assert file.read() == CONTENT
    assert (store.read(DIGEST), store.size(DIGEST), store.has(DIGEST)) == (CONTENT, len(CONTENT), True)


@pytest.fixture
def left(tmp_path: Path) -> Iterator[tuple[Path, int, int]]:
    """Give a file that a program left, it itself open for reading, and its folder open."""
    path = tmp_path / "left" / "out"
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    path.chmod(0o777)
    os.setxattr(path, "user.note", b"x")
    descriptor, folder = os.open(path, os.O_RDONLY), os.open(path.parent, os.O_RDONLY)
    yield path, descriptor, folder
    os.close(descriptor)
    os.close(folder)


def test_a_file_that_is_done_with_is_taken_over_whole_or_left_to_be_copied(
    store: ObjectStore, left: tuple[Path, int, int]
) -> None:
    path, descriptor, folder = left
    found = path.stat().st_ino
    digest = store.take_over(descriptor, folder, "out")
    if isinstance(store, MemoryObjects):
        assert (digest, path.read_bytes()) == (None, CONTENT)
        return
    assert (digest, path.exists(), store.read(DIGEST)) == (DIGEST, False, CONTENT)
    kept = store.local_path(DIGEST)
    assert (kept.stat().st_ino, kept.stat().st_mode & 0o7777, os.listxattr(kept)) == (found, 0o444, [])
    assert store.drop_leftovers() == 0


@pytest.mark.parametrize("mode", ["rb", "rb+", "mapped"])
def test_a_file_that_somebody_has_open_is_not_taken_over(
    tmp_path: Path, left: tuple[Path, int, int], mode: str
) -> None:
    path, descriptor, folder = left
    store = FileObjects(tmp_path / "objects")
    with ExitStack() as held:
        file = held.enter_context(path.open("rb+" if mode == "mapped" else mode))
        if mode == "mapped":
            held.enter_context(mmap.mmap(file.fileno(), 0))
            file.close()
        assert store.take_over(descriptor, folder, "out") is None
    assert path.read_bytes() == CONTENT
    assert list(store.digests()) == []


def test_what_is_there_already_stays_and_the_file_that_is_taken_over_goes(
    tmp_path: Path, left: tuple[Path, int, int]
) -> None:
    path, descriptor, folder = left
    store = FileObjects(tmp_path / "objects")
    store.put(CONTENT)
    inode = store.path(DIGEST).stat().st_ino
    assert store.take_over(descriptor, folder, "out") == DIGEST
    assert (path.exists(), store.path(DIGEST).stat().st_ino) == (False, inode)


@given(st.binary(max_size=300))
def test_any_bytes_are_kept_as_they_are(content: bytes) -> None:
    memory = MemoryObjects()
    assert memory.read(memory.put(content)) == content


def test_what_is_too_large_to_be_read_at_once_is_refused_and_can_be_opened(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects_module, "READ_LIMIT_BYTES", len(CONTENT) - 1)
    store.put(CONTENT)
    with pytest.raises(
        BadInput, match=f"object {DIGEST} has {len(CONTENT)} bytes, {len(CONTENT) - 1} are read at once"
    ):
        store.read(DIGEST)
    with store.open(DIGEST) as file:
        assert file.read() == CONTENT


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
        before = aged(store)
        way()
        assert store.touched_at(DIGEST) > before


def test_reading_of_whether_something_is_here_does_not_make_it_young(store: ObjectStore) -> None:
    store.put(CONTENT)
    before = aged(store)
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


def aged(store: ObjectStore) -> datetime:
    """Let the one object be an hour old if it is a file; say when it was touched last."""
    if isinstance(store, FileObjects):
        before = store.touched_at(DIGEST).timestamp() - 3600
        os.utime(store.path(DIGEST), (before, before))
    return store.touched_at(DIGEST)
