"""Bad input from upstream: refused by name, and the previous serial is unchanged and still served."""

import gzip
import lzma
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.unit.archive.requests import record_request
from tests.worlds import signatures
from tests.worlds.archive import DATE, DAY, MIRROR, Upstream, UpstreamFetcher, make_deb, make_source, signer
from tests.worlds.installation import WorldContext, make_context
from tests.worlds.killing import NEVER, run_killed_at

from distwright.archive.judging import RecordRequest
from distwright.archive.record import Recorded, record
from distwright.archive.serving import RecordedServing
from distwright.archive.snapshots import parse_snapshot
from distwright.errors import Busy, DistwrightError, Interrupted, NotFound, Refused, Unreachable
from distwright.model.digests import sha256_of
from distwright.model.events import EventKind
from distwright.model.serials import Serial
from distwright.signing.verify import Keyring
from distwright.store.archives import list_snapshots
from distwright.store.holds import all_holds, object_hold

PACKAGES = "main/binary-amd64/Packages"


@dataclass
class Recording:
    """An installation that has recorded a small upstream once; version 2 of hello is published there and not recorded yet."""

    upstream: Upstream
    context: WorldContext
    fetcher: UpstreamFetcher
    first: Recorded
    served: dict[str, bytes]

    def again(self, request: RecordRequest | None = None, serial: Serial | None = None) -> Recorded:
        return record(request or record_request(), self.context, self.context.paths.cache / "pool", serial)

    def read(self, path: str) -> bytes:
        return read(self.context, path)

    def refusal(self, request: RecordRequest | None = None) -> DistwrightError:
        """Record, which must fail; whatever the failure, nothing may have changed."""
        with pytest.raises(DistwrightError) as caught:
            self.again(request)
        self.assert_unchanged()
        return caught.value

    def assert_unchanged(self) -> None:
        with self.context.database.read() as tx:
            assert list_snapshots(tx) == [self.first.row]
        assert [event.kind for event in self.context.events()] == [EventKind.SNAPSHOT_RECORDED]
        assert {path: self.read(path) for path in self.served} == self.served


def read(context: WorldContext, path: str) -> bytes:
    serving = RecordedServing("debian", context, context.paths.cache / "pool", context.now)
    file, size = serving.find(path)
    with file:
        content = file.read()
    assert len(content) == size
    return content


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    return recording_in(tmp_path)


def recording_in(folder: Path) -> Recording:
    upstream = Upstream()
    upstream.add(make_deb("hello", "1.0"), make_source("hello", "1.0"), make_deb("data", architecture="all"))
    upstream.publish(DATE)
    context = make_context(folder, upstream)
    assert isinstance(context.fetcher, UpstreamFetcher)
    first = record(record_request(), context, context.paths.cache / "pool")
    paths = ["dists/stable/InRelease", f"dists/stable/{PACKAGES}.xz", "pool/main/h/hello/hello_1.0_amd64.deb"]
    served = {path: read(context, path) for path in paths}
    assert served == {path: upstream.files[path] for path in paths}
    upstream.add(make_deb("hello", "2.0"))
    upstream.publish(DATE + DAY)
    context.clock += DAY
    return Recording(upstream, context, context.fetcher, first, served)


def test_a_record_is_named_by_its_day_keeps_every_byte_and_holds_its_document(recording: Recording) -> None:
    row = recording.first.row
    assert (row.archive, row.serial, row.fetched_from, row.valid_until) == ("debian", "2024011001", MIRROR, None)
    assert (recording.first.is_new, recording.first.notes) == (True, ())
    suite = parse_snapshot(recording.context.objects.read(row.digest)).suites["stable"]
    assert [index.path for index in suite.indexes] == [
        "main/binary-all/Packages.xz",
        f"{PACKAGES}.xz",
        "main/i18n/Translation-en.xz",
        "main/source/Sources.xz",
    ]
    assert all(recording.context.objects.has(index.sha256) for index in suite.indexes)
    release = recording.context.objects.read(suite.release)
    assert recording.served["dists/stable/InRelease"].count(release.rstrip(b"\n")) == 1
    with recording.context.database.read() as tx:
        held = [hold for hold in all_holds(tx) if not hold.holder.startswith("event ")]
    assert held == [object_hold("snapshot debian/2024011001", row.digest, "recorded")]
    [event] = recording.context.events()
    assert (event.subject, event.body) == (
        "debian/2024011001",
        {"archive": "debian", "serial": "2024011001", "snapshot": row.digest},
    )


