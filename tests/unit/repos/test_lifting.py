"""The end of an embargo: a branch of the twin goes to the public repo, forward only, with its history and nothing else."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.worlds.embargoed import CONFIG, PERSONS
from tests.worlds.repos import commit

from distwright.config.load import parse_config
from distwright.config.model import Config
from distwright.errors import NotFound, Refused
from distwright.repos.lifting import lift
from distwright.store.paths import StatePaths
from distwright.tools.git import git, refs

CONFIGURED = parse_config([("a.toml", CONFIG.format(folder="/nowhere", persons=PERSONS))])
FIX = "refs/heads/fix/hole"


@pytest.fixture
def paths(tmp_path: Path) -> StatePaths:
    """Both repos have main; the twin has a fix of two commits, a tag of it, and another secret."""
    paths = StatePaths(tmp_path)
    paths.make()
    first = commit(paths, "greeter", {"a": "1"})
    assert commit(paths, "greeter-twin", {"a": "1"}) == first
    commit(paths, "greeter-twin", {"a": "2"}, branch="fix/hole")
    commit(paths, "greeter-twin", {"a": "3"}, branch="fix/hole", tag="1.1")
    commit(paths, "greeter-twin", {"a": "secret"}, branch="other")
    return paths


def of(paths: StatePaths, repo: str) -> dict[str, str]:
    return refs(paths.repo(repo))


def test_a_branch_comes_with_its_tag_and_history_and_nothing_else(paths: StatePaths) -> None:
    tip, before = of(paths, "greeter-twin")[FIX], of(paths, "greeter")
    planned = lift(CONFIGURED, paths, "greeter-twin", "fix/hole", ["1.1"], dry_run=True)
    assert of(paths, "greeter") == before
    done = lift(CONFIGURED, paths, "greeter-twin", "fix/hole", ["1.1"])
    assert (done, planned.commit, planned.before, len(planned.commits)) == (planned, tip, "", 2)
    assert of(paths, "greeter") == {**before, FIX: tip, "refs/tags/1.1": tip}
    secret = of(paths, "greeter-twin")["refs/heads/other"]
    listed = git(paths.repo("greeter"), "cat-file", "--batch-all-objects", "--batch-check=%(objectname)").decode()
    assert (secret in listed, tip in listed) == (False, True)
    assert not list(paths.repo("greeter").glob("apart-*"))
    again = lift(CONFIGURED, paths, "greeter-twin", "fix/hole", ["1.1"])
    assert (again.before, again.commits) == (tip, ()), "a repetition changes nothing"


def test_the_public_branch_only_goes_forward(paths: StatePaths) -> None:
    lift(CONFIGURED, paths, "greeter-twin", "fix/hole")
    newer = commit(paths, "greeter", {"a": "of everybody"}, branch="fix/hole")
    with pytest.raises(Refused, match="has commits that the twin's has not"):
        lift(CONFIGURED, paths, "greeter-twin", "fix/hole")
    assert of(paths, "greeter")[FIX] == newer


def test_a_tag_never_moves_and_then_nothing_does(paths: StatePaths) -> None:
    commit(paths, "greeter", {"a": "9"}, branch="elsewhere", tag="1.1")
    before = of(paths, "greeter")
    with pytest.raises(Refused, match=r"'refs/tags/1\.1' is another commit in greeter"):
        lift(CONFIGURED, paths, "greeter-twin", "fix/hole", ["1.1"])
    assert of(paths, "greeter") == before


@pytest.mark.parametrize(
    ("repo", "branch", "tags", "error", "said"),
    [
        ("nowhere", "main", [], NotFound, "is not configured"),
        ("notes", "main", [], Refused, "is no private twin"),
        ("greeter", "main", [], Refused, "is no private twin"),
        ("greeter-twin", "gone", [], NotFound, "has no 'refs/heads/gone'"),
        ("greeter-twin", "main", ["gone"], NotFound, "has no 'refs/tags/gone'"),
        ("greeter-twin", "--upload-pack=touch", [], NotFound, "has no"),
    ],
)
def test_what_cannot_be_lifted_is_named(
    paths: StatePaths, repo: str, branch: str, tags: list[str], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        lift(CONFIGURED, paths, repo, branch, tags)


def test_a_public_repo_that_is_kept_elsewhere_is_pushed_to_there(paths: StatePaths) -> None:
    away = CONFIGURED.repos["greeter"].model_copy(update={"url": "https://forge.example/greeter.git"})
    config: Config = replace(CONFIGURED, repos={**CONFIGURED.repos, "greeter": away})
    with pytest.raises(Refused, match=r"is kept at https://forge\.example/greeter\.git"):
        lift(config, paths, "greeter-twin", "fix/hole")
