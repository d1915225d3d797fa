"""Rows of checks on each database: trials, findings and inquiries come back as they were kept."""

from dataclasses import replace

from tests.worlds.state import OpenAgain, count_order, placed
from tests.worlds.times import DAY, NOW

from distwright.model.digests import sha256_of
from distwright.model.outcomes import Outcome
from distwright.model.records import FindingState, InquiryState, KnownFinding, Snapshot, Trial
from distwright.model.serials import Serial
from distwright.store.archives import find_snapshots_by_digests, insert_snapshot
from distwright.store.findings import find_finding, list_findings, mark_fixed, set_finding
from distwright.store.inquiries import end_inquiry, find_inquiry, insert_inquiry, list_inquiries, move_inquiry
from distwright.store.jobs import claim, finish_queued
from distwright.store.tallies import count_done
from distwright.store.trials import find_trial, last_seconds, list_trials, set_trial

STATE, ORDER, OTHER = (sha256_of(word) for word in (b"state", b"order", b"other"))
TRIAL = Trial(
    1, "builds", "greeter", "1.0", "a" * 40, {"debian/stable": STATE}, ORDER, 7, Outcome.FAILED, "zażółć: no", 40, NOW
)
FINDING = KnownFinding(
    1, "fails-to-build", "greeter", "build/devel", FindingState.NEW, "", NOW, NOW, None, None, {"since": {"debian": "1"}, "n": [1]}
)  # fmt: skip


def test_a_trial_comes_back_and_a_later_answer_to_its_order_takes_its_place(open_again: OpenAgain) -> None:
    database = open_again()
    with database.write() as tx:
        set_trial(tx, TRIAL)
        set_trial(tx, replace(TRIAL, order=OTHER, subject="other"))
    with database.read() as tx:
        assert find_trial(tx, ORDER) == TRIAL
        assert find_trial(tx, STATE) is None
    later = replace(TRIAL, outcome=Outcome.OK, message="", at=NOW + DAY)
    with database.write() as tx:
        set_trial(tx, later)
    with open_again().read() as tx:
        [found] = list_trials(tx, "builds", "greeter")
        assert replace(found, id=1) == later
        assert [row.subject for row in list_trials(tx, "builds")] == ["greeter", "other"], "the newest first"
        assert [row.subject for row in list_trials(tx, "builds", limit=1)] == ["greeter"]
        assert list_trials(tx, "other question") == []


def test_how_long_a_package_takes_is_what_its_newest_good_build_took(open_again: OpenAgain) -> None:
    database = open_again()
    with database.write() as tx:
        for number, (outcome, took) in enumerate(
            [(Outcome.OK, 100), (Outcome.OK, 90), (Outcome.FAILED, 3), (Outcome.OK, 0)]
        ):
            order = sha256_of(b"%d" % number)
            set_trial(tx, replace(TRIAL, order=order, outcome=outcome, took_s=took))
    with database.read() as tx:
        assert last_seconds(tx, "builds", ["greeter", "never"]) == {"greeter": 90}, "what was known took no time"
        assert last_seconds(tx, "builds", []) == {}


def test_a_finding_is_once_by_kind_subject_and_key(open_again: OpenAgain) -> None:
    database = open_again()
    with database.write() as tx:
        set_finding(tx, FINDING)
        set_finding(tx, replace(FINDING, key="other/devel"))
    again = replace(FINDING, last_seen=NOW + DAY, evidence={}, owner="ada", expires=NOW + 2 * DAY)
    with database.write() as tx:
        set_finding(tx, again)
    with open_again().read() as tx:
        assert find_finding(tx, "fails-to-build", "greeter", "build/devel") == again
        assert [row.key for row in list_findings(tx)] == ["build/devel", "other/devel"]
        assert list_findings(tx, kind="else") == list_findings(tx, subject="else") == []