def test_a_new_version_gets_the_next_serial_and_the_old_serial_stays_served(recording: Recording) -> None:
    second = recording.again()
    assert (second.row.serial, second.is_new) == ("2024011101", True)
    assert b"Version: 2.0" in lzma.decompress(recording.read(f"dists/stable/{PACKAGES}.xz"))
    for path in recording.served:
        assert recording.read(f"2024011001/{path}") == recording.served[path]
    pool = "pool/main/h/hello/hello_2.0_amd64.deb"
    assert recording.read(pool) == recording.read(f"2024011001/{pool}") == make_deb("hello", "2.0").content


def test_an_unchanged_upstream_gets_no_new_serial_and_only_inrelease_is_fetched(recording: Recording) -> None:
    second = recording.again()
    recording.fetcher.asked.clear()
    third = recording.again()
    assert (third.row, third.is_new) == (second.row, False)
    assert recording.fetcher.asked == [f"{MIRROR}/dists/stable/InRelease"]


def test_a_serial_that_is_asked_for_is_given_once(recording: Recording) -> None:
    wanted = Serial("2024020101")
    assert recording.again(serial=wanted).row.serial == wanted
    recording.fetcher.asked.clear()
    again = recording.again(serial=wanted)
    assert (again.row.serial, again.is_new, recording.fetcher.asked) == (wanted, False, [])
    with pytest.raises(Refused, match="serial 2024011201 is not later than 2024020101, the newest that debian has had"):
        recording.again(serial=Serial("2024011201"))


def test_a_signature_by_another_key_is_refused(recording: Recording) -> None:
    recording.upstream.key = signer("somebody")
    recording.upstream.publish(DATE + DAY)
    refusal = recording.refusal()
    assert isinstance(refusal, Refused)
    expected = "InRelease of debian/stable has no valid signature by a key of debian-archive-keyring"
    assert refusal.message.startswith(expected)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda text: text.replace(b"Label: Debian", b"Label: Denian"), "has no valid signature"),
        (lambda text: text.replace(b"Origin: ", b"Origin:  "), "has no valid signature"),
        (lambda text: b"Origin: Debian\n" + text, "is not one signed message"),
        (lambda text: text + b"Suite: stable\n", "is not one signed message"),
        (lambda text: text + text, "is not one signed message"),
        (lambda text: text[: len(text) // 2], "is not one signed message"),
        (lambda text: text.partition(b"-----BEGIN PGP SIGNATURE")[0], "is not one signed message"),
        (lambda _text: b"", "is not one signed message"),
        (lambda _text: b"<html>Please log in</html>", "is not one signed message"),
    ],
    ids=["letter", "blank", "before", "after", "twice", "half", "unsigned", "empty", "portal"],
)
def test_an_edited_inrelease_is_refused(recording: Recording, change: Callable[[bytes], bytes], problem: str) -> None:
    recording.upstream.edit("dists/stable/InRelease", change)
    refusal = recording.refusal()
    assert isinstance(refusal, Refused)
    assert refusal.message.startswith(f"InRelease of debian/stable {problem}")


def test_a_signature_that_has_ended_is_refused(recording: Recording) -> None:
    recording.upstream.files["dists/stable/InRelease"] = signatures.ENDED
    keyring = Keyring(signatures.KEY, "a lasting key")
    refusal = recording.refusal(replace(record_request(), keyring=keyring))
    assert refusal.message.startswith("InRelease of debian/stable has no valid signature by a key of a lasting key")
    assert keyring.verify_clear(signatures.LASTING, "the same text by the same key").content


def test_an_expired_release_is_refused_with_the_setting_that_accepts_it(recording: Recording) -> None:
    recording.upstream.valid_days = 7
    recording.upstream.publish(DATE + DAY)
    recording.context.clock = DATE + 9 * DAY
    refusal = recording.refusal()
    assert refusal.message == "Release of debian/stable expired on 2024-01-18 12:00 UTC"
    assert "accept_expired = true" in refusal.hint


