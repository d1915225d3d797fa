"""Builds of branches and commits: which version, from what, and where it goes."""

from datetime import timedelta
from pathlib import Path

import pytest
from tests.unit.archive.requests import record_request
from tests.worlds.archive import MIRROR, Upstream, UpstreamFetcher, make_deb
from tests.worlds.installation import CONFIG, WorldContext, make_context
from tests.worlds.repos import changelog, commit
from tests.worlds.times import DATE

from distwright.archive.record import record
from distwright.archive.resolve import NotReadyError
from distwright.archive.suites import Who, branch_suite
from distwright.builds.checkout import read_checkout, standing_of
from distwright.builds.destinations import BUILD_KIND, TRY_KIND, Destination
from distwright.builds.resolve import build_order, commit_order
from distwright.builds.versions_of_commits import Standing
from distwright.errors import BadInput, BadUsage, NotFound
from distwright.jobs.order import JobOrder
from distwright.model.digests import Sha256
from distwright.model.versions import DebVersion
from distwright.site.applied import apply_config
from distwright.tools.git import git

OLD, NEW = changelog("greeter", "1.0"), f"{changelog('greeter', '1.1')}\n{changelog('greeter', '1.0')}"


@pytest.fixture
def context(tmp_path: Path) -> WorldContext:
    """Give an installation with a snapshot and suite devel."""
    upstream = Upstream()
    upstream.add(make_deb("hello"))
    upstream.publish()
    context = make_context(tmp_path)
    context.fetcher = UpstreamFetcher({MIRROR: upstream})
    record(record_request(), context, context.paths.cache / "pool")
    apply_config({"distwright.toml": CONFIG}, {}, "0" * 40, database=context.database, objects=context.objects,
                 paths=context.paths, now=DATE)  # fmt: skip
    return context


def put(context: WorldContext, text: str, *, branch: str = "main", tag: str | None = None, **more: str) -> str:
    """Commit a package with this changelog."""
    return commit(context.paths, "greeter", {"debian/changelog": text, **more}, branch=branch, tag=tag)


def order(context: WorldContext, ref: str, suite: str | None = None) -> tuple[JobOrder, Destination]:
    return commit_order(context.database, context.ground(), repo="greeter", ref=ref, suite=suite)


def standing(context: WorldContext, head: str) -> Standing:
    return standing_of(read_checkout(context.paths.repo("greeter"), head, "it"))


def begin_branch(context: WorldContext, name: str, at: str) -> None:
    git(context.paths.repo("greeter"), "update-ref", f"refs/heads/{name}", at)


def merge(context: WorldContext, branch: str, other: str, text: str) -> str:
    """Merge a branch into another by hand, with this changelog."""
    repo = context.paths.repo("greeter")
    stream = (
        f"commit refs/heads/{branch}\ncommitter Ada <ada@example.org> 1704888000 +0000\ndata 5\nmerge\n"
        f"from refs/heads/{branch}^0\nmerge refs/heads/{other}^0\n"
        f"M 644 inline debian/changelog\ndata {len(text)}\n{text}\n"
    )
    git(repo, "fast-import", "--quiet", stdin=stream.encode())
    return git(repo, "rev-parse", f"refs/heads/{branch}").decode().strip()


def test_commits_are_counted_from_the_newest_release_below(context: WorldContext) -> None:
    first = put(context, OLD)
    assert standing(context, first) == Standing(DebVersion("1.0"), None, 1)
    released = put(context, OLD, README="1", tag="1.0")
    after = put(context, OLD, README="2")
    begun = put(context, NEW, README="3")
    assert standing(context, first) == Standing(DebVersion("1.0"), None, 1), "what came later changes nothing"
    assert standing(context, released) == Standing(DebVersion("1.0"), DebVersion("1.0"), 0, 0)
    assert standing(context, after) == Standing(DebVersion("1.0"), DebVersion("1.0"), 1, 1)
    assert standing(context, begun) == Standing(DebVersion("1.1"), DebVersion("1.0"), 2)


def test_a_release_that_was_merged_does_not_make_later_commits_look_older(context: WorldContext) -> None:
    put(context, OLD, tag="1.0")
    for number in range(3):
        before = put(context, NEW, README=str(number))
    begin_branch(context, "fixes", before)
    put(context, changelog("greeter", "1.0.1"), branch="fixes", tag="1.0.1")
    merged = merge(context, "main", "fixes", f"{changelog('greeter', '1.1')}\n{changelog('greeter', '1.0.1')}\n{OLD}")
    assert standing(context, before) == Standing(DebVersion("1.1"), DebVersion("1.0"), 3)
    assert standing(context, merged) == Standing(DebVersion("1.1"), DebVersion("1.0"), 5)


def test_tags_that_are_no_versions_of_the_changelog_count_for_nothing(context: WorldContext) -> None:
    put(context, OLD, tag="0.9")
    head = put(context, NEW, tag="upstream/1.1")
    assert standing(context, head) == Standing(DebVersion("1.1"), None, 2)


def test_a_tag_of_gbp_is_a_release_too_even_below_entries_that_nobody_can_read(context: WorldContext) -> None:
    put(context, OLD, tag="debian/1.0")
    head = put(context, f"{NEW}\ngarbage\n")
    assert standing(context, head) == Standing(DebVersion("1.1"), DebVersion("1.0"), 1)
    made = build_order(context.database, context.ground(), repo="greeter", tag="debian/1.0")
    assert (made.inputs["tag"], made.inputs["version"]) == ("debian/1.0", "1.0")


