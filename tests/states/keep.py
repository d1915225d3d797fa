"""Keep a tiny state directory of this version: `python -m tests.states.keep v0.1.0`."""

import sys
import tarfile
import tempfile
from datetime import timedelta
from pathlib import Path

from distwright import __version__
from distwright.archive.own_snapshots import publish_snapshot, take_snapshot
from distwright.archive.record import record
from distwright.archive.resolve import accept_order, publish_request
from distwright.archive.retiring_suite import retire_suite
from distwright.archive.suites import Who, branch_suite, publish_suite
from distwright.archive.uploads import accept_upload
from distwright.checks.findings import see
from distwright.jobs.lease import Ending, claim_next, end_attempt
from distwright.jobs.order import place_order
from distwright.model.digests import sha256_of
from distwright.model.outcomes import Outcome
from distwright.model.records import HostHealth, Trial
from distwright.repos.pushes import take_in_pushes
from distwright.site.applied import apply_config
from distwright.store.database import Transaction
from distwright.store.embargoes import add_private_names
from distwright.store.holds import add_holds, serial_hold
from distwright.store.hosts import keep_token, offer_enrolment, see_host
from distwright.store.inquiries import insert_inquiry
from distwright.store.suites import get_suite
from distwright.store.timetable import serve
from distwright.store.trials import set_trial
from tests.unit.archive.requests import record_request
from tests.worlds.archive import Upstream, make_deb, make_source, make_upload, signer
from tests.worlds.installation import CONFIG, WorldContext, close_worlds, make_context
from tests.worlds.keys import key_file
from tests.worlds.repos import changelog, commit

FOLDER = Path(__file__).parent
PRIVATE = "repo/secret"


def fill(folder: Path) -> WorldContext:
    """Make an installation with a little of everything that lasts."""
    upstream = Upstream()
    upstream.add(make_deb("hello"), make_source("hello"))
    upstream.publish()
    context = make_context(folder, upstream)
    apply_config(
        {"distwright.toml": CONFIG}, {"keys/upstream.asc": signer("upstream").certificate()}, "1" * 40,
        database=context.database, objects=context.objects, paths=context.paths, now=context.clock,
    )  # fmt: skip
    for credential in sorted(
        {archive.key.credential for archive in context.config.archives.values() if archive.kind == "own"}
    ):
        place = context.paths.key(credential)
        place.write_bytes(key_file(credential))  # the one that the world's signer has
        place.chmod(0o600)
    recorded = record(record_request(), context, context.paths.cache / "pool")
    commit(context.paths, "greeter", {"debian/changelog": changelog("greeter", "1.0")}, tag="1.0")
    take_in_pushes(context.database, context.paths, ["greeter"], context.clock)
    for version in ("1.0", "1.1"):
        _upload(context, version)
        with context.database.read() as tx:
            row = get_suite(tx, "petrel", "devel")
        publish_suite(context, publish_request(context.config, row))
    snapshot = take_snapshot(context, "petrel", [])
    publish_snapshot(context, "petrel", snapshot.serial)
    branch_suite(context, "petrel", "topic", "devel", "overlay", Who("user keeper", "for a kept state"))
    branch_suite(context, "petrel", "over", "devel", "release", Who("user keeper", "for a kept state"))
    retire_suite(context, "petrel", "over", Who("user keeper", "for a kept state"), dry_run=False)
    with context.database.write() as tx:
        held = serial_hold("", "debian", recorded.row.serial, "for a kept state", context.clock + timedelta(days=30))
        add_holds(tx, "user keeper", [held], context.clock)
        serve(tx, "record debian", None, context.clock)
        offer_enrolment(tx, "pear", sha256_of(b"once"), context.clock + timedelta(hours=1))
        keep_token(tx, "pear", sha256_of(b"token"), __version__, context.clock)
        see_host(tx, "pear", __version__, context.clock, HostHealth(free_bytes=1 << 30, load=0.5))
        add_private_names(tx, [PRIVATE], context.clock)
        _answers(tx, context)
    context.database.close()
    return context


def _upload(context: WorldContext, version: str) -> None:
    """Accept an upload as a job, so that the tables of jobs have rows too."""
    made = make_upload(make_source("greeter", version), make_deb("greeter", version))
    changes, files = made.keep(context.objects)
    order = accept_order(
        context.config, "devel", changes=changes, files=files, source="greeter", version=version,
        signers=signer("uploader").certificate(),
    )  # fmt: skip
    with context.database.write() as tx:
        place_order(tx, order, context.clock)
    job = claim_next(context.database, ["local"], "keeper", context.clock)
    assert job is not None
    context.job, context.fence = job.id, job.fence
    result = accept_upload(context, job.inputs)
    end_attempt(context.database, job, Ending(Outcome.OK, "accepted", dict(result.values)), context.clock)
    context.job, context.fence = None, 0


def _answers(tx: Transaction, context: WorldContext) -> None:
    """Keep what was found out about a package: a trial that failed, the finding, and a question that is open."""
    failed = Trial(
        0, "builds", "greeter", "1.1", "", {}, sha256_of(b"order"), 2, Outcome.FAILED, "build: greeter.c:1: error: no", 7,
        context.clock,
    )  # fmt: skip
    set_trial(tx, failed)
    see(tx, "fails-to-build", "greeter", "devel", {"version": "1.1", "message": failed.message}, context.clock)
    insert_inquiry(tx, "sweep", "", {"serials": {}}, "user keeper", context.clock)


def main() -> None:
    """Pack the state as tests/states/VERSION.tar.xz, unless there is one."""
    target = FOLDER / f"{sys.argv[1]}.tar.xz"
    assert not target.exists(), f"{target} is kept for ever"
    with tempfile.TemporaryDirectory() as name:
        fill(Path(name) / "state")
        close_worlds()
        with tarfile.open(target, "w:xz") as packed:
            packed.add(Path(name) / "state", "state")


if __name__ == "__main__":
    main()
