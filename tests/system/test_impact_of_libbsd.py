"""Impact on real packages: a libbsd that leaves a header out, and six sources of Debian that are built with it."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from tests.system.building import Builder, builder_of_debian
from tests.worlds.times import DATE

from distwright.app import App
from distwright.builds.archive_source import read_recorded

pytestmark = [pytest.mark.system, pytest.mark.full]
USERS = ("bsdmainutils", "openbsd-inetd", "rdate", "signify-openbsd", "sndio")
NEVER_BUILT = "libedit"
MORE = """
[suite.next]
archive = "petrel"
environment = "build"
[suite.topic]
archive = "petrel"
environment = "build"
[environment.checkers]
from = ["debian/bookworm"]
variant = "minbase"
include = ["dose-distcheck", "dose-builddebcheck", "autopkgtest", "piuparts"]
"""


@dataclass(frozen=True)
class World:
    """An installation with a suite that has the users of libbsd. candidate: the job that built the libbsd to be judged."""

    builder: Builder
    candidate: int


def unpacked(app: App, source: str, folder: Path) -> Path:
    """Write a source of the recorded Debian into a folder; give its .dsc."""
    given = read_recorded(app.command_context(), "debian/bookworm", source, None)
    folder.mkdir(exist_ok=True)
    for name, digest in given.files.items():
        (folder / name).write_bytes(app.objects.read(digest))
    [dsc] = [folder / name for name in given.files if name.endswith(".dsc")]
    return dsc


def changed(dsc: Path, version: str, rule: str) -> Path:
    """Make the next version of a source, with one rule more; give its .dsc."""
    tree = dsc.parent / "tree"
    run("dpkg-source", "--extract", dsc.name, tree.name, folder=dsc.parent)
    name = dsc.name.partition("_")[0]
    by = f"Ada Example <ada@example.org>  {format_datetime(DATE)}"
    entry = f"{name} ({version}) next; urgency=medium\n\n  * Another.\n\n -- {by}\n\n"
    changelog, rules = tree / "debian" / "changelog", tree / "debian" / "rules"
    changelog.write_text(entry + changelog.read_text())
    rules.write_text(f"{rules.read_text()}\n{rule}\n")
    run("dpkg-source", "--build", tree.name, folder=dsc.parent)
    return dsc.parent / f"{name}_{version}.dsc"


def run(*argv: str, folder: Path) -> None:
    subprocess.run(argv, cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """Record Debian, bring the users of libbsd into a suite, and build a libbsd without one of its headers."""
    with builder_of_debian(MORE, checkers="checkers") as builder:
        folder = builder.line.state.parent
        app = builder.app()
        users = [unpacked(app, source, folder / source) for source in USERS]
        users.append(
            changed(
                unpacked(app, NEVER_BUILT, folder / NEVER_BUILT), "3.1-20221030-2+petrel1",
                "execute_before_dh_auto_configure:\n\techo 'chared.c:1: error: it never was right' >&2\n\tfalse",
            )
        )  # fmt: skip
        library = changed(
            unpacked(app, "libbsd", folder / "libbsd"), "0.11.7-2+petrel1",
            "execute_after_dh_auto_install:\n\tfind debian/tmp -name readpassphrase.h -print -delete",
        )  # fmt: skip
        app.database.close()
        code, _, said = builder.call("suite", "add", "next", *(str(dsc) for dsc in users))
        assert code == 0, said
        code, rows, said = builder.call("package", "build", "--dsc", str(library), "--suite", "topic")
        assert code == 0, said[-3000:]
        yield World(builder, int(rows[0]["job"]))


def is_lost(row: Mapping[str, str]) -> bool:
    """Say whether the mirror of this machine does not have the source any more: then the row says so, and is no test's matter."""
    return row["verdict"] == "cannot say" and "upstream no longer has" in row["why"]


def needs_machine(row: Mapping[str, str]) -> bool:
    """Say whether all tests of a source want a machine or a container of their own, which a testbed here is not."""
    return row["verdict"] == "skipped" and 'requires testbed capability "isolation-' in row["why"]


@pytest.fixture(scope="module")
def answer(world: World) -> dict[str, Any]:
    """Ask what the candidate breaks of what is in the suite."""
    code, answer, said = world.builder.call(
        "package", "impact", "libbsd", "--candidate", str(world.candidate), "--suite", "next", "--limit", str(len(USERS) + 1)
    )  # fmt: skip
    assert (code, answer["verdict"]) == (1, "breaks"), said[-3000:]
    return dict(answer)


def test_what_the_candidate_breaks_is_told_from_what_never_did_build(answer: dict[str, Any]) -> None:
    rows = {(row["package"], row["question"]): row for row in answer["rows"]}
    builds = {package: row["verdict"] for (package, question), row in rows.items() if question == "builds"}
    assert builds == dict.fromkeys(USERS, "fine") | {"signify-openbsd": "regression", NEVER_BUILT: "already failing"}
    assert "readpassphrase.h" in rows["signify-openbsd", "builds"]["why"]
    assert "it never was right" in rows[NEVER_BUILT, "builds"]["why"]


def test_everything_else_is_as_it_was(answer: dict[str, Any]) -> None:
    """Tests of the library and its users ran, and its packages were upgraded and removed."""
    others = [row for row in answer["rows"] if row["question"] != "builds" and not is_lost(row)]
    asked = {row["question"] for row in others}
    assert {"tests", "install-remove"} <= asked
    assert {
        (row["package"], row["question"]): row["why"]
        for row in others
        if row["verdict"] not in ("fine", "already failing") and not needs_machine(row)
    } == {}
    tests = {row["package"]: (row["reference"], row["candidate"]) for row in others if row["question"] == "tests"}
    assert {"libbsd", "rdate"} <= tests.keys()
    assert ("pass", "pass") in tests.values(), tests


def test_asked_again_nothing_is_done(world: World, answer: dict[str, Any]) -> None:
    jobs = world.builder.line.answer("job", "list")
    words = (
        "package",
        "impact",
        "libbsd",
        "--candidate",
        str(world.candidate),
        "--suite",
        "next",
        "--limit",
        str(len(USERS) + 1),
    )
    code, again, _ = world.builder.call(*words)
    assert (code, json.dumps(again["rows"])) == (1, json.dumps(answer["rows"]))
    assert world.builder.line.answer("job", "list") == jobs
