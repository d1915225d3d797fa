"""The apt of this machine reads recorded archives: as upstream signed them, filtered, past their end, and tagged."""

import json
import lzma
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.request import urlopen

import pytest
from tests.worlds.apt import Apt
from tests.worlds.archive import DATE, DAY, MadeDeb, Upstream, make_deb, make_source, signer
from tests.worlds.recorded import RecordedArchive, apt_of, recorded_archive
from tests.worlds.suite import OwnSuite, own_suite

from distwright.archive.chosen import parse_chosen
from distwright.archive.fsck import check_tags
from distwright.archive.garbage import collect
from distwright.archive.own_snapshots import drop_snapshots, publish_snapshot, take_snapshot
from distwright.archive.prolonging import prolong_due, prolong_recorded
from distwright.archive.prolonging_own import prolong_own
from distwright.archive.snapshots import PoolChoice, parse_snapshot
from distwright.archive.tags import TagRequest, tag_snapshots
from distwright.errors import BadUsage, NotFound, Refused
from distwright.model.digests import Json, canonical_json
from distwright.model.events import EventKind
from distwright.signing.verify import Keyring
from distwright.store.archives import list_snapshots
from distwright.store.holds import all_holds, replace_holds, serial_hold
from distwright.store.signed import list_tags

HELLO = make_deb("hello", depends="libhello", fields={"Recommends": "extra", "Built-Using": "glue (= 3)"})
LIBRARY = make_deb("libhello", source="hello")
EXTRA, OTHER, DATA = make_deb("extra"), make_deb("other", depends="data"), make_deb("data", architecture="all")
HELLO_SOURCE, GLUE, OTHER_SOURCE = make_source("hello"), make_source("glue", "3"), make_source("other")
LISTED = PoolChoice(("hello",))
ALL = ["data 1.0", "extra 1.0", "hello 1.0", "libhello 1.0", "other 1.0"]


def upstream(*, valid_days: int | None = None) -> Upstream:
    made = Upstream(valid_days=valid_days)
    made.add(HELLO, LIBRARY, EXTRA, OTHER, DATA, HELLO_SOURCE, GLUE, OTHER_SOURCE, make_source("data"))
    made.publish(DATE)
    return made


@pytest.fixture
def archive(tmp_path: Path) -> RecordedArchive:
    return recorded_archive(tmp_path / "state", upstream())


@pytest.fixture
def ending(tmp_path: Path) -> RecordedArchive:
    """Of an upstream whose Release ended long ago, by the clock of this machine's apt."""
    return recorded_archive(tmp_path / "state", upstream(valid_days=7))


def updated(apt: Apt) -> list[str]:
    ran = apt.update()
    assert (ran.exit_code, ran.complaints) == (0, [])
    return apt.candidates()


@pytest.mark.parametrize("pool", [None, LISTED, PoolChoice()], ids=["lazy", "listed", "full"])
def test_every_record_is_read_with_the_signature_of_upstream(
    archive: RecordedArchive, tmp_path: Path, pool: PoolChoice | None
) -> None:
    serial = archive.record(pool).row.serial
    if pool is not None:
        archive.cut_off()
    with archive.served() as url:
        with urlopen(f"{url}/project/trace/debian") as trace:  # noqa: S310  # our own server on loopback
            assert trace.read().decode().endswith(f"\nSerial: {serial}\n")
        for number, base in enumerate((url, f"{url}/{serial}")):
            apt = apt_of(tmp_path / str(number), base, "upstream")
            assert updated(apt) == ALL
            assert apt.download("hello", "libhello").complaints == []
            assert apt.here() == {deb.file_name: deb.content for deb in (HELLO, LIBRARY)}


