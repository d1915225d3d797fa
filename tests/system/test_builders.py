"""Steps on a builder: a machine that is reached by ssh and trusted with nothing. What is true of steps here is true there."""

import os
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from itertools import count

import pytest
from tests.system.line import state_folder
from tests.system.test_reading_step import ASKS_AGAIN, GIVES_UP, HELLO, TRANSIENT, Mirror, reading_step
from tests.worlds.builders import NAME, Yard, lone_yard
from tests.worlds.processes import living, wait_until
from tests.worlds.rootfs import root_tar
from tests.worlds.state import count_order, placed
from tests.worlds.work import Workshop, kind_of, shell, step, workshop

from distwright.app import open_app
from distwright.jobs.lease import Ending
from distwright.jobs.limits import Limits
from distwright.jobs.order import get_job
from distwright.jobs.step import JobKind, StepEnd, Verdict, judge_by_exit
from distwright.model.digests import Sha256, sha256_of
from distwright.model.embargo import Embargo
from distwright.model.outcomes import JobState, Outcome
from distwright.site.applied import apply_config
from distwright.site.builders import builders_for
from distwright.site.hosts import drain, host_rows
from distwright.store.holds import holds_on
from distwright.tools.dpkg import installed_versions
from distwright.tools.sandbox import sandbox_for
from distwright.worker.execute import execute

pytestmark = pytest.mark.system


@pytest.fixture
def mason() -> Iterator[Yard]:
    with lone_yard() as made:
        yield made


@pytest.fixture(scope="module")
def lodge() -> Iterator[Yard]:
    """A builder that many tests share; each has a job of its own."""
    with lone_yard() as made:
        yield made


_jobs = count(1)


@pytest.fixture(scope="module")
def here() -> Iterator[Workshop]:
    """An installation that has no builder, to compare with."""
    with state_folder() as folder:
        shop = workshop(folder / "home", sandbox_for(os.geteuid()))
        yield shop
        shop.database.close()


def was_there(mason: Yard, job: int = 1, fence: int = 1) -> bool:
    return f"builder {NAME} has begun" in mason.shop.log(job, fence)


# The same as here


def everything(shop: Workshop) -> JobKind:
    """A step with whatever a plan can have."""
    root, given = shop.objects.put(root_tar()), shop.objects.put(b"given\n")
    inside = shell("cat given text filled >/work/inside; hostname >>/work/inside; id -u >>/work/inside", root=root)
    outside = shell(
        "mkdir out; for n in 1 2; do echo $WHO $n >out/$n.deb; done; cp inside all", environment=(("WHO", "me"),)
    )
    return kind_of(
        step(
            inside, outside, place={"given": given, "sub/given": given}, write={"text": "a text\n"},
            templates={"filled": "not known here: {other}\n"}, collect={"debs": "out/*.deb", "inside": "all"},
            collect_always={"early": "inside", "never": "no-such-file"}, keep_log="log", programs=("busybox-static",),
        )
    )  # fmt: skip


def test_step_gives_the_same_objects_there_as_here(mason: Yard, here: Workshop) -> None:
    there, local = execute(everything(mason.shop), {}, mason.context()), execute(everything(here), {}, here.context())
    assert was_there(mason)
    assert there.outputs == local.outputs, (there, local)
    assert there.outcome is Outcome.OK
    assert set(there.outputs or ()) == {
        "count/debs/1.deb", "count/debs/2.deb", "count/inside", "count/early", "count/log"
    }  # fmt: skip
    for digest in (there.outputs or {}).values():
        assert mason.shop.objects.is_intact(Sha256(str(digest)))