def test_a_finding_is_fixed_once_and_then_listed_only_if_wanted(open_again: OpenAgain) -> None:
    database = open_again()
    with database.write() as tx:
        set_finding(tx, FINDING)
        assert mark_fixed(tx, FINDING.kind, FINDING.subject, FINDING.key, NOW + DAY)
        assert not mark_fixed(tx, FINDING.kind, FINDING.subject, FINDING.key, NOW + 2 * DAY)
        assert not mark_fixed(tx, FINDING.kind, FINDING.subject, "else", NOW)
    with database.read() as tx:
        assert list_findings(tx) == []
        [found] = list_findings(tx, fixed=True)
        assert (found.state, found.fixed_at) == (FindingState.FIXED, NOW + DAY)


def test_an_inquiry_is_open_until_it_ends_once(open_again: OpenAgain) -> None:
    database = open_again()
    with database.write() as tx:
        first = insert_inquiry(tx, "sweep", "debian/1", {"serials": {}}, "user ada", NOW)
        second = insert_inquiry(tx, "culprit", "greeter", {}, "", NOW)
    with database.read() as tx:
        opened = find_inquiry(tx, first)
        assert opened is not None
        assert (opened.state, opened.progress, opened.answer, opened.ended_at) == (InquiryState.OPEN, {}, None, None)
        assert opened.seen_event < 0
        assert [row.id for row in list_inquiries(tx)] == [second, first]
        assert [row.id for row in list_inquiries(tx, kind="sweep", limit=None)] == [first]
    with database.write() as tx:
        assert move_inquiry(tx, first, seen_event=5, progress={"told": ["ó"]})
    with database.read() as tx:
        assert find_inquiry(tx, first) == replace(opened, seen_event=5, progress={"told": ["ó"]})
    with database.write() as tx:
        assert end_inquiry(tx, first, InquiryState.DONE, {"text": "all"}, NOW + DAY)
        assert not end_inquiry(tx, first, InquiryState.STOPPED, {}, NOW + DAY)
        assert not move_inquiry(tx, first, seen_event=6, progress={})
    with open_again().read() as tx:
        over = find_inquiry(tx, first)
        assert over == replace(
            opened,
            seen_event=5,
            progress={"told": ["ó"]},
            state=InquiryState.DONE,
            answer={"text": "all"},
            ended_at=NOW + DAY,
        )
        assert [row.id for row in list_inquiries(tx, only_open=True)] == [second]
        assert find_inquiry(tx, 99) is None


def test_jobs_that_are_done_are_counted(open_again: OpenAgain) -> None:
    database = open_again()
    jobs = [placed(database, count_order(number)) for number in range(4)]
    with database.write() as tx:
        claim(tx, ["local"], "somebody", NOW, NOW + DAY)
        for job in jobs[1:3]:
            finish_queued(tx, job.id, Outcome.CANCELLED, "", NOW)
    with database.read() as tx:
        assert count_done(tx, [job.id for job in jobs]) == 2
        assert count_done(tx, [jobs[2].id, 99]) == 1
        assert count_done(tx, []) == 0


def test_snapshots_are_found_by_their_documents_among_many_other_digests(open_again: OpenAgain) -> None:
    row = Snapshot("debian", Serial("2024011001"), STATE, NOW, None, "")
    again = replace(row, serial=Serial("2024011101"))
    with open_again().write() as tx:
        for one in (
            again,
            row,
            replace(row, archive="security"),
            replace(row, serial=Serial("2024011201"), digest=OTHER),
        ):
            insert_snapshot(tx, one)
    many = [sha256_of(b"%d" % number) for number in range(1200)]
    with open_again().read() as tx:
        found = find_snapshots_by_digests(tx, [*many[:600], STATE, *many[600:], STATE])
        assert sorted(found, key=str) == sorted([again, replace(row, archive="security")], key=str), (
            "the newest of each archive"
        )
        assert find_snapshots_by_digests(tx, []) == []