def test_an_accepted_expired_release_is_recorded_and_named_in_the_notes(recording: Recording) -> None:
    recording.upstream.valid_days = 7
    recording.upstream.publish(DATE + DAY)
    recording.context.clock = DATE + 9 * DAY
    recorded = recording.again(record_request(accept_expired=True))
    assert recorded.notes == (
        "Release of debian/stable expired on 2024-01-18 12:00 UTC; accepted, as accept_expired says",
    )
    assert (recorded.row.serial, recorded.row.valid_until) == ("2024011901", DATE + 8 * DAY)


def test_a_release_that_expires_after_the_record_is_still_served(recording: Recording) -> None:
    recording.upstream.valid_days = 7
    recording.upstream.publish(DATE + DAY)
    assert recording.again().row.valid_until == DATE + 8 * DAY
    recording.context.clock = DATE + 400 * DAY
    assert recording.read("dists/stable/InRelease") == recording.upstream.files["dists/stable/InRelease"]


@pytest.mark.parametrize("cut", [1, 30])
def test_a_truncated_index_is_refused_by_name(recording: Recording, cut: int) -> None:
    recording.upstream.edit_all("binary-amd64/", lambda content: content[:-cut])
    refusal = recording.refusal()
    assert isinstance(refusal, Refused)
    assert f"{PACKAGES}.xz" in refusal.message
    assert refusal.message.endswith("were signed: cut off, or another version")


def test_an_index_of_the_right_size_with_other_bytes_is_refused_by_name(recording: Recording) -> None:
    recording.upstream.edit_all("binary-amd64/", lambda content: content[:-1] + b"?")
    refusal = recording.refusal()
    assert refusal.message.startswith(f"{MIRROR}/dists/stable/{PACKAGES}.xz has SHA-256 ")


def test_an_index_that_has_grown_is_refused_after_three_tries(recording: Recording) -> None:
    recording.upstream.edit_all("binary-amd64/", lambda content: content * 3)
    recording.fetcher.asked.clear()
    refusal = recording.refusal()
    assert refusal.message.startswith(f"{MIRROR}/dists/stable/{PACKAGES}.xz is larger than the ")
    assert recording.fetcher.asked.count(f"{MIRROR}/dists/stable/InRelease") == 3
    assert [line.partition(":")[0] for line in recording.context.lines if "try" in line] == [
        f"upstream is not consistent (try {number} of 3)" for number in (1, 2, 3)
    ]


def test_an_index_that_is_missing_is_refused_by_name(recording: Recording) -> None:
    recording.upstream.forget(f"{PACKAGES}.xz")
    recording.upstream.forget("/by-hash/")
    refusal = recording.refusal()
    assert isinstance(refusal, NotFound)
    assert f"{PACKAGES}.xz" in refusal.message


def test_an_index_that_unpacks_to_something_else_than_was_signed_is_refused(recording: Recording) -> None:
    lying = recording.upstream
    head, sums = lying.files["dists/stable/Release"].split(b"SHA256:\n")
    plain = next(line for line in sums.splitlines() if line.endswith(f" {PACKAGES}".encode()))
    other = plain.replace(plain.split()[0], sha256_of(b"another").encode())
    lying.files["dists/stable/InRelease"] = lying.key.sign_clear(head + b"SHA256:\n" + sums.replace(plain, other))
    assert recording.refusal().message == (
        f"{PACKAGES}.xz of debian/stable unpacks to something else than Release says"
    )


def test_an_index_that_is_signed_and_no_archive_of_its_kind_is_refused(recording: Recording) -> None:
    upstream = recording.upstream
    broken = upstream.files[f"dists/stable/{PACKAGES}.xz"][:-8]
    good = upstream.files[f"dists/stable/{PACKAGES}.xz"]
    release = upstream.files["dists/stable/Release"]
    row = f" {sha256_of(good)} {len(good)} {PACKAGES}.xz".encode()
    assert row in release
    signed = release.replace(row, f" {sha256_of(broken)} {len(broken)} {PACKAGES}.xz".encode())
    upstream.files["dists/stable/InRelease"] = upstream.key.sign_clear(signed)
    upstream.files[f"dists/stable/{PACKAGES}.xz"] = broken
    assert recording.refusal().message == f"{PACKAGES}.xz of debian/stable: .xz data is cut off"