def judge_content_with_one(end: StepEnd) -> Verdict:
    return Verdict(Outcome.OK, "ok") if end.ends[-1].exit_code == 1 else judge_by_exit(end)


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind_of(step("echo why >evidence; exit 3", collect_always={"e": "evidence"})), id="fails"),
        pytest.param(kind_of(step("echo first", "exit 4", "echo never")), id="second command fails"),
        pytest.param(kind_of(step("true", collect={"out": "out"})), id="leaves no output"),
        pytest.param(kind_of(step("ln -s /etc/passwd out", collect={"out": "out"})), id="leaves a link"),
        pytest.param(kind_of(step("mkfifo out", collect={"out": "out"})), id="leaves a pipe"),
        pytest.param(
            kind_of(step(shell("truncate -s 99G out", limits=Limits(disk_mb=100)), collect={"out": "out"})),
            id="leaves too much",
        ),
        pytest.param(kind_of(step(shell("sleep 60", timeout_s=1))), id="takes too long"),
        pytest.param(kind_of(step(shell("yes", limits=Limits(output_mb=1)))), id="prints too much"),
        pytest.param(kind_of(step(shell("echo it is up; sleep 60", until="it is up"))), id="shows what is waited for"),
        pytest.param(kind_of(step(shell("echo it is up", until="it is down"))), id="does not show it"),
        pytest.param(
            kind_of(replace(step("echo x >out; exit 1", collect={"o": "out"}), judge=judge_content_with_one)),
            id="fails and is taken",
        ),
        pytest.param(
            kind_of(replace(step("exit 1", collect={"o": "out"}), judge=judge_content_with_one)),
            id="is taken, leaves nothing",
        ),
    ],
)
def test_step_ends_there_as_it_ends_here(lodge: Yard, here: Workshop, kind: JobKind) -> None:
    job = next(_jobs)
    local, there = execute(kind, {}, here.context(job)), execute(kind, {}, lodge.context(job))
    assert was_there(lodge, job)
    assert there == local
    assert there.outcome is not Outcome.BROKEN
    for digest in there.evidence.values():
        assert lodge.shop.objects.is_intact(digest)


@pytest.mark.parametrize(
    ("trouble", "script", "outcome"),
    [
        (False, GIVES_UP, Outcome.OK),
        (True, ASKS_AGAIN, Outcome.OK),
        (True, GIVES_UP, Outcome.BROKEN),
        (False, "curl -sf ${deb}x >out", Outcome.FAILED),
        (False, f"{GIVES_UP}; exit 1", Outcome.FAILED),
    ],
)
def test_step_there_reads_archives_of_the_server(
    mason: Yard, *, trouble: bool, script: str, outcome: Outcome
) -> None:  # fmt: skip
    context = mason.context()
    kind = kind_of(reading_step(mason.shop, context, script, Mirror(*[TRANSIENT] * trouble)))
    ending = execute(kind, {}, context)
    assert was_there(mason)
    assert ending.outcome is outcome, mason.shop.log()
    if outcome is Outcome.OK:
        assert ending.outputs == {"count/out": HELLO.sha256}
        assert mason.shop.objects.is_intact(HELLO.sha256)
        kept = next(
            digest
            for digest in mason.shop.objects.digests()
            if b'"fetched":[["debian"' in mason.shop.objects.read(digest)
        )
        assert HELLO.sha256.encode() in mason.shop.objects.read(kept), "what it fetched is kept with its result"
    if outcome is Outcome.BROKEN:
        assert TRANSIENT.message in ending.message, "the true reason, not that the builder got nothing"


def test_what_a_builder_has_is_not_sent_again(mason: Yard) -> None:
    """The objects of the server rot without changing their size: were they sent again, the builder would see it."""
    shop, context = mason.shop, mason.context()
    root, given = shop.objects.put(root_tar()), shop.objects.put(b"given" * 100_000)
    read = reading_step(shop, context, "curl -sf $deb | sha256sum >out; sha256sum given >>out", Mirror())
    plan = read.plan({}, {})
    inside = shell("cat given >/dev/null", root=root)

    def numbered(number: int) -> JobKind:
        more = replace(plan, commands=(*plan.commands, inside), place={"given": given}, write={"number": str(number)})
        return kind_of(replace(read, plan=lambda _inputs, _earlier: more))

    first = execute(numbered(1), {}, context)
    assert first.outcome is Outcome.OK, first
    for digest in (root, given, HELLO.sha256):
        path = shop.objects.path(digest)
        content = path.read_bytes()
        path.chmod(0o600)
        path.write_bytes(bytes(len(content)))
    second = mason.context(2)
    second.fetcher = context.fetcher
    assert execute(numbered(2), {}, second).outputs == first.outputs, shop.log(2)
    assert was_there(mason, 2)


def test_log_comes_while_programs_run(mason: Yard) -> None:
    ending: list[Ending] = []
    kind = kind_of(step("echo it has begun; while ! test -e go; do sleep 0.05; done; echo it goes on"))
    context = mason.context()
    thread = threading.Thread(target=lambda: ending.append(execute(kind, {}, context)))
    thread.start()
    wait_until(lambda: context.log_path.exists() and "\nit has begun\n" in mason.shop.log(), "the log to come")
    (work,) = mason.state.work.iterdir()
    (work / "files" / "go").touch()
    thread.join()
    assert ending[0].outcome is Outcome.OK
    assert "\nit goes on\n" in mason.shop.log()


