"""git: bare repositories, refs, and trees as archives. Refs and paths from outside always come after `--`-safe checks."""

import contextlib
import io
import os
import re
import shutil
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from distwright.errors import BadInput, NotAllowed, NotFound, quoted
from distwright.tools.run import Command, run, run_checked

FILE_LIMIT_BYTES = 64 << 20

_OBJECT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/+~^@{}%-]*")  # %: DEP-14 writes it for the colon of an epoch
_SAFE = ("-c", "core.hooksPath=/dev/null", "-c", "protocol.ext.allow=never", "-c", "safe.directory=*")
_IDENTITY_FREE = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null", "GIT_TERMINAL_PROMPT": "0"}


@dataclass(frozen=True, slots=True)
class Blob:
    """A file in a commit. path: in the repository. mode: 100644, 100755, or 120000 (a symlink; content is its target)."""

    path: str
    mode: str
    content: bytes


def git(
    repo: Path,
    *arguments: str,
    timeout_s: float = 120,
    stdin: bytes = b"",
    environment: Mapping[str, str] | None = None,
) -> bytes:
    """Run one git command in a repository, with no hook, no prompt and no configuration of the user's; give what it prints."""
    command = Command(
        ("git", *_SAFE, "-C", str(repo), *arguments),
        timeout_s=timeout_s,
        stdin=stdin,
        environment={**_IDENTITY_FREE, **(environment or {})},
        output_limit_bytes=2 << 30,
    )
    return run(command).checked().stdout


def make_bare(path: Path, default_branch: str) -> None:
    """Make an empty bare repository, or leave the one that is there. Nobody sees half of one."""
    if (path / "HEAD").exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.new-{os.getpid()}")
    run_checked(("git", "init", "--quiet", "--bare", f"--initial-branch={default_branch}", "--", str(partial)))
    try:
        partial.rename(path)
    except OSError as error:
        shutil.rmtree(partial)
        if not (path / "HEAD").exists():  # it is not that somebody was faster
            raise NotAllowed(f"{path} cannot be made: {error.strerror}", hint=f"look at what is in {path}") from error


def refs(repo: Path) -> dict[str, str]:
    """Give every branch and tag -> object name; those whose name is no UTF-8 are left out: nobody could write them."""
    listing = git(repo, "for-each-ref", "--format=%(refname)%09%(objectname)", "refs/heads", "refs/tags")
    found: dict[str, str] = {}
    for line in listing.split(b"\n")[:-1]:
        with contextlib.suppress(UnicodeDecodeError):
            name, _, target = line.decode().partition("\t")
            found[name] = target
    return found


def existing_commits(repo: Path, names: Sequence[str]) -> set[str]:
    """Say which of these full object names are commits, or annotated tags, that the repository has."""
    wanted = [name for name in names if _OBJECT.fullmatch(name)]
    if not wanted:
        return set()
    listing = git(
        repo, "cat-file", "--batch-check=%(objectname) %(objecttype)", stdin="\n".join([*wanted, ""]).encode()
    )
    found = (line.split(" ") for line in listing.decode().splitlines())
    return {name for name, kind, *_ in found if kind in ("commit", "tag")}


def resolve(repo: Path, revision: str) -> str:
    """Give the commit of a branch, tag or object name; raise NotFound."""
    if not _REVISION.fullmatch(revision):
        raise BadInput(f"{quoted(revision)} is not a git revision", hint="give a branch, a tag or a commit")
    argv = (
        "git",
        *_SAFE,
        "-C",
        str(repo),
        "rev-parse",
        "--verify",
        "--quiet",
        "--end-of-options",
        f"{revision}^{{commit}}",
    )
    found = run(Command(argv, timeout_s=30, environment=_IDENTITY_FREE)).stdout.decode().strip()
    if not _OBJECT.fullmatch(found):
        raise NotFound(f"{quoted(revision)} is not in repo {repo.stem}", hint=f"git -C {repo} for-each-ref")
    return found


def tree_of(repo: Path, commit: str, path: str = "") -> str:
    """Give the object name of a folder's tree at a commit: equal names mean equal content. Raises NotFound."""
    argv = ("git", *_SAFE, "-C", str(repo), "rev-parse", "--verify", "--quiet", "--end-of-options", f"{commit}:{path}")
    found = run(Command(argv, timeout_s=30, environment=_IDENTITY_FREE)).stdout.decode().strip()
    if not _OBJECT.fullmatch(found):
        raise NotFound(
            f"folder {quoted(path)} is not in commit {commit[:12]} of {repo.stem}", hint="look at the recipe's path"
        )
    return found


