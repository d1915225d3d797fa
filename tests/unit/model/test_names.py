"""Names as Debian, git and we write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distwright.errors import BadInput
from distwright.model.names import our_name, package_name, pool_folder, suite_of_branch, suite_of_tag


@pytest.mark.parametrize("name", ["hello", "0ad", "libstdc++6", "python3.11", "a1", "x" * 128])
def test_package_names_of_debian_are_taken(name: str) -> None:
    assert package_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "a", "Hello", "-rf", "+x", "a_b", "a b", "a/b", "../etc", "hello\n", "é1", "x" * 129]
)
def test_other_package_names_are_refused(name: str) -> None:
    with pytest.raises(BadInput, match="is not a package name"):
        package_name(name)


@pytest.mark.parametrize("name", ["petrel", "0", "bookworm-updates", "a.b_c+d-e", "x" * 64])
def test_our_names_are_safe_in_paths_and_urls(name: str) -> None:
    assert our_name(name, "suite") == name


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a..b", ".hidden", "-x", "_x", "a/b", "a\0b", "A", "a b", "a~b", "a\n", "x" * 65]
)
def test_names_that_could_leave_their_folder_are_refused(name: str) -> None:
    with pytest.raises(BadInput, match="cannot name a suite"):
        our_name(name, "suite")


@pytest.mark.parametrize(
    ("branch", "suite"),
    [
        ("main", "main"),
        ("stable/12.x", "stable-12.x"),
        ("feature/Foo_Bar", "feature-foo-bar"),
        ("debian/1.0_rc1-1", "debian-1.0-rc1-1"),
        ("bug#17+x", "bug-17-x"),
        ("größe", "gr--e"),
    ],
)
def test_branch_has_a_suite_of_its_own(branch: str, suite: str) -> None:
    assert suite_of_branch(branch) == suite


def test_tag_has_a_suite_as_a_branch_has() -> None:
    assert suite_of_tag("v2.0~Beta1") == "v2.0-beta1"


@given(st.text())
def test_suite_of_a_suite_is_itself(branch: str) -> None:
    assert suite_of_branch(suite_of_branch(branch)) == suite_of_branch(branch)


@pytest.mark.parametrize(
    ("source", "folder"),
    [
        ("hello", "pool/main/h/hello"),
        ("libfoo", "pool/main/libf/libfoo"),
        ("lib3ds", "pool/main/lib3/lib3ds"),
        ("lib", "pool/main/l/lib"),
        ("0ad", "pool/main/0/0ad"),
    ],
)
def test_pool_folder_is_debians(source: str, folder: str) -> None:
    assert pool_folder("main", source) == folder


def test_pool_folder_of_what_is_no_package_is_refused() -> None:
    with pytest.raises(BadInput):
        pool_folder("main", "../../etc")
