"""What an image of a topic is made of: its commit with the newest commit of its base merged in, as if it were merged now.

Source: REQUIREMENTS C1. The merge follows from its two parents alone (repos/merged.py), so whoever needs it again makes it again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from distwright.archive.resolve import Ground
from distwright.images.branch_sources import Choices, Subject, base_of, read_choices
from distwright.model.digests import Json
from distwright.repos.branches import HEADS, is_base
from distwright.repos.merged import Conflict, commit_to_build, merged_commit
from distwright.tools.git import refs


@dataclass(frozen=True, slots=True)
class MadeOf:
    """The commit whose files count, and the repository that has it. base_commit: what was merged into it, "" for no topic."""

    where: Path
    commit: str
    base: str
    choices: Choices
    base_commit: str = ""


def made_of(ground: Ground, repo: str, subject: Subject, commit: str) -> MadeOf:
    """Say what an image of a branch's or tag's commit is made of. Raises Refused for a conflict, with its paths.

    A topic that says nothing of its base has the default branch for one. Raises what `base_of` raises, and Refused for a commit
    that the topic does not have.
    """
    table, where = ground.config.repos[repo], ground.paths.repo(repo)
    choices = read_choices(where, commit)
    base = base_of(table, repo, subject, choices)
    if subject.tag or subject.on_top or is_base(table, subject.branch):
        return MadeOf(where, commit, base, choices)
    base_commit = refs(where).get(f"{HEADS}{base}")
    if base_commit is None:
        return MadeOf(where, commit, base, choices)  # its suite is not there either, which is said later
    merged = commit_to_build(ground.paths, repo, subject.branch, commit, base_commit)
    return MadeOf(merged.where, merged.commit, base, read_choices(merged.where, merged.commit), base_commit)


def place_of_build(ground: Ground, repo: str, built: Mapping[str, Json]) -> tuple[Path, str]:
    """Say where the files of an image's commit are read again: a merge is made again, if it is gone."""
    where, commit = ground.paths.repo(repo), str(built["commit"])
    if not built.get("base_commit"):
        return where, commit
    merged = merged_commit(ground.paths, repo, commit, str(built["base_commit"]))
    if isinstance(merged, Conflict):  # by another git than the one that merged them
        raise merged.refused
    return merged.where, merged.commit
