"""Pushed repositories are other people's: odd names are passed over, bombs and ways out of the tree are refused."""

import io
import tarfile
from pathlib import Path

import pytest
from tests.worlds.repos import commit

import distwright.tools.git as git_module
from distwright.errors import BadInput, ProgramFailed, Refused
from distwright.store.paths import StatePaths
from distwright.tools.git import (
    existing_commits,
    file_at,
    files_at,
    git,
    make_bare,
    refs,
    unreadable_refs,
    write_tree_tar,
)


@pytest.fixture
def paths(tmp_path: Path) -> StatePaths:
    paths = StatePaths(tmp_path / "state")
    paths.make()
    return paths


def tar_of(repo: Path, tree: str) -> bytes:
    out = io.BytesIO()
    write_tree_tar(repo, tree, out, prefix="x-1/", mtime=1)
    return out.getvalue()


def mktree(repo: Path, *rows: tuple[str, str, str, str]) -> str:
    text = "".join(f"{mode} {kind} {target}\t{name}\0" for mode, kind, target, name in rows)
    return git(repo, "mktree", "-z", stdin=text.encode()).decode().strip()


def raw_tree(repo: Path, mode: bytes, name: bytes, target: str) -> str:
    """Write a tree that git itself would refuse to make."""
    content = mode + b" " + name + b"\0" + bytes.fromhex(target)
    words = ("hash-object", "-t", "tree", "-w", "--stdin", "--literally")
    return git(repo, *words, stdin=content).decode().strip()


def test_a_ref_that_is_not_utf8_is_named_and_passed_over(paths: StatePaths) -> None:
    head = commit(paths, "live", {"a": "1"})
    repo = paths.repo("live")
    (repo / "packed-refs").write_bytes(b"%s refs/heads/caf\xe9\n" % head.encode())
    assert refs(repo) == {"refs/heads/main": head}
    assert unreadable_refs(repo) == [r"'refs/heads/caf\udce9'"]


def test_a_ref_with_letters_of_any_language_is_an_ordinary_one(paths: StatePaths) -> None:
    head = commit(paths, "live", {"a": "1"})
    repo = paths.repo("live")
    git(repo, "update-ref", "refs/heads/café\u2028x", head)
    assert refs(repo) == {"refs/heads/main": head, "refs/heads/café\u2028x": head}
    assert unreadable_refs(repo) == []


def test_a_tree_of_trees_that_unpacks_to_millions_is_refused_before_it_is_read(
    paths: StatePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git_module, "LISTING_LIMIT_BYTES", 2 << 20)
    repo = paths.repo("live")
    make_bare(repo, "main")
    blob = git(repo, "hash-object", "-w", "--stdin", stdin=b"x").decode().strip()
    tree = mktree(repo, *(("100644", "blob", blob, f"file-{number}") for number in range(10)))
    for _ in range(7):
        tree = mktree(repo, *(("040000", "tree", tree, f"folder-{number}") for number in range(10)))
    with pytest.raises(Refused, match=r"the list of files in .* of live has more than 2 MiB"):
        tar_of(repo, tree)
    with pytest.raises(Refused, match="the list of files"):
        files_at(repo, tree, "")


