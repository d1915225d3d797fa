"""Files that one can hold in the head; every room says what it is; every link leads somewhere."""

import re
from pathlib import Path

import pytest
from tests.habits.source import ROOT, SOURCE, modules

from distwright.site.programs import FILES, PROGRAMS, TO_BEGIN

LONGEST = 450
ROOMS = sorted(path.parent for path in SOURCE.glob("*/__init__.py"))
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
_HEADING = re.compile(r"^#+ +(.*)$", re.MULTILINE)


def pages() -> list[Path]:
    """List our Markdown pages: those that git would know."""
    hidden = {".venv", ".pytest_cache", ".git", "state", ".cache"}
    return sorted(path for path in ROOT.rglob("*.md") if not hidden & set(path.relative_to(ROOT).parts))


def test_no_file_is_longer_than_one_can_hold_in_the_head() -> None:
    files = [module.path for folder in (SOURCE, ROOT / "tests") for module in modules(folder)]
    long = {str(path.relative_to(ROOT)): n for path in files if (n := len(path.read_text().splitlines())) > LONGEST}
    assert long == {}


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_every_room_says_what_flows_in_and_out_and_what_is_always_true(room: Path) -> None:
    page = room / "README.md"
    assert page.is_file(), f"write {page.relative_to(ROOT)}: what flows in, what flows out, what is always true"
    text = page.read_text()
    assert text.startswith(f"# {room.name}")
    assert "In:" in text
    assert "Out:" in text
    assert 7 <= len(text.splitlines()) <= 16, "about ten lines"


def anchors(page: Path) -> set[str]:
    """Name the headings of a page as a link does."""
    headings = _HEADING.findall(page.read_text())
    return {re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower()).replace(" ", "-") for heading in headings}


def test_every_internal_link_leads_somewhere() -> None:
    broken = []
    for page in pages():
        for target in _LINK.findall(_CODE.sub("", page.read_text())):
            if re.match(r"[a-z]+:", target):
                continue
            name, _, anchor = target.partition("#")
            place = (page.parent / name).resolve() if name else page
            if not place.exists() or (anchor and place.suffix == ".md" and anchor not in anchors(place)):
                broken.append(f"{page.relative_to(ROOT)}: {target}")
    assert broken == []


def test_every_module_says_what_it_is() -> None:
    silent = [
        module.name
        for module in modules()
        if module.path.stat().st_size and module.tree.body[0].__class__.__name__ != "Expr"
    ]
    assert silent == []


def test_the_packages_that_setup_installs_are_those_that_the_program_needs() -> None:
    lines = (ROOT / "setup" / "packages.txt").read_text().splitlines()
    listed = [line for line in lines if line and not line.startswith("#")]
    needed = {*PROGRAMS.values(), *FILES.values(), *TO_BEGIN}
    assert listed == sorted(set(listed)), "sorted, each once"
    assert (sorted(needed - set(listed)), sorted(set(listed) - needed)) == ([], []), (
        "missing in setup/packages.txt, and there without need; site/programs.py says what is needed"
    )
