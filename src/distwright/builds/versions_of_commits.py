"""The version of a commit that has no tag, and its changelog entry: from what git and the changelog say, without looking."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from distwright.formats.changelog import ChangelogEntry
from distwright.model.versions import DebVersion, compare

_HASH_DIGITS = 12


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a commit stands. top: the newest version in its changelog.

    count: commits since `below`, the newest version whose tag is on its line (of all that it contains, if there is none).
    since_top: commits since the tag of `top`, where the commit contains that; None if it does not.
    """

    top: DebVersion
    below: DebVersion | None
    count: int
    since_top: int | None = None


def version_of_commit(standing: Standing, commit: str) -> DebVersion:
    """Say the version of an untagged commit: later than those before it on its line, earlier than the next release.

    `NEXT~COUNT.gHASH` before the tag of the changelog's top version, `TOP+COUNT.gHASH` after it. If the version below is later
    than `NEXT~` (1.1~rc1 comes before 1.1, and after 1.1~00001), the commit is `BELOW+COUNT.gHASH`. All goes into the revision
    if there is one, so that the upstream version stays that of the tarball. Later than the next release would be what follows
    1.0 as `1.0+2` or `1.0a`: call it 1.0.1. Source: docs/design/0008-builds.md; deb-version(7).
    """
    end = f"g{commit[:_HASH_DIGITS]}"
    if standing.since_top is not None:
        return DebVersion(f"{standing.top}+{standing.since_top}.{end}")
    below = standing.below
    if below is not None and compare(below, standing.top) < 0 <= compare(below, DebVersion(f"{standing.top}~0")):
        return DebVersion(f"{below}+{standing.count}.{end}")
    return DebVersion(f"{standing.top}~{standing.count:05}.{end}")


def entry_of_commit(top: ChangelogEntry, version: DebVersion, commit: str, committed: datetime) -> ChangelogEntry:
    """Give the changelog entry of an untagged commit; its date is the clock of the build: the later of commit and changelog.

    It says nothing but what follows from the commit, so that the same commit gives the same bytes.
    """
    return replace(
        top,
        version=version,
        urgency="low",
        date=max(top.date, committed.astimezone(UTC)),
        changes=f"  * Built from commit {commit}, which has no tag.",
        is_binary_only=False,
    )


def tag_of_version(version: DebVersion) -> str:
    """Say which tag belongs to a version: `:` becomes `%`, `~` becomes `_` (DEP-14)."""
    return str(version).replace(":", "%").replace("~", "_")
