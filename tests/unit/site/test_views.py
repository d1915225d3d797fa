"""What faces say of jobs that no worker here will take, and do not say of private repos."""

from pathlib import Path

from tests.worlds.installation import CONFIG
from tests.worlds.state import count_order, placed
from tests.worlds.times import NOW

from distwright.config.load import parse_config
from distwright.jobs.lease import claim_next
from distwright.jobs.order import get_job
from distwright.jobs.step import KindName
from distwright.model.digests import Json
from distwright.model.events import BODY_KEYS, Event, EventKind
from distwright.site.applied import note_private_names
from distwright.site.readers import Viewer
from distwright.site.views import overview, unknown_kind
from distwright.store.database import Database
from distwright.store.events import append_event, set_open
from distwright.store.paths import StatePaths
from distwright.worker.kinds import KINDS


def test_a_queued_job_of_another_version_says_what_it_waits_for(database: Database) -> None:
    known = KINDS["image.build"].kind
    newer = placed(database, count_order(1, kind=KindName(known.name, known.version + 1)))
    assert unknown_kind(newer) == (
        f"this version of distwright does not know image.build {known.version + 1}: "
        "it waits for one that does, or for distwright job cancel 1"
    )
    assert unknown_kind(placed(database, count_order(2))).startswith("this version of distwright does not know count 1")
    assert unknown_kind(placed(database, count_order(3, kind=known))) == ""


def test_a_job_that_runs_elsewhere_waits_for_nobody(database: Database) -> None:
    placed(database, count_order(1))
    claim_next(database, ["local"], "a newer worker", NOW)
    with database.read() as tx:
        assert unknown_kind(get_job(tx, 1)) == ""


def test_pushes_to_private_repos_and_to_those_that_are_gone_are_left_out(database: Database, tmp_path: Path) -> None:
    config = parse_config([("a.toml", CONFIG.replace("[repo.live]", "[repo.twin]\nprivate = true\n[repo.live]"))])
    subjects = ["live", "twin", "gone"]
    note_private_names(database, config, NOW)
    with database.write() as tx:
        for subject in subjects:
            number = append_event(
                tx,
                Event(
                    EventKind.REPO_PUSHED,
                    NOW,
                    subject,
                    {"repo": subject, "ref": "r", "old": "o", "new": "n", "pusher": ""},
                ),
            )
            set_open(tx, "flow", number, "why", is_refused=subject != "twin", retry_at=None)
        append_event(tx, Event(EventKind.CONFIG_APPLIED, NOW, "twin", {"commit": "c", "config": "d"}))
        for repo in ("twin", "gone"):
            ready: dict[str, Json] = {"repo": repo, "branch": "b", "ready": True, "actor": "ada"}
            append_event(tx, Event(EventKind.BRANCH_READY, NOW, f"{repo} b", ready))
            status: dict[str, Json] = {**dict.fromkeys(BODY_KEYS[EventKind.BRANCH_STATUS_CHANGED], ""), "repo": repo}
            append_event(tx, Event(EventKind.BRANCH_STATUS_CHANGED, NOW, f"{repo} b: ok", status))
    seen = overview(database, StatePaths(tmp_path), Viewer(config))
    assert [row.event.subject for row in seen.events if row.event.kind is EventKind.REPO_PUSHED] == ["live"]
    assert [row.event.event.subject for row in (*seen.waiting, *seen.refused)] == ["live"]
    assert [row.event.kind for row in seen.events if row.event.kind is not EventKind.REPO_PUSHED] == [
        EventKind.CONFIG_APPLIED
    ]