def test_a_mirror_that_lags_behind_is_refused_with_both_dates(recording: Recording) -> None:
    fresh = recording.again()
    old = Upstream()
    old.add(make_deb("hello", "1.0"), make_source("hello", "1.0"))
    old.publish(DATE)
    recording.fetcher.upstreams = {"http://stale.example/debian": old}
    with pytest.raises(Refused) as caught:
        recording.again(record_request("http://stale.example/debian"))
    assert caught.value.message == (
        "InRelease of debian/stable is of 2024-01-10 12:00, the last recorded one of 2024-01-11 12:00"
    )
    assert recording.again(serial=Serial(fresh.row.serial)).row == fresh.row


def test_a_pool_file_with_other_bytes_is_refused_by_address_and_comes_once_it_is_right(recording: Recording) -> None:
    recording.again()
    path = "pool/main/h/hello/hello_2.0_amd64.deb"
    right = recording.upstream.files[path]
    for wrong in (right[:-1], right + b"!", right[:-1] + b"!", make_deb("hello", "2.0", depends="evil").content):
        recording.upstream.files[path] = wrong
        with pytest.raises(Refused, match=f"{MIRROR}/{path}"):
            recording.read(path)
        assert not recording.context.objects.has(sha256_of(wrong))
    recording.upstream.files[path] = right
    assert recording.read(path) == right


def test_a_pool_file_that_upstream_no_longer_has_is_served_if_it_came_once(recording: Recording) -> None:
    recording.upstream.forget("pool/")
    path = "pool/main/h/hello/hello_1.0_amd64.deb"
    assert recording.read(path) == recording.served[path]
    with pytest.raises(Unreachable, match="upstream no longer has"):
        recording.read("pool/main/d/data/data_1.0_all.deb")


def test_without_network_what_was_recorded_is_served(recording: Recording) -> None:
    recording.fetcher.is_cut_off = True
    assert isinstance(recording.refusal(), Unreachable)


def test_derived_pool_indexes_may_be_removed_at_any_time(recording: Recording) -> None:
    derived = list((recording.context.paths.cache / "pool").iterdir())
    assert derived
    for file in derived:
        file.unlink()
    recording.fetcher.is_cut_off = True
    recording.assert_unchanged()


@pytest.mark.parametrize("by_hash", [True, False])
def test_a_move_of_upstream_during_the_record_ends_in_the_newer_state(recording: Recording, *, by_hash: bool) -> None:
    upstream = recording.upstream
    upstream.by_hash = by_hash
    upstream.forget("/by-hash/")
    upstream.publish(DATE + DAY)

    def move(url: str) -> None:
        if "/binary-amd64/" in url and recording.fetcher.before:
            recording.fetcher.before = None
            upstream.add(make_deb("hello", "3.0"), make_deb("more", "1.0"))
            upstream.publish(DATE + 2 * DAY)

    recording.fetcher.before = move
    recorded = recording.again()
    assert recorded.row.serial == "2024011101"
    versions = lzma.decompress(recording.read(f"dists/stable/{PACKAGES}.xz"))
    # With by-hash the state of the first InRelease is still complete; without, only the newer one is.
    assert (b"Version: 2.0" in versions, b"Version: 3.0" in versions) == (by_hash, not by_hash)
    assert len(recording.context.events()) == 2


def test_an_upstream_without_by_hash_directories_that_promises_them_is_recorded(recording: Recording) -> None:
    recording.upstream.forget("/by-hash/")
    assert recording.again().is_new


def test_a_release_without_all_keeps_no_index_of_it(recording: Recording) -> None:
    stale = recording.upstream.files["dists/stable/main/binary-all/Packages.xz"]
    recording.upstream.has_all = False
    recording.upstream.publish(DATE + DAY)
    assert recording.upstream.files["dists/stable/main/binary-all/Packages.xz"] == stale
    row = recording.again().row
    suite = parse_snapshot(recording.context.objects.read(row.digest)).suites["stable"]
    assert "main/binary-all/Packages.xz" not in [index.path for index in suite.indexes]
    assert b"Package: data" in lzma.decompress(recording.read(f"dists/stable/{PACKAGES}.xz"))


def test_an_upstream_with_gzip_only_is_recorded(recording: Recording) -> None:
    recording.upstream.endings = (".gz",)
    recording.upstream.publish(DATE + DAY)
    recording.again()
    assert b"Version: 2.0" in gzip.decompress(recording.read(f"dists/stable/{PACKAGES}.gz"))


