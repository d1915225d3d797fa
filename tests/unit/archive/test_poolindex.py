"""The pool index: from a path to its hash by bisection, right for every path whatever its neighbours."""

import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.worlds.archive import make_deb, make_source

from distwright.archive.poolindex import PoolFile, find_in_pool_index, pool_files, write_pool_index
from distwright.errors import BadInput
from distwright.model.digests import sha256_of


def file(path: str) -> PoolFile:
    return PoolFile(path, sha256_of(path.encode()), len(path))


def written(folder: Path, *paths: str) -> Path:
    target = folder / "pool" / "index"
    write_pool_index(target, [file(path) for path in paths])
    return target


def test_first_last_and_middle_are_found_and_what_is_between_is_not(tmp_path: Path) -> None:
    paths = [f"pool/main/{letter}/x" for letter in "bdfhj"]
    index = written(tmp_path, *reversed(paths))
    assert [find_in_pool_index(index, path) for path in paths] == [file(path) for path in paths]
    missing = ["", "pool", *(f"pool/main/{letter}/x" for letter in "acegik"), "zzz"]
    assert [find_in_pool_index(index, path) for path in missing] == [None] * len(missing)


def test_nothing_is_in_an_empty_index(tmp_path: Path) -> None:
    assert find_in_pool_index(written(tmp_path), "pool/main/h/hello") is None


def test_one_row_is_found(tmp_path: Path) -> None:
    index = written(tmp_path, "a")
    assert [find_in_pool_index(index, path) for path in ("a", "", "0", "b", "a\t")] == [
        file("a"),
        None,
        None,
        None,
        None,
    ]


def test_a_path_is_not_mistaken_for_one_that_it_begins(tmp_path: Path) -> None:
    paths = ["pool/a", "pool/a+b", "pool/a-b", "pool/a.deb", "pool/a/b", "pool/a~1", "pool/ab"]
    index = written(tmp_path, *paths)
    assert [find_in_pool_index(index, path) for path in paths] == [file(path) for path in paths]
    assert find_in_pool_index(index, "pool/") is None
    assert find_in_pool_index(index, "pool/a+") is None
    assert find_in_pool_index(written(tmp_path, *paths[1:]), "pool/a") is None


@given(paths=st.lists(st.text("ab+~./é", min_size=1, max_size=6), unique=True), other=st.text("ab+~./é", max_size=6))
def test_a_path_is_found_exactly_if_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, paths: list[str], other: str
) -> None:
    index = written(tmp_path_factory.getbasetemp() / "hypothesis", *paths)
    assert [find_in_pool_index(index, path) for path in paths] == [file(path) for path in paths]
    assert find_in_pool_index(index, other) == (file(other) if other in paths else None)


def test_one_path_with_two_contents_is_refused_by_name_and_nothing_is_written(tmp_path: Path) -> None:
    twice = [PoolFile("pool/a", sha256_of(b"1"), 1), PoolFile("pool/a", sha256_of(b"2"), 1), file("pool/b")]
    with pytest.raises(BadInput, match="the indexes give two contents for pool/a"):
        write_pool_index(tmp_path / "index", twice)
    assert list(tmp_path.iterdir()) == []


def test_one_path_that_two_lists_name_alike_is_one_row(tmp_path: Path) -> None:
    index = written(tmp_path, "pool/a", "pool/a")
    assert index.read_text() == f"pool/a\t{sha256_of(b'pool/a')}\t6\n"


def test_packages_and_sources_name_pool_files_and_translations_name_none() -> None:
    deb, source = make_deb("hello"), make_source("hello")
    packages, sources = deb.stanza().encode(), source.stanza().encode()
    assert list(pool_files("main/binary-amd64/Packages", packages)) == [
        PoolFile("pool/main/h/hello/hello_1.0_amd64.deb", deb.sha256, len(deb.content))
    ]
    assert list(pool_files("main/source/Sources", sources)) == [
        PoolFile(f"pool/main/h/hello/{name}", sha256_of(content), len(content))
        for name, content in source.files.items()
    ]
    assert list(pool_files("main/i18n/Translation-en", packages)) == []


def test_several_threads_may_write_the_same_index(tmp_path: Path) -> None:
    target, errors = tmp_path / "index", []
    begin = threading.Barrier(8)

    def write() -> None:
        begin.wait()
        for _ in range(25):
            try:
                write_pool_index(target, [file("pool/a")])
            except OSError as error:
                errors.append(error)

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (errors, [path.name for path in tmp_path.iterdir()]) == ([], ["index"])
    assert find_in_pool_index(target, "pool/a") == file("pool/a")
