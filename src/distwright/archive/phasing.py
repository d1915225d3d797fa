"""Phased updates: a version that only a share of the machines take at first (Phased-Update-Percentage; apt 2.3 and later).

apt decides by the machine, the source and its version, so everything that was built from a source is phased together. A machine
that does not have the package yet installs it whatever the share is. Source: apt_preferences(5), "Phased updates".
"""

import re
from collections.abc import Sequence

from distwright.archive.indexes import SOURCE, UDEBS
from distwright.archive.merging import MergePlan, of_sources, told, unphased
from distwright.archive.tree import Get, Stanzas, TreeRoot

EVERYBODY = 100
_PLACE = re.compile(rb"^Filename: ", re.MULTILINE)


def plan_phase(root: TreeRoot, sources: Sequence[str], percent: int, get: Get) -> MergePlan:
    """Decide what offering everything of these sources to a share of the machines does. percent: 0..100, 100 is no phasing."""
    edits: dict[str, dict[str, Stanzas]] = {}
    refused: list[str] = []
    for source, members in of_sources(root, sources, get).items():
        found = {place: stanzas for place, stanzas in members.items() if _is_installed(place[0])}
        if not found:
            refused.append(f"{source}: nothing here is built from such a source")
        for (list_name, name), stanzas in found.items():
            edits.setdefault(list_name, {})[name] = tuple(phased(stanza, percent) for stanza in stanzas)
    return MergePlan(edits, root.tombstones, told(edits, root, get), (), tuple(refused))


def phased(stanza: bytes, percent: int) -> bytes:
    """Write the share into a stanza of Packages, before Filename; or leave it out for everybody."""
    plain = unphased(stanza)
    if percent == EVERYBODY:
        return plain
    return _PLACE.sub(b"Phased-Update-Percentage: %d\nFilename: " % percent, plain, count=1)


def _is_installed(list_name: str) -> bool:
    component, _, kind = list_name.rpartition("/")
    return kind != SOURCE and not component.endswith(f"/{UDEBS}")
