"""Which branches are built: bases, and topics that somebody works on. Pure but for two git processes, however many branches."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from distwright.config.tables import Repo
from distwright.repos.branches import is_base, is_never_built
from distwright.tools.git_history import DatedTip, branch_tips, is_ancestor, not_contained


@dataclass(frozen=True, slots=True)
class ActiveBranch:
    """A branch that is built. committed: when its newest commit was made, by the word of who made it."""

    name: str
    commit: str
    committed: datetime
    is_base: bool


def active_branches(where: Path, table: Repo, now: datetime, days: int | None = None) -> tuple[ActiveBranch, ...]:
    """List the branches of a repo that are built, sorted by name. days: 0..3650, default: as its table says.

    They are its bases, those of `only_ahead` only while they are ahead; and each branch whose newest commit is at most so old and
    in no base. What is called wip/ never is. A commit dated ahead counts as new: its build says what is wrong with it. No row is
    read or written: what was built of a branch stays, whether it is active or not. Source: REQUIREMENTS D1.
    """
    tips = {tip.name: tip for tip in branch_tips(where)}
    bases = {name: tip.commit for name, tip in tips.items() if is_base(table, name)}
    since = now - timedelta(days=table.active_days if days is None else days)
    recent = _recent_topics(tips.values(), bases, since)
    unmerged = not_contained(where, {tip.commit for tip in recent}, set(bases.values()))
    resting = {
        name
        for name, other in _pairs(table.only_ahead)
        if name in bases and other in bases and is_ancestor(where, bases[name], bases[other])
    }
    chosen = [tips[name] for name in bases if name not in resting and not is_never_built(name)]
    chosen += [tip for tip in recent if tip.commit in unmerged]
    return _as_active(chosen, bases)


def _recent_topics(tips: Collection[DatedTip], bases: Mapping[str, str], since: datetime) -> list[DatedTip]:
    oldest = since.timestamp()
    return [tip for tip in tips if tip.name not in bases and not is_never_built(tip.name) and tip.committed >= oldest]


def _pairs(only_ahead: Sequence[str]) -> list[tuple[str, str]]:
    return [(name, other) for name, _, other in (pair.partition(":") for pair in only_ahead)]


def _as_active(tips: Collection[DatedTip], bases: Mapping[str, str]) -> tuple[ActiveBranch, ...]:
    return tuple(
        ActiveBranch(tip.name, tip.commit, _moment(tip.committed), tip.name in bases)
        for tip in sorted(tips, key=lambda tip: tip.name)
    )


def _moment(seconds: int) -> datetime:
    """Give a time of git, as far as the calendar goes: it is somebody's word, and may be any number."""
    return datetime.fromtimestamp(min(seconds, _LAST_SECOND), UTC)


_LAST_SECOND = int(datetime(9999, 12, 31, tzinfo=UTC).timestamp())
