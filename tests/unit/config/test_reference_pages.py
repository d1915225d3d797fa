"""The settings page and the example are what the classes say; DISTWRIGHT_RECORD=1 writes them anew."""

import os
import re
from pathlib import Path

import pytest

from distwright.config.load import parse_config
from distwright.config.model import NOT_YET, TABLES
from distwright.config.reference import example_toml, settings_reference
from distwright.config.words import settings_of

FOLDER = Path(__file__).parents[3] / "docs" / "reference"
OF_TWO_REPOS = "private_twin_of"  # the example has one, and nothing is its own twin
PAGES = {"settings.md": settings_reference, "distwright.example.toml": example_toml}


@pytest.mark.parametrize("page", PAGES)
def test_page_is_what_the_classes_say(page: str) -> None:
    file, text = FOLDER / page, PAGES[page]()
    if os.environ.get("DISTWRIGHT_RECORD"):
        file.write_text(text, encoding="utf-8")
    assert file.read_text(encoding="utf-8") == text, "run this test again with DISTWRIGHT_RECORD=1"


def test_example_parses_as_it_is_and_with_every_setting_set() -> None:
    example = example_toml()
    config = parse_config([("distwright.example.toml", example)])
    every = re.sub(rf"(?m)^#(?!{OF_TWO_REPOS})(?=[a-z_]+ = )", "", example)
    full = parse_config([("distwright.example.toml", every)])
    assert set(config.archives) == set(full.archives) == {"debian", "ours"}
    written = set(full.origins)
    names = {"archive": {"upstream": "debian", "own": "ours"}}
    for table, _, value in full.tables():
        kind = getattr(value, "kind", None) if table == "archive" else None
        for key in settings_of(TABLES[table][kind]).keys() - {OF_TWO_REPOS}:
            where = names[table][str(kind)] + "." if table == "archive" else ""
            assert any(re.fullmatch(rf"{table}\.([a-z]+\.)?{key}", path) for path in written), (where, key)


def test_a_setting_shown_as_its_default_changes_nothing() -> None:
    example = example_toml()
    every = example.splitlines()
    shown = [line[1:] for line in every if re.match(r"#(components|variant|boot_timeout_s|kind|sources) = ", line)]
    assert len(shown) == 8
    text = "\n".join(line[1:] if line[1:] in shown else line for line in every)
    assert parse_config([("e", text)]) == parse_config([("e", example)])


def test_page_lists_every_table_and_setting_with_a_sentence() -> None:
    page = settings_reference()
    for kinds in TABLES.values():
        for model in kinds.values():
            assert model.__doc__
            for setting in settings_of(model).values():
                assert setting.description.endswith("."), setting
                assert f"| `{setting.key}` | {setting.in_words} |" in page
    assert all(f"`[{name}.NAME]`" in page for name in NOT_YET)