@pytest.mark.parametrize("recommends", [True, False])
def test_the_closure_is_what_an_empty_system_would_fetch(
    archive: RecordedArchive, tmp_path: Path, *, recommends: bool
) -> None:
    archive.upstream.add(make_deb("either", depends="nobody | other, libhello (>= 1.0)"))
    archive.upstream.publish(DATE + DAY)
    row = archive.record(PoolChoice(("either", "hello"), has_recommends=recommends)).row
    pool = parse_snapshot(archive.context.objects.read(row.digest)).pool
    assert pool is not None
    assert pool.files is not None
    ours = {file.path.rpartition("/")[2] for file in parse_chosen(archive.context.objects.read(pool.files))}
    with archive.served() as url:
        apt = apt_of(tmp_path / "apt", url, "upstream")
        updated(apt)
        option = f"APT::Install-Recommends={'true' if recommends else 'false'}"
        shown = apt.run("apt-get", "-qq", "-y", "-o", option, "--print-uris", "install", "either", "hello").stdout
    assert ours == {line.split()[1] for line in shown.splitlines()}
    assert ("extra_1.0_amd64.deb" in ours) is recommends
    assert {"other_1.0_amd64.deb", "data_1.0_all.deb"} < ours


def test_a_filtered_record_shows_the_chosen_packages_only_and_is_whole_without_upstream(
    archive: RecordedArchive, tmp_path: Path
) -> None:
    serial = archive.record(PoolChoice(("hello",), has_sources=True, is_filtered=True)).row.serial
    archive.cut_off()
    with archive.served() as url:
        apt = apt_of(tmp_path / "apt", f"{url}/{serial}", "mirror")
        assert updated(apt) == ["hello 1.0", "libhello 1.0"]
        assert apt.download("hello", "libhello").complaints == []
        assert apt.run("apt-get", "source", "--download-only", "hello").complaints == []
        assert apt.here().keys() == {HELLO.file_name, LIBRARY.file_name, *HELLO_SOURCE.files}
        refused = apt_of(tmp_path / "other", url, "upstream").update()
        assert any("NO_PUBKEY" in line for line in refused.complaints)
    release = archive.read("dists/stable/Release").decode()
    for line in (
        "Origin: Debian\n",
        "Label: Debian\n",
        "Suite: stable\n",
        "X-Filtered: chosen packages of upstream only\n",
    ):
        assert line in release
    upstream_signed = archive.read("dists/stable/InRelease.upstream")
    assert upstream_signed == archive.upstream.files["dists/stable/InRelease"]
    assert b"hello of a small world" not in lzma.decompress(archive.read("dists/stable/main/i18n/Translation-en.xz"))
    with pytest.raises(NotFound):
        archive.read("dists/stable/main/i18n/Translation-de.xz")


def test_an_unchanged_filtered_record_stays_as_it_was_signed(archive: RecordedArchive) -> None:
    choice = PoolChoice(("hello",), is_filtered=True)
    first = archive.record(choice)
    signed = archive.read("dists/stable/InRelease")
    again = archive.record(choice)
    assert (again.row, again.is_new) == (first.row, False)
    assert archive.read("dists/stable/InRelease") == signed
    assert archive.record(LISTED).is_new
    assert archive.read("dists/stable/InRelease") == archive.upstream.files["dists/stable/InRelease"]


def test_a_snapshot_past_its_end_is_read_again_once_it_is_prolonged(ending: RecordedArchive, tmp_path: Path) -> None:
    serial = ending.record().row.serial
    with ending.served() as url:
        refused = apt_of(tmp_path / "before", url, "upstream").update()
        assert any("Valid-Until" in line or "expired" in line for line in refused.complaints)
        until = prolong_recorded(ending.context, "debian", serial, 3650, "mirror")
        assert until == ending.context.clock + 3650 * DAY
        assert (
            ending.read("dists/stable/InRelease") == ending.upstream.files["dists/stable/InRelease"]
        )  # it has not ended
        ending.context.clock = DATE + 8 * DAY
        apt = apt_of(tmp_path / "after", f"{url}/{serial}", "mirror")
        assert updated(apt) == ALL
        assert apt.download("hello").complaints == []
    theirs = Keyring(signer("upstream").certificate(), "upstream").verify_clear(
        ending.read("dists/stable/InRelease.upstream"), "theirs"
    )
    ours = Keyring(signer("mirror").certificate(), "ours").verify_clear(ending.read("dists/stable/InRelease"), "ours")
    gone = [line for line in theirs.content.splitlines() if line not in ours.content.splitlines()]
    assert [line.partition(b":")[0] for line in gone] == [b"Valid-Until"]
    with ending.context.database.read() as tx:
        assert [row.valid_until for row in list_snapshots(tx)] == [until]
    with pytest.raises(Refused, match="is valid until 2034"):
        prolong_recorded(ending.context, "debian", serial, 30, "mirror")


