"""The last gate before a suite moves: what was made in secret changes no suite that more people read."""

from pathlib import Path

import pytest
from tests.worlds.embargoed import CONFIG, PERSONS
from tests.worlds.installation import WorldContext, make_context

from distwright.archive.changing import SuiteChange, move
from distwright.archive.exception_origin import open_state
from distwright.archive.tree import EMPTY_ROOT
from distwright.config.load import parse_config
from distwright.errors import NotFound, Refused
from distwright.jobs.lease import claim_next
from distwright.jobs.order import JobOrder, place_order
from distwright.jobs.step import KindName
from distwright.model.digests import Sha256
from distwright.model.records import SuiteState
from distwright.site.applied import note_private_names
from distwright.store.suites import get_suite, insert_suite

CONFIGURED = parse_config([("a.toml", CONFIG.format(folder="/nowhere", persons=PERSONS))])
SUITES = {"petrel": "next", "vault": "fixes"}


@pytest.fixture
def context(tmp_path: Path) -> WorldContext:
    """Have a public suite and a private one, both empty."""
    context = make_context(tmp_path)
    context.config = CONFIGURED
    note_private_names(context.database, CONFIGURED, context.clock)
    empty = context.objects.put(EMPTY_ROOT.to_bytes())
    with context.database.write() as tx:
        for archive, name in SUITES.items():
            insert_suite(tx, SuiteState(archive, name, "base", empty, context.clock))
    return context


def work_on(context: WorldContext, repo: str) -> None:
    """Be the job of an order about a repo."""
    with context.database.write() as tx:
        place_order(tx, JobOrder(KindName("count", 1), {"repo": repo}, "x"), context.clock)
    job = claim_next(context.database, ["local"], "somebody", context.clock)
    assert job is not None
    context.job, context.fence = job.id, job.fence


def moved(context: WorldContext, archive: str) -> Sha256:
    """Let the suite of an archive move to another state, and give that."""
    name = SUITES[archive]
    other = context.objects.put(b"another state")
    with context.write() as tx:
        move(tx, get_suite(tx, archive, name), other, SuiteChange("upload", "x", "ada"), context)
    with context.database.read() as tx:
        return get_suite(tx, archive, name).revision


@pytest.mark.parametrize(("repo", "archive"), [("greeter", "petrel"), ("greeter", "vault"), ("greeter-twin", "vault")])
def test_a_suite_moves_by_work_that_all_its_readers_may_see(context: WorldContext, repo: str, archive: str) -> None:
    work_on(context, repo)
    assert moved(context, archive) != EMPTY_ROOT.revision


@pytest.mark.parametrize(
    ("repo", "archive"),
    [
        ("greeter-twin", "petrel"),
        ("notes", "vault"),  # its reader is another
    ],
)
def test_a_suite_moves_by_no_work_that_only_some_of_its_readers_may_see(
    context: WorldContext, repo: str, archive: str
) -> None:
    work_on(context, repo)
    with pytest.raises(
        Refused, match=f"what is made of repo/{repo} is private, and archive {archive} has other readers"
    ):
        moved(context, archive)
    with context.database.read() as tx:
        assert get_suite(tx, archive, SUITES[archive]).revision == EMPTY_ROOT.revision


def test_an_exception_comes_from_no_other_private_archive(context: WorldContext) -> None:
    assert open_state(context, "petrel/next", "vault").archive == "petrel"
    assert open_state(context, "fixes", "vault").archive == "vault"
    for name in ("vault/fixes", "fixes"):
        with pytest.raises(NotFound, match=f"there is no suite '{name}'"):
            open_state(context, name, "petrel")
