"""The command line in this process, on a small state: what a person types, and what comes back."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

from click.testing import CliRunner
from tests.worlds.archive import MadeDeb, MadeSource
from tests.worlds.times import NOW

from distwright.app import App, open_app
from distwright.cli.main import cli
from distwright.errors import DistwrightError
from distwright.model.digests import sha256_of
from distwright.site.applied import apply_config

CONFIG = dedent("""\
    format = 1
    [site]
    name = "Petrel"
    [archive.petrel]
    kind = "own"
    origin = "Petrel"
    label = "Petrel"
    live_url = "https://deb.petrel.example/petrel"
    live_key = "petrel.asc"
    key = { credential = "petrel" }
    [archive.other]
    kind = "own"
    origin = "Other"
    label = "Other"
    live_key = "other.asc"
    key = { credential = "other" }
    [suite.devel]
    archive = "petrel"
    [suite.stable]
    archive = "petrel"
    [suite.elsewhere]
    archive = "other"
""")


@dataclass(frozen=True)
class Typed:
    """How a command ended. said: its error, or "" ."""

    exit_code: int
    text: str
    said: str

    @property
    def answer(self) -> Any:
        """The JSON that was printed."""
        return json.loads(self.text)


@dataclass(frozen=True)
class CommandLine:
    """A configured installation below a folder, with keys."""

    state: Path

    def run(self, *words: str, as_json: bool = False) -> Typed:
        """Type a command."""
        more = ["--json"] if as_json else []
        done = CliRunner().invoke(cli, [*words, "--state", str(self.state), *more])
        if isinstance(done.exception, DistwrightError):
            return Typed(done.exception.exit_code, done.output, done.exception.message)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Typed(done.exit_code, done.output, "")

    def files(self, *packages: MadeDeb | MadeSource) -> str:
        """Write packages into a new folder and give it."""
        parent = self.state.parent
        folder = parent / f"files-{len(list(parent.glob('files-*')))}"
        folder.mkdir()
        for package in packages:
            named = {package.file_name: package.content} if isinstance(package, MadeDeb) else package.files
            for name, content in named.items():
                (folder / name).write_bytes(content)
        return str(folder)

    def versions(self, suite: str) -> dict[str, str]:
        """Give what a suite has: name -> version."""
        rows = self.run("suite", "show", suite, as_json=True).answer
        return {row["package"]: row["version"] for row in rows}

    def configure(self, config: str) -> None:
        """Let another configuration be in force."""
        app = open_app(str(self.state))
        _apply(app, config)
        app.database.close()

    def publish(self, suite: str, *packages: MadeDeb | MadeSource) -> None:
        """Add packages to a suite, if any, and serve it."""
        words = ["add", suite, self.files(*packages), "--publish"] if packages else ["publish", suite]
        done = self.run("suite", *words)
        assert done.exit_code == 0, done.said

    def revision(self, suite: str) -> str:
        """Give the present revision of a suite."""
        rows = self.run("suite", "list", as_json=True).answer
        return str(next(row["revision"] for row in rows if row["suite"] == suite))


def command_line(
    folder: Path,
    config: str = CONFIG,
    keys: tuple[str, ...] = ("petrel", "other", "mirror"),
    keyrings: Mapping[str, bytes] | None = None,
) -> CommandLine:
    """Make an installation below a folder. keys: credentials that get one; keyrings: files of the configuration."""
    app: App = open_app(str(folder / "state"), create=True)
    _apply(app, config, keyrings)
    for credential in keys:
        app.keys.make(credential, f"{credential} archive key <{credential}@archive.invalid>")
    app.database.close()
    return CommandLine(folder / "state")


def _apply(app: App, config: str, keyrings: Mapping[str, bytes] | None = None) -> None:
    apply_config(
        {"distwright.toml": config},
        keyrings or {},
        sha256_of(config.encode())[:40],
        database=app.database,
        objects=app.objects,
        paths=app.paths,
        now=NOW,
    )
