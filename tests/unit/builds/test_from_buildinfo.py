"""Environments of somebody else's builds: which recorded serials have the versions that a .buildinfo names."""

from datetime import timedelta
from pathlib import Path
from textwrap import dedent

import pytest
from tests.unit.archive.requests import record_request
from tests.unit.builds.test_given_sources import Held
from tests.worlds.archive import MIRROR, Upstream, UpstreamFetcher, make_deb, make_source
from tests.worlds.installation import make_context

from distwright.archive.record import record
from distwright.builds.from_buildinfo import (
    compared,
    is_rebuilt_binary,
    reach_of,
    read_buildinfo,
    recipe_of,
    reproduction_order,
    source_of,
)
from distwright.builds.reach import Absent, Reach
from distwright.errors import BadInput, NotFound
from distwright.model.digests import Sha256, sha256_of
from distwright.model.versions import DebVersion

DEB = b"what they built"
TEXT = """\
    Format: 1.0
    Source: greeter
    Binary: greeter
    Architecture: amd64
    Version: 1.0
    Checksums-Sha256:
     {digest} 15 greeter_1.0_amd64.deb
     {digest} 15 greeter_1.0.dsc
     {digest} 15 greeter-data_1.0_all.deb
    Build-Origin: Debian
    Build-Architecture: amd64
    Build-Path: /build/greeter-1.0
    Installed-Build-Depends:
     cc (= {cc}),
     libc6:amd64 (= {libc}),
     make (= 4.3)
    """


def buildinfo(folder: Path, *, cc: str = "12.1", libc: str = "2.36", **edits: str) -> Path:
    """Write a .buildinfo. edits: text -> other text."""
    text = dedent(TEXT).format(digest=sha256_of(DEB), cc=cc, libc=libc)
    for old, new in edits.items():
        text = text.replace(old, new)
    file = folder / "greeter_1.0_amd64.buildinfo"
    file.write_text(text)
    return file


@pytest.fixture
def held(tmp_path: Path) -> Held:
    """Give an installation with three serials, a day apart: cc 12.1 and libc6 2.35, then cc 12.2 and libc6 2.36, then cc 12.3."""
    made = make_context(tmp_path)
    mirror = Upstream()
    context = Held(made.paths, made.database, made.objects, UpstreamFetcher({MIRROR: mirror}))
    for day, (cc, libc) in enumerate((("12.1", "2.35"), ("12.2", "2.36"), ("12.3", "2.36"))):
        upstream = Upstream()
        source = make_source("greeter", "1.0" if day < 2 else "2.0")
        upstream.add(make_deb("make", "4.3"), make_deb("cc", cc), make_deb("libc6", libc), source)
        upstream.publish(context.clock)
        mirror.files.update(upstream.files)  # the pool of a mirror keeps what serials name
        record(record_request(), context, context.paths.cache / "pool")
        context.clock += timedelta(days=1)
    return context


def reached(held: Held, **given: str) -> Reach:
    return reach_of(held, "build", read_buildinfo(buildinfo(held.paths.root, **given)))


def shown(reach: Reach) -> list[tuple[str, int]]:
    return [(state.at, share) for state, share in zip(reach.states, reach.shares, strict=True)]


def test_one_serial_is_enough_if_it_has_everything(held: Held) -> None:
    found = reached(held, cc="12.2")
    assert shown(found) == [("debian/stable at 2024011101", 3)]
    assert found.pins == (("cc", "12.2"), ("libc6", "2.36"), ("make", "4.3"))
    assert found.absent == ()


def test_of_serials_that_have_as_much_the_newest_counts_and_as_few_are_taken_as_can_be(held: Held) -> None:
    found = reached(held, cc="12.1")
    assert shown(found) == [("debian/stable at 2024011201", 2), ("debian/stable at 2024011001", 1)]
    assert found.in_words() == [
        "recorded serials have 3 of the 3 packages of its environment",
        "  2 from debian/stable at 2024011201",
        "  1 from debian/stable at 2024011001",
    ]


