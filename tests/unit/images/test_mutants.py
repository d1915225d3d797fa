"""Mutants are what they say: there is one for each scenario that ships, and what they change is small."""

import subprocess
import tarfile
from pathlib import Path

import pytest
from tests.system.line import EXAMPLE
from tests.worlds.mutants import MUTANTS, UPGRADE, kit_that_does_nothing, unsigned

from distwright.images.scenarios import packed

SIGNED = Path("/usr/lib/grub/x86_64-efi-signed/gcdx64.efi.signed")


def test_each_scenario_that_ships_has_a_mutant() -> None:
    lines = [line for file in EXAMPLE.glob("features/*.feature") for line in file.read_text().splitlines()]
    shipped = [line.partition("Scenario: ")[2] for line in lines if line.strip().startswith("Scenario: ")]
    assert sorted(shipped) == sorted([*(one.scenario for one in MUTANTS), UPGRADE])


def test_a_kit_that_does_nothing_says_that_it_has_done_all(tmp_path: Path) -> None:
    (tmp_path / "kit.tar").write_bytes(packed({"kit/apply": b"#!/bin/sh\nexit 1\n", "kit/cut": b"x" * 5000}))
    made = kit_that_does_nothing(tmp_path / "kit.tar", "petrel-2", tmp_path / "made.tar")
    with tarfile.open(made) as tar:
        assert tar.getnames() == ["kit/apply", "kit/cut"]
    subprocess.run(["tar", "--extract", "--file", str(made)], cwd=tmp_path, check=True)
    assert (tmp_path / "kit/cut").read_bytes() == b"x" * 5000
    said = subprocess.run(["sh", "kit/apply", "/medium"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert said.stdout == "/medium is petrel-2\n"
    assert not made.stat().st_size % 512, "it is a disk"


def test_an_unsigned_loader_differs_in_nothing_that_is_run() -> None:
    signed = SIGNED.read_bytes()
    made = unsigned(signed)
    differing = [at for at in range(4096) if signed[at] != made[at]]
    assert (len(made), signed[4096:]) == (len(signed), made[4096:])
    assert differing
    assert differing[-1] - differing[0] < 8
    with pytest.raises(AssertionError, match="it has no signature"):
        unsigned(made)
