"""Say what one configuration changes against another, table by table."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from distwright.config.model import Config
from distwright.config.tables_archive import Table
from distwright.config.words import settings_of, toml_value

Action = Literal["add", "change", "remove", "mend"]


@dataclass(frozen=True, slots=True)
class Change:
    """One table that a stage has to act on. detail: for a change, each setting as `key: old -> new`.

    mend: something that is not as the configuration in force says. name: its place; detail: what of it.
    """

    action: Action
    table: str
    name: str
    detail: str


def changed_tables(old: Config | None, new: Config) -> tuple[Change, ...]:
    """Give all differences: what is added and changed in the order of dependence, then what is removed, backwards.

    old: None for the first configuration ever. `[site]` has the name "". Where the files have it, and in which
    order, is no difference; `fetch_from` is one, though it enters no digest.
    """
    before = {(table, name): value for table, name, value in old.tables()} if old else {}
    after = {(table, name): value for table, name, value in new.tables()}
    changes = []
    for (table, name), value in after.items():
        earlier = before.get((table, name))
        if earlier is None:
            changes.append(Change("add", table, name, ""))
        elif earlier != value:
            changes.append(Change("change", table, name, "; ".join(_changed_settings(earlier, value))))
    gone = [Change("remove", table, name, "") for table, name in before if (table, name) not in after]
    return (*changes, *reversed(gone))


def _changed_settings(old: Table, new: Table) -> Iterator[str]:
    olds, news = _by_key(old), _by_key(new)
    for key in {**olds, **news}:
        was, now = olds.get(key), news.get(key)
        if was != now:
            yield f"{key}: {_shown(was)} -> {_shown(now)}"


def _by_key(table: Table) -> dict[str, object]:
    return {key: getattr(table, setting.attribute) for key, setting in settings_of(type(table)).items()}


def _shown(value: object, limit: int = 120) -> str:
    text = "unset" if value is None else toml_value(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
