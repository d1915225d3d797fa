"""The command line as a newcomer meets it: wrong words, missing states, broken files, Ctrl-C."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from tests.system.line import DISTWRIGHT, EXAMPLE, Line, state_folder, wait_until_gone
from tests.worlds.installation import CONFIG
from tests.worlds.repos import changelog, commit
from tests.worlds.times import NOW

from distwright.model.digests import canonical_json
from distwright.site.doctor import examine_machine
from distwright.store.database import Database
from distwright.store.objects import FileObjects
from distwright.store.paths import StatePaths
from distwright.store.refs import AppliedConfig, keep_applied_config
from distwright.tools.sandbox import sandbox_for

pytestmark = pytest.mark.system

BROKEN = """format = 1
[site]
nam = "Petrel"
[archive.debian]
kind = "upstream"
suites = "bookworm"
keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
[repo.petrel]
[image.petrel]
repo = "petrle"
recipe = "images/petrel"
from = ["debian/bookworm"]
tools = "image-tools"
boot_expect = "hello"
"""


def run(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(DISTWRIGHT), *arguments], capture_output=True, text=True, cwd=cwd, timeout=60)


def test_unknown_noun_names_the_nearest() -> None:
    done = run("archiv", "list")
    assert done.returncode == 2
    assert "'archive'" in done.stderr


def test_missing_state_says_what_makes_one(tmp_path: Path) -> None:
    done = run("job", "list", "--state", str(tmp_path / "nothing"))
    assert done.returncode == 10
    assert "distwright demo" in done.stderr
    assert not (tmp_path / "nothing").exists()


def test_broken_config_lists_every_problem_with_file_line_and_nearest_key(tmp_path: Path) -> None:
    (tmp_path / "distwright.toml").write_text(BROKEN)
    done = run("config", "check", "--config", str(tmp_path))
    assert done.returncode == 2
    problems = [line.strip() for line in done.stderr.splitlines() if "distwright.toml:" in line]
    where = [problem.partition(" ")[0] for problem in problems]
    assert "distwright.toml:3" in where
    assert "distwright.toml:6" in where
    assert "distwright.toml:10" in where
    assert any("name" in problem and "nam" in problem for problem in problems)
    assert any("petrel" in problem and "petrle" in problem for problem in problems)


def test_demo_with_a_broken_config_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "distwright.toml").write_text(BROKEN)
    done = run("demo", str(tmp_path), "--state", str(tmp_path / "state"))
    assert done.returncode == 2
    assert not (tmp_path / "state").exists()


def test_example_is_good() -> None:
    done = run("config", "check", "--config", str(EXAMPLE), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["ok"] is True


def test_doctor_finds_this_machine_able_to_do_the_work() -> None:
    done = run("doctor", "--json")
    wrong = [row for row in json.loads(done.stdout) if row["state"] == "wrong"]
    assert (done.returncode, wrong) == (0, [])


def test_refused_push_is_listed_with_its_reason_until_somebody_drops_it() -> None:
    with state_folder() as folder:
        (folder / "distwright.toml").write_text(CONFIG)
        line = Line(folder / "state")
        assert line.call("config", "init", str(folder), "--state", str(line.state)).returncode == 0
        commit(StatePaths(line.state), "greeter", {"debian/changelog": changelog("greeter", "1.1")}, tag="1.0")
        assert line.call("worker", "--until-idle", "--state", str(line.state)).returncode == 0
        [event] = line.answer("event", "list")
        assert (event["subject"], event["state"]) == ("greeter refs/tags/1.0", "refused")
        assert "tag 1.0 of greeter holds version 1.1" in event["reason"]
        number = str(event["event"])
        listed = line.call("job", "list", "--state", str(line.state))
        assert f"refused: event {number}, greeter refs/tags/1.0: tag 1.0" in listed.stderr
        retried = line.call("event", "retry", number, "--state", str(line.state))
        assert "holds version 1.1" in retried.stdout
        assert line.call("event", "drop", number, "--state", str(line.state)).returncode == 0
        assert line.answer("event", "list") == []
        assert line.call("event", "drop", number, "--state", str(line.state)).returncode == 10


def test_configuration_that_a_newer_version_applied_can_be_replaced() -> None:
    """The way out that every command names must work."""
    with state_folder() as folder:
        (folder / "distwright.toml").write_text(CONFIG)
        line = Line(folder / "state")
        assert line.call("config", "init", str(folder), "--state", str(line.state)).returncode == 0
        database, objects = Database(StatePaths(line.state).database_url), FileObjects(line.state / "objects")
        document = {"files": {"distwright.toml": CONFIG + "[holodeck]\n"}, "keyrings": {}}
        with database.write() as tx:
            keep_applied_config(tx, AppliedConfig("2" * 40, objects.put(canonical_json(document)), NOW))
        database.close()
        locked = line.call("image", "build", "petrel", "--state", str(line.state))
        assert (locked.returncode, "distwright config apply COMMIT" in locked.stderr) == (2, True)
        head = commit(StatePaths(line.state), "live", {"distwright.toml": CONFIG})
        applied = line.call("config", "apply", head, "--repo", "live", "--state", str(line.state))
        assert (applied.returncode, "note: every table is applied anew" in applied.stderr) == (0, True)
        assert line.answer("suite", "list") != []


def test_doctor_speaks_of_kvm_for_the_user_that_will_open_it(tmp_path: Path) -> None:
    [found] = [row for row in examine_machine(StatePaths(tmp_path), NOW) if row.check == "kvm"]
    user = sandbox_for(os.geteuid()).user
    become = ["setpriv", "--reuid", user, "--regid", user, "--init-groups"] if user else []
    opens = subprocess.run([*become, "sh", "-c", "exec 3<>/dev/kvm"], stderr=subprocess.DEVNULL, check=False)
    assert (found.state == "well") == (opens.returncode == 0)


def test_bad_serial_is_refused_before_anything_happens(tmp_path: Path) -> None:
    done = run("demo", str(EXAMPLE), "--serial", "yesterday", "--state", str(tmp_path / "state"))
    assert done.returncode == 2
    assert "YYYYMMDDNN" in done.stderr


def test_version_and_help_answer_without_a_state(tmp_path: Path) -> None:
    assert run("--version", cwd=tmp_path).stdout.startswith("distwright ")
    for words in (("--help",), ("archive", "--help"), ("job", "log", "--help"), ("demo", "--help")):
        done = run(*words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "Usage: distwright" in done.stdout


def test_ctrl_c_ends_with_130_and_the_next_run_goes_on() -> None:
    with state_folder() as folder:
        line = Line(folder / "state")
        argv = [str(DISTWRIGHT), "demo", str(EXAMPLE), "--state", str(line.state)]
        with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            for text in process.stderr:
                if text.startswith("  environment"):
                    time.sleep(2)
                    process.send_signal(signal.SIGINT)
                    break
            rest = process.stderr.read()
        assert process.returncode == 130, rest
        assert "run the same command again" in rest
        wait_until_gone(line.state)
        assert list((line.state / "run" / "work").iterdir()) == []
        states = {row["kind"]: row["state"] for row in line.answer("job", "list")}
        assert states["package.build"] == "queued"