def test_log_of_a_step_that_prints_much_is_whole(mason: Yard) -> None:
    execute(kind_of(step("seq 1 200000")), {}, mason.context())
    lines = mason.shop.log().splitlines()
    first = lines.index("1")
    assert lines[first : first + 200_000] == [str(number) for number in range(1, 200_001)]


# What stays there, and what never comes there


def test_nothing_of_a_step_stays_there_but_the_cache(mason: Yard) -> None:
    execute(kind_of(step("mkdir -p a/b; echo x >a/b/c; chmod 0 a/b; exit 1")), {}, mason.context())
    assert was_there(mason)
    assert list(mason.state.work.iterdir()) == []
    assert list(mason.state.logs.rglob("*.log")) == []
    assert living(str(mason.state.root)) == []


def test_builder_has_no_secret_of_the_server_and_no_file_of_another_job(mason: Yard) -> None:
    shop = mason.shop
    (shop.paths.keys / "upload.token").write_text("a-token-of-the-server\n")
    other = shop.objects.put(b"of another job")
    given = shop.objects.put(b"of this one")
    seen = "env >out; cat given >>out; cat /proc/self/environ | tr '\\0' '\\n' >>out; cat /proc/*/cmdline | tr '\\0' '\\n' >>out"
    ending = execute(kind_of(step(seen, place={"given": given}, collect={"out": "out"})), {}, mason.context())
    assert was_there(mason)
    secrets = [line for key in shop.paths.keys.iterdir() for line in key.read_text().splitlines() if "KEY" not in line]
    secrets += [shop.database.url, str(shop.paths.root), "of another job", other]
    assert len(secrets) >= 8
    files = list(mason.files())
    assert len(files) >= 3
    for file in files:
        content = file.read_bytes()
        for secret in secrets:
            assert secret.encode() not in content, (file, secret)
    assert any(b"of this one" in file.read_bytes() for file in files), "the look sees what is there"
    assert ending.outcome is Outcome.OK


def test_what_a_builder_made_is_known_only_to_jobs_that_it_may_serve(mason: Yard) -> None:
    """It can make what it likes of a plan: that must not find its way into a job that was to be done here."""
    kind = kind_of(step("echo made", "echo x >out", collect={"out": "out"}))
    execute(kind, {}, mason.context(1))
    execute(kind, {}, mason.context(2))
    execute(kind, {}, mason.shop.context(3))
    known = ["count is known already" in mason.shop.log(job) for job in (1, 2, 3)]
    assert known == [False, True, False]
    assert [was_there(mason, job) for job in (1, 2, 3)] == [True, False, False]
    execute(kind, {}, mason.context(4))
    assert "count is known already" in mason.shop.log(4), "and what was made here is known to all"


# Who has a step


def test_builder_that_is_busy_leaves_the_step_to_the_server(mason: Yard) -> None:
    waits = kind_of(step("while ! test -e go; do sleep 0.05; done"))
    context = mason.context()
    thread = threading.Thread(target=execute, args=(waits, {}, context))
    thread.start()
    wait_until(lambda: list(mason.state.work.glob("*/files")), "the first step to run")
    ending = execute(kind_of(step("echo second")), {}, mason.context(2))
    assert (ending.outcome, was_there(mason, 2)) == (Outcome.OK, False)
    assert f"builder {NAME} does not take count: 'all 1 slots of the builder are taken'" in mason.shop.log(2)
    (work,) = mason.state.work.iterdir()
    (work / "files" / "go").touch()
    thread.join()
    execute(kind_of(step("echo third")), {}, mason.context(3))
    assert was_there(mason, 3), "it was not marked for that"


def test_builder_that_does_not_answer_is_passed_over_and_let_alone_for_a_while(mason: Yard) -> None:
    mason.stop()
    kind = kind_of(step("echo x", repeat=True))
    assert [execute(kind, {}, mason.context(job)).outcome for job in (1, 2)] == [Outcome.OK, Outcome.OK]
    assert f"builder {NAME} does not take count: the connection ended: " in mason.shop.log(1)
    assert "Connection refused" in mason.shop.log(1)
    assert NAME not in mason.shop.log(2)
    mason.start()
    (mason.shop.paths.root / "run" / "builders" / f"{NAME}.unfit").unlink()
    execute(kind, {}, mason.context(3))
    assert was_there(mason, 3)


