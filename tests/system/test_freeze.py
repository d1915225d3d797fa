"""A release is frozen as people do it: commands, a git work tree, pushes, an upstream that moves on, and a real apt."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.system.line import Line, state_folder
from tests.worlds.apt import make_apt
from tests.worlds.archive import Upstream, make_deb, make_source, signer
from tests.worlds.commands import CONFIG
from tests.worlds.frozen import UPSTREAMS
from tests.worlds.mirror import serving_upstream

pytestmark = pytest.mark.system
KEYRING = 'keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"'


@dataclass(frozen=True)
class Work:
    """A line, its upstream, and a clone of the recipe's repo on the branch stable."""

    line: Line
    upstream: Upstream
    clone: Path

    def call(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return self.line.call(*words, "--state", str(self.line.state))

    def record(self, version: str, ago: timedelta) -> str:
        """Let upstream have a version of hello, and record it; give the serial."""
        self.upstream.add(make_deb("hello", version), make_source("hello", version))
        self.upstream.publish(datetime.now(UTC).replace(microsecond=0) - ago)
        done = self.call("archive", "record", "debian")
        assert done.returncode == 0, done.stderr
        serials = [str(row["serial"]) for row in self.line.answer("snapshot", "list", "debian")]
        return serials[0]

    def git(self, *words: str) -> None:
        who = dict.fromkeys(("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"), "Ada")
        who |= dict.fromkeys(("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"), "ada@example.org")
        argv = ["git", "-c", "safe.directory=*", "-C", str(self.clone), *words]
        subprocess.run(argv, check=True, capture_output=True, env={**os.environ, **who})

    def push(self) -> None:
        self.git("add", "-A")
        self.git("commit", "-qm", "pins")
        self.git("push", "-q", str(self.line.state / "repos" / "live.git"), "HEAD:refs/heads/stable")


@contextmanager
def working(*, has_key: bool) -> Iterator[Work]:
    """Give an installation; while this lasts, its mirror answers."""
    upstream = Upstream(valid_days=7)
    with state_folder() as folder, serving_upstream(upstream) as mirror:
        (folder / "upstream.asc").write_bytes(signer("upstream").certificate())
        tables = UPSTREAMS.replace(KEYRING, 'keyring = "upstream.asc"').replace(
            '[archive.security]', f'fetch_from = "{mirror.url}/debian"\n[archive.security]'
        )  # fmt: skip
        tables = tables if has_key else tables.replace('key = { credential = "mirror" }\n', "")
        (folder / "distwright.toml").write_text(CONFIG + tables)
        (folder / "clone").mkdir()
        work = Work(Line(folder / "state"), upstream, folder / "clone")
        done = work.call("config", "init", str(folder))
        assert done.returncode == 0, done.stderr
        assert work.call("archive", "key", "petrel", "--make").returncode == 0
        work.git("init", "-q", "--initial-branch=stable")
        yield work


@pytest.fixture(scope="module")
def work() -> Iterator[Work]:
    with working(has_key=False) as work:
        yield work


def test_a_command_that_records_leaves_what_else_is_queued_to_a_worker() -> None:
    with working(has_key=False) as work:
        assert work.call("suite", "branch", "stable", "release").returncode == 0
        work.record("1.0", timedelta(hours=1))
        states = {row["kind"]: row["state"] for row in work.line.answer("job", "list")}
        assert states == {"archive.record": "ok", "suite.publish": "queued"}
        told = work.call("archive", "record", "debian").stderr
        assert "1 job more is in the queue: `distwright worker --until-idle` carries out all, or serve does" in told
        assert work.call("worker", "--until-idle").returncode == 0
        assert {row["state"] for row in work.line.answer("job", "list")} == {"ok"}


def test_a_worker_prolongs_what_is_held_whatever_upstream_does() -> None:
    """Nobody records any more, or the mirror is down: a job signs anew what a person holds, two days before its end."""
    with working(has_key=True) as work:
        assert work.call("archive", "key", "debian", "--make").returncode == 0
        held = work.record("1.0", timedelta(days=5))
        assert work.call("snapshot", "hold", "debian", held, "--reason", "the fair").returncode == 0
        work.upstream.files.clear()
        done = work.call("worker", "--until-idle")
        assert done.returncode == 0, done.stderr
        [job] = [row for row in work.line.answer("job", "list") if row["kind"] == "archive.renew"]
        assert (job["state"], job["message"]) == ("ok", f"signed anew: debian {held}")
        assert work.call("worker", "--until-idle").returncode == 0
        assert len([row for row in work.line.answer("job", "list") if row["kind"] == "archive.renew"]) == 1


def test_a_release_is_frozen_kept_given_an_exception_and_thawed(work: Work, tmp_path: Path) -> None:
    hour = timedelta(hours=1)
    frozen_at = work.record("1.0", 3 * hour)
    done = work.call("pin", "freeze", str(work.clone), "--archive", "debian")
    assert done.returncode == 0, done.stderr
    pin = work.clone / "config" / "APT_snapshots.d" / "debian" / "serial"
    assert pin.read_text() == f"{frozen_at}\n"
    work.push()
    middle, newest = work.record("1.5", 2 * hour), work.record("2.0", hour)
    told = work.call("archive", "record", "debian").stderr
    assert f"soon: snapshot debian/{frozen_at}: ends on" in told
    assert "needed by ref live refs/heads/stable" in told
    finding = next(row for row in json.loads(work.call("doctor", "--json").stdout) if row["check"] == "endings")
    assert (finding["state"], frozen_at in finding["what"]) == ("note", True)
    retired = work.line.answer("snapshot", "retire", "debian", "--keep", "1", "--apply")
    assert {row["serial"]: row["stays"] for row in retired} == {newest: True, middle: False, frozen_at: True}

    assert work.call("suite", "branch", "stable", "release").returncode == 0
    words = ("--from", "debian@latest", "--base", "debian/stable", "--branch", "live/stable", "--reason", "a crash")
    done = work.call("suite", "exception", "release", "hello", "2.0", *words, "--publish")
    assert done.returncode == 0, done.stderr
    with work.line.serving() as url:
        apt = make_apt(
            tmp_path / "apt",
            f"{url}/debian/{frozen_at}",
            signer("upstream").certificate(),
            suite="stable",
        )
        assert apt.update().complaints == []
        assert apt.candidates() == ["hello 1.0"]
        key = work.call("archive", "key", "petrel").stdout.encode()
        ours = make_apt(tmp_path / "ours", f"{url}/petrel", key, suite="release")
        assert ours.update().complaints == []
        assert ours.candidates() == ["hello 2.0"]
        assert ours.download("hello").complaints == []
    assert [row["state"] for row in work.line.answer("suite", "exceptions", "release")] == ["needed"]
    pin.write_text("latest\n")
    work.push()
    assert work.call("worker", "--until-idle").returncode == 0
    [over] = work.line.answer("suite", "exceptions", "release", "--all")
    assert (over["state"], over["why"]) == ("over", f"debian/stable@{newest} has 2.0")
    assert work.call("snapshot", "retire", "--keep", "1", "--apply").returncode == 0
    assert [row["serial"] for row in work.line.answer("snapshot", "list", "debian")] == [newest]
