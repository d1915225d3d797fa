"""`pin` and the verbs of `snapshot` about what is needed: a branch is frozen in git, and what it names stays."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.worlds.archive import DATE, DAY, make_deb
from tests.worlds.commands import CONFIG, Typed
from tests.worlds.frozen import UPSTREAMS, Frozen, frozen_world

OLD, NEW = "2024011001", "2024011101"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Frozen]:
    """Debian is recorded twice, the security updates once."""
    world = frozen_world(tmp_path)
    for number in range(2):
        world.upstreams["debian"].add(make_deb("hello", f"1.{number}"))
        world.record("debian", DATE + number * DAY)
    world.record("security", DATE + DAY)
    yield world
    world.context.database.close()


def pin(world: Frozen, *words: str, as_json: bool = False) -> Typed:
    verb, *more = words
    return world.line.run("pin", verb, str(world.clone), *more, as_json=as_json)


def serials(world: Frozen, archive: str = "debian") -> list[str]:
    return [row["serial"] for row in world.line.run("snapshot", "list", archive, as_json=True).answer]


def test_freeze_pins_what_is_newest_and_leaves_security_updates_and_thaw_takes_it_back(world: Frozen) -> None:
    changes = [
        {"archive": "debian", "old": None, "new": NEW, "file": "config/APT_snapshots.d/debian/serial"},
        {"archive": "security", "old": None, "new": "latest", "file": "config/APT_snapshots.d/security/serial"},
    ]
    assert pin(world, "freeze", "--dry-run", as_json=True).answer == changes
    assert not (world.clone / "config").exists()
    assert pin(world, "freeze", as_json=True).answer == changes
    assert (world.pin("debian"), world.pin("security")) == (f"{NEW}\n", "latest\n")
    assert pin(world, "freeze").text == "nothing changes\n"
    assert pin(world, "check").text == "good: 2 pins\n"
    world.check_out("topic")
    assert pin(world, "thaw", "--archive", "debian").exit_code == 0
    assert world.pin("debian") == "latest\n"
    assert pin(world, "freeze", "--at", f"debian={OLD}", "--also-security").exit_code == 0
    assert (world.pin("debian"), world.pin("security")) == (f"{OLD}\n", f"{NEW}\n")
    assert pin(world, "freeze").text == "nothing changes\n"
    assert pin(world, "freeze", "--at", "debian=latest", as_json=True).answer[0]["new"] == NEW
    listed = pin(world, "list", as_json=True).answer
    assert [(row["archive"], row["pin"], row["newest"], row["stays latest"]) for row in listed] == [
        ("debian", NEW, NEW, False),
        ("security", NEW, NEW, True),
    ]
    assert sorted(path.name for path in (world.clone / "config").rglob("*") if path.is_file()) == ["serial"] * 2


def test_one_archive_can_be_frozen_alone(world: Frozen) -> None:
    world.check_out("topic")
    assert pin(world, "freeze", "--archive", "security").exit_code == 0
    assert world.pin("security") == f"{NEW}\n"
    assert not (world.clone / "config" / "APT_snapshots.d" / "debian").exists()


def test_a_branch_is_refused_what_it_must_not_be_and_nothing_is_written(world: Frozen) -> None:
    world.check_out("main")
    refused = pin(world, "freeze")
    assert (refused.exit_code, "branch main must not be frozen" in refused.said) == (3, True)
    assert not (world.clone / "config").exists()
    assert pin(world, "check").exit_code == 0
    world.check_out("1.2")
    refused = pin(world, "check")
    assert (refused.exit_code, "debian is latest" in refused.said, "security" in refused.said) == (3, True, False)
    pin(world, "freeze")
    refused = pin(world, "thaw")
    assert (refused.exit_code, "branch 1.2 must be frozen" in refused.said) == (3, True)
    assert world.pin("debian") == f"{NEW}\n"
    assert pin(world, "check", "--branch", "main").exit_code == 3


@pytest.mark.parametrize(
    ("words", "exit_code", "said"),
    [
        (("freeze", "--archive", "petrel"), 10, "'petrel' is no upstream archive"),
        (("freeze", "--at", "debian"), 2, "'debian' names no serial"),
        (("freeze", "--at", "debian=2020010101"), 10, "archive debian has no snapshot 2020010101"),
        (("freeze", "--at", "debian=soon"), 2, "'soon' is not a serial"),
        (("thaw", "--archive", "nothing"), 10, "'nothing' is no upstream archive"),
        (("check", "--repo", "nothing"), 10, "repo 'nothing' is not configured"),
    ],
)
def test_names_that_are_nobodys_are_refused(world: Frozen, words: tuple[str, ...], exit_code: int, said: str) -> None:
    done = pin(world, *words)
    assert (done.exit_code, done.said) == (exit_code, said)


def test_what_is_no_work_tree_and_what_is_no_pin_is_said(world: Frozen, tmp_path: Path) -> None:
    outside = world.line.run("pin", "list", str(tmp_path))
    assert (outside.exit_code, outside.said) == (2, f"'{tmp_path}' is in no git work tree")
    pin(world, "freeze")
    (world.clone / "config" / "APT_snapshots.d" / "debian" / "serial").write_text("yesterday\n")
    (world.clone / "config" / "APT_snapshots.d" / "README").write_text("x" * 9000)
    broken = pin(world, "check")
    assert (broken.exit_code, broken.said.count("\n")) == (2, 2)
    (world.clone / "config" / "APT_snapshots.d" / "README").unlink()
    (world.clone / "config" / "APT_snapshots.d" / "debian" / "serial").write_text("2020010101\n")
    assert pin(world, "check").exit_code == 10


@pytest.mark.parametrize("linked", ["config", "config/APT_snapshots.d", "config/APT_snapshots.d/debian"])
def test_a_link_out_of_the_work_tree_is_neither_read_nor_written_through(
    world: Frozen, tmp_path: Path, linked: str
) -> None:
    pin(world, "freeze")
    before = world.pin("debian")
    (world.clone / linked).rename(tmp_path / "elsewhere")
    (world.clone / linked).symlink_to(tmp_path / "elsewhere")
    for verb in ("list", "check", "freeze", "thaw"):
        done = pin(world, verb)
        assert (done.exit_code, f"'{linked}' is a link" in done.said) == (2, True)
    assert world.pin("debian") == before
    if linked == "config":
        (world.clone / "config").unlink()
        (world.clone / "config").symlink_to(tmp_path / "nowhere")
        assert pin(world, "freeze").exit_code == 2
        assert not (tmp_path / "nowhere").exists()


def test_what_a_file_says_that_is_no_pin_is_not_told_by_it(world: Frozen, tmp_path: Path) -> None:
    pin(world, "freeze")
    file = world.clone / "config" / "APT_snapshots.d" / "debian" / "serial"
    (tmp_path / "shadow").write_text("root:$y$j9T$0123456789abcdef:19000:0:99999\n")
    file.unlink()
    file.symlink_to(tmp_path / "shadow")
    assert "root" not in pin(world, "check").said
    file.unlink()
    file.write_text("root:$y$j9T$0123456789abcdef:19000:0:99999\n")
    assert "says 'root:$y$j9T$0123456…'" in pin(world, "check").said


def test_a_check_without_rules_says_so(world: Frozen) -> None:
    pin(world, "freeze")
    tables = UPSTREAMS.partition("[repo.live]")[0]
    world.line.configure(CONFIG + tables)
    assert pin(world, "check").text == "readable: 2 pins; no rules of a repo were looked at: name it with --repo\n"


def test_latest_is_said_once_and_shown(world: Frozen) -> None:
    shown = world.line.run("snapshot", "show", "debian", "latest", as_json=True).answer
    assert (shown["serial"], shown["suites"], shown["needed by"]) == (NEW, {"stable": "2024-01-11 12:00:00"}, [])
    assert world.line.run("snapshot", "show", "debian").text == world.line.run("snapshot", "show", "debian", NEW).text
    refused = world.line.run("snapshot", "drop", "debian", "latest")
    assert (refused.exit_code, f"{NEW} is the newest of debian" in refused.said) == (3, True)
    sources = world.line.run("archive", "sources", "debian", "stable", "--serial", "latest", "--url", "http://x/debian")
    assert f"URIs: http://x/debian/{NEW}\n" in sources.text
    assert world.line.run("snapshot", "show", "nothing").exit_code == 10


def test_a_snapshot_that_is_held_by_hand_stays_until_it_is_released_or_the_time_is_past(world: Frozen) -> None:
    held = world.line.run(
        "snapshot", "hold", "debian", OLD, "--reason", "a fair", "--until", "2999-12-31", as_json=True
    )
    holder = held.answer["holder"]
    listed = world.line.run("snapshot", "holds", as_json=True).answer
    expected = {
        "archive": "debian",
        "serial": OLD,
        "holder": holder,
        "reason": "a fair",
        "until": "2999-12-31 00:00:00",
    }
    assert listed == [expected]
    refused = world.line.run("snapshot", "drop", "debian", OLD, "--apply")
    assert (refused.exit_code, f"{OLD} is needed by {holder}: a fair" in refused.said) == (3, True)
    assert f"needed by {holder}: a fair, until 2999" in world.line.run("snapshot", "show", "debian", OLD).text
    assert world.line.run("snapshot", "hold", "debian", OLD, "--reason", "another").exit_code == 0
    assert [row["reason"] for row in world.line.run("snapshot", "holds", "debian", as_json=True).answer] == ["another"]
    assert world.line.run("snapshot", "release", "debian", OLD, "--of", "nobody").exit_code == 10
    assert world.line.run("snapshot", "release", "debian", OLD).exit_code == 0
    assert world.line.run("snapshot", "release", "debian", OLD).exit_code == 10
    assert world.line.run("snapshot", "holds").text == "nobody needs a snapshot\n"
    assert world.line.run("snapshot", "hold", "debian", OLD, "--reason", "x", "--until", "2020-01-01").exit_code == 2
    assert world.line.run("snapshot", "hold", "debian", OLD, "--reason", " ").exit_code == 2
    assert world.line.run("snapshot", "drop", "debian", OLD, "--apply").exit_code == 0
    assert serials(world) == [NEW]


def test_what_a_pushed_branch_pins_is_neither_dropped_nor_retired_and_goes_when_the_branch_is_thawed(
    world: Frozen,
) -> None:
    """No worker has taken the push in: git itself is asked."""
    pin(world, "freeze", "--at", f"debian={OLD}")
    world.push()
    refused = world.line.run("snapshot", "drop", "debian", OLD, "--apply")
    why = f"{OLD} is needed by ref live refs/heads/stable: pinned in config/APT_snapshots.d/debian/serial"
    assert (refused.exit_code, why in refused.said) == (3, True)
    retired = world.line.run("snapshot", "retire", "debian", "--keep", "1", "--apply", as_json=True).answer
    assert [(row["serial"], row["verdict"]) for row in retired] == [(NEW, "stays"), (OLD, "stays")]
    assert "needed by ref live refs/heads/stable" in retired[1]["why"]
    world.check_out("topic")
    pin(world, "thaw")
    world.push()
    tried = world.line.run("snapshot", "retire", "--keep", "1", as_json=True).answer
    assert [(row["archive"], row["serial"], row["stays"]) for row in tried] == [
        ("debian", NEW, True), ("debian", OLD, False), ("security", NEW, True),
    ]  # fmt: skip
    assert serials(world) == [NEW, OLD]
    assert world.line.run("snapshot", "retire", "--keep", "1", "--apply").exit_code == 0
    assert serials(world) == [NEW]


def test_without_a_policy_nothing_is_retired_and_an_unknown_archive_is_not_found(world: Frozen) -> None:
    judged = world.line.run("snapshot", "retire", "--apply", as_json=True).answer
    assert [row["why"] for row in judged if row["serial"] == OLD] == [
        "nothing says how long it is kept: set keep or keep_days"
    ]
    assert serials(world) == [NEW, OLD]
    assert world.line.run("snapshot", "retire", "nothing").exit_code == 10
    judged = world.line.run("snapshot", "retire", "--keep-days", "3650", as_json=True).answer
    assert {row["stays"] for row in judged} == {True}


def test_a_policy_of_the_configuration_counts_for_what_the_command_does_not_say(tmp_path: Path) -> None:
    world = frozen_world(tmp_path, more="keep = 2\nkeep_days = 3650\n")
    for number in range(3):
        world.record("debian", DATE + number * DAY)

    def stays(*words: str) -> list[bool]:
        return [row["stays"] for row in world.line.run("snapshot", "retire", "debian", *words, as_json=True).answer]

    assert stays() == stays("--keep", "1") == [True, True, True]
    assert stays("--keep-days", "1") == [True, True, False]
    assert stays("--keep", "1", "--keep-days", "1") == [True, False, False]
    world.context.database.close()
