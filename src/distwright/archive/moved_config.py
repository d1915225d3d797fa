"""Tables of our configuration for an archive that moves in: what theirs says, as far as ours has words for it."""

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress

from distwright.archive.theirs import TheirArchive, TheirSuite
from distwright.config.tables_archive import OwnArchive
from distwright.errors import BadInput
from distwright.model.names import our_name

_DAYS = re.compile(r"([0-9]+)([dmy])")
_LENGTHS = {"d": 1, "m": 31, "y": 365}


def archive_lists(
    components: Iterable[str],
    architectures: Iterable[str],
    more_components: Iterable[str],
    more_architectures: Iterable[str],
) -> str:
    """Write the two lists of an archive's table, with what is to come after what is there."""
    both = ("components", (*components, *more_components)), ("architectures", (*architectures, *more_architectures))
    return "".join(f"{name} = {_value(tuple(dict.fromkeys(texts)))}\n" for name, texts in both)


def configuration(
    archive: str,
    table: OwnArchive | None,
    theirs: TheirArchive,
    names: Mapping[str, str],
    components: Iterable[str],
    architectures: Iterable[str],
) -> str:
    """Write the tables. table: of the archive, if there is one. names: theirs -> ours. components, architectures: of all suites."""
    first = next((suite.fields for suite in theirs.suites if suite.fields.get("Origin")), {})
    known = ((), ()) if table is None else (table.components, table.architectures)
    rows = [f"[archive.{archive}]\n", 'kind = "own"\n', archive_lists(*known, components, architectures)]
    texts = {
        "origin": first.get("Origin", archive) if table is None else table.origin,
        "label": first.get("Label", archive) if table is None else table.label,
    }
    rows += [f"{name} = {_value(text)}\n" for name, text in texts.items()]
    credential = f"{archive}-signing" if table is None else table.key.credential
    rows.append(f"key = {{ credential = {_value(credential)} }}\n")
    ours_of = {suite.name: names.get(suite.name, suite.name) for suite in theirs.suites}
    for suite in theirs.suites:
        ours = ours_of[suite.name]
        if ours:
            rows.append(_suite(archive, suite, ours, theirs.uploaders.get(suite.name, ()), set(ours_of.values())))
    return "".join(rows)


def _suite(archive: str, suite: TheirSuite, ours: str, uploaders: Iterable[str], taken: Collection[str]) -> str:
    key = ours if re.fullmatch(r"[A-Za-z0-9_-]+", ours) else _value(ours)
    rows = [f"\n[suite.{key}]\n", f"archive = {_value(archive)}\n"]
    if suite.fields.get("Description"):
        rows.append(f"description = {_value(suite.fields['Description'].partition(chr(10))[0])}\n")
    rows += _names(suite, ours, taken)
    if suite.fields.get("Version"):
        rows.append(f"version = {_value(suite.fields['Version'])}\n")
    if suite.fields.get("NotAutomatic", "").lower() == "yes":
        rows.append("not_automatic = true\n")
        if suite.fields.get("ButAutomaticUpgrades", "").lower() == "yes":
            rows.append("but_automatic_upgrades = true\n")
    days = sum(int(count) * _LENGTHS[unit] for count, unit in _DAYS.findall(suite.fields.get("ValidFor", "")))
    if days:
        rows.append(f"valid_days = {days}\n")
    rows += [f"# conf/uploaders: {line}\n" for line in uploaders]
    return "".join(rows)


def _names(suite: TheirSuite, ours: str, taken: Collection[str]) -> Iterator[str]:
    """Write the codename that clients know the suite by; say what they will be told if they knew it by another Suite."""
    codename, name = suite.fields.get("Codename", ""), suite.fields.get("Suite", "")
    with suppress(BadInput):
        if codename and codename != ours and our_name(codename, "suite") not in taken:
            yield f"codename = {_value(codename)}\n"
    if name not in ("", ours, *taken):
        yield f"# Suite was {_value(name)}; to keep that and the codename: --suite {suite.name}={name}\n"


def _value(value: str | tuple[str, ...]) -> str:
    """Write a value: a JSON string or list of strings is one of TOML too."""
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)
