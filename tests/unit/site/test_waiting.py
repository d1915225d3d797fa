"""Why a job waits is said where people look: when it is tried again, or who would take it and does not."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.worlds.commands import CONFIG as COMMAND_CONFIG
from tests.worlds.commands import command_line
from tests.worlds.installation import CONFIG
from tests.worlds.state import count_order, placed
from tests.worlds.times import NOW
from tests.worlds.web import Browser

from distwright.app import open_app
from distwright.config.load import parse_config
from distwright.config.model import Config
from distwright.jobs.lease import claim_next
from distwright.model.digests import Sha256
from distwright.site.examining_hosts import NO_OTHERS, examine_hosts
from distwright.site.hosts import host_rows
from distwright.site.waiting import SOON, nobody_takes, why_it_waits
from distwright.store.database import Database
from distwright.store.hosts import keep_token, offer_enrolment, see_host, set_draining
from distwright.web.application import web_application

LATER = NOW + timedelta(minutes=5)
TABLES = """
[host.anvil]
role = "runner"
pools = ["arm64"]
[host.mason]
role = "builder"
address = "ssh://builder@192.0.2.9:22"
pools = ["arm64", "amd64"]
[host.tongs]
role = "runner"
pools = ["arm64"]
"""


def config(tables: str = TABLES) -> Config:
    return parse_config([("distwright.toml", CONFIG + tables)])


def known(database: Database, *names: str) -> None:
    """Let hosts be enrolled, and heard of at NOW."""
    with database.write() as tx:
        for name in names:
            offer_enrolment(tx, name, Sha256("1" * 64), LATER)
            keep_token(tx, name, Sha256("2" * 64), "1", NOW)
            see_host(tx, name, "1", NOW)


def test_job_of_a_pool_whose_hosts_are_silent_drained_or_not_there_says_so(database: Database) -> None:
    job = placed(database, count_order(pool="arm64"))
    known(database, "anvil", "tongs")
    assert why_it_waits(database, config(), job, NOW + SOON) == "", "they answer, and have other work"
    with database.write() as tx:
        set_draining(tx, "tongs", is_draining=True)
    assert why_it_waits(database, config(), job, NOW + SOON) == ""
    assert why_it_waits(database, config(), job, LATER) == (
        "no host takes jobs of pool arm64 (anvil is silent since 2024-01-10 15:00:00 UTC; mason is not enrolled; "
        "tongs is silent since 2024-01-10 15:00:00 UTC): look whether a worker of the server does, or begin one: "
        "distwright worker --pool arm64"
    )


def test_job_of_a_pool_where_something_runs_waits_for_its_turn(database: Database) -> None:
    for number in (1, 2):
        waiting = placed(database, count_order(number, pool="arm64"))
    claim_next(database, ["arm64"], "somebody", NOW)
    assert why_it_waits(database, config(), waiting, LATER) == ""


def test_job_that_only_workers_of_the_server_take_says_which(database: Database) -> None:
    known(database, "mason")
    rows = host_rows(database, config(), LATER)
    assert nobody_takes("amd64", rows) == (
        "no host takes jobs of pool amd64 (mason is a builder, to which a worker of the server goes): look whether a worker "
        "of the server does, or begin one: distwright worker --pool amd64"
    )
    assert nobody_takes("local", rows).startswith("no job of pool local runs: look whether a worker")


def test_job_that_is_tried_again_later_says_when_and_others_nothing(database: Database) -> None:
    job = placed(database, count_order())
    assert why_it_waits(database, config(""), replace(job, not_before=LATER), NOW) == (
        "it is tried again at 2024-01-10 15:05:00 UTC"
    )
    assert why_it_waits(database, config(""), job, NOW) == "", "it has just been ordered"
    claimed = claim_next(database, ["local"], "somebody", NOW)
    assert claimed is not None
    assert why_it_waits(database, config(""), claimed, LATER) == ""


def test_command_and_page_say_why(tmp_path: Path) -> None:
    line = command_line(tmp_path, COMMAND_CONFIG)
    app = open_app(str(line.state))
    job = placed(app.database, count_order(), NOW)
    said = "no job of pool local runs: look whether a worker of the server does, or begin one: distwright worker"
    assert f"waits: {said}\n" in line.run("job", "show", str(job.id)).text
    web = Browser(web_application(app))
    assert web.get(f"/job/{job.id}.json").json()["waits"] == said
    assert f"It waits: {said}" in web.get(f"/job/{job.id}").text
    claim_next(app.database, ["local"], "somebody", app.database.now())
    assert "waits:" not in line.run("job", "show", str(job.id)).text
    assert "It waits" not in web.get(f"/job/{job.id}").text
    app.database.close()


def test_doctor_says_who_is_silent_and_which_pools_have_jobs_that_nobody_takes(database: Database) -> None:
    assert examine_hosts(database, config("")).what == NO_OTHERS
    known(database, "anvil", "mason", "tongs")
    found = examine_hosts(database, config())
    assert (found.state, "anvil: not heard of since 2024-01-10 15:00:00 UTC" in found.what) == ("note", True)
    placed(database, count_order(pool="arm64"))
    found = examine_hosts(database, config())
    assert (found.state, found.what.startswith("1 jobs wait: no host takes jobs of pool arm64")) == ("wrong", True)


@pytest.mark.parametrize("pool", ["borrowed", "arm64"])
def test_doctor_names_pools_that_no_job_is_ever_of(database: Database, pool: str) -> None:
    """Rows in a file: all jobs are of `local`."""
    table = f'[host.mason]\nrole = "builder"\naddress = "ssh://builder@192.0.2.9:22"\npools = ["{pool}"]\n'
    known(database, "mason")
    assert f"no job is ever of pool {pool}" in examine_hosts(database, config(table)).what
