"""Candidates from files of this machine: only what is what it is called is kept, for anybody here can read objects."""

from pathlib import Path

import pytest
from tests.worlds.packages import make_deb, make_source
from tests.worlds.tallies import library

from distwright.checks.candidates import candidate_of_files
from distwright.errors import BadInput, BadUsage, DistwrightError, NotFound, Refused
from distwright.model.digests import sha256_of
from distwright.store.objects import FileObjects

SECRET = b"root:$y$j9T$secret:19000:0:99999:7:::\n"


def taken(objects: FileObjects, *paths: Path) -> None:
    candidate_of_files(objects, paths, "tally", "amd64")


def put(folder: Path, name: str, content: bytes) -> Path:
    (folder / name).write_bytes(content)
    return folder / name


def test_packages_and_a_source_with_what_it_names_are_kept(tmp_path: Path) -> None:
    objects, deb, source = FileObjects(tmp_path / "objects"), library("2"), make_source("tally", "2")
    for name, content in source.files.items():
        put(tmp_path, name, content)
    taken(objects, put(tmp_path, deb.file_name, deb.content), tmp_path / "tally_2.dsc")
    assert all(objects.has(sha256_of(content)) for content in (deb.content, *source.files.values()))


@pytest.mark.parametrize("called", ["shadow.deb", "shadow.dsc", "shadow"])
def test_a_file_that_is_not_what_it_is_called_is_not_kept(tmp_path: Path, called: str) -> None:
    objects = FileObjects(tmp_path / "objects")
    put(tmp_path, "secret", SECRET)
    (tmp_path / called).symlink_to("secret")
    with pytest.raises(DistwrightError, match=called):
        taken(objects, tmp_path / called)
    assert list(objects.digests()) == []


def test_what_a_dsc_names_is_not_kept_if_it_is_something_else(tmp_path: Path) -> None:
    objects, source = FileObjects(tmp_path / "objects"), make_source("tally", "2")
    for name, content in source.files.items():
        put(tmp_path, name, content if name.endswith(".dsc") else SECRET)
    with pytest.raises(Refused):
        taken(objects, tmp_path / "tally_2.dsc")
    assert not objects.has(sha256_of(SECRET))


def test_a_name_is_in_what_is_said_of_a_package(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"cut\.deb is no package: "):
        taken(FileObjects(tmp_path / "objects"), put(tmp_path, "cut.deb", library("2").content[:100]))
    with pytest.raises(NotFound, match=r"gone\.deb"):
        taken(FileObjects(tmp_path / "objects"), tmp_path / "gone.deb")


def test_one_package_in_two_versions_is_no_candidate(tmp_path: Path) -> None:
    debs = [library("2"), library("3")]
    paths = [put(tmp_path, deb.file_name, deb.content) for deb in debs]
    with pytest.raises(BadUsage, match="libtally-dev is there twice"):
        taken(FileObjects(tmp_path / "objects"), *paths)
    other = make_deb("libtally-doc", "2", architecture="all", source="tally")
    taken(FileObjects(tmp_path / "objects"), paths[0], put(tmp_path, other.file_name, other.content))
