"""git: bare repositories, refs, and trees as archives. Refs and paths from outside always come after `--`-safe checks."""

import io
import os
import re
import shutil
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from distwright.errors import BadInput, BadUsage, NotAllowed, NotFound, Refused, quoted
from distwright.tools.run import Command, Finished, run, run_checked

_OBJECT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/+~^@{}%-]*")  # %: DEP-14 writes it for the colon of an epoch
_SAFE_ELSEWHERE = ("-c", "core.hooksPath=/dev/null", "-c", "log.showSignature=false")
SAFE = (*_SAFE_ELSEWHERE, "-c", "safe.directory=*")
# What a pushed tree may be. A repository of a few kB can hold folders that name each other and unpack to terabytes.
TREE_LIMIT_BYTES = 2 << 30  # all files of a source package together
FILES_LIMIT_BYTES = 256 << 20  # all files that are read into memory: an image's recipe
FILE_LIMIT_BYTES = 256 << 20  # one file
TEXT_LIMIT_BYTES = 8 << 20  # one file that is parsed: a changelog, a table, a certificate
LISTING_LIMIT_BYTES = 32 << 20  # names of all files: some 300 000
_BATCH_BYTES = 16 << 20
REF_LIMIT = 256  # signs: a ref's name is a key of rows, and PostgreSQL takes no more than 2,704 bytes of one

# What old repositories of honest people have; fsck of a push is strict about everything else.
_FSCK = {
    "transfer.fsckObjects": "true",
    "receive.fsckObjects": "true",
    "receive.fsck.badTimezone": "ignore",
    "receive.fsck.missingSpaceBeforeDate": "ignore",
    "receive.fsck.zeroPaddedFilemode": "ignore",
}
# No transport: git fetches a missing object by itself if the settings of a repo say so, with programs that they name.
IDENTITY_FREE = {
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_SYSTEM": "/dev/null",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ALLOW_PROTOCOL": "none",
}
_LOCAL = {"GIT_ALLOW_PROTOCOL": "file"}


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
    may_say_no: bool = False,
    before: Sequence[str] = (),
    output_limit_bytes: int = 2 << 30,
) -> bytes:
    """Run one git command in a repository, with no hook, no prompt and no configuration of the user's; give what it prints.

    may_say_no: exit 1 is an answer too. before: what starts it, as prlimit(1) does.
    """
    command = Command(
        (*before, "git", *SAFE, "-C", str(repo), *arguments),
        timeout_s=timeout_s,
        stdin=stdin,
        environment={**IDENTITY_FREE, **(_LOCAL if arguments[0] in ("fetch", "push") else {}), **(environment or {})},
        output_limit_bytes=output_limit_bytes,
    )
    done = run(command)
    return done.stdout if may_say_no and done.exit_code == 1 and not done.cut else done.checked().stdout


class Sink(Protocol):
    """Something to write bytes to."""

    def write(self, data: bytes, /) -> object:
        """Take the next bytes."""
        ...


def make_bare(path: Path, default_branch: str, settings: Mapping[str, str] | None = None) -> None:
    """Make an empty bare repository, or leave the one that is there; either way pushes into it are checked object by object.

    settings: more of git's that it shall have.
    """
    if not (path / "HEAD").exists():
        _init(path, default_branch)
    text = git(path, "config", "--local", "--null", "--list").decode(errors="replace")
    known = dict(line.partition("\n")[::2] for line in text.split("\0"))
    for key, value in {**_FSCK, **(settings or {})}.items():
        if known.get(key.lower()) != value:
            git(path, "config", "--local", key, value)


def _init(path: Path, default_branch: str) -> None:
    """Nobody sees half of a repository."""
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
    """Give every branch and tag -> object name; names that are not UTF-8, or too long, are passed over (`unreadable_refs`)."""
    return {name: target for name, target in _refs(repo) if _is_text(name)}


def tagged_commits(repo: Path) -> dict[str, str]:
    """Give commit -> name of a tag that names it (of several, the last by name)."""
    listing = git(repo, "for-each-ref", "--format=%(refname:strip=2)%09%(objectname)%09%(*objectname)", "refs/tags")
    rows = [line.split("\t") for line in listing.decode(errors="backslashreplace").split("\n") if line]
    return {peeled or target: name for name, target, peeled in rows}


