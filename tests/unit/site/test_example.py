"""Pushing an example: real commits with the changelog's names and times, so the same object names on every machine."""

from pathlib import Path

import pytest
from tests.worlds.archive import DATE, DAY
from tests.worlds.installation import WorldContext, make_context
from tests.worlds.repos import changelog, commit

from distwright.errors import NotFound, Refused
from distwright.repos.hosting import make_repo
from distwright.repos.pushes import spooled_pushes
from distwright.site.example import Pushed, push_folder
from distwright.tools.git import file_at, files_at, git, refs


@pytest.fixture
def context(tmp_path: Path) -> WorldContext:
    return make_context(tmp_path / "state")


def example(folder: Path, version: str = "1.0", **more: str) -> Path:
    (folder / "debian").mkdir(parents=True, exist_ok=True)
    days = int(version.partition(".")[2]) * DAY
    (folder / "debian" / "changelog").write_text(changelog("greeter", version, DATE + days))
    for name, text in more.items():
        (folder / name).write_text(text)
    return folder


def push(context: WorldContext, folder: Path, *, tag: bool = True, without: str | None = None) -> Pushed:
    target = make_repo(context.paths, "greeter", "main")
    return push_folder(folder, target, "main", without=without, tag=tag)


def test_a_folder_becomes_a_commit_with_a_tag_of_its_version(context: WorldContext, tmp_path: Path) -> None:
    pushed = push(context, example(tmp_path / "x", README="hello\n"))
    where = context.paths.repo("greeter")
    assert pushed.is_new
    assert refs(where) == {"refs/heads/main": pushed.commit, "refs/tags/1.0": pushed.commit}
    assert file_at(where, pushed.commit, "README") == b"hello\n"
    shown = git(where, "show", "--no-patch", "--format=%an <%ae> %at %cn %ct %s", pushed.commit).decode().strip()
    moment = int(DATE.timestamp())
    assert shown == f"Ada Example <ada@example.org> {moment} Ada Example {moment} greeter 1.0"
    assert spooled_pushes(context.paths.spool) == 1


def test_the_same_folder_has_the_same_commit_on_every_machine(tmp_path: Path) -> None:
    commits = []
    for number in range(2):
        context = make_context(tmp_path / f"state-{number}")
        commits.append(push(context, example(tmp_path / f"folder-{number}", README="hello\n")).commit)
    assert commits[0] == commits[1]


def test_pushing_the_same_again_does_nothing(context: WorldContext, tmp_path: Path) -> None:
    first = push(context, example(tmp_path / "x"))
    again = push(context, example(tmp_path / "x"))
    assert again == Pushed("greeter", first.commit, is_new=False)
    assert spooled_pushes(context.paths.spool) == 1


def test_a_new_version_goes_on_top_of_the_old_one(context: WorldContext, tmp_path: Path) -> None:
    first = push(context, example(tmp_path / "x"))
    second = push(context, example(tmp_path / "x", "1.1"))
    where = context.paths.repo("greeter")
    assert git(where, "rev-list", second.commit).decode().split() == [second.commit, first.commit]
    assert refs(where)["refs/tags/1.1"] == second.commit


def test_other_content_under_a_version_that_is_tagged_is_refused_and_not_pushed(
    context: WorldContext, tmp_path: Path
) -> None:
    first = push(context, example(tmp_path / "x"))
    with pytest.raises(Refused, match=r"tag 1\.0 of greeter exists and holds something else"):
        push(context, example(tmp_path / "x", README="changed"))
    assert refs(context.paths.repo("greeter"))["refs/heads/main"] == first.commit


def test_a_part_of_the_folder_may_stay_out(context: WorldContext, tmp_path: Path) -> None:
    folder = example(tmp_path / "x", README="x")
    (folder / "packages" / "y").mkdir(parents=True)
    (folder / "packages" / "y" / "z").write_text("z")
    pushed = push(context, folder, without="packages", tag=False)
    blobs = [blob.path for blob in files_at(context.paths.repo("greeter"), pushed.commit, "")]
    assert blobs == ["README", "debian/changelog"]
    assert list(refs(context.paths.repo("greeter"))) == ["refs/heads/main"]


def test_a_folder_without_changelog_is_not_pushed(context: WorldContext, tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with pytest.raises(NotFound, match="debian/changelog does not exist"):
        push(context, tmp_path / "x")


def test_what_somebody_pushed_on_top_stays_and_is_gone_on_with(context: WorldContext, tmp_path: Path) -> None:
    folder = example(tmp_path / "x", README="hello\n")
    first = push(context, folder)
    theirs = commit(context.paths, "greeter", {"README": "nano\n", "debian/changelog": changelog("greeter", "1.0")})
    (folder / "README").write_text("newer example\n")
    assert push(context, folder) == Pushed("greeter", theirs, is_new=False, has_moved_on=True)
    assert refs(context.paths.repo("greeter")) == {"refs/heads/main": theirs, "refs/tags/1.0": first.commit}
    assert file_at(context.paths.repo("greeter"), theirs, "README") == b"nano\n"


def test_a_new_version_of_somebody_else_is_no_error_and_its_tag_stays(context: WorldContext, tmp_path: Path) -> None:
    folder = example(tmp_path / "x")
    first = push(context, folder)
    theirs = commit(context.paths, "greeter", {"debian/changelog": changelog("greeter", "1.1")}, tag="1.1")
    assert push(context, folder).has_moved_on
    tags = {"refs/tags/1.0": first.commit, "refs/tags/1.1": theirs}
    assert refs(context.paths.repo("greeter")) == {"refs/heads/main": theirs, **tags}


def test_a_commit_without_a_changelog_is_not_ours(context: WorldContext, tmp_path: Path) -> None:
    theirs = commit(context.paths, "greeter", {"README": "mine\n"})
    assert push(context, example(tmp_path / "x")) == Pushed("greeter", theirs, is_new=False, has_moved_on=True)
    assert refs(context.paths.repo("greeter")) == {"refs/heads/main": theirs}
