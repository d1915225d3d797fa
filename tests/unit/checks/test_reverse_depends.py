"""Who depends on packages: every way in which a control file says so."""

import pytest

from distwright.checks.reverse_depends import (
    SourceStanza,
    needed_to_build,
    needing_to_run,
    provided_by,
    reverse_build_depends,
    with_tests_of,
)
from distwright.errors import BadInput


def source(name: str, needs: str = "", *, own: bool = False, more: str = "", binaries: str = "") -> SourceStanza:
    said = f"Build-Depends: {needs}\n" if needs else ""
    raw = f"Package: {name}\nVersion: 1\nBinary: {binaries or name}\n{said}{more}".encode()
    return SourceStanza(name, "1", 0, own, raw)


@pytest.mark.parametrize(
    ("needs", "is_needed"),
    [
        ("libtally-dev", True),
        ("debhelper-compat (= 13), libtally-dev (>= 1~)", True),
        ("libtally-dev:any", True),
        ("libtally-dev:native", True),
        ("libtally-dev:amd64", True),
        ("libtally-dev:i386", False),
        ("libtally-dev-extra", False),
        ("xlibtally-dev", False),
        ("libtally-dev [amd64 arm64]", True),
        ("libtally-dev [!amd64]", False),
        ("libtally-dev [!i386]", True),
        ("libtally-dev [linux-any]", True),
        ("libtally-dev [any-amd64]", True),
        ("libtally-dev [hurd-any]", False),
        ("libtally-dev [any]", True),
        ("libtally-dev [!linux-any]", False),
        ("libtally-dev <!nocheck>", True),
        ("libtally-dev <cross>", False),
        ("libtally-dev <cross> <!nocheck>", True),
        ("libtally-dev <!nocheck cross>", False),
        ("libtally-dev [i386] | other, more", False),
        ("libtally-dev | other", True),
        ("other | libtally-dev", False),
        ("other [i386] | libtally-dev", True),
        ("other <cross> | libtally-dev", True),
        ("one,\n libtally-dev,\n two", True),
    ],
)
def test_a_build_dependency_counts_if_it_is_in_force_here(needs: str, *, is_needed: bool) -> None:
    assert bool(needed_to_build(source("user", needs).raw, "amd64", {"libtally-dev"})) is is_needed


@pytest.mark.parametrize("field", ["Build-Depends", "Build-Depends-Arch", "Build-Depends-Indep"])
def test_all_kinds_of_build_dependencies_count(field: str) -> None:
    assert needed_to_build(f"Package: x\n{field}: libtally-dev\n".encode(), "arm64", {"libtally-dev"}) == {
        "libtally-dev"
    }


def test_conflicts_do_not_count() -> None:
    assert needed_to_build(b"Package: x\nBuild-Conflicts: libtally-dev\n", "amd64", {"libtally-dev"}) == set()


def test_what_dpkg_would_not_read_is_refused_only_where_it_matters() -> None:
    assert needed_to_build(b"Package: x\nBuild-Depends: ((\n", "amd64", {"libtally-dev"}) == set()
    with pytest.raises(BadInput):
        needed_to_build(b"Package: x\nBuild-Depends: libtally-dev ((\n", "amd64", {"libtally-dev"})


def test_levels_follow_what_is_built_and_what_that_provides() -> None:
    sources = [
        source("direct", "libtally-dev", binaries="libdirect-dev, direct-doc"),
        source("second", "libdirect-dev"),
        source("virtual", "direct-abi"),
        source("third", "second"),
        source("apart", "other"),
        source("ours", "libdirect-dev", own=True),
    ]
    provides = {"libdirect-dev": ("direct-abi",)}

    def levels(depth: int) -> list[tuple[str, int]]:
        found = reverse_build_depends(sources, "amd64", {"libtally-dev"}, provides, depth)
        return [(one.source.name, one.level) for one in found.builds]

    assert levels(0) == []
    assert levels(1) == [("direct", 1)]
    assert levels(2) == [("ours", 2), ("direct", 1), ("second", 2), ("virtual", 2)]
    assert levels(9) == [("ours", 2), ("direct", 1), ("second", 2), ("virtual", 2), ("third", 3)]


def test_a_loop_of_build_dependencies_ends() -> None:
    sources = [source("one", "libtally-dev, two"), source("two", "one")]
    found = reverse_build_depends(sources, "amd64", {"libtally-dev"}, {}, 100)
    assert [(one.source.name, one.level) for one in found.builds] == [("one", 1), ("two", 2)]


def test_the_unreadable_are_named() -> None:
    sources = [
        source("bad", "libtally-dev (("),
        SourceStanza("worse", "1", 0, is_own=False, raw=b"Package: worse\nBuild-Depends: \xff libtally-dev\n"),
    ]
    found = reverse_build_depends(sources, "amd64", {"libtally-dev"}, {}, 1)
    assert (found.builds, found.unreadable) == ((), ("bad", "worse"))


def test_packages_that_need_one_to_run_give_their_sources() -> None:
    packages = [
        b"Package: a\nSource: alpha (2)\nDepends: libtally (>= 1), libc6\n",
        b"Package: b\nPre-Depends: libtally\n",
        b"Package: c\nDepends: other | libtally\n",
        b"Package: d\nRecommends: libtally\n",
        b"Package: e\nDepends: libtally-extra\n",
        b"Package: f\nDepends: libtally ((\n",
    ]
    assert needing_to_run(packages, {"libtally"}) == {"alpha", "b", "c"}


def test_what_is_provided_has_no_version() -> None:
    assert provided_by(b"Package: one\nProvides: other (= 1), more\n") == ("other", "more")
    assert provided_by(b"Package: a\n") == provided_by(b"Package: a\nProvides: ((\n") == ()


def test_tests_run_of_who_is_affected_and_of_who_names_a_trigger() -> None:
    tests = "Testsuite: autopkgtest\n"
    sources = [
        source("affected", more=tests),
        source("without-tests"),
        source("triggered", more=f"{tests}Testsuite-Triggers: gcc, libtally-dev\n"),
        source("others", more=f"{tests}Testsuite-Triggers: gcc\n"),
        source("perl", more="Testsuite: autopkgtest-pkg-perl\nTestsuite-Triggers: libtally-dev\n", own=True),
    ]
    chosen = with_tests_of(sources, {"libtally-dev"}, {"affected", "without-tests"})
    assert [one.name for one in chosen] == ["perl", "affected", "triggered"]