def unreadable_refs(repo: Path) -> list[str]:
    """Name the branches and tags that `refs` passes over, safe to print."""
    return [quoted(name) for name, _ in _refs(repo) if not _is_text(name)]


def _refs(repo: Path) -> list[tuple[str, str]]:
    listing = git(repo, "for-each-ref", "--format=%(refname)%09%(objectname)", "refs/heads", "refs/tags")
    lines = listing.decode(errors="surrogateescape").split("\n")
    return [(name, target) for name, _, target in (line.partition("\t") for line in lines if line)]


def _is_text(name: str) -> bool:
    return len(name) <= REF_LIMIT and not any("\udc80" <= sign <= "\udcff" for sign in name)


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
        *SAFE,
        "-C",
        str(repo),
        "rev-parse",
        "--verify",
        "--quiet",
        "--end-of-options",
        f"{revision}^{{commit}}",
    )
    found = run(Command(argv, timeout_s=30, environment=IDENTITY_FREE)).stdout.decode().strip()
    if not _OBJECT.fullmatch(found):
        raise NotFound(f"{quoted(revision)} is not in repo {repo.stem}", hint=f"git -C {repo} for-each-ref")
    return found


def tree_of(repo: Path, commit: str, path: str = "") -> str:
    """Give the object name of a folder's tree at a commit: equal names mean equal content. Raises NotFound."""
    argv = ("git", *SAFE, "-C", str(repo), "rev-parse", "--verify", "--quiet", "--end-of-options", f"{commit}:{path}")
    found = run(Command(argv, timeout_s=30, environment=IDENTITY_FREE)).stdout.decode().strip()
    if not _OBJECT.fullmatch(found):
        raise NotFound(
            f"folder {quoted(path)} is not in commit {commit[:12]} of {repo.stem}", hint="look at the recipe's path"
        )
    return found


def write_tree_tar(repo: Path, tree: str, out: Sink, *, prefix: str, mtime: int) -> None:
    """Write a tree (or a commit's) as an uncompressed tar, every name below `prefix`, owned by root, all times `mtime`.

    Same tree, prefix and mtime: same bytes, whichever git made them (git archive stamps trees with the present time before
    2.41). In memory are the names, and one file or some MB of small ones. Raises BadInput for submodules and for names that
    lead out of the tree, Refused for what is larger than the limits above.
    """
    entries = list(_entries(repo, tree, limit_bytes=TREE_LIMIT_BYTES))
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as tar:  # type: ignore[call-overload]  # needs write only
        for folder in _folders(prefix, [entry.path for entry in entries]):
            tar.addfile(_tar_member(folder, tarfile.DIRTYPE, 0o755, mtime))
        for entry, content in _blobs(repo, entries):
            name = f"{prefix}{entry.path}"
            if entry.mode == "120000":
                member = _tar_member(name, tarfile.SYMTYPE, 0o777, mtime)
                member.linkname = content.decode(errors="surrogateescape")
                tar.addfile(member)
            else:
                member = _tar_member(name, tarfile.REGTYPE, 0o755 if entry.mode == "100755" else 0o644, mtime)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


def file_at(repo: Path, commit: str, path: str) -> bytes | None:
    """Give one file at a commit; None if there is none. Raises Refused for more than TEXT_LIMIT_BYTES."""
    argv = ("git", *SAFE, "-C", str(repo), "cat-file", "blob", f"{commit}:{path}")
    found = run(Command(argv, timeout_s=60, environment=IDENTITY_FREE, output_limit_bytes=TEXT_LIMIT_BYTES))
    if found.cut:
        raise _too_large(f"{quoted(path)} in {repo.stem}", TEXT_LIMIT_BYTES)
    return found.stdout if found.exit_code == 0 else None


def work_tree(folder: Path) -> tuple[Path, str | None]:
    """Give the top of the work tree that a folder of this machine is in, and its branch; None if it is on none. Raises BadUsage."""
    found = run(_asking(folder, "rev-parse", "--show-toplevel"))
    if found.exit_code != 0 or not found.stdout.strip():
        raise BadUsage(f"{quoted(str(folder))} is in no git work tree", hint="name a folder of one, or: git clone")
    branch = run(_asking(folder, "symbolic-ref", "--quiet", "--short", "HEAD")).stdout.decode(errors="replace").strip()
    return Path(os.fsdecode(found.stdout.removesuffix(b"\n"))), branch or None


