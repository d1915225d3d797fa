"""What a ref of a hosted repo is: a base, a topic, nobody's business yet, or a tag. Pure."""

from fnmatch import fnmatchcase

from distwright.config.tables import Repo
from distwright.errors import BadInput, quoted

HEADS, TAGS = "refs/heads/", "refs/tags/"
_WIP = "wip/"
_OF_GBP = ("patch-queue", "pristine-tar", "upstream")
BASE_BRANCH = "config/base_branch"


def is_base(repo: Repo, branch: str) -> bool:
    """Say whether a branch is a base: the default branch, or a protected one."""
    return branch == repo.default_branch or any(fnmatchcase(branch, pattern) for pattern in repo.protected)


def is_never_built(branch: str) -> bool:
    """Say whether a branch asks to be left alone by its name."""
    return branch.startswith(_WIP)


def is_topic(repo: Repo, branch: str) -> bool:
    """Say whether a branch is a topic, which has an overlay of its own.

    Not so: wip/, which nobody else shall look at, and what git-buildpackage keeps in repos of packages: gbp.conf(5), DEP-14.
    """
    is_kept = repo.package and (branch in _OF_GBP or branch.startswith(tuple(f"{name}/" for name in _OF_GBP)))
    return not (is_base(repo, branch) or is_never_built(branch) or is_kept)


def short(ref: str) -> str:
    """Give the name of a branch or tag."""
    return ref.removeprefix(HEADS).removeprefix(TAGS)


def shown(ref: str) -> str:
    """Say what a ref is, with its name."""
    return f"{'tag' if ref.startswith(TAGS) else 'branch'} {quoted(short(ref))}"


def read_base_branch(content: bytes, what: str) -> str:
    """Read `config/base_branch`: one line, the name of a branch. what: names the file in messages. Raises BadInput."""
    text = content.decode(errors="replace").removesuffix("\n")
    if not text or text != text.strip() or "\n" in text or not text.isprintable():
        raise BadInput(
            f"{what} is {quoted(text, 60)}, and not one line with the name of a branch",
            hint=f"write one line into {BASE_BRANCH}: the name of a base branch",
        )
    return text
