"""The command line with what people really type: empty options, passwords, unknown names, full disks, odd files."""

import json
import os
import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from tests.system.line import DISTWRIGHT, EXAMPLE, ROOT
from tests.worlds.installation import CONFIG

from distwright.app import App, open_app
from distwright.cli.demo import prepare_demo
from distwright.config.load import parse_config
from distwright.jobs.lease import Ending, claim_next, end_attempt
from distwright.jobs.order import JobOrder
from distwright.jobs.step import KindName
from distwright.model.outcomes import Outcome
from distwright.site.config_files import read_config
from distwright.tools.git import git, refs

pytestmark = pytest.mark.system


def run(
    *arguments: str, environment: Mapping[str, str] | None = None, stdout: int = subprocess.PIPE
) -> subprocess.CompletedProcess[str]:
    paths = f"{ROOT / 'src'}:{ROOT}"
    return subprocess.run(
        [str(DISTWRIGHT), *arguments],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONPATH": paths, **(environment or {})},
    )


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    """An installation with the small configuration and one job that waits."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "distwright.toml").write_text(CONFIG)
    state = str(tmp_path / "state")
    done = run("config", "init", str(tmp_path / "config"), "--state", state, "--json")
    assert done.returncode == 0, done.stderr
    assert {"action": "add", "table": "repo", "name": "live", "detail": ""} in json.loads(done.stdout)
    app = open_app(state)
    app.place(JobOrder(KindName("count", 1), {"number": 1}, "count"))
    yield app
    app.database.close()


def test_an_empty_place_of_the_state_is_a_usage_error() -> None:
    assert run("job", "list", "--state", "").returncode == 2
    done = run("job", "list", environment={"DISTWRIGHT_STATE": ""})
    assert (done.returncode, "DISTWRIGHT_STATE is empty" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    "words",
    [
        ("demo", str(EXAMPLE), "--fetch-from", "debian=http://bob:hunter2@127.0.0.1:1/debian"),
        ("demo", str(EXAMPLE), "--fetch-from", "nothing=http://bob:hunter2@127.0.0.1:1/debian"),
        ("demo", str(EXAMPLE), "--fetch-from", "debian=--upload-pack=hunter2"),
        ("archive", "record", "debian", "--fetch-from", "http://bob:hunter2@127.0.0.1:1/debian"),
        ("archive", "record", "debian", "--fetch-from", "--upload-pack=x"),
        ("archive", "record", "debian", "--fetch-from", ""),
    ],
)
def test_an_address_that_is_none_or_has_a_password_is_a_usage_error_and_kept_nowhere(
    app: App, tmp_path: Path, words: tuple[str, ...]
) -> None:
    state = str(app.paths.root) if words[0] == "archive" else str(tmp_path / "new")
    done = run(*words, "--state", state)
    assert done.returncode == 2, done.stderr
    if "@" in words[-1]:
        assert "hunter2" not in done.stdout + done.stderr
    assert not (tmp_path / "new").exists()
    assert all(b"hunter2" not in file.read_bytes() for file in app.paths.root.glob("db.sqlite*"))


def test_what_is_in_the_way_is_named_and_no_bug(app: App, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run("demo", str(EXAMPLE), "--state", str(tmp_path / "file"))
    assert (done.returncode, "File exists" in done.stderr) == (2, True)
    with open("/dev/full", "wb") as full:  # noqa: PTH123  # a device
        done = run("job", "list", "--state", str(app.paths.root), stdout=full.fileno())
    assert done.returncode == 20, done.stderr
    assert done.stderr.splitlines()[0].startswith("distwright: the answer or a file cannot be written: No space left")
    assert "Exception" not in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="root may become somebody else")
def test_a_configuration_that_may_not_be_read_is_no_bug(tmp_path: Path) -> None:
    file = tmp_path / "distwright.toml"
    file.write_text(CONFIG)
    file.chmod(0)
    for folder in (tmp_path, *tmp_path.parents[:3]):
        if folder != Path("/tmp"):
            folder.chmod(0o755)
    argv = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", str(DISTWRIGHT)]
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    words = ["config", "check", "--config", str(file)]
    done = subprocess.run([*argv, *words], capture_output=True, text=True, check=False, cwd="/", env=env)
    assert done.returncode == 12, done.stderr
    assert "Permission denied" in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("suite", "list", "nope"), "'nope' is no archive of our own"),
        (("suite", "list", "debian"), "'debian' is no archive of our own"),
        (("snapshot", "list", "nope"), "'nope' is no upstream archive"),
        (("snapshot", "list", "petrel"), "'petrel' is no upstream archive"),
        (("upload", "list", "--suite", "nope"), "there is no suite 'nope'"),
        (("job", "show", "99999999999999999999"), "job 99999999999999999999 does not exist"),
        (("job", "log", "99999999999999999999"), "job 99999999999999999999 does not exist"),
        (("job", "cancel", "99999999999999999999"), "job 99999999999999999999 does not exist"),
        (("job", "retry", "0"), "job 0 does not exist"),
    ],
)
def test_an_unknown_name_is_not_found(app: App, words: tuple[str, ...], message: str) -> None:
    done = run(*words, "--state", str(app.paths.root))
    assert (done.returncode, done.stdout) == (10, "")
    assert done.stderr.startswith(f"distwright: {message}")


@pytest.mark.parametrize(
    "words",
    [
        ("suite", "list"),
        ("suite", "list", "petrel"),
        ("snapshot", "list", "debian"),
        ("upload", "list", "--suite", "devel"),
        ("upload", "list", "--suite", "petrel/devel"),
        ("job", "show", "1"),
    ],
)
def test_a_known_name_has_an_answer_even_if_it_is_empty(app: App, words: tuple[str, ...]) -> None:
    done = run(*words, "--state", str(app.paths.root), "--json")
    assert done.returncode == 0, done.stderr
    json.loads(done.stdout)


def test_verbs_about_one_job_answer_in_json(app: App) -> None:
    state = ("--state", str(app.paths.root), "--json")
    log = app.paths.job_log(1, 0)
    log.parent.mkdir(parents=True)
    log.write_bytes(b"caf\xe9\n")
    assert json.loads(run("job", "log", "1", *state).stdout) == {
        "job": 1, "state": "queued", "file": str(log), "log": "caf�\n", "missing": "",
    }  # fmt: skip
    assert json.loads(run("job", "cancel", "1", *state).stdout)["outcome"] == "cancelled"
    assert json.loads(run("job", "retry", "1", *state).stdout)["state"] == "queued"


def test_a_job_that_waits_again_is_followed_to_its_end(app: App) -> None:
    """The log of the attempt before is over; what is followed is the one that comes."""

    def attempt(text: bytes) -> None:
        job = claim_next(app.database, ["local"], "test", app.now())
        assert job is not None
        log = app.paths.job_log(job.id, job.fence)
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_bytes(text)
        assert end_attempt(app.database, job, Ending(Outcome.FAILED, "no", {}), app.now())

    attempt(b"before\n")
    app.retry_job(1)
    argv = [str(DISTWRIGHT), "job", "log", "1", "--follow", "--state", str(app.paths.root)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "job 1 waits for a worker; distwright worker --until-idle runs it here\n"
        attempt(b"after\n")
        assert process.communicate(timeout=60) == ("after\n", "")
        assert process.returncode == 0


def test_problems_of_a_configuration_are_listed_for_machines(tmp_path: Path) -> None:
    (tmp_path / "distwright.toml").write_text("format = 1\n[site]\nnam = 1\nname = 'x'\n")
    (tmp_path / "distwright.d").mkdir()
    (tmp_path / "distwright.d" / "a.toml").write_bytes(b"\n# caf\xe9\n")
    done = run("config", "check", "--config", str(tmp_path), "--json")
    assert (done.returncode, done.stderr) == (2, "")
    found = json.loads(done.stdout)
    assert found["ok"] is False
    assert found["problems"][0] == {
        "file": "distwright.d/a.toml", "line": 2, "key": "TOML", "problem": "the file is not UTF-8 text", "want": "UTF-8",
    }  # fmt: skip
    assert found["problems"][1]["key"] == "site.nam"


def test_a_configuration_is_shown_as_toml_that_means_the_same(tmp_path: Path) -> None:
    text = CONFIG + '[environment."debian-12.1"]\nfrom = ["debian/stable"]\n'
    (tmp_path / "distwright.toml").write_text(text)
    shown = run("config", "show", "--config", str(tmp_path)).stdout
    assert parse_config([("x", shown)]) == parse_config([("x", text)])
    assert tomllib.loads(shown)["environment"]["debian-12.1"]["variant"] == "buildd"
    origins = run("config", "show", "--origin", "--config", str(tmp_path)).stdout
    line = text.splitlines().index('[environment."debian-12.1"]') + 1
    assert f"[environment.'debian-12.1']    # distwright.toml:{line}\n" in origins
    assert f'from = ["debian/stable"]    # distwright.toml:{line + 1}\n' in origins


def test_a_ref_that_is_not_utf8_stops_no_command_and_is_named(app: App, tmp_path: Path) -> None:
    repo = app.paths.repo("live")
    empty = git(repo, "hash-object", "-t", "tree", "-w", "--stdin").decode().strip()
    who = {f"GIT_{role}_{key}": "a" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")}
    head = git(repo, "commit-tree", empty, environment=who, stdin=b"x\n").decode().strip()
    (repo / "packed-refs").write_bytes(b"%s refs/heads/caf\xe9\n" % head.encode())
    run("job", "cancel", "1", "--state", str(app.paths.root))
    done = run("worker", "--until-idle", "--state", str(app.paths.root))
    assert done.returncode == 0, done.stderr
    assert r"repo live: 'refs/heads/caf\udce9' is not UTF-8, or too long, and is passed over" in done.stderr
    done = run("repo", "list", "--json", "--state", str(app.paths.root))
    rows = {row["repo"]: row["passed over"] for row in json.loads(done.stdout)}
    assert rows == {"greeter": [], "live": [r"'refs/heads/caf\udce9'"]}
    assert "caf" in run("repo", "list", "--state", str(app.paths.root)).stdout


def pushed_by_somebody(repo: Path, clone: Path, edit: Mapping[str, str], *refs: str) -> str:
    """Clone, add text to files, commit, push as the tutorial does; give the commit."""
    who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    env = {"PATH": "/usr/bin:/bin", "GIT_CONFIG_GLOBAL": "/dev/null", "HOME": str(clone.parent)}
    subprocess.run(["git", "clone", "--quiet", str(repo), str(clone)], check=True, env=env)
    for path, text in edit.items():
        with (clone / path).open("a") as file:
            file.write(text)
    subprocess.run(["git", *who, "commit", "--quiet", "--all", "--message", "Mine"], check=True, env=env, cwd=clone)
    if "1.1" in refs:
        subprocess.run(["git", "tag", "1.1"], check=True, env=env, cwd=clone)
    subprocess.run(["git", "push", "--quiet", "origin", *refs], check=True, env=env, cwd=clone)
    return git(clone, "rev-parse", "HEAD").decode().strip()


def test_a_second_demo_leaves_what_the_tutorial_made_one_push(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    app = open_app(str(tmp_path / "state"), create=True)
    config = read_config(str(EXAMPLE))
    prepare_demo(app, config, EXAMPLE)
    lists = {"images/petrel/package-lists/base.list.chroot": "nano\n"}
    image = pushed_by_somebody(app.paths.repo("petrel"), tmp_path / "petrel", lists, "main")
    greeter = app.paths.repo("petrel-greeter")
    package = pushed_by_somebody(greeter, tmp_path / "greeter", {"src/greeting.c": "/* mine */\n"}, "main", "1.1")
    first = refs(greeter)
    capsys.readouterr()
    prepare_demo(app, config, EXAMPLE)
    said = capsys.readouterr().err
    assert f"petrel has commits that are not the demo's: goes on with {image[:12]}, pushes nothing" in said
    assert refs(app.paths.repo("petrel")) == {"refs/heads/main": image}
    assert refs(greeter) == first
    assert first["refs/heads/main"] == first["refs/tags/1.1"] == package
    assert app.applied()[1] == image
    app.database.close()
