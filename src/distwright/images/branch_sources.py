"""Where an image of a branch or tag takes its packages from: what its commit says in config/, and the suites of branches.

Source: REQUIREMENTS A2, A3. A released version has the suite of its tag; else the base's suite, the branch's own, and overlays.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from distwright.archive.branching import suites_of_topic
from distwright.archive.tree import EMPTY_ROOT
from distwright.config.model import Config
from distwright.config.tables import Image, Repo
from distwright.config.tables_archive import OwnArchive
from distwright.errors import BadInput, NotFound, listed, quoted
from distwright.model.names import our_name, suite_of_tag
from distwright.repos.branches import BASE_BRANCH, HEADS, TAGS, is_base, read_base_branch
from distwright.repos.settings_in_git import FILE, FOLDER, refuse_unplain
from distwright.store.branches import find_branch_suite
from distwright.store.database import Transaction
from distwright.store.suites import find_suite
from distwright.tools.git import files_at

OVERLAYS = "config/APT_overlays.d"
_NO_SUITE = re.compile(r"\..*|README(\..*)?")
_NOT_IN_NAME = re.compile(r"[^A-Za-z0-9._+-]")
_NAME_LENGTH = 64


@dataclass(frozen=True, slots=True)
class Subject:
    """What is made: of the commit of a branch, or of a tag. on_top: the topic whose overlay lies on the branch, which has none."""

    branch: str = ""
    tag: str = ""
    on_top: str = ""

    @property
    def label(self) -> str:
        """What people call it: in names and records it stands where the branch does."""
        return self.tag or (f"{self.branch}+{self.on_top}" if self.on_top else self.branch)

    @property
    def file_label(self) -> str:
        """The label, for names of files: others may have signs in branches that no file should."""
        return _NOT_IN_NAME.sub("-", self.label)[:_NAME_LENGTH]


@dataclass(frozen=True, slots=True)
class Choices:
    """What a commit says. base_branch: None if nothing. overlays: names of suites, sorted."""

    base_branch: str | None = None
    overlays: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BranchSources:
    """base: the base branch, whose rules of pins count for a tag. names: `archive/suite`, in the order that apt is told."""

    base: str
    names: tuple[str, ...]


def read_choices(where: Path, commit: str) -> Choices:
    """Read what a commit says of its sources; raise BadInput for files that say nothing clear. Five processes at most."""
    refuse_unplain(where, commit, {"config": FOLDER, BASE_BRANCH: FILE, OVERLAYS: FOLDER})
    base = [blob for blob in files_at(where, commit, BASE_BRANCH) if blob.path == BASE_BRANCH]
    named = [blob.path.removeprefix(f"{OVERLAYS}/") for blob in files_at(where, commit, f"{OVERLAYS}/")]
    what = f"{BASE_BRANCH} of {where.stem}"
    return Choices(read_base_branch(base[0].content, what) if base else None, overlay_names(named, where.stem))


def overlay_names(paths: Sequence[str], repo: str) -> tuple[str, ...]:
    """Say which suites files below `config/APT_overlays.d/` name; README and hidden files name none. Raises BadInput."""
    names, problems = [], []
    for path in sorted(path for path in paths if not _NO_SUITE.fullmatch(path)):
        try:
            names.append(our_name(path, "suite"))
        except BadInput as error:
            problems.append(error.message)
    if problems:
        raise BadInput(f"{OVERLAYS} of {repo} has what names no suite:\n{listed(problems)}", hint="git rm these files")
    return tuple(names)


def base_of(repo: Repo, name: str, subject: Subject, choices: Choices) -> str:
    """Say which base branch counts; raise BadInput if `config/base_branch` names another one than it may."""
    said = choices.base_branch
    if not subject.tag and is_base(repo, subject.branch):
        if said not in (None, subject.branch):
            raise BadInput(
                f"{BASE_BRANCH} of branch {quoted(subject.branch)} of {name} says {quoted(said or '')}",
                hint=f"write {subject.branch} into it: a base branch names itself",
            )
        return subject.branch
    if said is not None and not is_base(repo, said):
        raise BadInput(
            f"{BASE_BRANCH} of {quoted(subject.label)} of {name} says {quoted(said)}, which is no base branch",
            hint=f"write {repo.default_branch} into it, or another base branch",
        )
    return said or repo.default_branch


def is_release(tag: str, version: str) -> bool:
    """Say whether a tag names a version: by the name of its suite, for git allows no ~ and no :."""
    return suite_of_tag(tag) == suite_of_tag(version)


def is_for_many(repo: Repo, label: str, version: str) -> bool:
    """Say whether an image is of a base branch or of a release: what people fetch. label, version: as its order has them."""
    return is_base(repo, label) or is_release(label, version)


def sources_of(tx: Transaction, config: Config, name: str, subject: Subject, choices: Choices) -> BranchSources:
    """Say where an image comes from. Raises NotFound for a suite that is not there, BadInput for what the commit must not say.

    name: of the image. A tag must be a release (`is_release`), and names no overlays. An overlay without packages is as none: what
    is made of one and the same commit is the same before a topic has its suite, while that is empty, and without one.
    """
    image = config.images[name]
    base = base_of(config.repos[image.repo], image.repo, subject, choices)
    own = own_sources(config, image)
    if subject.tag:
        if choices.overlays:
            raise BadInput(
                f"tag {quoted(subject.tag)} of {image.repo} has overlays: {', '.join(choices.overlays)}",
                hint=f"merge their suites into that of {base}, then: git rm -r {OVERLAYS}",
            )
        released = {archive: _suite_of(tx, image.repo, f"{TAGS}{subject.tag}", archive) for archive in own}
        return BranchSources(base, _replaced(image, own, released, is_only=True))
    of_base: Mapping[str, str] = {}
    if base != config.repos[image.repo].default_branch:
        of_base = {archive: _suite_of(tx, image.repo, f"{HEADS}{base}", archive) for archive in own}
    overlays: list[str] = []
    if not is_base(config.repos[image.repo], subject.branch) or subject.on_top:
        overlays += suites_of_topic(tx, own, subject.on_top or subject.branch)
    for overlay in choices.overlays:
        overlays += _overlay(tx, own, overlay, f"{quoted(subject.label)} of {image.repo}")
    filled = [name for name in overlays if not _is_empty(tx, name)]
    return BranchSources(base, tuple(dict.fromkeys([*_replaced(image, own, of_base, is_only=False), *filled])))


def own_sources(config: Config, image: Image) -> dict[str, str]:
    """Give own archive -> the suite of it that an image uses, of several the first: that of branches takes its place."""
    names = [source.partition("/")[::2] for source in image.from_]
    return {archive: suite for archive, suite in reversed(names) if isinstance(config.archives[archive], OwnArchive)}


def _suite_of(tx: Transaction, repo: str, ref: str, archive: str) -> str:
    row = find_branch_suite(tx, repo, ref, archive)
    if row is None or not row.suite:
        why = f": {row.problem}" if row is not None and row.problem else ""
        shown = quoted(ref.removeprefix("refs/"))
        raise NotFound(
            f"{shown} of {repo} has no suite in {archive}{why}",
            hint=f"push it, and look: distwright branch list {repo}",
        )
    return row.suite


def _replaced(image: Image, own: Mapping[str, str], suites: Mapping[str, str], *, is_only: bool) -> tuple[str, ...]:
    """Put suites of a branch where an image names our own. is_only: nothing else of these archives."""
    names = []
    for source in image.from_:
        archive, _, suite = source.partition("/")
        if archive in suites and own[archive] == suite:
            names.append(f"{archive}/{suites[archive]}")
        elif not (is_only and archive in suites):
            names.append(source)
    return tuple(names)


def _is_empty(tx: Transaction, name: str) -> bool:
    archive, _, suite = name.partition("/")
    row = find_suite(tx, archive, suite)
    return row is None or row.revision == EMPTY_ROOT.revision


def _overlay(tx: Transaction, archives: Mapping[str, str], name: str, what: str) -> list[str]:
    found = [f"{archive}/{name}" for archive in archives if find_suite(tx, archive, name) is not None]
    if not found:
        where = ", ".join(archives) or "any archive of its `from`"
        raise NotFound(
            f"{what} names overlay {quoted(name)}, and there is no such suite in {where}",
            hint=f"push the branch that it is of, or: git rm {OVERLAYS}/{name}",
        )
    return found
