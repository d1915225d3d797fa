"""Features of an image, run by behave as a job runs them, on a small machine in a work folder."""

import json
import shutil
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.worlds.small_machine import PASSWORD, SCREEN, USER, small_machine

import distwright.images.driving

pytestmark = [pytest.mark.system, pytest.mark.full]
PYTHON = "/usr/bin/python3"  # Debian's, which has behave
FEATURE = f"""Feature: A small machine
  Scenario: it answers
    Given the machine has started
    When I log in as "{USER}" with password "{PASSWORD}"
    And I run "echo one; echo two >&2; exit 3"
    Then the exit code is 3
    And the output is
      \"\"\"
      one
      two
      \"\"\"
    And the output contains "two"
    And the screen shows "{SCREEN}"
    And the serial line has never shown "Kernel panic"
    And packets went only to
      | protocol | destination     | port | name |
      | udp      | 255.255.255.255 | 67   | *    |
      | icmp6    | ff02:*          | 0    |      |
    And I keep a picture as "the harbour"

  Scenario: it keeps what is written to a disk
    Given a disk "notes" of 8 MB is attached
    When I run
      \"\"\"
      for i in $(seq 50); do [ -b /dev/sda ] && break; sleep 0.2; done
      echo kept >/dev/sda && sync && head -c 4 /dev/sda
      \"\"\"
    Then it succeeds
    And the output is "kept"

  Scenario: it fails
    When I run "echo no such luck; false"
    Then it succeeds

  @quarantine
  Scenario: it is not sure
    When I run "true"
    Then the output is "something"

  @limit:2
  Scenario: it never ends
    When I run "while :; do :; done"
    Then it succeeds

  @only:uefi
  Scenario: it has a UEFI
    Then Secure Boot is on

  Scenario: it wants what nobody can
    Then the machine sings

  @fresh
  Scenario: it goes off
    Given the machine has started
    When I leave with "poweroff -f"
    Then the machine goes off
"""


def work_folder(folder: Path, feature: str, **settings: object) -> Path:
    """Give a work folder as the plan of a job fills it."""
    hardware = small_machine()
    driver = Path(distwright.images.driving.__file__).parent
    shutil.copytree(driver, folder / "driving", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "features").mkdir()
    (folder / "features" / "small.feature").write_text(feature)
    written: dict[str, object] = {
        "firmware": "bios", "medium": "kernel", "accelerator": hardware.accelerator, "kernel": str(hardware.kernel),
        "initrd": str(hardware.initrd), "command_line": hardware.command_line, "memory_mb": hardware.memory_mb, "cpus": 1,
        "expect": "login:", "boot_limit_s": 100, "limit_s": 10, "user": USER, "password": PASSWORD,
    }  # fmt: skip
    (folder / "settings.json").write_text(json.dumps(written | settings))
    return folder


def driven(work: Path, word: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PYTHON, "-m", "driving", word], cwd=work, capture_output=True, text=True, check=False)


def results_of(work: Path) -> dict[str, dict[str, Any]]:
    rows = json.loads((work / "out" / "results-0.json").read_text())["scenarios"]
    return {row["scenario"]: row for row in rows}


@pytest.fixture(scope="module")
def booted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give a work folder with the saved machine."""
    work = work_folder(tmp_path_factory.mktemp("booted"), FEATURE)
    done = driven(work, "boot")
    assert done.returncode == 0, done.stdout + done.stderr
    yield work
    shutil.rmtree(work)


def with_saved_machine(booted: Path, folder: Path, feature: str, **settings: object) -> Path:
    work = work_folder(folder, feature, **settings)
    shutil.copytree(booted / "saved", work / "saved")
    return work


def test_scenarios_run_from_the_saved_machine_and_each_ends_as_it_deserves(booted: Path) -> None:
    done = driven(booted, "scenarios")
    assert done.returncode == 0, done.stdout + done.stderr
    found = results_of(booted)
    assert {name: row["outcome"] for name, row in found.items()} == {
        "it answers": "passed", "it keeps what is written to a disk": "passed", "it fails": "failed", "it is not sure": "failed",
        "it never ends": "timed-out", "it has a UEFI": "skipped", "it wants what nobody can": "failed", "it goes off": "passed",
    }, done.stdout  # fmt: skip
    assert [name for name, row in found.items() if row["is_quarantined"]] == ["it is not sure"]
    assert (found["it fails"]["step"], found["it fails"]["message"]) == (
        "Then it succeeds",
        "the exit code is 1, not 0; it said:\nno such luck\n",
    )
    assert found["it wants what nobody can"]["message"] == "no step has this sentence"
    assert "the machine has had 2 s" in found["it never ends"]["message"]
    evidence = {"commands.txt", "film.png", "packets-1.pcap", "packets-2.pcap", "screen.png", "serial.txt"}
    assert set(found["it fails"]["evidence"]) == evidence
    with tarfile.open(booted / "out" / "evidence-0.tar") as tar:
        names = tar.getnames()
        line = found["it fails"]["at"].removeprefix("small.feature:")
        commands = tar.extractfile(f"small-{line}/commands.txt")
        assert commands is not None
        assert commands.read() == b"$ echo no such luck; false\nno such luck\n[exit code 1]\n"
    assert "small-2/1-the-harbour.png" in names
    assert not list(booted.glob("scenario-*"))


def test_what_was_run_is_known_when_the_rest_is_killed(booted: Path, tmp_path: Path) -> None:
    feature = """Feature: Killed
  Scenario: first
    When I run "true"
    Then it succeeds
  Scenario: second
    When I run "sleep 1000"
  Scenario: third
    When I run "true"
"""
    work = with_saved_machine(booted, tmp_path / "work", feature)
    running = subprocess.Popen(
        [PYTHON, "-m", "driving", "scenarios"], cwd=work, start_new_session=True, stdout=subprocess.DEVNULL
    )
    results = work / "out" / "results-0.json"
    until = time.monotonic() + 120
    while not results.exists() or results_of(work)["first"]["outcome"] == "not-run":
        assert time.monotonic() < until
        time.sleep(0.1)
    subprocess.run(["pkill", "-KILL", "-s", str(running.pid)], check=False)
    running.wait()
    assert {name: row["outcome"] for name, row in results_of(work).items()} == {
        "first": "passed", "second": "not-run", "third": "not-run",
    }  # fmt: skip


def test_chosen_scenarios_run_alone(booted: Path, tmp_path: Path) -> None:
    work = with_saved_machine(booted, tmp_path / "work", FEATURE, scenarios=["it fails"])
    assert driven(work, "scenarios").returncode == 0
    assert {name: row["outcome"] for name, row in results_of(work).items()} == {"it fails": "failed"}
    nothing = with_saved_machine(booted, tmp_path / "none", FEATURE, features=["no such feature"])
    done = driven(nothing, "scenarios")
    assert (done.returncode, done.stdout) == (1, "no scenario is chosen\n")


def test_an_image_that_never_starts_leaves_its_last_words_and_its_screen(tmp_path: Path) -> None:
    hardware = small_machine(more="silent")
    work = work_folder(tmp_path / "work", FEATURE, boot_limit_s=12, command_line=hardware.command_line)
    done = driven(work, "boot")
    assert done.returncode == 1
    assert "'login:' on the serial line: the machine has had 12 s" in done.stdout
    assert (work / "out" / "screen.png").read_bytes().startswith(b"\x89PNG")
    assert (work / "out" / "serial.txt").exists()
    assert not (work / "saved").exists()