def test_an_order_of_a_commit_brings_a_changelog_and_the_commit_is_its_clock(context: WorldContext) -> None:
    old = changelog("greeter", "1.1", DATE - timedelta(days=1))
    head = put(context, old)
    made, destination = order(context, "main")
    version = f"1.1~00001.g{head[:12]}"
    assert {key: made.inputs[key] for key in ("repo", "branch", "commit", "version", "suite", "archive", "epoch", "form")} == {
        "repo": "greeter", "branch": "main", "commit": head, "version": version, "suite": "devel", "archive": "petrel",
        "epoch": int(DATE.timestamp()), "form": 2,
    }  # fmt: skip
    assert "tag" not in made.inputs
    text = context.objects.read(Sha256(str(made.inputs["changelog"]))).decode()
    assert text == (
        f"greeter ({version}) devel; urgency=low\n\n  * Built from commit {head}, which has no tag.\n\n"
        f" -- Ada Example <ada@example.org>  Wed, 10 Jan 2024 12:00:00 +0000\n\n{old}"
    )
    assert (made.kind, made.title, destination) == (
        BUILD_KIND, f"build greeter {version}", Destination("petrel", "devel"),
    )  # fmt: skip


def test_a_commit_by_name_gives_the_same_source_and_is_only_tried(context: WorldContext) -> None:
    head = put(context, NEW)
    made, _ = order(context, "main")
    tried, destination = order(context, head[:10])
    assert (tried.kind, destination.is_upload) == (TRY_KIND, False)
    assert "--suite SUITE" in destination.note
    assert {**tried.inputs, "branch": "main"} == made.inputs
    assert order(context, head, "devel")[1] == Destination("petrel", "devel")


def test_a_commit_that_is_tagged_with_its_version_is_built_as_the_tag(context: WorldContext) -> None:
    head = put(context, OLD, tag="1.0")
    made = build_order(context.database, context.ground(), repo="greeter", tag="1.0")
    for ref in ("main", head):
        built, destination = order(context, ref)
        assert (built.digest, destination) == (made.digest, Destination("petrel", "devel"))


def test_another_branch_goes_to_the_suite_of_its_name_or_nowhere(context: WorldContext) -> None:
    put(context, NEW, branch="Feature/USB_stick")
    tried, nowhere = order(context, "Feature/USB_stick")
    assert (tried.kind, tried.inputs["suite"], nowhere.is_upload) == (TRY_KIND, "devel", False)
    assert nowhere.note.endswith("distwright suite branch petrel/devel feature-usb-stick")
    branch_suite(context, "petrel", "feature-usb-stick", "devel", "overlay", Who("ada"))
    assert order(context, "Feature/USB_stick")[1] == Destination("petrel", "feature-usb-stick")
    assert order(context, "Feature/USB_stick", "petrel/devel")[1] == Destination("petrel", "devel")


def test_a_ref_that_is_nothing_or_a_tag_is_named(context: WorldContext) -> None:
    put(context, OLD, tag="1.0")
    with pytest.raises(BadUsage, match=r"'1\.0' is a tag of greeter") as caught:
        order(context, "1.0")
    assert caught.value.hint == "distwright package build greeter --tag 1.0"
    for ref in ("nothing", "", "main^{tree}", "--help", "1234567", "main:debian"):
        with pytest.raises(NotFound, match=r"is neither a branch nor a commit of greeter|is not in repo greeter"):
            order(context, ref)
    with pytest.raises(NotFound, match="there is no suite 'nowhere'"):
        order(context, "main", "nowhere")
    with pytest.raises(NotFound, match="repo 'other' is not configured"):
        commit_order(context.database, context.ground(), repo="other", ref="main")


def test_a_commit_from_the_future_waits(context: WorldContext) -> None:
    put(context, NEW)
    context.clock = DATE - timedelta(hours=1)
    with pytest.raises(NotReadyError, match=r"commit [0-9a-f]{12} of greeter is dated 2024-01-10 12:00, in the future"):
        order(context, "main")


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({"README": "x"}, r"commit \w+ of greeter has no debian/changelog"),
        ({"debian/changelog": "garbage\n"}, r"commit \w+ of greeter: line 1 of the changelog, 'garbage': begins no entry"),
        ({"debian/changelog": ""}, r"commit \w+ of greeter: the changelog has no entry"),
        ({"debian/changelog@": "../NEWS", "NEWS": OLD}, r"debian/changelog of commit \w+ of greeter is a symlink"),
        ({"debian@": "packaging", "packaging/changelog": OLD}, "has no debian/changelog"),
        ({"debian/changelog/x": OLD}, "has no debian/changelog"),
        ({"debian/changelog": OLD, "debian/source/format": "3.0 (git)\n"}, r"says '3\.0 \(git\)', which is not built here"),
        ({"debian/changelog": OLD, "debian/gbp.conf": "[x\n"}, r"commit \w+ of greeter: debian/gbp\.conf cannot be read"),
        ({"debian/changelog": OLD, "debian/gbp.conf@": "/etc/passwd"}, r"debian/gbp\.conf of commit \w+ of greeter is a symlink"),
    ],
)  # fmt: skip
def test_what_is_no_package_is_refused_by_name(context: WorldContext, files: dict[str, str], problem: str) -> None:
    commit(context.paths, "greeter", files)
    with pytest.raises((BadInput, NotFound), match=problem):
        order(context, "main")


def test_a_submodule_is_refused(context: WorldContext) -> None:
    head = put(context, OLD)
    stream = (
        f"commit refs/heads/main\ncommitter Ada <ada@example.org> 1704888000 +0000\ndata 5\nfiles\nfrom refs/heads/main^0\n"
        f"M 160000 {head} vendored\n"
    )
    git(context.paths.repo("greeter"), "fast-import", "--quiet", stdin=stream.encode())
    with pytest.raises(BadInput, match=r"'vendored' in greeter is a commit \(submodule\?\)"):
        order(context, "main")