def tree_tar(repo: Path, tree: str, *, prefix: str, mtime: int) -> bytes:
    """Give a tree (or a commit's) as an uncompressed tar, every name below `prefix`, owned by root, all times `mtime`.

    Same tree, prefix and mtime: same bytes, whichever git made them (git archive stamps trees with the present time before
    2.41). In memory. Raises BadInput for submodules.
    """
    entries = list(_entries(repo, tree))
    blobs = _blobs(repo, [entry.target for entry in entries])
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for folder in _folders(prefix, [entry.path for entry in entries]):
            tar.addfile(_tar_member(folder, tarfile.DIRTYPE, 0o755, mtime))
        for entry, content in zip(entries, blobs, strict=True):
            name = f"{prefix}{entry.path}"
            if entry.mode == "120000":
                member = _tar_member(name, tarfile.SYMTYPE, 0o777, mtime)
                member.linkname = content.decode(errors="surrogateescape")
                tar.addfile(member)
            else:
                member = _tar_member(name, tarfile.REGTYPE, 0o755 if entry.mode == "100755" else 0o644, mtime)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


def file_at(repo: Path, commit: str, path: str) -> bytes | None:
    """Give one file at a commit; None if there is none. Raises BadInput from 64 MiB on: keyrings and changelogs are small."""
    argv = ("git", *_SAFE, "-C", str(repo), "cat-file", "blob", f"{commit}:{path}")
    found = run(Command(argv, timeout_s=60, environment=_IDENTITY_FREE, output_limit_bytes=FILE_LIMIT_BYTES))
    if len(found.stdout) >= FILE_LIMIT_BYTES:
        raise BadInput(
            f"{quoted(path)} in {repo.stem} has {FILE_LIMIT_BYTES >> 20} MiB or more", hint="name a smaller file"
        )
    if found.cut:
        found.checked()
    return found.stdout if found.exit_code == 0 else None


def files_at(repo: Path, commit: str, path: str) -> list[Blob]:
    """Give a file, or all files and symlinks below a folder (`path/`), at a commit, sorted by path. In memory."""
    entries = list(_entries(repo, commit, path))
    blobs = _blobs(repo, [entry.target for entry in entries])
    return [Blob(entry.path, entry.mode, content) for entry, content in zip(entries, blobs, strict=True)]


@dataclass(frozen=True, slots=True)
class _Entry:
    mode: str
    target: str
    path: str


def _entries(repo: Path, tree: str, path: str = "") -> Iterator[_Entry]:
    below = ("--", path) if path else ()
    listing = git(repo, "ls-tree", "-r", "-z", "--full-tree", tree, *below).decode(errors="surrogateescape")
    for line in filter(None, listing.split("\0")):
        head, _, path = line.partition("\t")
        mode, kind, target = head.split(" ")
        if kind != "blob":
            raise BadInput(
                f"{quoted(path)} in {repo.stem} is a {kind} (submodule?)",
                hint="put the files themselves into the repository",
            )
        yield _Entry(mode, target, path)


def _blobs(repo: Path, names: Sequence[str]) -> list[bytes]:
    output = memoryview(git(repo, "cat-file", "--batch", stdin="".join(f"{name}\n" for name in names).encode()))
    blobs, at = [], 0
    for name in names:
        end = bytes(output[at : at + 200]).index(b"\n") + at
        found, _kind, size = bytes(output[at:end]).decode().split(" ")
        if found != name:
            raise BadInput(f"object {name} is missing in {repo.stem}", hint=f"git -C {repo} fsck")
        blobs.append(bytes(output[end + 1 : end + 1 + int(size)]))
        at = end + 2 + int(size)
    return blobs


def _folders(prefix: str, paths: Sequence[str]) -> list[str]:
    folders = {prefix.rstrip("/")} if prefix else set()
    for path in paths:
        parts = f"{prefix}{path}".split("/")[:-1]
        folders.update("/".join(parts[:depth]) for depth in range(1, len(parts) + 1))
    return sorted(filter(None, folders))


def _tar_member(name: str, kind: bytes, mode: int, mtime: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.mode, member.mtime = kind, mode, mtime
    return member
