"""What somebody without an account proposes: the commits of their checkout, and a file of them to be sent in."""

from dataclasses import dataclass
from pathlib import Path

from distwright.config.model import Config
from distwright.errors import BadUsage, Refused, listed, quoted
from distwright.model.digests import Sha256
from distwright.store.objects import sha256_of_file
from distwright.tools.git import file_at, look_at_checkout
from distwright.tools.git_proposals import write_bundle

_SHOWN = 5
_CONFIGURATION = "distwright.toml"


@dataclass(frozen=True, slots=True)
class Proposed:
    """A checkout whose newest commit is proposed. onto: what it may be a change of, in the order in which it is looked for."""

    top: Path
    commit: str
    onto: tuple[str, ...]
    has_package: bool
    has_configuration: bool


@dataclass(frozen=True, slots=True)
class Bundle:
    """A file of commits. onto: the ref whose commits are not in it."""

    file: Path
    sha256: Sha256
    commit: str
    onto: str


def what_is_proposed(path: Path, config: Config, onto: str) -> Proposed:
    """Look at a checkout. onto: what it is a change of; "" for origin's default branch. Raises NotFound, Refused if it is dirty."""
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
    return Proposed(look.top, look.commit, (onto,) if onto else usual, control is not None, has_configuration)


def make_bundle(proposed: Proposed, file: Path | None) -> Bundle:
    """Write the file. Raises Refused if nothing is new, BadUsage if it cannot be written or nobody knows what it is a change of."""
    target = (file or Path(f"{proposed.top.name}-{proposed.commit[:12]}.bundle")).absolute()
    if not target.parent.is_dir():
        raise BadUsage(f"there is no folder {quoted(str(target.parent))}", hint="name another file with --output")
    onto = write_bundle(proposed.top, proposed.onto, target)
    return Bundle(target, sha256_of_file(target), proposed.commit, onto.removeprefix("refs/remotes/"))
