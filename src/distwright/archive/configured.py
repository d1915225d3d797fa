"""What the configuration means for this stage: suites of own archives exist as their tables say."""

from datetime import datetime

from distwright.archive.tree import EMPTY_ROOT
from distwright.config.difference import Change, changed_tables
from distwright.config.model import Config
from distwright.errors import Refused
from distwright.model.records import SuiteState
from distwright.store.database import Database
from distwright.store.holds import object_hold, replace_holds
from distwright.store.objects import ObjectStore
from distwright.store.suites import find_suite, insert_suite


def plan_config(old: Config | None, new: Config) -> list[Change]:
    """List what applying `new` would do here. A suite that is no longer configured keeps its packages."""
    return [change for change in changed_tables(old, new) if change.table in ("archive", "suite")]


def apply_change(change: Change, new: Config, database: Database, objects: ObjectStore, now: datetime) -> None:
    """Make it so; safe to repeat."""
    if change.table != "suite" or change.action == "remove":
        return
    table = new.suites[change.name]
    empty = objects.put(EMPTY_ROOT.to_bytes())
    with database.write() as tx:
        if find_suite(tx, table.archive, change.name) is None:
            insert_suite(tx, SuiteState(table.archive, change.name, table.kind, empty, now))
            replace_holds(tx, f"suite {table.archive}/{change.name}", [object_hold("", empty, "present state")], now)


def refuse_codename(config: Config, archive: str, name: str) -> None:
    """Raise Refused if a suite that is to be made has the name that clients know another one by."""
    for other, table in config.suites.items():
        if (table.archive, table.codename) == (archive, name) and other != name:
            raise Refused(f"{name} is the codename of suite {archive}/{other}", hint="choose another name")
