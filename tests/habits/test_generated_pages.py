"""Generated pages are what their generators say now; DISTWRIGHT_RECORD=1 writes them anew."""

import os
from pathlib import Path

from distwright.cli.reference import commands_reference
from distwright.images.driving.steps import STEPS
from distwright.images.steps_reference import steps_reference

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


def test_commands_page_is_what_the_commands_say() -> None:
    page = REFERENCE / "commands.md"
    if os.environ.get("DISTWRIGHT_RECORD"):
        page.write_text(commands_reference())
    assert page.read_text() == commands_reference(), "DISTWRIGHT_RECORD=1 writes the page anew"


def test_steps_page_is_what_the_steps_say() -> None:
    page = REFERENCE / "steps.md"
    if os.environ.get("DISTWRIGHT_RECORD"):
        page.write_text(steps_reference())
    assert page.read_text() == steps_reference(), "DISTWRIGHT_RECORD=1 writes the page anew"


def test_every_step_says_what_it_does_and_has_a_sentence_of_its_own() -> None:
    assert [sentence for sentence, function in STEPS if not function.__doc__] == []
    assert len({sentence for sentence, _ in STEPS}) == len(STEPS)
