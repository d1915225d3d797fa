"""An installation that builds real packages of Debian: recorded, with a build environment and a suite of its own."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tests.system.line import Line, keep_in_cache, state_folder

from distwright.app import App, open_app
from distwright.signing.signer import make_key
from distwright.site.applied import apply_config

CONFIG = """\
format = 1
[site]
name = "Petrel"
[archive.debian]
kind = "upstream"
suites = ["bookworm"]
keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
origin = "Debian"
label = "Debian"
[archive.debian-security]
kind = "upstream"
suites = ["bookworm-security"]
keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
origin = "Debian"
label = "Debian-Security"
[archive.petrel]
kind = "own"
origin = "Petrel"
label = "Petrel"
key = { credential = "petrel" }
[suite.devel]
archive = "petrel"
environment = "build"
[environment.build]
from = ["debian/bookworm", "debian-security/bookworm-security"]
include = ["debhelper", "fakeroot"]
"""
BUILD_TIMEOUT_S = 3600.0


@dataclass(frozen=True)
class Builder:
    """The installation, and the serial of Debian that it builds with."""

    line: Line
    serial: str

    def app(self) -> App:
        """Open it in this process."""
        return open_app(str(self.line.state))

    def call(self, *words: str) -> tuple[int, Any, str]:
        """Run a command that builds; give its exit code, its answer and what it said."""
        done = self.line.call(*words, "--state", str(self.line.state), "--json", timeout_s=BUILD_TIMEOUT_S)
        return done.returncode, json.loads(done.stdout or "null"), done.stderr


@contextmanager
def builder_of_debian(more: str = "", *, checkers: str = "") -> Iterator[Builder]:
    """Record Debian as it is now; environments are made by the first build that wants one.

    more: configuration beside CONFIG; checkers: of the environment `build`.
    """
    config = CONFIG + (f'checkers = "{checkers}"\n' if checkers else "") + more
    with state_folder() as folder:
        app = open_app(str(folder / "state"), create=True)
        for credential in ("petrel", "builder"):
            make_key(app.paths.key(credential), credential)
        apply_config(
            {"distwright.toml": config}, {}, "0" * 40,
            database=app.database, objects=app.objects, paths=app.paths, now=datetime.now(UTC),
        )  # fmt: skip
        app.database.close()
        line = Line(folder / "state")
        for archive in ("debian", "debian-security"):
            done = line.call("archive", "record", archive, "--state", str(line.state), timeout_s=600)
            assert done.returncode == 0, done.stderr
        [row] = line.answer("snapshot", "list", "debian")
        yield Builder(line, row["serial"])
        keep_in_cache(line.state)
