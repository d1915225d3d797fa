"""What listed packages need of several archives together: each keeps its part, as apt would fetch it from all of them."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.archive.requests import record_request
from tests.worlds.archive import DATE, DAY, MIRROR, Upstream, make_deb
from tests.worlds.installation import WorldContext
from tests.worlds.recorded import RecordedArchive, recorded_archive
from tests.worlds.suite import own_suite

from distwright.archive.chosen import parse_chosen
from distwright.archive.record import Recorded, record
from distwright.archive.snapshots import PoolChoice, parse_snapshot
from distwright.errors import Refused

SECURITY = "http://security.example/debian-security"


@pytest.fixture
def archive(tmp_path: Path) -> RecordedArchive:
    """Debian has a server and a library; security a newer server, which needs a library of Debian that the old one does not."""
    debian = Upstream()
    debian.add(make_deb("server", "1.0", depends="libold"), make_deb("libold"), make_deb("libnew"), make_deb("base"))
    debian.publish(DATE)
    security = Upstream(suites=("stable-security",), label="Debian-Security")
    security.add(make_deb("server", "1.1", depends="libnew"))
    security.publish(DATE)
    made = recorded_archive(tmp_path / "state", debian)
    made.context.fetcher.upstreams = {MIRROR: debian, SECURITY: security}  # type: ignore[attr-defined]  # of the worlds
    return made


def recorded(
    context: WorldContext, name: str, *packages: str, together: tuple[str, ...], more: tuple[str, ...] = ()
) -> Recorded:
    request = record_request(MIRROR if name == "debian" else SECURITY)
    if name == "security":
        request = replace(request, archive="security", suites=("stable-security",), label="Debian-Security")
    request = replace(request, pool=PoolChoice(packages), together=together, together_packages=more)
    return record(request, context, context.paths.cache / "pool")


def files(context: WorldContext, done: Recorded) -> list[str]:
    pool = parse_snapshot(context.objects.read(done.row.digest)).pool
    assert pool is not None
    assert pool.files is not None
    return [file.path.rpartition("/")[2] for file in parse_chosen(context.objects.read(pool.files))]


def test_a_package_of_one_archive_brings_what_it_needs_of_another(archive: RecordedArchive) -> None:
    context = archive.context
    with pytest.raises(Refused, match="server cannot be installed") as caught:
        recorded(context, "security", "server", together=())
    assert "together_with" in caught.value.hint
    debian = recorded(context, "debian", "server", together=("security/stable-security",))
    assert files(context, debian) == ["libold_1.0_amd64.deb", "server_1.0_amd64.deb"]
    assert any("security/stable-security is not there yet" in line for line in context.lines)
    security = recorded(context, "security", "server", together=("debian/stable",))
    assert files(context, security) == ["server_1.1_amd64.deb"]
    again = recorded(context, "debian", "server", together=("security/stable-security",))
    assert again.is_new, "what its packages need has changed, though it has not"
    assert files(context, again) == ["libnew_1.0_amd64.deb", "libold_1.0_amd64.deb", "server_1.0_amd64.deb"]
    context.clock += DAY
    assert not recorded(context, "debian", "server", together=("security/stable-security",)).is_new


def test_packages_that_the_other_archive_lists_bring_what_they_need_here(archive: RecordedArchive) -> None:
    context = archive.context
    beside, listed = ("security/stable-security",), ("server", "broken", "nobody")
    assert files(context, recorded(context, "debian", "base", together=beside, more=listed)) == ["base_1.0_amd64.deb"]
    recorded(context, "security", "server", together=("debian/stable",))
    archive.upstream.add(make_deb("broken", depends="nobody"))
    archive.upstream.publish(DATE + DAY)
    done = recorded(context, "debian", "base", together=beside, more=listed)
    assert files(context, done) == ["base_1.0_amd64.deb", "libnew_1.0_amd64.deb"]


def test_packages_of_ours_may_be_listed_for_what_they_need_here(archive: RecordedArchive, tmp_path: Path) -> None:
    suite = own_suite(tmp_path / "state", context=archive.context)
    suite.hold(make_deb("ours", depends="libnew"))
    done = recorded(archive.context, "debian", "ours", "base", together=("petrel/devel",))
    assert files(archive.context, done) == ["base_1.0_amd64.deb", "libnew_1.0_amd64.deb"]
    with pytest.raises(Refused, match="nobody"):
        recorded(archive.context, "debian", "ours", "nobody", together=("petrel/devel",))