def test_what_never_ends_is_not_prolonged(archive: RecordedArchive) -> None:
    serial = archive.record().row.serial
    with pytest.raises(Refused, match="has no end that could be prolonged"):
        prolong_recorded(archive.context, "debian", serial, 30, "mirror")
    with pytest.raises(NotFound, match="archive debian has no snapshot 2020010101"):
        prolong_recorded(archive.context, "debian", "2020010101", 30, "mirror")


def test_a_filtered_snapshot_can_be_prolonged_too(ending: RecordedArchive, tmp_path: Path) -> None:
    serial = ending.record(PoolChoice(("hello",), is_filtered=True)).row.serial
    prolong_recorded(ending.context, "debian", serial, 3650, "mirror")
    assert b"X-Filtered" in ending.read("dists/stable/Release")
    with ending.served() as url:
        assert updated(apt_of(tmp_path / "apt", url, "mirror")) == ["hello 1.0", "libhello 1.0"]


def test_what_is_held_is_prolonged_by_itself_and_what_nobody_needs_is_not(ending: RecordedArchive) -> None:
    first = ending.record().row.serial
    ending.upstream.publish(DATE + DAY)
    ending.context.clock += DAY
    second = ending.record().row.serial
    ending.upstream.publish(DATE + 2 * DAY)
    ending.context.clock += DAY
    ending.record()
    with ending.context.database.write() as tx:
        replace_holds(tx, "release 1", [serial_hold("release 1", "debian", first, "made of it")], DATE)
    assert prolong_due(ending.context, "debian", "mirror") == []
    ending.context.clock = DATE + 6.5 * DAY
    assert prolong_due(ending.context, "debian", "mirror") == [first]
    assert prolong_due(ending.context, "debian", "mirror") == []
    ending.context.clock = DATE + 8 * DAY
    assert ending.read(f"{first}/dists/stable/InRelease.upstream")
    with pytest.raises(NotFound):
        ending.read(f"{second}/dists/stable/InRelease.upstream")


def test_an_expired_upstream_that_is_accepted_is_served_signed_by_us(ending: RecordedArchive) -> None:
    ending.context.clock = DATE + 30 * DAY
    ending.record(accept_expired=True)
    Keyring(signer("mirror").certificate(), "ours").verify_clear(ending.read("dists/stable/InRelease"), "ours")


def test_a_recorded_serial_is_dropped_unless_somebody_needs_it_or_it_is_the_newest(ending: RecordedArchive) -> None:
    first = ending.record().row.serial
    prolong_recorded(ending.context, "debian", first, 30, "mirror")
    with pytest.raises(Refused, match="is the newest of debian"):
        drop_snapshots(ending.context, "debian", [first])
    ending.upstream.publish(DATE + DAY)
    ending.context.clock += DAY
    second = ending.record().row.serial
    with ending.context.database.write() as tx:
        replace_holds(tx, "release 1", [serial_hold("release 1", "debian", first, "made of it")], DATE)
    with pytest.raises(Refused, match=f"{first} is needed by release 1: made of it"):
        drop_snapshots(ending.context, "debian", [first])
    with ending.context.database.write() as tx:
        replace_holds(tx, "release 1", [], DATE)
    drop_snapshots(ending.context, "debian", [first])
    with pytest.raises(NotFound):
        ending.read(f"{first}/dists/stable/InRelease")
    with ending.context.database.read() as tx:
        assert [row.serial for row in list_snapshots(tx)] == [second]
        assert not [hold for hold in all_holds(tx) if first in hold.holder]


