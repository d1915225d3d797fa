"""Gitolite as it is on this disk: compared with what it shall be, and made so. All of this runs as the git user."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from distwright.config.access import ADMIN_REPO
from distwright.errors import ProgramFailed, Refused
from distwright.repos.gitolite_tree import AdminFile, authorized_keys, mark_of
from distwright.store.durable import write_durably
from distwright.tools.git import git
from distwright.tools.git_commits import import_commit, listed_blobs
from distwright.tools.run import Command, Finished, last_lines, run

SHELL = Path("/usr/share/gitolite3/gitolite-shell")
_MASTER = "refs/heads/master"  # the branch that Gitolite's hook looks at, whatever git calls its first one
_NEXT = "refs/distwright/next"
_COMPILED = "conf/gitolite.conf-compiled.pm"
_HOOKS = ("hooks/common/update", "hooks/gitolite-admin/post-update")
_SUMS = "compiled.json"
_TIMEOUT_S = 300
_GIT_SETTINGS = {"init.defaultBranch": "master", "user.name": "distwright", "user.email": "distwright@localhost"}
_FIRST_CONF = f"repo {ADMIN_REPO}\n    - = @all\n"


@dataclass(frozen=True, slots=True)
class Hosting:
    """What Gitolite shall be. home: HOME of the git user's Gitolite. repos: folder of the repos. names: those that it serves."""

    home: Path
    repos: Path
    user: str
    names: tuple[str, ...]
    files: Mapping[str, AdminFile]

    @property
    def base(self) -> Path:
        """Where Gitolite has what was pushed to its repo, and what it made of it."""
        return self.home / ".gitolite"

    @property
    def admin(self) -> Path:
        """The repo that Gitolite is told everything by."""
        return self.repos / f"{ADMIN_REPO}.git"

    @property
    def keys(self) -> Path:
        """The keys that sshd lets in."""
        return self.home / ".ssh" / "authorized_keys"

    def rc(self) -> str:
        """Give Gitolite's own configuration. % in names of refs: DEP-14 writes it for the colon of an epoch."""
        return f"""\
# Written by distwright: config apply
%RC = (
    UMASK => 0077,
    GIT_CONFIG_KEYS => '',
    ROLES => {{}},
    GL_REPO_BASE => '{self.repos}',
    LOCAL_CODE => "$rc{{GL_ADMIN_BASE}}/local",
    AUTH_OPTIONS => 'restrict',
    ACCESS_1 => ['distwright-words'],
    ACCESS_2 => ['distwright-words'],
    ENABLE => ['info', 'ssh-authkeys'],
);
$REF_OR_FILENAME_PATT = qr(^[0-9a-zA-Z][-0-9a-zA-Z._\\@/+ :,%]*$);
1;
"""

    def texts(self) -> Iterator[tuple[Path, str]]:
        """Give the files that we write beside the repo."""
        yield self.home / ".gitolite.rc", self.rc()
        yield self.keys, authorized_keys(self.files, str(SHELL))


def differences(hosting: Hosting) -> list[str]:
    """Say what is not as it shall be, a line each: `place: what`. Nothing is changed."""
    if not (hosting.admin / "HEAD").exists():
        return [f"{ADMIN_REPO}: is not set up"]
    found = [f"{path}: is not as written" for path, text in hosting.texts() if _read(path) != text.encode()]
    found += [f"{path}: is not ours" for path in _beside_keys(hosting)]
    found += _of_commit(hosting)
    found += _of_disk(hosting)
    if _sums(hosting) != _kept_sums(hosting):
        found.append(f"{hosting.base / _COMPILED}: is not as compiled, or a hook, or gl-conf of a repo is not")
    return found + [f"{name}: its hook does not ask Gitolite" for name in _unhooked(hosting)]