def test_what_no_serial_has_is_named_with_what_is_nearest(held: Held) -> None:
    found = reached(held, cc="12.1.5", libc="3.0", make="remake")
    assert found.absent == (
        Absent("cc", "12.1.5", "12.2", "debian/stable at 2024011101"),
        Absent("libc6", "3.0", "2.36", "debian/stable at 2024011201"),
        Absent("remake", "4.3", "", ""),
    )
    assert shown(found) == [("debian/stable at 2024011201", 0)], "an environment must be made of something"
    assert found.in_words() == [
        "recorded serials have 0 of the 3 packages of its environment",
        "  no recorded serial has cc 12.1.5; debian/stable at 2024011101 has 12.2",
        "  no recorded serial has libc6 3.0; debian/stable at 2024011201 has 2.36",
        "  no recorded serial has remake 4.3; none has the package",
    ]


def test_the_environment_is_of_those_serials_side_by_side_and_holds_every_version(held: Held) -> None:
    found = reached(held, cc="12.1")
    recipe = recipe_of(held.config, "build", found)
    assert [entry.name for entry in recipe.shelf] == ["debian/stable", "debian~2024011001/stable"]
    assert [entry.document for entry in recipe.shelf] == [state.document for state in found.states]
    assert recipe.components == {"debian/stable": ("main",), "debian~2024011001/stable": ("main",)}
    assert "Package: cc\nPin: version 12.1\nPin-Priority: 1001\n" in recipe.preferences()
    assert recipe.source_lines()[1].startswith("deb [trusted=yes] {shelf:debian~2024011001/stable} stable main")
    assert (recipe.include, recipe.variant, recipe.architecture) == ((), "buildd", "amd64")
    assert recipe.from_json(recipe.to_json()) == recipe  # type: ignore[arg-type]  # a mapping


def test_the_order_builds_that_source_there_and_holds_the_serials(held: Held) -> None:
    info = read_buildinfo(buildinfo(held.paths.root))
    source = source_of(held, "build", info)
    assert source.origin == "debian/stable@2024011101", "the newest that has it"
    found = reach_of(held, "build", info)
    order = reproduction_order(held.database, held.ground(), source, "build", found)
    assert (order.kind.name, order.title) == ("package.try", "reproduce greeter 1.0")
    assert order.inputs["environment"] == recipe_of(held.config, "build", found).to_json()
    assert [hold.target for hold in order.holds] == ["debian/2024011201", "debian/2024011001"]


def test_what_is_not_recorded_or_of_another_architecture_is_said(held: Held) -> None:
    info = read_buildinfo(buildinfo(held.paths.root, **{"Version: 1.0": "Version: 7.0"}))
    with pytest.raises(NotFound, match=r"no recorded serial has source greeter 7\.0"):
        source_of(held, "build", info)
    foreign = {"Build-Architecture: amd64": "Build-Architecture: arm64"}
    with pytest.raises(BadInput, match="it was built on arm64, and environment build is of amd64"):
        reached(held, **foreign)
    with pytest.raises(NotFound, match=r"cannot be read: No such file"):
        read_buildinfo(held.paths.root / "none.buildinfo")
    empty = make_context(held.paths.root / "empty")
    nothing = Held(empty.paths, empty.database, empty.objects, empty.fetcher)
    with pytest.raises(NotFound, match="nothing is recorded of what environment build is made of"):
        reach_of(nothing, "build", info)


def test_packages_are_compared_with_what_it_says(held: Held) -> None:
    info = read_buildinfo(buildinfo(held.paths.root))
    built = {"greeter_1.0_amd64.deb": sha256_of(DEB), "greeter-data_1.0_all.deb": Sha256("0" * 64)}
    assert [(one.name, one.verdict) for one in compared(info, built)] == [
        ("greeter_1.0_amd64.deb", "same"),
        ("greeter-data_1.0_all.deb", "differs"),
    ]
    assert {one.verdict for one in compared(info, {})} == {"not built"}


def test_packages_that_were_built_again_of_the_same_source_are_known(held: Held) -> None:
    info = read_buildinfo(buildinfo(held.paths.root))
    again = {"Source: greeter": "Source: greeter (1.0)", "Version: 1.0": "Version: 1.0+b1"}
    other = read_buildinfo(buildinfo(held.paths.root, **again))
    assert (is_rebuilt_binary(info), is_rebuilt_binary(other)) == (False, True)
    assert (other.source_version, other.version) == (DebVersion("1.0"), DebVersion("1.0+b1"))
