"""What the configuration means for this stage: hosted repos exist as their tables say."""

from distwright.config.difference import Change, changed_tables
from distwright.config.model import Config
from distwright.repos.hosting import make_repo
from distwright.store.paths import StatePaths


def plan_config(old: Config | None, new: Config) -> list[Change]:
    """List what applying `new` would do here. A repo that is no longer configured stays on disk."""
    return [change for change in changed_tables(old, new) if change.table == "repo"]


def apply_change(change: Change, new: Config, paths: StatePaths) -> None:
    """Make it so; safe to repeat."""
    if change.action != "remove":
        make_repo(paths, change.name, new.repos[change.name].default_branch)