def make_so(hosting: Hosting, now: datetime) -> None:
    """Bring all of it about; safe to repeat. Raises Refused if Gitolite does not take it; it serves as before then."""
    _unlock(hosting)
    rc_path, rc = next(hosting.texts())
    for folder in (hosting.base / "conf", hosting.base / "logs", hosting.base / "keydir", hosting.keys.parent):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    is_new = _read(rc_path) != rc.encode()
    _write(rc_path, rc)
    if is_new or not (hosting.admin / "hooks" / "post-update").exists() or not (hosting.base / _COMPILED).exists():
        _set_up(hosting)
    former, is_untouched = _former(hosting), _sums(hosting) == _kept_sums(hosting)
    said = _push_files(hosting, former, now) if _of_commit(hosting) else None
    # What was compiled, or a hook, may be changed by hand and look as if it were right.
    if said is None or not is_untouched or not _is_in_force(hosting):
        _put_on_disk(hosting)
        said = (said or b"") + _gitolite(hosting, "setup").stderr
    if _is_in_force(hosting):
        _write(hosting.home / _SUMS, json.dumps(_sums(hosting)))
        return
    if former is not None:
        _push(hosting, former)
        _put_on_disk(hosting)
        _gitolite(hosting, "setup")
    told = " | ".join(last_lines(said, 3)) or "it says nothing"
    raise Refused(f"Gitolite does not take this configuration: {told}", hint=f"look at {hosting.base / 'logs'}")


def _is_in_force(hosting: Hosting) -> bool:
    """Say whether what was compiled, and the keys, are of the wanted files."""
    if _of_commit(hosting) or _of_disk(hosting):
        return False
    is_compiled = f"'{mark_of(hosting.files)}'".encode() in _read(hosting.base / _COMPILED)
    path, keys = hosting.keys, authorized_keys(hosting.files, str(SHELL))
    if is_compiled and _read(path) != keys.encode():
        _write(path, keys)  # lines of other keys, which Gitolite would leave there, open a shell
    return is_compiled and not list(_unhooked(hosting))


def _unhooked(hosting: Hosting) -> Iterator[str]:
    """Name the repos whose hook is another one."""
    hook = str(hosting.base / "hooks" / "common" / "update")
    for name in hosting.names:
        if _link(hosting.repos / f"{name}.git" / "hooks" / "update") != hook:
            yield name


def _of_commit(hosting: Hosting) -> list[str]:
    """Compare what is committed in gitolite-admin."""
    wanted = {path: (file.mode, _blob_name(file.content)) for path, file in hosting.files.items()}
    found = listed_blobs(hosting.admin, _MASTER)
    changed = sorted(path for path in {*wanted, *found} if wanted.get(path) != found.get(path))
    if not changed:
        return []
    who = git(hosting.admin, "log", "-1", "--format=%h of %an", _MASTER, "--", may_say_no=True).decode(errors="replace")
    return [f"{ADMIN_REPO}/{path}: is not as in commit {who.strip()}" for path in changed]


def _of_disk(hosting: Hosting) -> list[str]:
    """Compare what is checked out."""
    wanted = {path: file.content for path, file in hosting.files.items()}
    found = {path: (hosting.base / path) for path in _paths_on_disk(hosting)}
    changed = {path for path in wanted if path not in found or _read(found[path]) != wanted[path]} | (
        found.keys() - wanted
    )
    return [f"{hosting.base / path}: is not as pushed" for path in sorted(changed)]


def _paths_on_disk(hosting: Hosting) -> Iterator[str]:
    """List conf/gitolite.conf and all that is below keydir/ and local/."""
    yield from ("conf/gitolite.conf",) if (hosting.base / "conf/gitolite.conf").exists() else ()
    for top in ("keydir", "local"):
        for folder, folders, files in os.walk(hosting.base / top):
            links = [name for name in folders if Path(folder, name).is_symlink()]
            yield from (str(Path(folder, name).relative_to(hosting.base)) for name in (*files, *links))


def _set_up(hosting: Hosting) -> None:
    """Let Gitolite make its repo, its folders and the hooks of all repos; its own first configuration would open a repo to all."""
    conf = hosting.base / "conf" / "gitolite.conf"
    if (hosting.admin / "HEAD").exists() and _former(hosting) is not None:
        _put_on_disk(hosting)
    if not conf.exists():
        _write(conf, _FIRST_CONF)
    _gitolite(hosting, "setup", "--admin", "distwright").checked()


