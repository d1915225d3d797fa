"""Somebody with clones of the configuration and of a package, and the address of our server, builds what we build."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.system.conftest import KilledLine
from tests.system.line import Line, state_folder
from tests.worlds.archive import Upstream, make_deb, make_source, signer
from tests.worlds.commands import CommandLine, command_line
from tests.worlds.keys import key_file
from tests.worlds.published import record_version
from tests.worlds.servers import DISTWRIGHT, free_port, our_server

from distwright.app import open_app
from distwright.archive.resolve import resolve_suites
from distwright.builds.resolve import environment_recipe
from distwright.model.digests import Json

pytestmark = pytest.mark.system
CONFIG = """\
format = 1
[site]
name = "Petrel"
[archive.petrel]
kind = "own"
origin = "Petrel"
label = "Petrel"
architectures = ["amd64", "i386"]
key = {{ credential = "petrel" }}
[archive.debian]
kind = "upstream"
suites = ["stable"]
keyring = "{folder}/upstream.asc"
[suite.devel]
archive = "petrel"
[suite.unused]
archive = "petrel"
[environment.build]
from = ["debian/stable", "petrel/devel"]
"""
OURS = (
    make_deb("tools", "1.0"),
    make_deb("tools-data", "1.0", source="tools", architecture="all"),
    make_source("tools", "1.0", binaries=("tools", "tools-data")),
)


@dataclass(frozen=True)
class Pair:
    """Our installation, served at url, and the state of somebody else, with the same configuration and no key."""

    ours: CommandLine
    theirs: CommandLine
    url: str
    folder: Path

    def take(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Take our states there. A process of its own: whoever runs a job ends all children that are left, as our server is."""
        argv = [str(DISTWRIGHT), "archive", "take", self.url, *words, "--state", str(self.theirs.state)]
        return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)

    @property
    def certificate(self) -> str:
        """The certificate that signs our archive."""
        return str(self.folder / "petrel.asc")


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[CommandLine, str, Path]]:
    """Record an upstream and publish packages of ours; give that, its address and a folder with certificates."""
    with state_folder() as folder:
        for name in ("upstream", "petrel", "stranger"):
            (folder / f"{name}.asc").write_bytes(signer(name).certificate())
        mirror = f'fetch_from = "file://{folder}/upstream"\n'
        config = CONFIG.format(folder=folder).replace("[suite.devel]", f"{mirror}[suite.devel]")
        ours = command_line(folder, config, ())
        key = ours.state / "keys" / "petrel.pgp"
        key.write_bytes(key_file("petrel"))
        key.chmod(0o600)
        record_version(ours, Upstream(), 1)
        ours.publish("devel", *OURS)
        with our_server(ours.state, free_port()) as url:
            yield ours, url, folder


@pytest.fixture
def pair(served: tuple[CommandLine, str, Path], tmp_path: Path) -> Pair:
    ours, url, folder = served
    return Pair(ours, command_line(tmp_path, CONFIG.format(folder=folder), ()), url, folder)


def recipe(line: CommandLine) -> Json:
    """Give the recipe of the build environment, as an order would have it."""
    app = open_app(str(line.state))
    try:
        with app.database.read() as tx:
            return environment_recipe(
                app.config(), "build", resolve_suites(tx, app.ground(), ("debian/stable", "petrel/devel"))
            ).to_json()
    finally:
        app.database.close()


def test_what_was_taken_gives_the_same_environment_to_the_last_digest(pair: Pair) -> None:
    done = pair.take("--keyring", pair.certificate)
    assert done.returncode == 0, done.stderr
    assert recipe(pair.theirs) == recipe(pair.ours)
    assert pair.theirs.revision("petrel/devel") == pair.ours.revision("petrel/devel")
    shown = [line.run("snapshot", "list", "debian", as_json=True).answer for line in (pair.ours, pair.theirs)]
    assert [(row["serial"], row["digest"]) for row in shown[0]] == [(row["serial"], row["digest"]) for row in shown[1]]
    assert pair.theirs.versions("petrel/devel") == pair.ours.versions("petrel/devel") != {}
    assert pair.theirs.run("archive", "fsck").exit_code == 0


def test_the_same_again_changes_nothing_and_what_came_since_comes(pair: Pair) -> None:
    for _ in range(2):
        assert pair.take("--keyring", pair.certificate).returncode == 0
    assert len(pair.theirs.run("suite", "history", "petrel/devel", as_json=True).answer) == 1
    pair.ours.publish("devel", make_deb("more", "1.0"), make_source("more", "1.0"))
    assert pair.theirs.revision("petrel/devel") != pair.ours.revision("petrel/devel")
    assert pair.take("--keyring", pair.certificate).returncode == 0
    assert pair.theirs.revision("petrel/devel") == pair.ours.revision("petrel/devel")