def test_one_bad_suite_of_several_records_none(tmp_path: Path) -> None:
    upstream = Upstream(suites=("stable", "updates"))
    upstream.publish(DATE)
    upstream.edit("dists/updates/InRelease", lambda text: text.replace(b"Debian", b"Denian", 1))
    context = make_context(tmp_path, upstream)
    with pytest.raises(Refused, match="InRelease of debian/updates has no valid signature"):
        record(record_request(suites=("stable", "updates")), context, tmp_path / "pool")
    assert context.events() == []
    upstream.publish(DATE, only="updates")
    recorded = record(record_request(suites=("stable", "updates")), context, tmp_path / "pool")
    assert list(parse_snapshot(context.objects.read(recorded.row.digest)).suites) == ["stable", "updates"]


def test_a_cancelled_record_changes_nothing_and_what_had_arrived_is_not_fetched_again(recording: Recording) -> None:
    def stop() -> None:
        raise Interrupted("cancelled", hint="distwright job retry 1")

    recording.context.cancel_when = stop
    assert isinstance(recording.refusal(), Interrupted)
    recording.context.cancel_when = None
    recording.fetcher.asked.clear()
    assert recording.again().is_new
    assert recording.fetcher.asked == [f"{MIRROR}/dists/stable/InRelease"]


def test_a_keyring_that_has_lost_the_key_refuses_what_it_accepted_before(recording: Recording) -> None:
    lost = replace(record_request(), keyring=Keyring(signer("somebody").certificate(), "the new keyring"))
    assert "by a key of the new keyring" in recording.refusal(lost).message


def test_of_two_keys_in_the_keyring_one_signature_is_enough(recording: Recording) -> None:
    both = signer("somebody").certificate() + signer("upstream").certificate()
    assert recording.again(replace(record_request(), keyring=Keyring(both, "two keys"))).is_new


def test_an_index_that_was_lost_here_comes_back_with_the_next_record_under_the_same_serial(
    recording: Recording,
) -> None:
    row = recording.again().row
    lost = parse_snapshot(recording.context.objects.read(row.digest)).suites["stable"].indexes[0]
    (recording.context.paths.objects / "sha256" / lost.sha256[:2] / lost.sha256[2:]).unlink()
    with pytest.raises(NotFound, match=f"object {lost.sha256} is not here"):
        recording.read(f"dists/stable/{lost.path}")
    again = recording.again()
    assert (again.row, again.is_new) == (row, False)
    path = f"dists/stable/{lost.path}"
    assert recording.read(path) == recording.upstream.files[path]


def test_a_record_that_another_one_overtook_does_not_take_the_archive_back(recording: Recording) -> None:
    """Ours reads version 2; before it ends, another worker has recorded version 3."""

    def overtake(url: str) -> None:
        if url.endswith("/InRelease") or not recording.fetcher.before:
            return
        recording.fetcher.before = None
        recording.upstream.add(make_deb("hello", "3.0"))
        recording.upstream.publish(DATE + 2 * DAY)
        assert recording.again().row.serial == "2024011101"

    recording.fetcher.before = overtake
    with pytest.raises(Busy, match="archive debian was recorded by somebody else meanwhile"):
        recording.again()
    with recording.context.database.read() as tx:
        assert [row.serial for row in list_snapshots(tx)] == ["2024011101", "2024011001"]
    assert b"Version: 3.0" in lzma.decompress(recording.read(f"dists/stable/{PACKAGES}.xz"))
    assert recording.again().row.serial == "2024011101"


def test_killed_anywhere_a_record_leaves_the_previous_serial_and_goes_on(tmp_path: Path) -> None:
    outcomes = set()
    for number in (*range(1, 60, 7), NEVER):
        again = recording_in(tmp_path / str(number))

        def record_in_a_child(again: Recording = again) -> Recorded:
            context = replace(again.context, database=again.context.database.reopen())
            return record(record_request(), context, context.paths.cache / "pool")

        killed = run_killed_at(number, record_in_a_child) is None
        outcomes.add(killed)
        with again.context.database.read() as tx:
            is_recorded = len(list_snapshots(tx)) == 2
        if killed and not is_recorded:  # else it was killed between rows and trace, which the next one writes
            again.assert_unchanged()
        assert again.again().row.serial == "2024011101"
        assert (again.context.paths.public / "debian/project/trace/debian").read_text().endswith("Serial: 2024011101\n")
        assert len(again.context.events()) == 2
        assert again.read("pool/main/h/hello/hello_2.0_amd64.deb") == make_deb("hello", "2.0").content
    assert outcomes == {True, False}
