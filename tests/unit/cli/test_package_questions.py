"""Commands about what stops building: what a person types, and what comes back."""

from datetime import timedelta
from pathlib import Path

import pytest
from tests.worlds.breaking import BreakingWorld, FullDisk, breaking_world, moved
from tests.worlds.commands import CommandLine
from tests.worlds.installation import CONFIG

from distwright.site.applied import apply_config


@pytest.fixture
def world(tmp_path: Path) -> BreakingWorld:
    """Two serials, with the second of which greeter no longer builds; both were swept, and the culprit is known."""
    world = breaking_world(tmp_path / "state")
    context = world.context
    keyring = {"/usr/share/keyrings/debian-archive-keyring.gpg": b""}
    apply_config(
        {"distwright.toml": CONFIG}, keyring, "c" * 40,
        database=context.database, objects=context.objects, paths=context.paths, now=context.clock,
    )  # fmt: skip
    world.run()
    world.breaks = lambda tried: "build" if float(tried.versions["libfoo-dev"]) >= 2 else ""
    world.record(*moved(2))
    world.run()
    return world


@pytest.fixture
def line(world: BreakingWorld) -> CommandLine:
    return CommandLine(world.context.paths.root)


def test_history_of_what_nobody_tried_is_no_empty_list(line: CommandLine) -> None:
    done = line.run("package", "history", "graeter")
    assert (done.exit_code, done.said) == (10, "no build of a source package 'graeter' was ever tried")


def test_history_begins_with_since_when_it_fails_and_what_broke_it(world: BreakingWorld, line: CommandLine) -> None:
    good, bad = world.serials
    first, *_ = line.run("package", "history", "greeter").text.splitlines()
    assert first == (
        f"greeter 1.0 (build/devel) does not build since debian {bad}, built last with debian {good}; "
        f"libfoo 2.0 from serial {bad} of archive debian breaks it"
    )
    answer = line.run("package", "history", "greeter", as_json=True).answer
    assert [(row["outcome"], row["with"], row["message"]) for row in answer["trials"]] == [
        ("failed", f"debian {bad}", "build: build failed"),
        ("ok", f"debian {good}", ""),
    ]
    assert [row["architecture"] for row in answer["trials"]] == ["amd64", "amd64"]
    assert [row["since"] for row in answer["failing"]] == [{"debian": bad}]


def test_inquiries_are_listed_and_shown_with_their_answers(world: BreakingWorld, line: CommandLine) -> None:
    rows = line.run("package", "inquiries", as_json=True).answer
    assert [(row["kind"], row["state"]) for row in rows] == [("culprit", "done"), ("sweep", "done"), ("sweep", "done")]
    shown = line.run("package", "inquiry", str(rows[0]["inquiry"])).text
    assert "2 sources moved, up to bar" in shown
    assert shown.splitlines()[-1].endswith("of archive debian breaks it (1 built, 2 known)")
    shown = line.run("package", "inquiry", str(rows[1]["inquiry"])).text
    assert shown.splitlines()[-1] == "0 build, 1 do not, 0 could not be tried (1 built)"
    assert line.run("package", "inquiry", "99").exit_code == 10


def test_a_sweep_that_workers_shall_do_is_asked_shown_and_stopped(world: BreakingWorld, line: CommandLine) -> None:
    world.commit("second", tag="2.0", version="2.0")
    world.upload("2.0")
    done = line.run("package", "sweep", "--no-wait", as_json=True)
    assert (done.exit_code, done.answer["state"], done.answer["answer"]) == (0, "open", None)
    number = str(done.answer["inquiry"])
    assert line.run("package", "inquiry", number).text.splitlines()[-1] == "0 of 0 jobs are left"
    world.take_in()
    assert line.run("package", "inquiry", number).text.splitlines()[-1] == "1 of 1 jobs are left"
    stopped = line.run("package", "inquiry", number, "--stop")
    assert "stopped by user" in stopped.text
    assert line.run("package", "inquiry", number, "--stop").exit_code == 3
    assert world.run() == 0, "its job is cancelled"


def test_one_that_this_machine_cannot_look_at_says_why_and_when_it_is_tried_again(
    world: BreakingWorld, line: CommandLine
) -> None:
    world.commit("second", tag="2.0", version="2.0")
    world.upload("2.0")
    number = str(world.sweep())
    world.context.objects = FullDisk(world.context.paths.objects)
    world.take_in()
    again = f"{world.context.clock + timedelta(minutes=1):%Y-%m-%d %H:%M:%S}"
    said = line.run("package", "inquiry", number).text.splitlines()[-1]
    assert said == f"cannot go on: greeter: no space left (df); tried 1 times, and again from {again} on"
    answer = line.run("package", "inquiry", number, as_json=True).answer
    assert (answer["waits for"], answer["tries"], answer["again"]) == ("greeter: no space left (df)", 1, again)


@pytest.mark.parametrize(
    ("words", "exit_code", "said"),
    [
        (("sweep", "--serial", "debian"), 2, "'debian' is not ARCHIVE=SERIAL, or its archive is there twice"),
        (("sweep", "--serial", "debian=1999010101"), 10, "archive debian has no snapshot 1999010101"),
        (("bisect", "nothing"), 10, "source nothing is in no suite of ours that is built here"),
        (("bisect", "greeter", "--good", "1999010101"), 10, "debian has no snapshot 1999010101"),
        (("bisect", "greeter", "--good", "no-such-tag"), 10, "'no-such-tag' is not in repo greeter"),
        (("bisect", "greeter", "--archive", "security"), 2, "greeter is not built with archive 'security'"),
        (
            ("bisect", "greeter", "--environment", "tools"),
            10,
            "source greeter is in no suite of ours that is built here",
        ),
    ],
)
def test_what_cannot_be_asked_is_said(line: CommandLine, words: tuple[str, ...], exit_code: int, said: str) -> None:
    done = line.run("package", *words, "--no-wait")
    assert (done.exit_code, done.said) == (exit_code, said)


def test_bisect_takes_its_ends_from_what_was_tried(world: BreakingWorld, line: CommandLine) -> None:
    good, bad = world.serials
    asked = line.run("package", "bisect", "greeter", "--no-wait", as_json=True).answer["asked"]
    commit = world.commits[0]
    assert (asked["good"], asked["bad"]) == (
        {"serials": {"debian": good}, "commit": commit},
        {"serials": {"debian": bad}, "commit": commit},
    )


def test_bisect_takes_the_ends_that_it_is_given(world: BreakingWorld, line: CommandLine) -> None:
    good, bad = world.serials
    new = world.commit("second", tag="2.0", version="2.0")
    words = ("--good", "1.0", "--good", good, "--bad", "main", "--bad", bad)
    asked = line.run("package", "bisect", "greeter", *words, "--no-wait", as_json=True).answer["asked"]
    assert (asked["good"], asked["bad"]) == (
        {"serials": {"debian": good}, "commit": world.commits[0]},
        {"serials": {"debian": bad}, "commit": new},
    )
    asked = line.run("package", "bisect", "greeter", "--good", "1.0", "--bad", "2.0", "--no-wait", as_json=True).answer[
        "asked"
    ]
    assert asked["good"]["serials"] == asked["bad"]["serials"] == {"debian": bad}, "as it is now"
    done = line.run("package", "bisect", "greeter", "--good", good, "--bad", good, "--no-wait")
    assert (done.exit_code, done.said) == (2, f"the good state of greeter is the bad one: debian {good}")
    done = line.run("package", "bisect", "greeter", "--good", bad, "--bad", good, "--no-wait")
    assert done.exit_code == 2
