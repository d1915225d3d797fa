"""What the configuration means for this stage: hosted repos exist as their tables say, and Gitolite serves them, if it shall."""

import contextlib
import os
import re
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from distwright.config.difference import Change, changed_tables
from distwright.config.model import Config
from distwright.config.tables import Repo
from distwright.errors import NotAllowed, NotFound, Refused, quoted
from distwright.repos import refusals
from distwright.repos.gitolite import SHELL, Hosting, differences, make_so
from distwright.repos.gitolite_tree import admin_files, hosted_repos
from distwright.repos.hosting import make_repo
from distwright.repos.merged import forget_old_merges
from distwright.store.locks import locked
from distwright.store.paths import StatePaths
from distwright.tools.accounts import Account, account_of, acting_as, give
from distwright.tools.sandbox import SANDBOX_USER

# What Perl's glob() and a pattern of Gitolite's (Common.pm, ln_sf) read as it is written.
_PLAIN_PATH = re.compile(r"[A-Za-z0-9/_.-]+")


def plan_config(old: Config | None, new: Config) -> list[Change]:
    """List what applying `new` would do here. A repo that is no longer configured stays on disk."""
    return [change for change in changed_tables(old, new) if change.table == "repo"]


def apply_change(change: Change, new: Config, paths: StatePaths) -> None:
    """Make it so; safe to repeat."""
    if change.action != "remove":
        make_repos(new, paths, [change.name])


def make_repos(config: Config, paths: StatePaths, names: Iterable[str]) -> None:
    """Make these repos, or bring them up to date: as the git user, if there is one."""
    account = git_account(config, paths)

    def make() -> list[str]:
        for name in names:
            table = config.repos[name]
            is_atomic = table.package or account is None
            _open_or_close(make_repo(paths, name, table.default_branch, is_atomic=is_atomic), table)
        return []

    if account is None:
        make()
    else:
        _hand_over(paths, account)
        acting_as(account, make)


def _open_or_close(repo: Path, table: Repo) -> None:
    """Let other users of the machine look into a public repo and not into a private one; else as it is."""
    mode = repo.stat().st_mode & 0o777
    wanted = mode & 0o700 if table.private else mode | 0o055 if table.public else mode
    if mode != wanted:
        repo.chmod(wanted)


def hosting_changes(config: Config, paths: StatePaths) -> list[Change]:
    """Say what of Gitolite is not as this configuration says: changed by hand, or cut off half-way. Changes nothing."""
    account = git_account(config, paths)
    if account is None:
        return []
    hosting = _hosting(config, paths)
    found = acting_as(account, lambda: differences(hosting))
    return [Change("mend", "hosting", *line.split(": ", 1)) for line in found]


def begin_hosting(config: Config, paths: StatePaths, now: datetime) -> None:
    """Let Gitolite serve the repos of this installation from now on; each `config apply` tells it what has changed.

    That the configuration names a git user is not enough: whoever builds as the project does has the same one. Raises as `host`.
    """
    if config.site.git_user is None:
        raise NotFound("the configuration names no git user", hint='set git_user = "git" in [site]')
    _hosting(config, paths)  # whatever is not as it must be is said before anything is handed over
    if not SHELL.exists():
        raise NotFound("Gitolite is not on this machine", hint="sudo apt-get install gitolite3")
    _hand_over(paths, _account(config.site.git_user, paths))
    make_repos(config, paths, sorted(config.repos))
    host(config, paths, now)


def host(config: Config, paths: StatePaths, now: datetime) -> None:
    """Let Gitolite serve the repos as this configuration says; does nothing if it does already, or if it does not serve here.

    Raises Refused if Gitolite does not take it: the former state is served then. Raises NotFound, NotAllowed for the git user.
    """
    account = git_account(config, paths)
    if account is None or not hosting_changes(config, paths):
        return
    hosting = _hosting(config, paths)
    with locked(paths.lock("hosting")):
        _hand_over(paths, account)

        def make() -> list[str]:
            make_so(hosting, now)
            return differences(hosting)

        left = acting_as(account, make)
    if left:
        raise Refused(f"Gitolite is not as configured: {quoted(left[0])}", hint="distwright config plan")


def remove_leftovers(config: Config, paths: StatePaths, now: datetime) -> None:
    """Remove what killed pushes left an hour ago or more: locks, which would refuse each later push, and half spool files."""
    before = (now - timedelta(hours=1)).timestamp()

    def remove() -> list[str]:
        places = [(paths.repo(name), pattern) for name in config.repos for pattern in ("*.lock", "refs/**/*.lock")]
        for folder, pattern in (*places, (paths.spool, ".new.*")):
            for file in folder.glob(pattern):
                with contextlib.suppress(FileNotFoundError):
                    if file.lstat().st_mtime < before:
                        file.unlink()
        return []

    account = git_account(config, paths)
    acting_as(account, remove) if account else remove()


def bring_up_to_date(config: Config, paths: StatePaths, now: datetime) -> None:
    """Give each hosted repo that is here the present hook and settings; remove what killed pushes left, and old merges."""
    make_repos(config, paths, [name for name in config.repos if paths.repo(name).exists()])
    remove_leftovers(config, paths, now)
    forget_old_merges(paths)


def readable_repo(config: Config, paths: StatePaths, name: str, reads: Callable[[str], bool]) -> Path:
    """Find a repo that somebody may read by web; raise NotFound, in the same words whatever else there is of that name.

    reads: whether they may read what is no public repo.
    """
    table, path = config.repos.get(name), paths.repo(name)
    if table is None or not (table.public or reads(name)) or not path.exists():
        raise NotFound(f"there is no public repo {quoted(name)}", hint="distwright repo list")
    return path


def git_account(config: Config, paths: StatePaths) -> Account | None:
    """Give the git user; None if none is configured, or Gitolite does not serve here. Raises NotFound, NotAllowed."""
    name = config.site.git_user
    return _account(name, paths) if name is not None and paths.hosting.exists() else None


def _account(name: str, paths: StatePaths) -> Account:
    if os.geteuid() == 0 and name in (SANDBOX_USER, "root"):
        raise NotAllowed(
            f"[site] git_user is {name}, whose programs are not to be let into repos",
            hint='set git_user = "git" in [site]',
        )
    return account_of(name, paths.hosting)


def _hand_over(paths: StatePaths, account: Account) -> None:
    """Make what the git user writes to its own: the repos, the spool, and its home."""
    paths.hosting.mkdir(mode=0o700, exist_ok=True)
    for folder in (paths.repos, paths.spool, paths.hosting):
        give(folder, account)


def _hosting(config: Config, paths: StatePaths) -> Hosting:
    if not _PLAIN_PATH.fullmatch(str(paths.root)):
        raise NotAllowed(
            f"Gitolite cannot live below {quoted(str(paths.root))}: letters, digits and / _ . - only",
            hint="choose another place with --state DIR",
        )
    text = Path(refusals.__file__).read_text(encoding="utf-8")
    files = admin_files(config, text, ssh_address(config))
    user = config.site.git_user or ""
    return Hosting(paths.hosting, paths.repos, user, tuple(sorted(hosted_repos(config))), files)


def ssh_address(config: Config) -> str:
    """Give what people give to ssh: user@host; "" if no git user, or no URL of the site, is configured."""
    host_name = urlsplit(config.site.url).hostname if config.site.url else None
    return f"{config.site.git_user}@{host_name}" if config.site.git_user and host_name else ""
