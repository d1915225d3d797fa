"""Real sources of Debian, built from the recorded archive, built again in other circumstances, and held against Debian's own."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.system.building import Builder, builder_of_debian
from tests.worlds.real_sources import ABSENT, BEARS_ITS_YEAR, DIFFERS, SMALL, SOURCES, UNEXPLAINED, against_debian

from distwright.model import plain

pytestmark = pytest.mark.system
_AT_ONCE = 2


@dataclass(frozen=True)
class Built:
    """What became of a source: its build, and its build in other circumstances."""

    build: dict[str, Any]
    rebuild: dict[str, Any]


@pytest.fixture(scope="module")
def builder() -> Iterator[Builder]:
    """Give an installation with Debian recorded."""
    with builder_of_debian() as builder:
        yield builder


@pytest.fixture(scope="module")
def small(builder: Builder) -> dict[str, Built]:
    """Build the small ones."""
    return built_of(builder, SMALL)


def built_of(builder: Builder, sources: tuple[str, ...]) -> dict[str, Built]:
    """Build sources, and build them again, two at a time; the first alone, for it makes the environment of all."""
    first = build(builder, sources[0])
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        others = pool.map(lambda source: build(builder, source), sources[1:])
        builds = dict(zip(sources, [first, *others], strict=True))
        again = pool.map(lambda source: rebuild(builder, builds[source]), sources)
        return {source: Built(builds[source], other) for source, other in zip(sources, again, strict=True)}


def build(builder: Builder, source: str) -> dict[str, Any]:
    code, rows, said = builder.call("package", "build", source, "--from", "debian/bookworm", "--environment", "build")
    assert code == 0, f"{source}: {said[-3000:]}"
    [row] = rows
    return dict(row)


def rebuild(builder: Builder, build: dict[str, Any]) -> dict[str, Any]:
    code, answer, said = builder.call("package", "rebuild", str(build["job"]))
    assert answer is not None, said[-3000:]
    return {**answer, "code": code}


def assert_right(builder: Builder, built: dict[str, Built]) -> None:
    """Hold them against what they should be: the same when built again, and of Debian's but for what its age explains."""
    for source, one in built.items():
        if source in BEARS_ITS_YEAR:  # the clock of the second build may be in the next year; then just that differs
            assert one.rebuild["verdict"] == "same" or f"usr/bin/{source}: the content" in one.rebuild["message"]
        else:
            assert (one.rebuild["verdict"], one.rebuild["code"]) == ("same", 0), one.rebuild["message"]
    app = builder.app()
    for source, one in built.items():
        files = plain.digest_map(one.build["outputs"], "files")
        packages = against_debian(app, "debian", "bookworm", builder.serial, files)
        assert packages, source
        assert [one for one in packages if one.verdict == ABSENT] == [], "Debian has every package of its own source"
        differing = [one for one in packages if one.verdict == DIFFERS]
        strange = [reason for one in differing for reason in one.reasons if reason.startswith(UNEXPLAINED)]
        assert strange == [], source
        assert all(one.reasons for one in differing), source
    app.database.close()


def test_three_real_sources_are_built_rebuilt_identically_and_explained_against_debian(
    builder: Builder, small: dict[str, Built]
) -> None:
    assert_right(builder, small)


def test_a_build_is_done_again_from_its_buildinfo_and_gives_the_same(
    builder: Builder, small: dict[str, Built], tmp_path: Path
) -> None:
    """Another environment than the first build's, of nothing but the versions that it named; and the same packages."""
    app = builder.app()
    files = plain.digest_map(small["tini"].build["outputs"], "files")
    [name] = [name for name in files if name.endswith(".buildinfo")]
    text = app.objects.read(files[name])
    app.database.close()
    (tmp_path / name).write_bytes(text)
    code, verdicts, said = builder.call("package", "reproduce", str(tmp_path / name))
    assert {row["file"].partition("_")[0]: row["verdict"] for row in verdicts} == {"tini": "same"}
    assert code == 0, said
    assert "recorded serials have" in said
    assert "no recorded serial has" not in said


def test_versions_that_no_serial_has_are_named(builder: Builder, small: dict[str, Built], tmp_path: Path) -> None:
    app = builder.app()
    files = plain.digest_map(small["tini"].build["outputs"], "files")
    text = app.objects.read(next(digest for name, digest in files.items() if name.endswith(".buildinfo"))).decode()
    app.database.close()
    other = "".join(
        "  debhelper (= 99),\n" if line.startswith(" debhelper (=") else line for line in text.splitlines(keepends=True)
    )
    (tmp_path / "other.buildinfo").write_text(other)
    code, rows, said = builder.call("package", "reproduce", str(tmp_path / "other.buildinfo"), "--dry-run")
    assert code == 0, said
    assert [(row["package"], row["version"]) for row in rows] == [("debhelper", "99")]
    assert "no recorded serial has debhelper 99; debian/bookworm at" in said


@pytest.mark.full
def test_ten_real_sources_are_built_rebuilt_identically_and_explained_against_debian(builder: Builder) -> None:
    assert_right(builder, built_of(builder, SOURCES))