def _asking(folder: Path, *arguments: str) -> Command:
    return Command(("git", *SAFE, "-C", str(folder), *arguments), timeout_s=30, environment=IDENTITY_FREE)


def small_files_at(repo: Path, places: Sequence[tuple[str, str]], *, limit_bytes: int) -> dict[tuple[str, str], bytes]:
    """Give many small files, each at its commit (an object name) and path; those that are not there are left out.

    So are folders, and what has more than `limit_bytes`: nothing large is read. Two processes, however many places.
    """
    wanted = [place for place in places if _OBJECT.fullmatch(place[0]) and "\n" not in place[1]]
    if not wanted:
        return {}
    names = "".join(f"{commit}:{path}\n" for commit, path in wanted)
    listing = git(repo, "cat-file", "--batch-check=%(objecttype) %(objectsize) %(objectname)", stdin=names.encode())
    entries: dict[tuple[str, str], _Entry] = {}
    for place, line in zip(wanted, listing.decode(errors="replace").splitlines(), strict=True):
        kind, _, rest = line.partition(" ")
        size, _, target = rest.partition(" ")
        if kind == "blob" and _OBJECT.fullmatch(target) and int(size) <= limit_bytes:
            entries[place] = _Entry("100644", target, int(size), place[1])
    unique = list({entry.target: entry for entry in entries.values()}.values())
    contents = {entry.target: content for entry, content in _blobs(repo, unique)}
    return {place: contents[entry.target] for place, entry in entries.items()}


def files_at(repo: Path, commit: str, path: str) -> list[Blob]:
    """Give a file, or all files and symlinks below a folder (`path/`), at a commit, sorted by path. In memory; errors as above."""
    entries = list(_entries(repo, commit, path, limit_bytes=FILES_LIMIT_BYTES))
    return [Blob(entry.path, entry.mode, content) for entry, content in _blobs(repo, entries)]


def modes_at(repo: Path, commit: str, paths: Sequence[str]) -> dict[str, str]:
    """Give the mode (`100644`, `120000`, `040000`, …) of each of these paths that is there at a commit. Nothing is followed."""
    listing = git(
        repo, "ls-tree", "-t", "-z", "--full-tree", commit, "--", *paths, output_limit_bytes=LISTING_LIMIT_BYTES
    )
    rows = (line.partition("\t") for line in listing.decode(errors="surrogateescape").split("\0") if line)
    return {name: head.split(" ")[0] for head, _, name in rows if name in paths}


def check_size(repo: Path, commit: str) -> None:
    """Refuse a commit that is larger than what is built: the limits above, before anything else walks its tree."""
    for _entry in _entries(repo, commit, limit_bytes=TREE_LIMIT_BYTES):
        pass


@dataclass(frozen=True, slots=True)
class _Entry:
    mode: str
    target: str
    size: int
    path: str


def _entries(repo: Path, tree: str, path: str = "", *, limit_bytes: int) -> Iterator[_Entry]:
    """List the files of a tree with their sizes, before anything of them is read."""
    below = ("--", path) if path else ()
    argv = ("git", *SAFE, "-C", str(repo), "ls-tree", "-r", "-l", "-z", "--full-tree", tree, *below)
    listing = run(Command(argv, timeout_s=120, environment=IDENTITY_FREE, output_limit_bytes=LISTING_LIMIT_BYTES))
    if listing.cut:
        raise _too_large(f"the list of files in {tree[:12]} of {repo.stem}", LISTING_LIMIT_BYTES)
    total = 0
    for line in filter(None, listing.checked().stdout.decode(errors="surrogateescape").split("\0")):
        head, _, name = line.partition("\t")
        mode, kind, target, size = head.split()
        if kind != "blob":
            raise BadInput(
                f"{quoted(name)} in {repo.stem} is a {kind} (submodule?)",
                hint="put the files themselves into the repository",
            )
        if any(part in ("", ".", "..") for part in name.split("/")):
            raise BadInput(f"{quoted(name)} in {repo.stem} leads out of its tree", hint="remove it from the repository")
        if not size.isdigit():  # BAD, says ls-tree
            raise _missing(target, repo)
        total += int(size)
        if int(size) > FILE_LIMIT_BYTES:
            raise _too_large(f"{quoted(name)} in {repo.stem}", FILE_LIMIT_BYTES)
        if total > limit_bytes:
            raise _too_large(f"what is in {tree[:12]} of {repo.stem}", limit_bytes)
        yield _Entry(mode, target, int(size), name)


