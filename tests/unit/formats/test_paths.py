"""Paths and file names from outside."""

import pytest

from distwright.errors import BadInput
from distwright.formats.paths import safe_file_name, safe_path


@pytest.mark.parametrize(
    "path", ["Packages", "pool/main/h/hello/hello_2.10-3_amd64.deb", "a/~1234abcd/..b", "a b", "é/x"]
)
def test_plain_relative_paths_are_kept(path: str) -> None:
    assert safe_path(path) == path


def test_flat_archives_begin_with_a_dot() -> None:
    assert safe_path("./hello.deb") == "hello.deb"


@pytest.mark.parametrize(
    "path",
    ["", ".", "..", "./", "/etc/passwd", "./../x", "a/../b", "a/./b", "a//b", "a/", ".//x", "a\nb", "a\0b", "a\\b",
     "a\x1bb", "a\u202eb", "\udc80", "a" * 256, "é" * 128, "a/" * 2048 + "b"],
)  # fmt: skip
def test_paths_that_lead_elsewhere_are_refused(path: str) -> None:
    with pytest.raises(BadInput, match="path"):
        safe_path(path)


@pytest.mark.parametrize("name", ["petrel_1.2.orig.tar.xz", "libfoo++_1~rc1+b1_amd64.deb", "a,b-c"])
def test_file_names_of_uploads_are_kept(name: str) -> None:
    assert safe_file_name(name) == name


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "-rf", "a/b", "a b", "a:b", "a\n", "é", "a%2f", "a" * 256])
def test_odd_file_names_of_uploads_are_refused(name: str) -> None:
    with pytest.raises(BadInput, match="cannot be the name of an uploaded file"):
        safe_file_name(name)
