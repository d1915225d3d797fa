"""A checkout of somebody's own is ordered as the same commit is where it is hosted; what is not committed is refused."""

from pathlib import Path

import pytest
from tests.unit.builds.test_package import recorded
from tests.worlds.installation import WorldContext, make_context
from tests.worlds.repos import changelog, commit

from distwright.builds.destinations import TRY_KIND
from distwright.builds.local_checkout import TryRequest, try_order
from distwright.builds.resolve import build_order, commit_order
from distwright.errors import BadInput, BadUsage, NotFound, Refused
from distwright.jobs.order import JobOrder
from distwright.tools.run import run_checked

FILES = {"debian/changelog": changelog("greeter", "1.0"), "src/x.c": "int x;\n"}


@pytest.fixture
def context(tmp_path: Path) -> WorldContext:
    return recorded(make_context(tmp_path / "state"))


@pytest.fixture
def clone(context: WorldContext, tmp_path: Path) -> Path:
    """Host greeter at tag 1.0 and one commit later, and clone it."""
    commit(context.paths, "greeter", FILES, tag="1.0")
    commit(context.paths, "greeter", {**FILES, "src/x.c": "int y;\n"})
    return cloned(context, tmp_path / "clone")


def cloned(context: WorldContext, target: Path, *options: str) -> Path:
    run_checked(("git", "clone", "--quiet", *options, f"file://{context.paths.repo('greeter')}", str(target)))
    return target


def tried(context: WorldContext, path: Path, **asked: str) -> JobOrder:
    return try_order(context.database, context.ground(), TryRequest(path, **asked))


def shaping(order: JobOrder) -> dict[str, object]:
    """Give the inputs that plans are made of."""
    names = ("form", "tree", "source", "version", "epoch", "suite", "environment", "changelog", "binary_only")
    return {name: order.inputs[name] for name in names if name in order.inputs}


def test_a_tagged_commit_is_tried_as_its_tag_is_built(context: WorldContext, clone: Path) -> None:
    run_checked(("git", "-C", str(clone), "checkout", "--quiet", "1.0"))
    order = tried(context, clone / "debian")
    hosted = build_order(context.database, context.ground(), repo="greeter", tag="1.0")
    assert shaping(order) == shaping(hosted)
    assert (order.kind, order.inputs["archive"], order.title) == (TRY_KIND, "", "try greeter 1.0")
    assert order.holds == hosted.holds


def test_an_untagged_commit_gets_the_version_that_it_has_where_it_is_hosted(context: WorldContext, clone: Path) -> None:
    order = tried(context, clone)
    hosted, _ = commit_order(context.database, context.ground(), repo="greeter", ref="main")
    assert shaping(order) == shaping(hosted)
    assert str(order.inputs["version"]).startswith("1.0+1.g")


def test_nothing_of_the_checkout_is_left_in_the_state(context: WorldContext, clone: Path) -> None:
    tried(context, clone)
    assert list(context.paths.cache.glob("checkout-*")) == []
    assert context.paths.repo_names() == ["greeter"]


def test_only_what_is_committed_is_tried(context: WorldContext, clone: Path) -> None:
    (clone / "src" / "x.c").write_text("int z;\n")
    (clone / "new.c").write_text("int new;\n")
    with pytest.raises(Refused, match="files that are not committed, and only commits are built") as caught:
        tried(context, clone)
    assert "'src/x.c'" in caught.value.message
    assert "'new.c'" in caught.value.message
    assert caught.value.hint.startswith(f"git -C {clone} add --all && git -C {clone} commit")


def test_a_checkout_without_history_is_refused_for_versions_are_counted_in_it(
    context: WorldContext, clone: Path, tmp_path: Path
) -> None:
    shallow = cloned(context, tmp_path / "shallow", "--depth=1")
    with pytest.raises(Refused, match="has no history") as caught:
        tried(context, shallow)
    assert caught.value.hint == f"git -C {shallow} fetch --unshallow"


def test_what_is_no_checkout_or_no_package_is_named(context: WorldContext, clone: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(NotFound, match="is in no git checkout"):
        tried(context, empty)
    run_checked(("git", "init", "--quiet", str(empty)))
    with pytest.raises(NotFound, match="nothing is committed"):
        tried(context, empty)
    run_checked(("git", "-C", str(clone), "rm", "--quiet", "debian/changelog"))
    identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    run_checked(("git", "-C", str(clone), *identity, "commit", "--quiet", "--message=x"))
    with pytest.raises(NotFound, match="has no debian/changelog"):
        tried(context, clone)


def test_a_package_that_nobody_configured_is_tried_where_it_is_said(context: WorldContext, tmp_path: Path) -> None:
    commit(context.paths, "greeter", {"debian/changelog": changelog("newcomer", "0.1")}, tag="0.1")
    clone = cloned(context, tmp_path / "clone")
    with pytest.raises(
        BadUsage, match=r"no \[repo.newcomer\] says where newcomer is built; packages are: greeter"
    ) as caught:
        tried(context, clone)
    assert caught.value.hint == "add --repo NAME, or --environment NAME and --suite NAME"
    order = tried(context, clone, environment="build", suite="devel")
    assert (order.inputs["source"], order.inputs["suite"]) == ("newcomer", "devel")
    assert shaping(tried(context, clone, repo="greeter")) == shaping(order)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"repo": "nowhere"}, "repo 'nowhere' is not configured"),
        ({"repo": "live"}, r"no \[repo.live\] says where greeter is built"),
        ({"environment": "nowhere"}, "environment 'nowhere' is not configured"),
        ({"suite": "nowhere"}, "suite 'nowhere' is not configured"),
    ],
)
def test_a_name_that_is_not_configured_is_named(
    context: WorldContext, clone: Path, asked: dict[str, str], said: str
) -> None:
    with pytest.raises((NotFound, BadUsage, BadInput), match=said):
        tried(context, clone, **asked)