def _missing(target: str, repo: Path) -> BadInput:
    return BadInput(f"object {target} is missing in {repo.stem}", hint=f"git -C {repo} fsck")


def _too_large(what: str, limit_bytes: int) -> Refused:
    return Refused(
        f"{what} has more than {limit_bytes >> 20} MiB", hint="remove what does not belong into a repository"
    )


def _blobs(repo: Path, entries: Sequence[_Entry]) -> Iterator[tuple[_Entry, bytes]]:
    """Read files in their order, some MB at a time."""
    batch: list[_Entry] = []
    size = 0
    for entry in entries:
        if batch and size + entry.size > _BATCH_BYTES:
            yield from _batch(repo, batch)
            batch, size = [], 0
        batch.append(entry)
        size += entry.size
    yield from _batch(repo, batch)


def _batch(repo: Path, entries: Sequence[_Entry]) -> Iterator[tuple[_Entry, bytes]]:
    names = "".join(f"{entry.target}\n" for entry in entries)
    output = memoryview(git(repo, "cat-file", "--batch", stdin=names.encode())) if entries else memoryview(b"")
    at = 0
    for entry in entries:
        end = bytes(output[at : at + 200]).index(b"\n") + at
        found, kind, *size = bytes(output[at:end]).decode().split(" ")
        if found != entry.target or kind == "missing":
            raise _missing(entry.target, repo)
        length = int(size[0])
        yield entry, bytes(output[end + 1 : end + 1 + length])
        at = end + 2 + length


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


@dataclass(frozen=True, slots=True)
class CheckoutLook:
    """A work tree of somebody's. branch: "" if none is checked out. changed: files that are not as committed, or not in git."""

    top: Path
    commit: str
    branch: str
    changed: tuple[str, ...]
    is_shallow: bool


def look_at_checkout(path: Path) -> CheckoutLook:
    """Look at the work tree that a folder is in; raise NotFound if it is in none, or nothing is committed there.

    A work tree has settings by which git starts programs (filters, fsmonitor): git refuses another user's, and so do we.
    """
    found = _at_checkout(path, "rev-parse", "--show-toplevel")
    if b"dubious ownership" in found.stderr:
        raise NotAllowed(
            f"the git checkout {quoted(str(path))} is another user's", hint="run this as its owner, or clone it"
        )
    if found.exit_code != 0:
        raise NotFound(f"{quoted(str(path))} is in no git checkout", hint="git clone the package, and name that folder")
    top = Path(os.fsdecode(found.stdout.removesuffix(b"\n")))
    if _at_checkout(top, "rev-parse", "--verify", "--quiet", "HEAD^{commit}").exit_code != 0:
        raise NotFound(f"nothing is committed in {quoted(str(top))}", hint=f"git -C {top} commit")
    commit = resolve(top, "HEAD")
    branch = _at_checkout(top, "symbolic-ref", "--quiet", "--short", "HEAD").stdout.decode(errors="replace").strip()
    status = _at_checkout(top, "status", "--porcelain=v1", "-z", "--untracked-files=normal", "--no-renames").checked()
    changed = tuple(quoted(entry[3:]) for entry in status.stdout.decode(errors="replace").split("\0") if entry)
    is_shallow = _at_checkout(top, "rev-parse", "--is-shallow-repository").stdout.strip() == b"true"
    return CheckoutLook(top, commit, branch, changed, is_shallow)


def _at_checkout(path: Path, *arguments: str) -> Finished:
    argv = ("git", *_SAFE_ELSEWHERE, "-C", str(path), *arguments)
    return run(Command(argv, timeout_s=120, environment=IDENTITY_FREE))


def copy_checkout(top: Path, target: Path) -> None:
    """Make a bare repository with the branches and tags of a work tree; branches that were only fetched from its origin too.

    Every object is checked, as a push's are.
    """
    make_bare(target, "main")
    for refspec in ("+refs/remotes/origin/*:refs/heads/*", "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"):
        git(target, "fetch", "--quiet", "--no-write-fetch-head", "--", str(top), refspec, timeout_s=600)