def test_indexes_of_the_installer_and_of_files_are_kept_byte_for_byte_and_are_no_pool(archive: RecordedArchive) -> None:
    extra = {
        "main/debian-installer/binary-amd64/Packages": make_deb("anna").stanza().encode(),
        "main/Contents-amd64": b"usr/bin/hello utils/hello\n",
    }
    archive.upstream.add_indexes("stable", extra)
    archive.upstream.publish(DATE + DAY)
    without = archive.record().row
    archive.upstream.publish(DATE + 2 * DAY)
    archive.context.clock += DAY
    row = archive.record(has_udebs=True, has_contents=True).row
    suites = [parse_snapshot(archive.context.objects.read(one.digest)).suites["stable"] for one in (without, row)]
    paths = [{index.path for index in suite.indexes} for suite in suites]
    assert paths[1] - paths[0] == {f"{path}.xz" for path in extra}
    for path in extra:
        assert archive.read(f"dists/stable/{path}.xz") == archive.upstream.files[f"dists/stable/{path}.xz"]
    archive.upstream.files["pool/main/a/anna/anna_1.0_amd64.deb"] = make_deb("anna").content
    assert archive.read("pool/main/a/anna/anna_1.0_amd64.deb") == make_deb("anna").content


def test_several_architectures_and_components_have_a_closure_of_their_own(tmp_path: Path) -> None:
    made = Upstream(architectures=("amd64", "arm64"), components=("main", "contrib"))
    made.add(make_deb("tool", depends="shared, native"), make_deb("shared", architecture="all"), make_deb("native"))
    made.add(make_deb("native-arm", architecture="arm64"), make_deb("both", architecture="arm64", depends="shared"))
    made.add(make_deb("more", depends="tool"), component="contrib")
    made.publish(DATE)
    archive = recorded_archive(tmp_path / "state", made)
    row = archive.record(PoolChoice(("both", "more"), is_filtered=True)).row
    pool = parse_snapshot(archive.context.objects.read(row.digest)).pool
    assert pool is not None
    assert pool.files is not None
    files = parse_chosen(archive.context.objects.read(pool.files))
    assert [file.path.rpartition("/")[2] for file in files] == [
        "more_1.0_amd64.deb", "both_1.0_arm64.deb", "native_1.0_amd64.deb", "shared_1.0_all.deb", "tool_1.0_amd64.deb",
    ]  # fmt: skip
    with archive.served() as url:
        assert updated(apt_of(tmp_path / "apt", url, "mirror")) == ["native 1.0", "shared 1.0", "tool 1.0"]


# Tagged snapshots


def manifest_of(
    *debs: MadeDeb, states: dict[str, str], archives: tuple[str, ...] = ("debian",), mentioned: tuple[str, ...] = ()
) -> bytes:
    """Write a manifest as an image has one (tests/unit/images looks at the writer)."""
    packages: list[Json] = [
        {
            "name": deb.name, "version": deb.version, "architecture": deb.architecture, "source": deb.source,
            "source_version": deb.version, "sha256": deb.sha256, "size_bytes": len(deb.content), "installed": True,
            "from": [f"{archive}/stable/{deb.pool_path()}" for archive in archives],
        }
        for deb in debs
    ]  # fmt: skip
    return canonical_json(
        {"format": 1, "image": "petrel", "states": states, "packages": packages, "mentioned": mentioned}
    )


def tagged(archive: RecordedArchive, manifest: bytes, *archives: str, tag: str = "petrel-1.0") -> None:
    tag_snapshots(TagRequest(archives or ("debian",), tag, manifest, "release 1.0"), archive.context)


