"""`image retire`, `drop`, `hold` and `release`: what would go is said first, and with --apply it goes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.worlds.commands import CommandLine, command_line
from tests.worlds.images import Images
from tests.worlds.installation import CONFIG

from distwright.app import open_app

BUDGET = CONFIG.replace(
    'boot_expect = "petrel greets you"', 'boot_expect = "petrel greets you"\nkeep_mb = 1\nkeep_files = 50'
)


@pytest.fixture
def line(tmp_path: Path) -> CommandLine:
    return command_line(tmp_path, BUDGET)


@pytest.fixture
def images(line: CommandLine) -> Iterator[Images]:
    app = open_app(str(line.state))
    yield Images(app.database, app.objects, app.paths)
    app.database.close()


def listed(line: CommandLine) -> list[str]:
    return [row["files"].rpartition("/")[2] for row in line.run("image", "list", as_json=True).answer]


def test_what_is_beyond_the_budget_is_said_and_then_goes(line: CommandLine, images: Images) -> None:
    names = [images.build(iso=str(number).encode() * 600_000) for number in range(3)]
    said = line.run("image", "retire").text
    assert "would be dropped (--apply)" in said
    assert listed(line) == names[::-1]
    answer = line.run("image", "retire", "petrel", as_json=True).answer
    assert [(row["image"], row["stays"], row["why"]) for row in answer] == [
        (names[2], True, "the newest"),
        (names[1], False, "beyond 1 MiB and 50 files of petrel, main"),
        (names[0], False, "beyond 1 MiB and 50 files of petrel, main"),
    ]
    assert "distwright archive collect --apply frees the space" in line.run("image", "retire", "--apply").text
    assert listed(line) == [names[2]]
    assert line.run("image", "retire", "skua").exit_code == 10


def test_a_budget_that_is_given_counts_before_the_configured_one(line: CommandLine, images: Images) -> None:
    names = [images.build(iso=str(number).encode() * 600_000) for number in range(3)]
    answer = line.run("image", "retire", "--keep-mb", "2", as_json=True).answer
    assert [row["image"] for row in answer if row["stays"]] == [names[2], names[1], names[0]]
    answer = line.run("image", "retire", "--keep-mb", "2", "--keep-files", "8", as_json=True).answer
    assert [row["image"] for row in answer if row["stays"]] == [names[2]]


def test_what_a_person_holds_stays_until_it_is_released(line: CommandLine, images: Images) -> None:
    first, _ = images.build(), images.build()
    assert line.run("image", "hold", first, "--reason", "the fair", "--until", "2999-01-01").exit_code == 0
    done = line.run("image", "drop", first, "--apply")
    assert (done.exit_code, "the fair" in done.said) == (3, True)
    assert line.run("image", "release", first).exit_code == 0
    assert line.run("image", "release", first).exit_code == 10
    assert "would be dropped" in line.run("image", "drop", first).text
    assert len(listed(line)) == 2
    assert line.run("image", "drop", first, "--apply", as_json=False).exit_code == 0
    assert len(listed(line)) == 1
    assert line.run("image", "drop", first, "--apply").exit_code == 10
    assert line.run("image", "hold", first, "--reason", "too late").exit_code == 10


def test_a_layer_is_listed_with_what_it_lies_on(line: CommandLine, images: Images) -> None:
    full = images.build()
    layer = images.build(layer_on=full)
    rows = line.run("image", "list", as_json=True).answer
    assert [(row["files"].rpartition("/")[2], row["layer on"]) for row in rows] == [(layer, full), (full, "")]
