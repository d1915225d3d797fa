"""Resolving: names become digests once; what does not exist yet is waited for, by name and with what makes it."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.archive.requests import FIELDS, LISTS, publish_request, record_request
from tests.worlds.archive import DATE, DAY, MIRROR, Upstream, make_deb, make_source, make_upload, signer
from tests.worlds.installation import WorldContext, config, make_context
from tests.worlds.keys import key_file
from tests.worlds.times import NOW

from distwright.archive.configured import apply_change, plan_config
from distwright.archive.publish import publish
from distwright.archive.record import record
from distwright.archive.resolve import (
    KEYRING_LIMIT_BYTES,
    NotReadyError,
    Resolved,
    accept_order,
    index_lists,
    machine_keyring,
    publish_order,
    record_order,
    release_fields,
    resolve_suites,
    upstream_url,
)
from distwright.archive.tree import EMPTY_ROOT
from distwright.archive.uploads import accept_upload
from distwright.config.tables_archive import OwnArchive, UpstreamArchive
from distwright.errors import BadInput, NotFound, Refused
from distwright.jobs.step import ShelfEntry
from distwright.model.digests import sha256_of
from distwright.model.records import SuiteState
from distwright.store.holds import serial_hold
from distwright.store.suites import get_suite, list_suites
from distwright.tools.apt import AptSource


@pytest.fixture
def context(tmp_path: Path) -> WorldContext:
    """An installation that has applied the small configuration and done nothing else."""
    upstream = Upstream()
    upstream.add(make_deb("hello"))
    upstream.publish()
    context = make_context(tmp_path, upstream)
    for change in plan_config(None, context.config):
        apply_change(change, context.config, context.database, context.objects, context.clock)
    return context


def resolved(context: WorldContext, *names: str, pins: dict[str, str] | None = None) -> Resolved:
    with context.database.read() as tx:
        return resolve_suites(tx, context.ground(pins), names)


def recorded(context: WorldContext, version: str = "1.0", day: int = 0) -> str:
    upstream = Upstream()
    upstream.add(make_deb("hello", version))
    upstream.publish(DATE + day * DAY)
    context.fetcher.upstreams = {MIRROR: upstream}  # type: ignore[attr-defined]
    context.clock = DATE + day * DAY
    return record(record_request(), context, context.paths.cache / "pool").row.serial


def test_configured_suites_of_own_archives_exist_empty_and_once(context: WorldContext) -> None:
    with context.database.read() as tx:
        suites = list_suites(tx)
    assert suites == [SuiteState("petrel", "devel", "base", EMPTY_ROOT.revision, context.clock)]
    assert context.objects.has(EMPTY_ROOT.revision)
    for change in plan_config(None, context.config):
        apply_change(change, context.config, context.database, context.objects, context.clock + DAY)
    with context.database.read() as tx:
        assert list_suites(tx) == suites


def test_a_suite_that_is_no_longer_configured_keeps_its_packages(context: WorldContext) -> None:
    without = replace(context.config, suites={})
    [change] = plan_config(context.config, without)
    assert (change.action, change.table, change.name) == ("remove", "suite", "devel")
    apply_change(change, without, context.database, context.objects, context.clock)
    with context.database.read() as tx:
        assert get_suite(tx, "petrel", "devel")


def test_an_archive_without_snapshot_is_not_ready_and_says_what_makes_one(context: WorldContext) -> None:
    with pytest.raises(NotReadyError) as caught:
        resolved(context, "debian/stable")
    assert caught.value.message == "archive debian has no snapshot yet"
    assert caught.value.hint == "distwright archive record debian"
    assert caught.value.exit_code == 11


def test_without_a_pin_the_newest_serial_is_meant_with_one_that_serial(context: WorldContext) -> None:
    old, new = recorded(context), recorded(context, "2.0", day=1)
    assert (old, new) == ("2024011001", "2024011101")
    newest = resolved(context, "debian/stable")
    pinned = resolved(context, "debian/stable", pins={"debian": old})
    assert newest.serials == {"debian": new}
    assert (pinned.serials, pinned.newest) == ({"debian": old}, DATE)
    assert pinned.holds == (serial_hold("", "debian", old, "debian/stable"),)
    assert newest.shelf[0].document != pinned.shelf[0].document
    assert resolved(context, "debian/stable", pins={"security": old}) == newest


def test_a_pin_to_a_serial_that_is_not_here_is_not_ready(context: WorldContext) -> None:
    recorded(context)
    with pytest.raises(NotReadyError, match="archive debian has no snapshot 2023010101 yet"):
        resolved(context, "debian/stable", pins={"debian": "2023010101"})


def test_a_snapshot_without_the_suite_is_not_ready(context: WorldContext) -> None:
    recorded(context)
    with pytest.raises(NotReadyError, match="snapshot 2024011001 of debian has no suite unstable"):
        resolved(context, "debian/unstable")


def test_an_own_suite_that_was_never_published_is_not_ready(context: WorldContext) -> None:
    with pytest.raises(NotReadyError, match="suite petrel/devel was never published"):
        resolved(context, "petrel/devel")


def test_a_published_suite_is_meant_by_its_revision_and_says_what_its_release_says(context: WorldContext) -> None:
    upload = make_upload(make_source("greeter"), make_deb("greeter"))
    changes, files = upload.keep(context.objects)
    order = accept_order(context.config, "devel", changes=changes, files=files, source="greeter", version="1.0",
                         signers=signer("uploader").certificate())  # fmt: skip
    accept_upload(context, order.inputs)
    with context.database.read() as tx:
        revision = get_suite(tx, "petrel", "devel").revision
    publish(publish_request(revision), context, signer("petrel"))
    serial = recorded(context)
    found = resolved(context, "debian/stable", "petrel/devel")
    fields = tuple(sorted({**FIELDS, "Description": "Petrel devel"}.items()))
    snapshot = found.shelf[0].document
    assert found == Resolved(
        shelf=(ShelfEntry("debian", "stable", snapshot),
               ShelfEntry("petrel", "devel", revision, is_own=True, fields=fields, lists=LISTS)),
        components={"debian/stable": ("main",), "petrel/devel": ("main",)},
        newest=DATE,
        serials={"debian": serial},
        holds=(serial_hold("", "debian", serial, "debian/stable"),),
    )  # fmt: skip


def debian(**changes: object) -> UpstreamArchive:
    table = config().archives["debian"].model_copy(update=changes)
    assert isinstance(table, UpstreamArchive)
    return table


STABLE = AptSource("http://near.example/debian/", "stable", "main", "Debian", "Debian")
NEXT = AptSource("http://far.example/debian", "testing", "main", "Debian", "Debian")
SECURITY = AptSource("http://near.example/debian-security/", "stable-security", "main", "Debian", "Debian-Security")
VENDOR = AptSource("http://vendor.example/linux/debian", "stable", "extra", "Vendor", "Vendor CE")
UNSEEN = AptSource("http://new.example/debian", "stable", "main", "", "")


def test_an_archive_is_fetched_where_this_machines_apt_fetches_its_suite() -> None:
    assert upstream_url("debian", debian(), [SECURITY, NEXT, STABLE]) == "http://near.example/debian"
    security = config().archives["security"]
    assert isinstance(security, UpstreamArchive)
    assert upstream_url("security", security, [STABLE, SECURITY]) == "http://near.example/debian-security"


def test_a_source_that_apt_has_not_read_yet_fits_by_its_suite() -> None:
    assert upstream_url("debian", debian(), [UNSEEN]) == "http://new.example/debian"


def test_another_vendors_suite_of_the_same_name_is_not_taken_for_ours() -> None:
    assert upstream_url("debian", debian(), [VENDOR, STABLE]) == "http://near.example/debian"
    assert upstream_url("debian", debian(origin=None), [VENDOR, STABLE]) == "http://near.example/debian"
    with pytest.raises(NotFound):
        upstream_url("debian", debian(), [VENDOR])


def test_an_archive_without_label_is_found_by_its_suite_alone() -> None:
    assert upstream_url("x", debian(origin=None, label=None), [NEXT, VENDOR]) == "http://vendor.example/linux/debian"
    with pytest.raises(NotFound):
        upstream_url("x", debian(origin=None, label=None, suites=("sid",)), [NEXT, VENDOR])


def test_a_machine_with_another_release_finds_the_archive_by_its_label() -> None:
    assert upstream_url("debian", debian(), [SECURITY, NEXT]) == "http://far.example/debian"
    assert upstream_url("debian", debian(origin=None), [SECURITY, NEXT]) == "http://far.example/debian"


def test_fetch_from_wins_over_the_machine() -> None:
    table = debian(fetch_from="file:///srv/mirror/debian/")
    assert upstream_url("debian", table, [STABLE]) == "file:///srv/mirror/debian"


def test_an_archive_that_apt_does_not_know_is_not_found_with_the_setting_that_helps() -> None:
    with pytest.raises(NotFound) as caught:
        upstream_url("debian", debian(), [SECURITY])
    assert caught.value.message == "this machine's apt has no source for archive debian (stable)"
    assert 'set fetch_from = "…" in [archive.debian]' in caught.value.hint


def test_a_source_of_apt_with_a_password_is_refused_and_its_password_never_shown() -> None:
    secret = replace(STABLE, url="http://bob:hunter2@near.example/debian")
    with pytest.raises(Refused, match="apt's source for archive debian has a user name or password") as caught:
        upstream_url("debian", debian(), [secret])
    assert "auth.conf" in caught.value.hint
    assert "hunter2" not in caught.value.message + caught.value.hint


def test_a_keyring_of_the_machine_is_read_or_not_found(tmp_path: Path) -> None:
    (tmp_path / "ring.pgp").write_bytes(signer("debian").certificate())
    assert machine_keyring(str(tmp_path / "ring.pgp")) == signer("debian").certificate()
    with pytest.raises(NotFound, match=r"keyring .*other\.pgp does not exist"):
        machine_keyring(str(tmp_path / "other.pgp"))
    with pytest.raises(NotFound, match=r"keyring .*ring\.pgp/x does not exist"):
        machine_keyring(str(tmp_path / "ring.pgp" / "x"))


def test_a_keyring_is_a_file_of_certificates_and_nothing_else(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "shadow").write_text("root:$6$x:19000:0:99999:7:::\n")
    (tmp_path / "empty").touch()
    (tmp_path / "secret").write_bytes(key_file("debian"))
    (tmp_path / "large").write_bytes(bytes(KEYRING_LIMIT_BYTES + 1))
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "second").write_bytes(signer("debian").certificate() + key_file("debian"))
    problems = {
        str(tmp_path): "cannot be read: Is a directory", "/dev/zero": "is not a file", "fifo": "is not a file",
        "shadow": "cannot be read", "empty": "holds no certificate", "secret": "holds a secret key",
        "second": "holds a secret key", "large": "has more than 4 MiB", "loop": "cannot be read",
    }  # fmt: skip
    for name, problem in problems.items():
        with pytest.raises(BadInput, match=f"keyring .*{problem}"):
            machine_keyring(str(tmp_path / name))


def test_the_release_of_an_own_suite_says_what_the_tables_say() -> None:
    assert release_fields(config(), "petrel", "devel") == {**FIELDS, "Description": "Petrel devel"}
    described = config().suites["devel"].model_copy(update={"description": "The next release"})
    fields = release_fields(replace(config(), suites={"devel": described}), "petrel", "devel")
    assert fields["Description"] == "The next release"
    careful = config().suites["devel"].model_copy(update={"not_automatic": True, "valid_days": 7})
    fields = release_fields(replace(config(), suites={"devel": careful}), "petrel", "topic", "devel")
    assert (fields["Suite"], fields["NotAutomatic"], fields["Valid-Days"]) == ("topic", "yes", "7")
    with pytest.raises(NotFound, match="archive debian is not our own"):
        release_fields(config(), "debian", "stable")


def test_codename_is_that_of_the_suite_itself_and_not_of_its_branches() -> None:
    more = {"codename": "petrel-2", "version": "2.1", "not_automatic": True, "but_automatic_upgrades": True}
    table = config().suites["devel"].model_copy(update=more)
    named = replace(config(), suites={"devel": table})
    wanted = {"Version": "2.1", "NotAutomatic": "yes", "ButAutomaticUpgrades": "yes"}
    for suite, settings, codename in (
        ("devel", "", "petrel-2"),
        ("devel", "devel", "petrel-2"),
        ("topic", "devel", "topic"),
    ):
        fields = release_fields(named, "petrel", suite, settings)
        assert fields == {**fields, **wanted, "Suite": suite, "Codename": codename}
    archive = config().archives["petrel"].model_copy(update={"signed_by": True})
    fields = release_fields(replace(config(), archives={"petrel": archive}), "petrel", "devel")
    assert fields["Names-Keys"] == "yes"


def test_every_component_and_architecture_of_an_own_archive_has_an_index() -> None:
    table = (
        config()
        .archives["petrel"]
        .model_copy(update={"components": ("main", "contrib"), "architectures": ("amd64", "arm64")})
    )
    assert isinstance(table, OwnArchive)
    assert index_lists(table) == (
        "main/binary-amd64", "main/binary-arm64", "contrib/binary-amd64", "contrib/binary-arm64",
        "main/source", "contrib/source",
    )  # fmt: skip


def test_a_record_order_carries_the_table_and_is_new_with_each_request() -> None:
    key = sha256_of(b"keyring")
    orders = [
        record_order(config(), "debian", url=MIRROR, keyring=key, serial=None, requested=DATE + n * DAY) for n in (0, 1)
    ]
    assert orders[0].inputs == {
        "archive": "debian", "suites": ["stable"], "components": ["main"], "architectures": ["amd64"],
        "sources": True, "translations": ["en"], "origin": "Debian", "label": "Debian", "accept_expired": False,
        "udebs": False, "contents": False, "all_forms": False,
        "pool": "lazy", "packages": [], "recommends": False, "pool_sources": False,
        "filtered": False, "credential": "",
        "url": MIRROR, "keyring": key, "keyring_name": "/usr/share/keyrings/debian-archive-keyring.gpg",
        "serial": None, "requested": "2024-01-10T12:00:00+00:00",
    }  # fmt: skip
    assert orders[0].digest != orders[1].digest
    with pytest.raises(NotFound, match="archive petrel is no upstream archive"):
        record_order(config(), "petrel", url=MIRROR, keyring=key, serial=None, requested=DATE)


def test_a_publish_order_is_the_same_job_for_the_same_change() -> None:
    revision = EMPTY_ROOT.revision
    order = publish_order(config(), "devel", revision, ("greeter",), NOW)
    assert order.inputs == {
        "archive": "petrel", "suite": "devel", "revision": revision, "lists": list(LISTS),
        "fields": {**FIELDS, "Description": "Petrel devel"}, "credentials": ["petrel"], "added": ["greeter"],
        "contents": False, "pdiffs": False,
        "changed_at": NOW.isoformat(),
    }  # fmt: skip
    assert publish_order(config(), "devel", revision, ("greeter",), NOW).digest == order.digest
