"""What is needed is signed anew before it ends; what nothing can renew is told a month before, once."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from tests.unit.archive.requests import record_request
from tests.worlds.archive import DATE, DAY, MIRROR, NOW, Upstream, UpstreamFetcher, signer
from tests.worlds.installation import WorldContext, make_context
from tests.worlds.keys import PASSPHRASE, gpg_certificate, gpg_home, gpg_key
from tests.worlds.recorded import RecordedArchive, recorded_archive
from tests.worlds.repos import commit
from tests.worlds.suite import OwnSuite, own_suite

from distwright.archive.endings import Ending, Served, Sight, judge_snapshot, look_ahead, served_states
from distwright.archive.kinds import RENEW
from distwright.archive.own_snapshots import publish_snapshot, take_snapshot
from distwright.archive.pinning import hold_pins
from distwright.archive.pins import pin_path
from distwright.archive.record import record
from distwright.archive.renewing import PUBLIC, renew_due, tell_endings
from distwright.archive.resolve import publish_request
from distwright.archive.suites import publish_suite
from distwright.errors import NotFound, Refused, Unreachable
from distwright.jobs.order import JobOrder
from distwright.jobs.step import Action
from distwright.model.digests import sha256_of
from distwright.model.events import EventKind
from distwright.model.records import Publication, Snapshot
from distwright.model.serials import Serial
from distwright.signing.gpg import GpgSigner
from distwright.signing.verify import Keyring
from distwright.site.renewals import Renewals
from distwright.store.archives import find_snapshot, list_publications
from distwright.store.holds import add_holds, serial_hold
from distwright.store.objects import FileObjects

HOLD = serial_hold("ref live refs/heads/stable", "debian", "2024011001", "pinned")


@pytest.fixture
def archive(tmp_path: Path) -> RecordedArchive:
    """Upstream signs for a week; its first record is pinned by a branch, and two days later there is another."""
    upstream = Upstream(valid_days=7)
    upstream.publish(DATE)
    archive = recorded_archive(tmp_path / "state", upstream)
    serial = archive.record().row.serial
    commit(archive.context.paths, "live", {pin_path("debian"): f"{serial}\n"}, branch="stable")
    upstream.publish(DATE + 2 * DAY)
    archive.context.clock = DATE + 2 * DAY
    archive.record()
    return archive


def sight(context: WorldContext, *, keyring: bytes | None = None) -> Sight:
    def certificate(*credentials: str) -> bytes:
        return signer(credentials[0]).certificate()

    content = signer("upstream").certificate() if keyring is None else keyring
    return Sight(context.config, context.database, context.objects, certificate, lambda _path: content)


def without_key(context: WorldContext) -> None:
    table = context.config.archives["debian"].model_copy(update={"key": None})
    context.config = replace(context.config, archives={**context.config.archives, "debian": table})


def ends(context: WorldContext, serial: str) -> datetime | None:
    with context.database.read() as tx:
        row = find_snapshot(tx, "debian", serial)
    assert row is not None
    return row.valid_until


def told(endings: Sequence[Ending]) -> list[tuple[str, str, bool]]:
    return [(ending.subject, ending.what, ending.is_past) for ending in endings]


def test_a_pinned_serial_is_prolonged_by_itself_and_nothing_is_told(archive: RecordedArchive) -> None:
    context = archive.context
    assert (renew_due(context), look_ahead(sight(context), context.clock)) == ([], [])
    context.clock = DATE + 6.5 * DAY
    assert renew_due(context) == ["debian 2024011001"]
    assert ends(context, "2024011001") == context.clock + 30 * DAY
    assert (renew_due(context), look_ahead(sight(context), context.clock)) == ([], [])


@pytest.mark.parametrize("days", [4.7, 6, 7.5])
def test_a_pinned_serial_is_prolonged_when_a_third_of_its_time_is_left_though_upstream_is_dead(
    archive: RecordedArchive, days: float
) -> None:
    """Recorded weekly, or while the mirror is down, it must not end."""
    context = archive.context
    hold_pins(context)
    archive.cut_off()
    context.clock = DATE + 4.6 * DAY
    with pytest.raises(Unreachable):
        archive.record()
    assert ends(context, "2024011001") == DATE + 7 * DAY
    context.clock = DATE + days * DAY
    with pytest.raises(Unreachable):
        archive.record()
    assert ends(context, "2024011001") == context.clock + 30 * DAY
    renew_due(context)  # the newest, too, once it has ended
    context.clock += 19.9 * DAY
    assert "debian 2024011001" not in renew_due(context)
    context.clock += 0.2 * DAY
    assert "debian 2024011001" in renew_due(context)


def test_a_record_that_fails_says_why_though_nothing_can_be_prolonged_either(archive: RecordedArchive) -> None:
    context = archive.context
    hold_pins(context)
    archive.cut_off()
    context.clock = DATE + 6 * DAY
    with context.database.read() as tx:
        row = find_snapshot(tx, "debian", "2024011001")
    assert row is not None
    context.objects.local_path(row.digest).unlink()
    with pytest.raises(Unreachable):
        archive.record()
    assert any(line.startswith("debian is not prolonged: ") for line in context.lines)


def test_what_should_have_been_prolonged_and_was_not_is_told(archive: RecordedArchive) -> None:
    context = archive.context
    renew_due(context)
    context.clock = DATE + 7.5 * DAY
    expected = ("snapshot debian/2024011001", "ended on 2024-01-17 12:00 (needed by ref live refs/heads/stable)", True)
    [ending] = look_ahead(sight(context), context.clock)
    assert told([ending]) == [expected]
    assert ending.hint == "distwright archive record debian"


def test_a_pinned_serial_that_nobody_can_prolong_is_told_a_month_before(archive: RecordedArchive) -> None:
    context = archive.context
    without_key(context)
    assert renew_due(context) == []
    [ending] = look_ahead(sight(context), context.clock)
    what = "ends on 2024-01-17 12:00 (needed by ref live refs/heads/stable)"
    assert told([ending]) == [("snapshot debian/2024011001", what, False)]
    assert ending.hint == "set key in [archive.debian], then: distwright archive record debian"
    context.clock = DATE + 10 * DAY
    assert [ending.is_past for ending in look_ahead(sight(context), context.clock)] == [True, True]


@pytest.mark.parametrize(
    ("days", "is_held", "is_newest", "has_key", "what"),
    [
        (40, True, False, False, ""),
        (30, True, False, False, "ends on 2024-02-09 15:00 (needed by ref live refs/heads/stable)"),
        (30, True, False, True, ""),
        (1, False, False, False, ""),
        (1, False, True, False, ""),
        (-1, False, False, False, ""),
        (-1, False, True, True, "ended on 2024-01-09 15:00 (the newest, which clients follow)"),
        (-1, True, True, True, "ended on 2024-01-09 15:00 (needed by ref live refs/heads/stable)"),
        (None, True, True, False, ""),
    ],
)
def test_only_what_is_needed_and_does_not_renew_itself_is_told(
    days: int | None, *, is_held: bool, is_newest: bool, has_key: bool, what: str
) -> None:
    end = None if days is None else NOW + days * DAY
    row = Snapshot("debian", Serial("2024011001"), sha256_of(b""), DATE, end, "")
    assert judge_snapshot(row, [HOLD] if is_held else [], NOW, is_newest=is_newest, has_key=has_key) == what


def test_a_served_state_is_due_at_half_of_its_time_and_late_at_three_quarters() -> None:
    row = Publication(1, "petrel", "devel", sha256_of(b""), sha256_of(b""), "live", NOW)
    for days, due, late in ((8, 4, 6), (400, 200, 369)):
        served = Served(row, NOW + days * DAY, days)
        minute = timedelta(minutes=1)
        for moment, is_due, is_late in ((due * DAY, False, False), (due * DAY + minute, True, False),
                                        (late * DAY, True, False), (late * DAY + minute, True, True)):  # fmt: skip
            assert (served.is_due(NOW + moment), served.is_late(NOW + moment)) == (is_due, is_late), (days, moment)


@pytest.fixture
def suite(tmp_path: Path) -> OwnSuite:
    """Served, for ten days."""
    suite = own_suite(tmp_path)
    table = suite.context.config.suites["devel"].model_copy(update={"valid_days": 10})
    suite.context.config = replace(suite.context.config, suites={"devel": table})
    suite.version("1.0")
    publish_suite(suite.context, publish_request(suite.context.config, suite.state()))
    return suite


def test_a_served_suite_is_signed_anew_as_it_is_served_before_its_end(suite: OwnSuite) -> None:
    context = suite.context
    served = suite.state().revision
    suite.version("2.0")  # not published: that is not for a renewal to do
    start = context.clock
    assert renew_due(context) == []
    context.clock = start + 5.1 * DAY
    assert renew_due(context) == ["petrel/devel"]
    assert suite.see().packages == ["hello 1.0", "world 1.0"]
    with context.database.read() as tx:
        [live] = list_publications(tx, state="live")
    assert live.revision == served
    [state] = served_states(context.database, context.objects, context.clock)
    assert state.end == context.clock + 10 * DAY
    assert (renew_due(context), look_ahead(sight(context), context.clock)) == ([], [])


def test_a_served_suite_that_was_not_signed_anew_is_told(suite: OwnSuite) -> None:
    context = suite.context
    context.clock += 8 * DAY
    assert told(look_ahead(sight(context), context.clock)) == [
        ("suite petrel/devel", "ends on 2024-01-20 15:00 for clients", False)
    ]
    context.clock += 8 * DAY
    assert [ending.is_past for ending in look_ahead(sight(context), context.clock)] == [True]


def test_a_snapshot_of_ours_is_signed_anew_only_while_somebody_needs_it(suite: OwnSuite) -> None:
    context = suite.context
    rows = [take_snapshot(context, "petrel", []) for _ in range(2)]
    for row in rows:
        publish_snapshot(context, "petrel", row.serial)
    with context.database.write() as tx:
        add_holds(tx, "user ada", [serial_hold("user ada", "petrel", rows[0].serial, "a fair")], context.clock)
    context.clock += 6 * DAY
    assert renew_due(context) == ["petrel/devel", f"petrel/devel@{rows[0].serial}"]
    context.clock += 9 * DAY
    assert [ending.subject for ending in look_ahead(sight(context), context.clock)] == [
        "suite petrel/devel",
        f"suite petrel/devel@{rows[0].serial}",
    ]


def renewals(context: WorldContext) -> tuple[Renewals, list[JobOrder]]:
    placed: list[JobOrder] = []
    objects = context.objects
    assert isinstance(objects, FileObjects)
    return Renewals(context.database, objects, lambda order, _commit: placed.append(order), context.log), placed


def perform(context: WorldContext, order: JobOrder) -> str:
    assert order.kind == RENEW.kind
    [step] = RENEW.steps
    assert isinstance(step, Action)
    return RENEW.conclude(order.inputs, {"renew": step.perform(context, order.inputs, {})}, context.clock, 1).message


def test_a_worker_orders_that_what_is_due_is_signed_anew_without_any_upstream(suite: OwnSuite) -> None:
    context = suite.context
    looking, placed = renewals(context)
    looking.order_due(context.config, "", context.clock)
    assert placed == []
    context.clock += 6 * DAY
    for minutes in (0, 5, 10):
        looking.order_due(context.config, "", context.clock + timedelta(minutes=minutes))
    assert [order.inputs for order in placed] == [{"due": ["petrel/devel"], "day": "2024-01-16"}] * 2  # one job
    assert perform(context, placed[0]) == "signed anew: petrel/devel"
    assert perform(context, placed[1]) == "signed anew: nothing was left to do"
    looking.order_due(context.config, "", context.clock + timedelta(hours=1))
    assert len(placed) == 2


def test_a_worker_prolongs_a_pinned_serial_whose_archive_is_not_recorded_any_more(archive: RecordedArchive) -> None:
    context = archive.context
    hold_pins(context)
    looking, placed = renewals(context)
    context.clock = DATE + 6 * DAY
    looking.order_due(context.config, "", context.clock)
    assert [perform(context, order) for order in placed] == ["signed anew: debian 2024011001"]


def test_a_document_that_is_lost_stops_no_worker(suite: OwnSuite) -> None:
    context = suite.context
    with context.database.read() as tx:
        [live] = list_publications(tx, state="live")
    context.objects.local_path(live.tree).unlink()
    looking, placed = renewals(context)
    looking.order_due(context.config, "", context.clock)
    assert placed == []
    [line] = context.lines
    assert line.startswith("cannot see what ends soon: ")


def test_a_job_that_cannot_sign_fails_and_is_ordered_again_the_next_day(suite: OwnSuite) -> None:
    context = suite.context
    context.config = replace(context.config, suites={})
    context.clock += 6 * DAY
    looking, placed = renewals(context)
    looking.order_due(context.config, "", context.clock)
    with pytest.raises(Refused, match="not signed anew: petrel/devel"):
        perform(context, placed[0])
    looking.order_due(context.config, "", context.clock + DAY)
    assert placed[0].digest != placed[1].digest


def test_one_archive_that_cannot_be_renewed_does_not_stop_the_others(suite: OwnSuite) -> None:
    context = suite.context
    context.config = replace(context.config, suites={})
    context.clock += 6 * DAY
    assert renew_due(context) == []
    [line] = context.lines
    assert line.startswith("petrel/devel is not renewed: suite devel is not configured")


def test_a_key_that_ends_is_told_a_month_before_ours_and_upstreams(archive: RecordedArchive) -> None:
    today = datetime.now(tz=NOW.tzinfo)
    fingerprint = gpg_key("ending-upstream", "ed25519", "20d")
    ending = gpg_certificate(fingerprint)
    context = archive.context

    def certificate(*credentials: str) -> bytes:
        if credentials == ("petrel",):
            return ending
        raise NotFound("no key", hint="distwright archive key petrel --make")

    without_key(context)
    found = look_ahead(replace(sight(context), certificate=certificate), today)
    ours = next(one for one in found if one.subject == "credential petrel")
    assert (ours.is_past, ours.hint) == (False, "distwright archive key petrel --check")
    assert "expires on" in ours.what
    assert not [one for one in found if one.subject.startswith("keyring")]


def test_upstream_is_told_of_when_no_key_that_signs_it_is_good_for_long(tmp_path: Path) -> None:
    today = datetime.now(tz=NOW.tzinfo)
    fingerprint = gpg_key("ending-upstream", "ed25519", "20d")
    certificate = gpg_certificate(fingerprint)
    context = make_context(tmp_path, Upstream(key=GpgSigner(fingerprint, gpg_home(), PASSPHRASE)))
    assert isinstance(context.fetcher, UpstreamFetcher)
    context.fetcher.upstreams[MIRROR].publish(DATE)
    request = replace(record_request(), keyring=Keyring(certificate, "theirs"))
    record(request, context, context.paths.cache / "pool")
    found = [
        one for one in look_ahead(sight(context, keyring=certificate), today) if one.subject != "credential petrel"
    ]
    [ending] = found
    assert (ending.subject, ending.is_past) == ("keyring of debian/stable", False)
    assert ending.what.startswith(f"key {fingerprint} expires on ")
    assert ending.hint.endswith("then: distwright archive record debian")


def test_a_warning_is_an_event_once_and_again_when_it_says_something_else(archive: RecordedArchive) -> None:
    context = archive.context
    without_key(context)
    renew_due(context)
    soon = look_ahead(sight(context), context.clock)
    assert tell_endings(context, soon) == soon
    assert tell_endings(context, soon) == []
    context.clock = DATE + 8 * DAY
    past = look_ahead(sight(context), context.clock)
    assert [ending.subject for ending in tell_endings(context, past)] == ["snapshot debian/2024011001"]
    warnings = [event for event in context.events() if event.kind is EventKind.WARNING_RAISED]
    assert [event.body["what"] for event in warnings] == [soon[0].what, past[-1].what]
    assert warnings[0].body["about"] == warnings[0].subject == "snapshot debian/2024011001"


def test_what_is_private_is_signed_anew_by_a_job_of_its_own(suite: OwnSuite) -> None:
    context = suite.context
    looking, placed = renewals(context)
    vault = context.config.archives["petrel"].model_copy(update={"private": True})
    context.clock += 6 * DAY
    public = replace(context.config)
    context.config = replace(context.config, archives={**context.config.archives, "petrel": vault})
    looking.order_due(context.config, "", context.clock)
    [order] = placed
    assert order.inputs == {"due": ["petrel/devel"], "day": "2024-01-16", "archive": "petrel"}
    assert renew_due(context, PUBLIC) == [], "a job about what everybody sees does nothing of it, and names nothing"
    context.config = public
    assert renew_due(context, "another") == []
    assert renew_due(context, PUBLIC) == ["petrel/devel"]
