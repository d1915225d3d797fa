"""Package lists as live-build reads them: conditions, versions, and what is refused with its line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distwright.images.recipe_files import ImageFile
from distwright.images.recipe_lists import LIST_FILE, condition_values, package_of, packages_of

VALUES = condition_values("amd64", "bookworm", ("main", "contrib"), recommends=False)


def read(text: str) -> tuple[set[str], list[str]]:
    problems: list[str] = []
    asked_at = packages_of(ImageFile("package-lists/a.list", text.encode(), is_executable=False), VALUES, problems)
    return set(asked_at), problems


def test_each_package_has_the_line_that_asks_for_it_first() -> None:
    file = ImageFile("package-lists/a.list", b"# ours\naa bb\n\naa cc=1.0\n", is_executable=False)
    assert packages_of(file, VALUES, []) == {
        "aa": "package-lists/a.list:2", "bb": "package-lists/a.list:2", "cc=1.0": "package-lists/a.list:4",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "packages"),
    [
        ("#if ARCHITECTURES amd64 i386\naa\n#endif\nbb", {"aa", "bb"}),
        ("#if ARCHITECTURE i386\naa\n#endif\nbb", {"bb"}),
        ("#if ARCHIVE_AREAS contrib non-free\naa\n#endif", {"aa"}),
        ("#nif ARCHIVE_AREAS contrib\naa\n#endif\n#nif DISTRIBUTION trixie\nbb\n#endif", {"bb"}),
        ("  #if DISTRIBUTION bookworm\n  aa\n  #endif # of the condition\n", {"aa"}),
        ("#if ARCHITECTURE i386\n#endif\naa", {"aa"}),
        ("#ifdef x\naa", {"aa"}),
        ("#if ARCHITECTURE i386\nNot A Name\n#endif\naa", {"aa"}),
    ],
)
def test_a_condition_is_met_if_one_of_its_words_is_one_of_the_variables(text: str, packages: set[str]) -> None:
    assert read(text) == (packages, [])


@pytest.mark.parametrize(
    ("text", "packages"),
    [
        ("live-boot=1:20230131+deb12u1", {"live-boot=1:20230131+deb12u1"}),
        ("firefox/bookworm-backports", {"firefox/bookworm-backports"}),
        ("libc6:amd64 libc6-dev:amd64=2.36-9", {"libc6", "libc6-dev=2.36-9"}),
    ],
)
def test_a_package_may_be_asked_for_by_version_suite_or_our_architecture(text: str, packages: set[str]) -> None:
    assert read(text) == (packages, [])
    assert {package_of(asked) for asked in packages} <= {"live-boot", "firefox", "libc6", "libc6-dev"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("#if ARCHITECTURE amd64\n#if SYSTEM live\nxa\n#endif", "2: a condition inside another one"),
        ("xa\n#endif", "2: #endif without #if"),
        ("xa\n#if SYSTEM live\nxb", "2: the condition has no #endif"),
        ("#if SYSTEM\nxa\n#endif", "1: want #if VARIABLE word ..."),
        ("! Packages Priority standard", "1: commands are not run, write the packages that it prints"),
        ("~ndesktop", "1: '~ndesktop': patterns and tasks are not looked up, name the packages"),
        ("?essential", "1: '?essential': patterns and tasks are not looked up, name the packages"),
        ("gnome-desktop^", "1: 'gnome-desktop^': patterns and tasks are not looked up, name the packages"),
        ("firmware-*", "1: 'firmware-*': patterns and tasks are not looked up, name the packages"),
        ("wine:i386", "1: 'wine:i386': packages of another architecture are not installed"),
        ("nano-", "1: 'nano-' is not a package name"),
        ("nano=1.0,vim", "1: 'nano=1.0,vim' is not a package name"),
        ("nano=", "1: 'nano=' is not a package name"),
        ("nano/../x,y", "1: 'nano/../x,y' is not a package name"),
        ("-o=Dir::Bin", "1: '-o=Dir::Bin' is not a package name"),
    ],
)
def test_what_is_not_honoured_is_refused_with_its_line(text: str, problem: str) -> None:
    assert f"package-lists/a.list:{problem}" in read(text)[1]


def test_the_names_of_variables_that_have_a_value_are_said() -> None:
    [problem] = read("#if LINUX_FLAVOURS rt\nxa\n#endif")[1]
    assert problem.startswith(
        "package-lists/a.list:1: 'LINUX_FLAVOURS' has no value here, only: APT_RECOMMENDS, ARCHITECTURE,"
    )


@pytest.mark.parametrize("ending", ["", ".chroot", ".chroot_install", ".chroot_live"])
def test_lists_of_every_pass_are_lists(ending: str) -> None:
    assert LIST_FILE.fullmatch(f"package-lists/desktop.list{ending}")


@pytest.mark.parametrize("path", ["desktop.list.binary", "desktop", "more/desktop.list", "desktop.list.chroot_more"])
def test_other_files_are_no_lists(path: str) -> None:
    assert LIST_FILE.fullmatch(f"package-lists/{path}") is None


@given(st.text())
def test_no_text_gives_anything_but_words_for_apt_and_problems(text: str) -> None:
    found, problems = read(text)
    assert all(asked[0].isalnum() and "," not in asked and not asked.endswith("-") for asked in found)
    assert all(problem.startswith("package-lists/a.list:") for problem in problems)
