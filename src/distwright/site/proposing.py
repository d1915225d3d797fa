"""What somebody without an account proposes: the commits of their checkout, and a file of them to be sent in."""

import os
from dataclasses import dataclass
from pathlib import Path

from distwright.config.model import Config
from distwright.errors import BadUsage, Refused, listed, quoted
from distwright.model.digests import Sha256
from distwright.store.objects import sha256_of_file
from distwright.tools.git import file_at, look_at_checkout
from distwright.tools.git_proposals import base_of_checkout, write_bundle

_SHOWN = 5
_CONFIGURATION = "distwright.toml"


@dataclass(frozen=True, slots=True)
class Proposed:
    """A checkout whose newest commit is proposed. onto: what it is a change of; file: where the bundle goes."""

    top: Path
    commit: str
    onto: str
    file: Path
    has_package: bool
    has_configuration: bool


@dataclass(frozen=True, slots=True)
class Bundle:
    """A file of commits. onto: the ref whose commits are not in it."""

    file: Path
    sha256: Sha256
    commit: str
    onto: str


def what_is_proposed(path: Path, config: Config, onto: str, file: Path | None) -> Proposed:
    """Look at a checkout. onto: what it is a change of, "" for origin's default branch; file: None for one beside the checkout.

    Raises NotFound, Refused if it is dirty or has nothing new, BadUsage if nobody knows what it is a change of, or for the file.
    """
    look = look_at_checkout(path)
    if look.changed:
        raise Refused(
            f"{quoted(str(look.top))} has files that are not committed:\n{listed(look.changed[:_SHOWN])}",
            hint="git add --all && git commit",
        )
    control = file_at(look.top, look.commit, "debian/control")
    bases = sorted({repo.default_branch for repo in config.repos.values()})
    usual = ("refs/remotes/origin/HEAD", *(f"refs/remotes/origin/{base}" for base in bases))
    has_configuration = file_at(look.top, look.commit, _CONFIGURATION) is not None
    target = (file or look.top.parent / f"{look.top.name}-{look.commit[:12]}.bundle").absolute()
    if not target.parent.is_dir() or not os.access(target.parent, os.W_OK):
        raise BadUsage(
            f"nothing can be written to {quoted(str(target.parent))}", hint="name another file with --output"
        )
    base = base_of_checkout(look.top, (onto,) if onto else usual)
    return Proposed(look.top, look.commit, base, target, control is not None, has_configuration)


def make_bundle(proposed: Proposed) -> Bundle:
    """Write the file."""
    write_bundle(proposed.top, proposed.onto, proposed.file)
    onto = proposed.onto.removeprefix("refs/remotes/")
    return Bundle(proposed.file, sha256_of_file(proposed.file), proposed.commit, onto)