def test_a_tagged_snapshot_is_what_the_manifest_names_with_its_sources(
    archive: RecordedArchive, tmp_path: Path
) -> None:
    row = archive.record().row
    manifest = manifest_of(HELLO, LIBRARY, states={"debian/stable": row.digest}, mentioned=("data", "nobody"))
    tagged(archive, manifest)
    archive.cut_off()
    with archive.served() as url:
        apt = apt_of(tmp_path / "apt", f"{url}/snapshots/petrel-1.0", "mirror")
        assert updated(apt) == ["data 1.0", "hello 1.0", "libhello 1.0"]
        assert apt.download("hello", "libhello", "data").complaints == []
        for source in ("hello", "glue"):
            assert apt.run("apt-get", "source", "--download-only", source).complaints == []
        assert {*HELLO_SOURCE.files, *GLUE.files, HELLO.file_name, DATA.file_name} < apt.here().keys()
    release = archive.read("snapshots/petrel-1.0/dists/stable/Release").decode()
    assert "Valid-Until" not in release
    assert "X-Tagged: petrel-1.0\n" in release


def test_a_tagged_snapshot_lies_as_plain_files_and_outlives_its_serial(
    archive: RecordedArchive, tmp_path: Path
) -> None:
    row = archive.record().row
    tagged(archive, manifest_of(HELLO, LIBRARY, states={"debian/stable": row.digest}))
    archive.upstream.add(make_deb("hello", "2.0"))
    archive.upstream.publish(DATE + DAY)
    archive.record()
    drop_snapshots(archive.context, "debian", [row.serial])
    folder = archive.context.paths.public / "debian" / "snapshots" / "petrel-1.0"
    apt = apt_of(tmp_path / "apt", f"copy:{folder}", "mirror")
    assert updated(apt) == ["hello 1.0", "libhello 1.0"]
    assert apt.download("hello").complaints == []
    with archive.context.database.read() as tx:
        [tag] = list_tags(tx, "debian")
        assert [hold.target for hold in all_holds(tx) if hold.holder == "tag debian/petrel-1.0"] == [tag.digest]
    document = json.loads(archive.context.objects.read(tag.digest))
    assert HELLO.sha256 in document["pool"].values()


def test_a_package_of_several_archives_goes_into_each_and_an_unused_archive_is_empty_and_valid(
    archive: RecordedArchive, tmp_path: Path
) -> None:
    row = archive.record().row
    suite: OwnSuite = own_suite(tmp_path / "state", context=archive.context)
    greeter = make_deb("greeter", fields={"Static-Built-Using": "glue (= 3)"})
    revision = suite.hold(HELLO, HELLO_SOURCE, greeter, make_source("greeter"))
    suite.publish(revision)
    unused = own_suite(tmp_path / "state", "devel-old", archive.context)
    manifest = manifest_of(
        HELLO, states={"debian/stable": row.digest, "petrel/devel": revision}, archives=("debian", "petrel")
    )
    tagged(archive, manifest, "debian", "petrel", tag="both")
    empty = manifest_of(states={"debian/stable": row.digest, "petrel/devel": revision})
    tagged(archive, empty, "debian", "petrel", tag="none")
    assert unused.publications() == []
    with archive.served() as url:
        base = url.removesuffix("/debian")
        for number, (place, suite_name, key, expected) in enumerate(
            [
                (f"{url}/snapshots/both", "stable", "mirror", ["hello 1.0"]),
                (f"{base}/petrel/snapshots/both", "devel", "petrel", ["hello 1.0"]),
                (f"{url}/snapshots/none", "stable", "mirror", []),
                (f"{base}/petrel/snapshots/none", "devel", "petrel", []),
            ]
        ):
            assert updated(apt_of(tmp_path / f"apt{number}", place, key, suite=suite_name)) == expected
    assert [event.subject for event in archive.context.events() if event.kind is EventKind.SNAPSHOT_TAGGED] == [
        "debian/both", "petrel/both", "debian/none", "petrel/none",
    ]  # fmt: skip


def test_a_tag_is_made_once_and_never_means_something_else(archive: RecordedArchive) -> None:
    row = archive.record().row
    manifest = manifest_of(HELLO, LIBRARY, states={"debian/stable": row.digest})
    tagged(archive, manifest)
    before = archive.read("snapshots/petrel-1.0/dists/stable/InRelease")
    archive.context.clock += DAY
    tagged(archive, manifest)
    assert archive.read("snapshots/petrel-1.0/dists/stable/InRelease") == before
    with pytest.raises(Refused, match=r"petrel-1\.0 of debian was made of another manifest"):
        tagged(archive, manifest_of(LIBRARY, states={"debian/stable": row.digest}))
    for bad in ("2024011001", "../up", ".hidden", "a/b", ""):
        with pytest.raises(BadUsage, match="cannot be a tag"):
            tagged(archive, manifest, tag=bad)


