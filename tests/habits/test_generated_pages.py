"""Generated pages are what their generators say now; DISTWRIGHT_RECORD=1 writes them anew."""

import os
from pathlib import Path

from distwright.cli.reference import commands_reference

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


def test_commands_page_is_what_the_commands_say() -> None:
    page = REFERENCE / "commands.md"
    if os.environ.get("DISTWRIGHT_RECORD"):
        page.write_text(commands_reference())
    assert page.read_text() == commands_reference(), "DISTWRIGHT_RECORD=1 writes the page anew"
