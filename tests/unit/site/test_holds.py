"""The line from record to boot, on real rows and events: whatever it still needs has a holder, at every moment and at its end."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.habits.samples import EARLIER
from tests.unit.images.test_outcomes import results
from tests.unit.images.test_resolve import FILES, upstreams
from tests.worlds.archive import MIRROR, NOW, MadeUpload, UpstreamFetcher, make_deb, make_source, make_upload, signer
from tests.worlds.installation import CONFIG, WorldContext, make_context
from tests.worlds.repos import changelog, commit

from distwright.archive.resolve import record_order
from distwright.config.load import parse_config
from distwright.errors import NotFound
from distwright.flow.advance import READER, advance
from distwright.flow.view import View
from distwright.jobs.lease import Ending, claim_next, end_attempt
from distwright.jobs.order import JobOrder, place_order
from distwright.jobs.step import Action, StepResult
from distwright.model.digests import Sha256, digests_in
from distwright.model.events import EventKind
from distwright.model.outcomes import JobState, Outcome
from distwright.model.records import Job
from distwright.repos.pushes import take_in_pushes
from distwright.site.applied import apply_config
from distwright.store.events import cursor_of, events_after
from distwright.store.holds import Hold, all_holds
from distwright.store.jobs import list_jobs
from distwright.store.schema import metadata
from distwright.worker.kinds import KINDS

_DIGEST = re.compile(r"\b[0-9a-f]{64}\b")
# Names that are no objects, and what is kept to be read by people only: whoever wants to go back there holds it.
_NO_NEED = {
    ("jobs", "digest"), ("trials", "order_digest"), ("step_results", "key"), ("holds", "holder"), ("jobs", "inputs"),
    ("revisions", "before"), ("revisions", "after"), ("uploads", "signed"),
}  # fmt: skip


class Line:
    """An installation whose jobs are performed one after the other; the programs of pure steps are taken as done."""

    def __init__(self, context: WorldContext) -> None:
        self.context = context
        self.view = View(context.ground(), lambda credential: signer(credential).certificate())

    def run(self) -> None:
        """Take in pushes and events, and perform what follows, until nothing is left."""
        while True:
            take_in_pushes(self.context.database, self.context.paths, ["greeter", "live"], NOW)
            self.check()
            while advance(self.context.database, self.view, NOW, lambda _pool: None):
                self.check()
            job = claim_next(self.context.database, ["local"], "line", NOW)
            if job is None:
                return
            end_attempt(self.context.database, job, self.ending(job), NOW)
            self.check()

    def ending(self, job: Job) -> Ending:
        """Perform the actions of a job, on what its pure steps would have left."""
        self.context.job, self.context.fence = job.id, job.fence
        kind = KINDS[job.kind]
        earlier = {step.name: self.kept(EARLIER.get(step.name, StepResult({}))) for step in kind.steps}
        if job.kind == "package.build":
            changes, files = made_upload().keep(self.context.objects)
            named = {f"file/{name}": digest for name, digest in files.items()}
            earlier["build"] = StepResult({"changes/greeter_1.0.changes": changes, **named})
            earlier["sign"] = StepResult({"changes/greeter_1.0.changes": changes})
        if job.kind == "image.test":
            earlier["scenarios"] = StepResult({"results/results-0.json": self.context.objects.put(results({}))})
        for step in kind.steps:
            if isinstance(step, Action) and step.name != "sign":
                earlier[step.name] = step.perform(self.context, job.inputs, earlier)
        concluded = kind.conclude(job.inputs, earlier, NOW, job.id)
        return Ending(Outcome.OK, concluded.message, concluded.outputs, concluded.events, concluded.heir)

    def kept(self, sample: StepResult) -> StepResult:
        """Make the outputs of a sample real objects."""
        contents = {name: b"" if name in ("installed", "copyrights") else name.encode() for name in sample.outputs}
        return replace(sample, outputs={name: self.context.objects.put(text) for name, text in contents.items()})

    def check(self) -> None:
        """See that nothing that work still needs is without a holder, just now."""
        held = {hold.target for hold in self.holds()}
        with self.context.database.read() as tx:
            work = [job for job in list_jobs(tx) if job.state is not JobState.DONE]
            unread = events_after(tx, cursor_of(tx, READER))
        needed = [("job", job.kind, pair) for job in work for pair in digests_in(job.inputs)]
        needed += [("event", str(e.event.kind), pair) for e in unread for pair in digests_in(e.event.body)]
        assert [need for need in needed if need[2][1] not in held] == []

    def holds(self) -> list[Hold]:
        with self.context.database.read() as tx:
            return all_holds(tx)

    def held(self) -> set[str]:
        """Give every object that is held, and what those name in turn."""
        found: set[str] = set()
        left = [hold.target for hold in self.holds() if hold.kind == "object"]
        while left:
            digest = left.pop()
            if digest not in found:
                found.add(digest)
                left += self.named_in(Sha256(digest))
        return found

    def named_in(self, digest: Sha256) -> list[str]:
        try:
            content = self.context.objects.read(digest)
        except NotFound:
            return []
        return _DIGEST.findall(content.decode()) if content.startswith(b"{") else []

    def rows(self) -> Iterator[tuple[str, str, str]]:
        """Yield table, column and digest, for every one that any row names."""
        with self.context.database.read() as tx:
            for table in metadata.sorted_tables:
                for row in tx.connection.execute(sa.select(table)).mappings():
                    for column, value in row.items():
                        for digest in _DIGEST.findall(_without_history(table.name, str(column), str(value))):
                            yield table.name, str(column), digest


def _without_history(table: str, column: str, value: str) -> str:
    """Leave out which state a suite had before it changed."""
    if (table, column) != ("events", "body"):
        return value
    return json.dumps({key: member for key, member in json.loads(value).items() if key != "before"})


def made_upload() -> MadeUpload:
    return make_upload(make_source("greeter"), make_deb("greeter"), by=signer("builder"))


@pytest.fixture
def line(tmp_path: Path) -> Line:
    context = make_context(tmp_path)
    tested = CONFIG.replace(
        "boot_expect = ", 'rebuild = true\nfeatures = ["features"]\ntesters = "build"\nboot_expect = '
    )
    apply_config(
        {"distwright.toml": tested}, {"keys/upstream.asc": signer("upstream").certificate()}, "1" * 40,
        database=context.database, objects=context.objects, paths=context.paths, now=NOW,
    )  # fmt: skip
    context.config = parse_config([("distwright.toml", tested)])
    context.fetcher = UpstreamFetcher({f"{MIRROR}/{name}": upstream for name, upstream in upstreams().items()})
    return Line(context)


def record_all(line: Line) -> None:
    keyring = line.context.objects.put(signer("upstream").certificate())
    for name in ("debian", "security"):
        order = record_order(
            line.context.config, name, url=f"{MIRROR}/{name}", keyring=keyring, serial=None, requested=NOW
        )
        place(line, order)


def place(line: Line, order: JobOrder) -> None:
    with line.context.database.write() as tx:
        place_order(tx, order, NOW)


def test_everything_that_rows_and_events_of_a_finished_line_name_is_held(line: Line) -> None:
    record_all(line)
    line.run()
    commit(line.context.paths, "greeter", {"debian/changelog": changelog("greeter", "1.0")}, tag="1.0")
    commit(line.context.paths, "live", {**FILES, "features/boot.feature": "Feature: Boot\n"})
    line.run()
    kinds = {event.kind for event in line.context.events()}
    others = {EventKind.UPLOAD_REJECTED, EventKind.JOB_ENDED, EventKind.SNAPSHOT_TAGGED, EventKind.WARNING_RAISED}
    others |= {EventKind.SUITE_RETIRED, EventKind.BUILD_FAILED, EventKind.BUILD_TRIED, EventKind.IMAGE_DROPPED}
    others |= {EventKind.BRANCH_READY, EventKind.BRANCH_STATUS_CHANGED, EventKind.POOL_SCALED}  # these name no object
    assert kinds == set(EventKind) - others, "the whole line"
    held, rows = line.held(), list(line.rows())
    assert len(rows) > 50
    assert [row for row in rows if row[:2] not in _NO_NEED and row[2] not in held] == []


def test_a_finished_line_lets_go_of_what_nobody_needs_any_more(line: Line) -> None:
    """Or no serial could ever be dropped: what holds one is something that a person can drop in turn."""
    record_all(line)
    line.run()
    commit(line.context.paths, "greeter", {"debian/changelog": changelog("greeter", "1.0")}, tag="1.0")
    commit(line.context.paths, "live", {**FILES, "features/boot.feature": "Feature: Boot\n"})
    line.run()
    holders = {hold.holder.partition(" ")[0] for hold in line.holds()}
    assert holders == {
        "config",
        "snapshot",
        "build",
        "upload",
        "suite",
        "publication",
        "image",
        "upgrades",
        "comparison",
        "test",
    }
    serials = {(hold.holder.partition(" ")[0], hold.target) for hold in line.holds() if hold.kind == "serial"}
    assert serials == {
        ("build", "debian/2024011001"), ("image", "debian/2024011001"), ("image", "security/2024011001"),
    }  # fmt: skip
