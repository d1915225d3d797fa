"""Doctor goes to builders and says what they are; what answers there is believed nothing that matters."""

from collections.abc import Iterator

import pytest
from tests.worlds.builders import NAME, SPEAKS, Yard, lone_yard

from distwright import __version__
from distwright.site.examining_hosts import NO_BUILDERS, examine_builders
from distwright.site.health import HealthFinding
from distwright.site.hosts import drain
from distwright.tools.dpkg import installed_versions

pytestmark = pytest.mark.system
LOOKED = (
    'note(say="looked", version="{version}", architecture="{architecture}", programs={programs}, cannot={cannot}, '
    "free_bytes=5 << 30)\nhear()\n"
)


@pytest.fixture(scope="module")
def lodge() -> Iterator[Yard]:
    with lone_yard() as made:
        yield made


def examined(mason: Yard) -> HealthFinding:
    shop = mason.shop
    return examine_builders(shop.database, shop.objects, shop.paths, mason.config)


def looked(first: str = "", *, version: str = __version__, architecture: str = "m68k", cannot: str = "[]") -> str:
    """Write a script that says so, with the programs that are here."""
    words = (
        "apt",
        "dpkg",
        "libdpkg-perl",
        "libsbuild-perl",
        "mmdebstrap",
        "perl-base",
        "qemu-system-x86",
        "sbuild",
        "tar",
    )
    programs = repr({**installed_versions(words), **({first: "0.1"} if first else {})})
    return SPEAKS + LOOKED.format(version=version, architecture=architecture, programs=programs, cannot=cannot)


def test_builder_that_is_well_says_what_it_is(lodge: Yard) -> None:
    found = examined(lodge)
    assert (found.check, found.state) == ("builders", "well"), found
    assert found.what.startswith(f"{NAME}: amd64, ")
    assert found.what.endswith(" GiB free")


def test_builder_that_drains_is_not_gone_to(lodge: Yard) -> None:
    drain(lodge.shop.database, NAME, is_draining=True)
    lodge.stop()
    try:
        assert examined(lodge).what == NO_BUILDERS
    finally:
        drain(lodge.shop.database, NAME, is_draining=False)
        lodge.start()


def test_builder_that_cannot_be_reached_is_wrong(lodge: Yard) -> None:
    lodge.stop()
    try:
        found = examined(lodge)
    finally:
        lodge.start()
    assert (found.state, NAME in found.what, "Connection refused" in found.what) == ("wrong", True, True)


@pytest.mark.parametrize(
    ("script", "state", "said"),
    [
        (looked(version="0.0.1"), "wrong", "this machine has '0.0.1'"),
        (looked("sbuild"), "wrong", "sbuild is '0.1' installed there"),
        (
            looked(cannot='["arm64 cannot run on amd64: \\x1b[2Jno"]'),
            "note",
            f"{NAME}: arm64 cannot run on amd64: \\x1b[2Jno",
        ),
        (looked(architecture="x" * 5000), "well", f"{NAME}: {'x' * 19}…, 5 GiB free"),
        (SPEAKS + 'note(say="begun")\nhear()\n', "wrong", "'begun' came where looked was wanted"),
        (SPEAKS + 'note(say="looked")\nhear()\n', "wrong", "version"),
        ("print('a shell')", "wrong", "is no frame"),
    ],
)
def test_what_a_false_builder_says_of_itself_is_bounded_and_no_more_than_shown(
    lodge: Yard, script: str, state: str, said: str
) -> None:
    keys = lodge.home / ".ssh" / "authorized_keys"
    before = keys.read_text()
    lodge.answers(script)
    try:
        found = examined(lodge)
    finally:
        keys.write_text(before)
    assert (found.state, said in found.what) == (state, True), found
    assert found.what.isprintable()
    assert len(found.what) < 1000
