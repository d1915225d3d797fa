"""What behave says is in quarantine, of a topic and of its base; without a machine."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

import distwright.images.driving

pytestmark = pytest.mark.system
PYTHON = "/usr/bin/python3"  # Debian's, which has behave
FEATURE = """Feature: Boot
  {}
  Scenario: it greets
    Given the machine has started

  @quarantine
  Scenario: it sleeps
    Given the machine has started
"""
PROGRAM = """import json, pathlib
from driving import hooks
from driving.__main__ import listed, note_quarantine
work = pathlib.Path.cwd()
note_quarantine(work)
found = listed(work / "features", [], [], hooks.base_quarantine(work))
print(json.dumps({one.scenario: one.is_quarantined for one in found}))
"""


def quarantined(work: Path, feature: str, base: str | None = None) -> dict[str, bool]:
    """List the scenarios of a topic, as the driver does in its work folder."""
    shutil.copytree(Path(distwright.images.driving.__file__).parent, work / "driving")
    for folder, text in (("features", feature), ("base-features", base)):
        if text is not None:
            (work / folder).mkdir()
            (work / folder / "boot.feature").write_text(text)
    ran = subprocess.run([PYTHON, "-B", "-c", PROGRAM], cwd=work, check=True, capture_output=True, text=True)
    found: dict[str, bool] = json.loads(ran.stdout)
    return found


@pytest.mark.parametrize(
    ("base", "greets", "sleeps"),
    [
        (None, True, True),
        (FEATURE.format("@fresh"), False, True),
        (FEATURE.format("@quarantine"), True, True),
        ("", False, False),
        ("This is no feature\n", False, False),
        ("# language: nowhere\nFeature: x\n", False, False),
    ],
    ids=["no topic", "one on the base", "both on the base", "nothing there", "an error there", "no language"],
)
def test_tags_of_a_topic_count_if_its_base_has_them(
    tmp_path: Path, base: str | None, *, greets: bool, sleeps: bool
) -> None:
    assert quarantined(tmp_path, FEATURE.format("@quarantine"), base) == {"it greets": greets, "it sleeps": sleeps}