def test_builder_with_another_host_key_is_never_spoken_to(mason: Yard) -> None:
    mason.stop()
    key = mason.folder / "host_key"
    key.unlink()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], input=b"y\n", check=True)
    mason.start()
    execute(kind_of(step("echo x")), {}, mason.context())
    assert not was_there(mason)
    assert "Host key verification failed" in mason.shop.log()


def test_programs_of_other_versions_make_a_builder_unfit(mason: Yard) -> None:
    script = """
import sys
sys.path.insert(0, sys.argv[1] if len(sys.argv) > 1 else "")
from distwright.worker import builder
builder.installed_versions = lambda packages: {package: "0.1" for package in packages}
from distwright.site.building import serve
from distwright.site.places import state_paths
from distwright.tools.sandbox import Sandbox
from datetime import datetime, UTC
serve(state_paths(STATE), Sandbox(None), datetime.now(UTC))
""".replace("STATE", repr(str(mason.state.root)))
    mason.answers(script)
    (version,) = installed_versions(["dash"]).values()
    ending = execute(kind_of(step("echo x", programs=("dash",))), {}, mason.context())
    assert (ending.outcome, was_there(mason)) == (Outcome.OK, False)
    assert f"'dash is 0.1 installed on the builder, and on the server {version}'" in mason.shop.log()


def test_builder_of_another_pool_or_that_drains_or_is_not_enrolled_has_no_step(mason: Yard) -> None:
    assert [builder.name for builder in mason.builders()] == [NAME]
    shop = mason.shop
    assert builders_for(shop.database, shop.objects, shop.paths, mason.config, "other") == ()
    drain(mason.shop.database, NAME, is_draining=True)
    assert mason.builders() == ()
    drain(mason.shop.database, NAME, is_draining=False)
    (kept,) = [digest for digest in mason.shop.objects.digests() if mason.shop.objects.read(digest).startswith(b"ssh-")]
    with mason.shop.database.read() as tx:
        assert [hold.holder for hold in holds_on(tx, "object", kept)] == [f"builder {NAME}"], "nobody collects it"
    mason.shop.objects.path(kept).unlink()
    assert mason.builders() == ()


def test_worker_has_its_jobs_done_there(mason: Yard) -> None:
    job = placed(mason.shop.database, count_order())
    worker = mason.worker(kind_of(step("echo x >out", collect={"out": "out"})))
    assert worker.run_one()
    with mason.shop.database.read() as tx:
        ended = get_job(tx, job.id)
    assert (ended.state, ended.outcome) == (JobState.DONE, Outcome.OK)
    assert ended.outputs == {"count/out": sha256_of(b"x\n")}
    assert was_there(mason, job.id)
    (row,) = host_rows(mason.shop.database, mason.config, mason.shop.database.now())
    assert (row.name, row.state) == (NAME, "ready")


def test_only_jobs_of_kinds_that_can_run_elsewhere_and_of_its_pools_may_go_there(mason: Yard) -> None:
    app = open_app(str(mason.shop.paths.root))
    apply_config(
        {"distwright.toml": mason.text}, {}, "0" * 40,
        database=app.database, objects=app.objects, paths=app.paths, now=app.now(),
    )  # fmt: skip
    job = placed(app.database, count_order())
    names = []
    for kind, pool in (
        ("package.build", "local"),
        ("image.boot", "local"),
        ("archive.record", "local"),
        ("image.boot", "other"),
    ):
        context = app.make_context(replace(job, kind=kind, pool=pool, broken_count=2), print, lambda: False)
        names.append([builder.name for builder in context.builders])
        assert context.tried == 2
        context.database.close()
    private = replace(job, kind="package.build", embargo=Embargo(frozenset({"repo/twin"})))
    context = app.make_context(private, print, lambda: False)
    assert context.builders == (), "nobody trusts builders with secrets"
    context.database.close()
    app.database.close()
    assert names == [[NAME], [NAME], [], []]


def test_step_that_is_made_beside_another_is_made_there_as_well(mason: Yard) -> None:
    """Each has a slot of its own; with one slot, the second is made here."""
    mason.slots = 2
    first, second = (
        step("echo 1 >out", name="first", collect={"o": "out"}),
        step("echo 2 >out", name="second", collect={"o": "out"}),
    )
    ending = execute(kind_of(first, replace(second, beside="first")), {}, mason.context())
    assert ending.outputs == {"first/o": sha256_of(b"1\n"), "second/o": sha256_of(b"2\n")}, mason.shop.log()
    log = mason.shop.log()
    assert log.count(f"builder {NAME} has begun") == 2, log
    assert ("second was made beside" in log) == (len(os.sched_getaffinity(0)) > 1)