def _put_on_disk(hosting: Hosting) -> None:
    """Check out what is committed, and take away what is not: from the index too, for `gitolite setup` commits what is there."""
    git(hosting.admin, "read-tree", _MASTER)
    for path in set(_paths_on_disk(hosting)) - listed_blobs(hosting.admin, _MASTER).keys():
        (hosting.base / path).unlink()
    git(
        hosting.admin,
        f"--work-tree={hosting.base}",
        "checkout",
        "--force",
        "--quiet",
        _MASTER.rpartition("/")[2],
        "--",
        ".",
    )


def _former(hosting: Hosting) -> str | None:
    found = git(hosting.admin, "rev-parse", "--verify", "--quiet", _MASTER, may_say_no=True).decode().strip()
    return found or None


def _push_files(hosting: Hosting, former: str | None, now: datetime) -> bytes:
    files = {path: (file.mode, file.content) for path, file in hosting.files.items()}
    for path in set(_paths_on_disk(hosting)) - files.keys():
        (hosting.base / path).unlink()  # Gitolite's hook would take a key that nobody committed for a key
    commit = import_commit(hosting.admin, _NEXT, files, parent=former, message="config apply", now=now)
    return _push(hosting, commit, former)


def _push(hosting: Hosting, commit: str, former: str | None = None) -> bytes:
    """Push a commit to gitolite-admin, so that its hooks run; former: only if it is still at that one."""
    lease = f"--force-with-lease={_MASTER}:{former}" if former else "--force"
    done = _gitolite(hosting, "push", "--quiet", lease, ".", f"{commit}:{_MASTER}", cwd=hosting.admin)
    return done.checked().stderr


def _gitolite(hosting: Hosting, *arguments: str, cwd: Path | None = None) -> Finished:
    settings = {"GIT_CONFIG_COUNT": str(len(_GIT_SETTINGS)), "GIT_CONFIG_GLOBAL": "/dev/null"}
    for number, (key, value) in enumerate(_GIT_SETTINGS.items()):
        settings |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    environment = {"HOME": str(hosting.home), "USER": hosting.user, "LOGNAME": hosting.user, **settings}
    argv = ("gitolite", *arguments)
    done = run(Command(argv, timeout_s=_TIMEOUT_S, environment=environment, cwd=cwd or hosting.home))
    if done.cut:
        raise ProgramFailed(f"gitolite {arguments[0]} was ended ({done.cut})", hint=f"look at {hosting.base / 'logs'}")
    return done


def _beside_keys(hosting: Hosting) -> list[Path]:
    """List what is beside authorized_keys: sshd reads authorized_keys2, rc and environment as well."""
    return sorted(path for path in hosting.keys.parent.glob("*") if path != hosting.keys and not path.is_dir())


def _unlock(hosting: Hosting) -> None:
    """Remove what a killed process left: locks in gitolite-admin, where only who holds our lock writes, and half-made files."""
    left = [*hosting.admin.glob("*.lock"), *hosting.admin.glob("refs/**/*.lock")]
    left += _beside_keys(hosting)
    left += [*hosting.home.glob(".new-*"), *hosting.keys.parent.glob(".new-*"), *(hosting.base / "conf").glob(".new-*")]
    for file in left:
        file.unlink(missing_ok=True)


def _sums(hosting: Hosting) -> dict[str, str]:
    """Sum up what Gitolite compiled, and its own hooks."""
    own = (hosting.base / place for place in (_COMPILED, *_HOOKS))
    files = [*own, *(hosting.repos / f"{name}.git" / "gl-conf" for name in hosting.names)]
    return {str(file): hashlib.sha256(_read(file)).hexdigest() for file in files}


def _kept_sums(hosting: Hosting) -> object:
    try:
        return json.loads(_read(hosting.home / _SUMS))
    except ValueError:
        return None


def _blob_name(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _link(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:
        return ""


def _write(path: Path, text: str) -> None:
    """Write a file in one step, for nobody else to read."""
    write_durably(path, text.encode(), mode=0o600)