def test_a_tag_without_its_packages_or_sources_is_refused_by_name(archive: RecordedArchive) -> None:
    archive.upstream.add(make_deb("orphan"))
    archive.upstream.publish(DATE + DAY)
    row = archive.record().row
    with pytest.raises(Refused, match=r"these sources are in none of the archives:\n.*orphan 1.0"):
        tagged(archive, manifest_of(make_deb("orphan"), states={"debian/stable": row.digest}))
    with pytest.raises(Refused, match=r"has not what the manifest says it gave:\n.*stranger 1.0 amd64"):
        tagged(archive, manifest_of(make_deb("stranger"), states={"debian/stable": row.digest}))
    assert not (archive.context.paths.public / "debian/snapshots").exists()


@pytest.mark.parametrize("is_changed", [False, True])
def test_collecting_leaves_what_a_tag_serves_and_fsck_looks_at_it(
    archive: RecordedArchive, tmp_path: Path, *, is_changed: bool
) -> None:
    row = archive.record().row
    suite = own_suite(tmp_path / "state", context=archive.context)
    revision = suite.hold(HELLO, HELLO_SOURCE)
    suite.publish(revision)
    manifest = manifest_of(
        HELLO, states={"debian/stable": row.digest, "petrel/devel": revision}, archives=("debian", "petrel")
    )
    tagged(archive, manifest, "debian", "petrel", tag="kept")
    suite.publish(suite.version("2.0"))
    with archive.context.database.write() as tx:
        suite_holder = "suite petrel/devel"
        replace_holds(tx, suite_holder, [], DATE)
    archive.context.clock = datetime.now(UTC) + 30 * DAY
    collect(archive.context, ["petrel"], really=True)
    assert list(check_tags(archive.context, "petrel")) == list(check_tags(archive.context, "debian")) == []
    with archive.served() as url:
        apt = apt_of(tmp_path / "apt", f"{url.removesuffix('/debian')}/petrel/snapshots/kept", "petrel", suite="devel")
        assert updated(apt) == ["hello 1.0"]
        assert apt.download("hello").complaints == []
    if is_changed:
        (archive.context.paths.public / "debian" / HELLO.pool_path()).unlink()
        assert [damage.what for damage in check_tags(archive.context, "debian")] == ["it is not served"]


# Our own snapshots


def test_a_snapshot_of_ours_is_prolonged_and_stays_so(tmp_path: Path) -> None:
    archive = recorded_archive(tmp_path / "state", upstream())
    context = archive.context
    seven_days = context.config.suites["devel"].model_copy(update={"valid_days": 7})
    context.config = replace(context.config, suites={"devel": seven_days})
    suite = own_suite(tmp_path / "state", context=context)
    suite.publish(suite.version("1.0"))
    serial = take_snapshot(context, "petrel", []).serial
    with pytest.raises(Refused, match=f"snapshot {serial} of petrel is not served"):
        prolong_own(context, "petrel", serial, 30)
    publish_snapshot(context, "petrel", serial)
    until = prolong_own(context, "petrel", serial, 3650)
    publish_snapshot(context, "petrel", serial)
    folder = context.paths.public / "petrel" / "snapshots" / serial
    assert updated(apt_of(tmp_path / "apt", f"copy:{folder}", "petrel", suite="devel")) == ["hello 1.0", "world 1.0"]
    assert f"Valid-Until: {until:%a, %d %b %Y %H:%M:%S} UTC" in (folder / "dists" / "devel" / "Release").read_text()
    with pytest.raises(Refused, match="is valid until 2034"):
        prolong_own(context, "petrel", serial, 30)
