"""The example as its owner changes it."""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

_TABLES = "distwright.toml"
_SWITCHED_OFF = re.compile(r"^# (features = .*(?:\n#.*)*)", re.MULTILINE)


def with_features(example: Path, place: Path, firmwares: Sequence[str], url: str = "https://petrel.example") -> Path:
    """Copy the example, with the tests of its image switched on as its comments say, and no USB image.

    url: of its site, which the menus of its netboot set name.
    """
    shutil.copytree(example, place, symlinks=True)
    tables = place / _TABLES
    text, count = _SWITCHED_OFF.subn(
        lambda found: re.sub(r"^# ?", "", found[0], flags=re.MULTILINE), tables.read_text()
    )
    assert count == 1, "the tables have no features in a comment any more"
    for pattern, words in (
        (r"^firmwares = .*$", f"firmwares = {list(firmwares)}".replace("'", '"')),
        (r"^outputs = .*$", 'outputs = ["iso", "netboot"]'),
        (r"^persistence_mb = .*\n", ""),
        (r"^url = .*$", f'url = "{url}"'),
    ):
        text, count = re.subn(pattern, words, text, flags=re.MULTILINE)
        assert count == 1, pattern
    tables.write_text(text)
    return place