def test_nothing_that_was_taken_waits_to_be_published_or_signed(pair: Pair) -> None:
    assert pair.take("--keyring", pair.certificate).returncode == 0
    done = subprocess.run(
        [str(DISTWRIGHT), "worker", "--until-idle", "--state", str(pair.theirs.state)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    kinds = {row["kind"] for row in pair.theirs.run("job", "list", as_json=True).answer}
    assert kinds == {"archive.record"}


def test_an_archive_of_ours_is_believed_by_its_signature_only(pair: Pair) -> None:
    done = pair.take()
    assert (done.returncode, "nobody said whose signature counts for petrel/devel" in done.stderr) == (2, True)
    done = pair.take("--keyring", str(pair.folder / "stranger.asc"))
    assert (done.returncode, "InRelease of petrel/devel" in done.stderr) == (3, True), done.stderr
    assert pair.theirs.versions("petrel/devel") == {}


def test_a_table_that_records_something_else_is_named(pair: Pair) -> None:
    config = CONFIG.format(folder=pair.folder).replace("[suite.devel]", "sources = false\n[suite.devel]")
    pair.theirs.configure(config)
    done = pair.take("--keyring", pair.certificate)
    assert done.returncode == 3
    assert "of debian is " in done.stderr
    assert "use the same [archive.debian] as there" in done.stderr


def test_changes_of_ones_own_are_not_lost(pair: Pair) -> None:
    files = pair.theirs.files(make_deb("mine", "1.0"))
    assert pair.theirs.run("suite", "add", "devel", files).exit_code == 0
    done = pair.take("--keyring", pair.certificate)
    assert done.returncode == 3
    assert "suite petrel/devel has changes of its own here (the last: add)" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("nowhere",), 10, "archive nowhere is not configured"),
        (("debian", "--serial", "debian=2001010101"), 10, "serves no snapshot 2001010101 of debian"),
        (("--serial", "petrel=2001010101"), 2, "names no upstream archive that is taken"),
    ],
)
def test_what_is_not_there_is_named(pair: Pair, words: tuple[str, ...], code: int, said: str) -> None:
    done = pair.take(*words)
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr


def test_a_commit_that_is_tried_elsewhere_gives_the_packages_that_were_built_here(killed_line: KilledLine) -> None:
    """The record, the environment and the build of the whole line, once more, by somebody who has clones and an address."""
    ours = killed_line.line
    with ours.serving() as url, state_folder() as folder:
        for repo in ("petrel", "petrel-greeter"):
            subprocess.run(
                ["git", "clone", "--quiet", str(ours.state / "repos" / f"{repo}.git"), str(folder / repo)], check=True
            )
        theirs = Line(folder / "state")
        for words in (("config", "init", str(folder / "petrel")), ("archive", "take", url)):
            done = theirs.call(*words, "--state", str(theirs.state), timeout_s=300)
            assert done.returncode == 0, done.stderr
        out = folder / "built"
        where = str(folder / "petrel-greeter")
        done = theirs.call(
            "package", "try", where, "--output", str(out), "--state", str(theirs.state), "--json", timeout_s=600
        )
        assert done.returncode == 0, done.stderr
        [tried] = json.loads(done.stdout)
        built = next(row["outputs"]["files"] for row in _jobs(ours) if row["kind"] == "package.build")
        assert _lasting(tried["outputs"]["files"]) == _lasting(built)
        assert _step_keys(theirs) <= _step_keys(ours)
        summed = subprocess.run(
            ["sha256sum", *_lasting(built)], cwd=out, capture_output=True, text=True, check=True
        ).stdout
        assert {line[66:]: line[:64] for line in summed.splitlines()} == _lasting(built)


def _lasting(files: dict[str, str]) -> dict[str, str]:
    """Leave out the .buildinfo, which says when it was."""
    return {name: digest for name, digest in files.items() if not name.endswith(".buildinfo")}


def _jobs(line: Line) -> list[dict[str, Any]]:
    numbers = [row["job"] for row in line.answer("job", "list")]
    return [line.answer("job", "show", str(number)) for number in numbers]


def _step_keys(line: Line) -> set[tuple[str, str]]:
    """Give name and key of every step whose result is known."""
    import sqlite3

    with sqlite3.connect(line.state / "db.sqlite") as database:
        return set(database.execute("SELECT step, key FROM step_results"))