def test_one_large_file_named_a_thousand_times_is_refused_by_its_sum(
    paths: StatePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = paths.repo("live")
    make_bare(repo, "main")
    blob = git(repo, "hash-object", "-w", "--stdin", stdin=bytes(4 << 20)).decode().strip()
    tree = mktree(repo, *(("100644", "blob", blob, f"file-{number}") for number in range(1000)))
    asked: list[str] = []
    real = git_module.git

    def counting(where: Path, *arguments: str, stdin: bytes = b"") -> bytes:
        asked.append(arguments[0])
        return real(where, *arguments, stdin=stdin)

    monkeypatch.setattr(git_module, "git", counting)
    with pytest.raises(Refused, match=r"what is in .* of live has more than 2048 MiB"):
        tar_of(repo, tree)
    with pytest.raises(Refused, match=r"has more than 256 MiB"):
        files_at(repo, tree, "")
    assert asked == []


@pytest.mark.parametrize(("limit", "what"), [("FILE_LIMIT_BYTES", "'big' in live"), ("TREE_LIMIT_BYTES", "what is in")])
def test_limits_are_of_each_file_and_of_all(
    paths: StatePaths, monkeypatch: pytest.MonkeyPatch, limit: str, what: str
) -> None:
    head = commit(paths, "live", {"big": bytes(3 << 20)})
    monkeypatch.setattr(git_module, limit, 2 << 20)
    with pytest.raises(Refused, match=f"{what}.* has more than 2 MiB"):
        tar_of(paths.repo("live"), head)
    monkeypatch.setattr(git_module, limit, 3 << 20)
    assert len(tar_of(paths.repo("live"), head)) > 3 << 20


def test_a_changelog_of_many_megabytes_is_not_read(paths: StatePaths) -> None:
    head = commit(paths, "live", {"debian/changelog": bytes(9 << 20), "small": "x"})
    with pytest.raises(Refused, match="'debian/changelog' in live has more than 8 MiB"):
        file_at(paths.repo("live"), head, "debian/changelog")
    assert file_at(paths.repo("live"), head, "small") == b"x"


def test_a_tar_is_the_same_however_its_files_are_read(paths: StatePaths, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {f"d/{number}": bytes([number]) * (number * 50) for number in range(60)}
    head = commit(paths, "live", {**files, "link@": "d/1", "run*": "#!/bin/sh\n", "empty": ""})
    whole = tar_of(paths.repo("live"), head)
    monkeypatch.setattr(git_module, "_BATCH_BYTES", 700)
    assert tar_of(paths.repo("live"), head) == whole
    with tarfile.open(fileobj=io.BytesIO(whole)) as tar:
        member = tar.extractfile("x-1/d/59")
        assert member is not None
        assert member.read() == files["d/59"]
        assert (tar.getmember("x-1/link").linkname, tar.getmember("x-1/run").mode) == ("d/1", 0o755)
        assert {(item.uid, item.gid, item.mtime) for item in tar} == {(0, 0, 1)}


@pytest.mark.parametrize("name", [b"..", b"."])
def test_a_name_that_leads_out_of_the_tree_is_refused(paths: StatePaths, name: bytes) -> None:
    repo = paths.repo("live")
    make_bare(repo, "main")
    blob = git(repo, "hash-object", "-w", "--stdin", stdin=b"x").decode().strip()
    tree = raw_tree(repo, b"40000", name, raw_tree(repo, b"100644", b"x", blob))
    with pytest.raises(BadInput, match=r"'\.+/x' in live leads out of its tree"):
        tar_of(repo, tree)
    with pytest.raises(BadInput, match="leads out of its tree"):
        files_at(repo, tree, "")


def test_pushes_are_checked_object_by_object_in_new_repos_and_in_old_ones(paths: StatePaths, tmp_path: Path) -> None:
    target, source = paths.repo("live"), tmp_path / "source.git"
    make_bare(source, "main")
    blob = git(source, "hash-object", "-w", "--stdin", stdin=b"x").decode().strip()
    tree = raw_tree(source, b"40000", b"..", raw_tree(source, b"100644", b"x", blob))
    who = {f"GIT_{role}_{key}": "a" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")}
    head = git(source, "commit-tree", tree, environment=who, stdin=b"out\n").decode().strip()
    old = paths.repo("old")
    for repo in (target, old):
        make_bare(repo, "main")
        git(repo, "config", "--unset", "receive.fsckObjects")
        git(repo, "config", "--unset", "transfer.fsckObjects")
    git(source, "push", str(old), f"{head}:refs/heads/main")
    make_bare(target, "main")
    with pytest.raises(ProgramFailed, match="remote rejected"):
        git(source, "push", str(target), f"{head}:refs/heads/main")
    assert (refs(target), refs(old)) == ({}, {"refs/heads/main": head})


def test_only_commits_and_tags_that_are_there_exist(paths: StatePaths) -> None:
    head = commit(paths, "live", {"a": "1"})
    repo = paths.repo("live")
    empty_tree = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
    assert existing_commits(repo, [head, "1" * 40, empty_tree, "--all", ""]) == {head}
    assert existing_commits(repo, []) == set()


def test_a_repo_that_has_lost_a_file_is_named_with_what_finds_the_rest(paths: StatePaths) -> None:
    head = commit(paths, "live", {"a": "1"})
    repo = paths.repo("live")
    lost = git(repo, "rev-parse", f"{head}:a").decode().strip()
    (repo / "objects" / lost[:2] / lost[2:]).unlink()
    for read in (lambda: files_at(repo, head, ""), lambda: tar_of(repo, head)):
        with pytest.raises(BadInput, match=f"object {lost} is missing in live") as caught:
            read()
        assert caught.value.hint == f"git -C {repo} fsck"


def test_what_the_settings_of_a_repo_name_is_never_started(tmp_path: Path) -> None:
    """Whoever owns a repo writes its settings, and we may be root: no program of theirs fetches a missing object."""
    repo, marker = tmp_path / "theirs.git", tmp_path / "marker"
    make_bare(repo, "main")
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {marker}\n")
    program.chmod(0o755)
    settings = {
        "core.repositoryFormatVersion": "1", "extensions.partialClone": "evil", "remote.evil.promisor": "true",
        "remote.evil.url": str(tmp_path), "remote.evil.uploadpack": str(program), "core.sshCommand": str(program),
        "log.showSignature": "true", "gpg.program": str(program),
    }  # fmt: skip
    for key, value in settings.items():
        git(repo, "config", "--local", key, value)
    signed = (
        "tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\nauthor a <a@b> 1 +0000\ncommitter a <a@b> 1 +0000\n"
        "gpgsig -----BEGIN PGP SIGNATURE-----\n \n -----END PGP SIGNATURE-----\n\nsigned\n"
    )
    commit = git(repo, "hash-object", "-t", "commit", "-w", "--stdin", stdin=signed.encode()).decode().strip()
    existing_commits(repo, ["a" * 40])
    git(repo, "log", "-1", commit)
    git(repo, "config", "--local", "remote.evil.url", "ssh://evil.example/x")
    existing_commits(repo, ["b" * 40])
    assert not marker.exists()
