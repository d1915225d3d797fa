"""Records that bring pool files, from a real server: complete or nothing, cut off at any place, and no request too many."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.unit.archive.requests import record_request
from tests.worlds.archive import DATE, DAY, Upstream, make_deb, make_source
from tests.worlds.installation import WorldContext, make_context
from tests.worlds.killing import NEVER, run_killed_at
from tests.worlds.mirror import Mirror, Request, answer, one_after_the_other, serving_upstream

from distwright.archive.chosen import parse_chosen
from distwright.archive.judging import RecordRequest
from distwright.archive.record import Recorded, record
from distwright.archive.snapshots import PoolChoice, SnapshotDocument, parse_snapshot
from distwright.errors import Interrupted, NotFound, Refused
from distwright.model.digests import Sha256
from distwright.net.fetch import NetFetcher
from distwright.store.archives import list_snapshots
from distwright.store.holds import holds_of
from distwright.store.objects import FileObjects

HELLO = make_deb("hello", "1.0", depends="libhello (>= 1)", fields={"Recommends": "extra", "Built-Using": "glue (= 3)"})
LIBRARY = make_deb("libhello", "1.0", source="libhello (1.0)")
OTHERS = (make_deb("extra"), make_deb("other"), make_deb("data", architecture="all"))
SOURCES = (make_source("hello"), make_source("libhello"), make_source("glue", "3"), make_source("other"))
LISTED = PoolChoice(("hello",))
FULL = PoolChoice()


@dataclass
class Recording:
    """An installation and its mirror, which really is one."""

    upstream: Upstream
    context: WorldContext
    mirror: Mirror

    def request(self, pool: PoolChoice | None = LISTED) -> RecordRequest:
        return replace(record_request(f"{self.mirror.url}/debian"), pool=pool)

    def record(self, pool: PoolChoice | None = LISTED) -> Recorded:
        return record(self.request(pool), self.context, self.context.paths.cache / "pool")

    def document(self, recorded: Recorded) -> SnapshotDocument:
        return parse_snapshot(self.context.objects.read(recorded.row.digest))

    def chosen(self, recorded: Recorded) -> list[str]:
        """Name the files that a listed record brought; each must be here."""
        pool = self.document(recorded).pool
        assert pool is not None
        assert pool.files is not None
        files = parse_chosen(self.context.objects.read(pool.files))
        assert all(self.context.objects.is_intact(file.sha256) for file in files)
        return [file.path.rpartition("/")[2] for file in files]

    def asked(self) -> list[str]:
        asked = [path.removeprefix("/debian/") for path, _ in self.mirror.asked]
        self.mirror.asked.clear()
        return asked

    def serials(self) -> list[str]:
        with self.context.database.read() as tx:
            return [row.serial for row in list_snapshots(tx)]


def small_upstream(*, by_hash: bool = True) -> Upstream:
    upstream = Upstream(by_hash=by_hash)
    upstream.add(HELLO, LIBRARY, *OTHERS, *SOURCES)
    upstream.publish(DATE)
    return upstream


@pytest.fixture
def recording(tmp_path: Path) -> Iterator[Recording]:
    upstream = small_upstream()
    with serving_upstream(upstream) as mirror:
        yield recording_in(tmp_path, upstream, mirror)


def recording_in(folder: Path, upstream: Upstream, mirror: Mirror) -> Recording:
    context = make_context(folder, upstream)
    context.fetcher = NetFetcher(agent="test", retry_delay_s=0)
    return Recording(upstream, context, mirror)


def test_a_listed_record_brings_the_packages_with_what_they_need_and_no_more(recording: Recording) -> None:
    first = recording.record()
    assert recording.chosen(first) == ["hello_1.0_amd64.deb", "libhello_1.0_amd64.deb"]
    pool = [path for path in recording.asked() if path.startswith("pool/")]
    assert sorted(pool) == [HELLO.pool_path(), LIBRARY.pool_path()]
    document = recording.document(first)
    assert document.pool is not None
    with recording.context.database.read() as tx:
        held = {hold.target for hold in holds_of(tx, "snapshot debian/2024011001")}
    assert held == {first.row.digest}  # which names the list, which names the files
    assert str(document.pool.files).encode() in recording.context.objects.read(first.row.digest)


def test_recommends_and_sources_come_if_they_are_wanted(recording: Recording) -> None:
    recommended = recording.record(replace(LISTED, has_recommends=True))
    assert recording.chosen(recommended) == ["extra_1.0_amd64.deb", "hello_1.0_amd64.deb", "libhello_1.0_amd64.deb"]
    with_sources = recording.record(replace(LISTED, has_sources=True))
    assert with_sources.is_new
    assert recording.chosen(with_sources) == [
        "glue_3.dsc", "glue_3.tar.gz", "hello_1.0.dsc", "hello_1.0.tar.gz", "hello_1.0_amd64.deb", "libhello_1.0.dsc",
        "libhello_1.0.tar.gz", "libhello_1.0_amd64.deb",
    ]  # fmt: skip


def test_packages_that_exclude_each_other_each_bring_their_own(recording: Recording) -> None:
    recording.upstream.add(
        make_deb("postman", depends="libhello", fields={"Conflicts": "courier"}), make_deb("courier", depends="extra")
    )
    recording.upstream.publish(DATE + DAY)
    recorded = recording.record(PoolChoice(("courier", "postman")))
    assert recording.chosen(recorded) == [
        "courier_1.0_amd64.deb", "extra_1.0_amd64.deb", "libhello_1.0_amd64.deb", "postman_1.0_amd64.deb",
    ]  # fmt: skip


def test_packages_that_are_not_there_or_lack_something_are_refused_by_name(recording: Recording) -> None:
    with pytest.raises(Refused, match=r"these packages are in none of amd64:\n.*nobody"):
        recording.record(PoolChoice(("hello", "nobody")))
    recording.upstream.add(make_deb("broken", depends="nothing"))
    recording.upstream.publish(DATE + DAY)
    with pytest.raises(Refused, match="broken cannot be installed on amd64: apt-get failed"):
        recording.record(PoolChoice(("broken", "hello")))
    assert recording.serials() == []


def test_a_full_record_brings_every_file_once(recording: Recording) -> None:
    first = recording.record(FULL)
    files = {path for path in recording.upstream.files if path.startswith("pool/")}
    asked = recording.asked()
    assert sorted(path for path in asked if path.startswith("pool/")) == sorted(files)
    assert recording.document(first).pool is not None
    recording.upstream.add(make_deb("new"))
    recording.upstream.publish(DATE + DAY)
    assert recording.record(FULL).is_new
    assert [path for path in recording.asked() if path.startswith("pool/")] == [make_deb("new").pool_path()]


@pytest.mark.parametrize("validators", [("ETag",), ("Last-Modified",), ()])
def test_an_unchanged_upstream_costs_one_request_and_no_index_is_read(
    recording: Recording, validators: tuple[str, ...]
) -> None:
    recording.mirror.answers.validators = validators  # type: ignore[attr-defined]
    first = recording.record()
    indexes = {index.sha256 for suite in recording.document(first).suites.values() for index in suite.indexes}
    recording.asked()
    read: list[Sha256] = []

    class Watched(FileObjects):
        def open(self, digest: Sha256):  # type: ignore[no-untyped-def]
            read.append(digest)
            return super().open(digest)

    recording.context.objects = Watched(recording.context.paths.objects)
    began = time.process_time()
    again = recording.record()
    assert time.process_time() - began < 0.3
    assert (again.row, again.is_new) == (first.row, False)
    [(path, headers)] = recording.mirror.asked
    assert path == "/debian/dists/stable/InRelease"
    assert ("If-None-Match" in headers) == ("ETag" in validators)
    assert ("If-Modified-Since" in headers) == ("Last-Modified" in validators)
    assert not indexes & set(read)


def test_what_a_server_said_is_not_believed_of_another_inrelease(recording: Recording) -> None:
    """The cache belongs to nobody: removed, or of another time, it costs a whole InRelease and nothing else."""
    first = recording.record(None)
    for file in (recording.context.paths.cache / "validators").iterdir():
        file.write_text("{}")
    recording.asked()
    assert recording.record(None).row == first.row
    assert ["If-None-Match" in headers for _, headers in recording.mirror.asked] == [False]


def test_a_wrong_or_shortened_file_is_never_kept_and_the_record_does_not_happen(recording: Recording) -> None:
    right = answer(200, LIBRARY.content)
    path = f"/debian/{LIBRARY.pool_path()}"
    for wrong in (LIBRARY.content[:-1] + b"!", LIBRARY.content[:-1], LIBRARY.content + b"!"):
        recording.mirror.answers[path] = answer(200, wrong)
        with pytest.raises(Refused, match="signed"):
            recording.record()
        assert recording.serials() == []
        assert not recording.context.objects.has(LIBRARY.sha256)
    recording.mirror.answers[path] = answer(404)
    recording.asked()
    with pytest.raises(NotFound, match="libhello"):
        recording.record()
    assert recording.asked() == [
        "dists/stable/InRelease",
        LIBRARY.pool_path(),
        "dists/stable/InRelease",
    ]  # it did not move
    recording.mirror.answers[path] = right
    assert recording.record().is_new
    assert [path for path in recording.asked() if path.startswith("pool/")] == [
        LIBRARY.pool_path()
    ]  # the rest was here


@pytest.mark.parametrize("by_hash", [True, False])
def test_upstream_that_moves_meanwhile_is_begun_again_and_what_arrived_stays(tmp_path: Path, *, by_hash: bool) -> None:
    upstream = small_upstream(by_hash=by_hash)
    newer = make_deb("libhello", "2.0")
    with serving_upstream(upstream) as mirror:
        recording = recording_in(tmp_path, upstream, mirror)

        def move(request: Request) -> None:
            upstream.add(newer)
            upstream.publish(DATE + DAY)
            upstream.forget(LIBRARY.pool_path())
            answer(404)(request)

        mirror.answers[f"/debian/{LIBRARY.pool_path()}"] = one_after_the_other(move, answer(404))
        recorded = recording.record()
        assert recording.chosen(recorded) == ["hello_1.0_amd64.deb", "libhello_2.0_amd64.deb"]
        asked = recording.asked()
    assert asked.count("dists/stable/InRelease") == 2
    assert asked.count(HELLO.pool_path()) == 1
    assert recording.serials() == ["2024011001"]


def test_a_cancelled_record_keeps_what_arrived(recording: Recording) -> None:
    stopped = []

    def stop() -> None:
        if any("/pool/" in path for path, _ in recording.mirror.asked):
            stopped.append(True)
            raise Interrupted("cancelled", hint="distwright job retry 1")

    recording.context.cancel_when = stop
    with pytest.raises(Interrupted):
        recording.record(FULL)
    assert stopped
    assert recording.serials() == []
    before = len([path for path in recording.asked() if path.startswith("pool/")])
    recording.context.cancel_when = None
    assert recording.record(FULL).is_new
    after = len([path for path in recording.asked() if path.startswith("pool/")])
    assert before + after == len([path for path in recording.upstream.files if path.startswith("pool/")])


def test_killed_anywhere_a_listed_record_goes_on_where_it_was(tmp_path: Path) -> None:
    upstream = small_upstream()
    outcomes = set()
    with serving_upstream(upstream) as mirror:
        for number in (*range(1, 90, 11), NEVER):
            recording = recording_in(tmp_path / str(number), upstream, mirror)

            def record_in_a_child(recording: Recording = recording) -> Recorded:
                context = replace(
                    recording.context,
                    database=recording.context.database.reopen(),
                    fetcher=NetFetcher(agent="test", retry_delay_s=0),
                )
                return record(recording.request(), context, context.paths.cache / "pool")

            outcomes.add(run_killed_at(number, record_in_a_child) is None)
            recorded = recording.record()
            assert recording.chosen(recorded) == ["hello_1.0_amd64.deb", "libhello_1.0_amd64.deb"]
            assert recording.serials() == ["2024011001"]
    assert outcomes == {True, False}
