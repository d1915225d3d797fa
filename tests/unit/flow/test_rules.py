"""Rules: what follows from an event, from no more than its schema promises, and nothing from what is not ours."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit.images.test_resolve import FILES, installation
from tests.worlds.archive import NOW, signer
from tests.worlds.installation import WorldContext
from tests.worlds.repos import changelog, commit

from distwright.archive.resolve import NotReadyError, accept_order, publish_order
from distwright.archive.suites import Who, branch_suite
from distwright.flow.branch_rules import image_of_pushed_ref, images_of_new_snapshot, images_of_published_suite
from distwright.flow.rules import (
    RULES,
    accept_what_was_built,
    boot_built_image,
    build_pushed_tag,
    build_uploaded_source,
    install_what_was_published,
    publish_changed_suite,
    tidy_exceptions_of_changed_suite,
    tidy_exceptions_of_new_snapshot,
    tidy_exceptions_of_pushed_branch,
)
from distwright.flow.view import Rule, View
from distwright.images.resolve import boot_order
from distwright.jobs.order import JobOrder
from distwright.model import plain
from distwright.model.digests import Json, Sha256, sha256_of
from distwright.model.events import BODY_KEYS, Event, EventKind
from distwright.model.records import FreezeException
from distwright.repos.spool import NOTHING
from distwright.store.archives import live_publication
from distwright.store.events import append_event
from distwright.store.exceptions import end_exception, insert_exception
from distwright.tools.git import refs

HEAD = "1" * 40
DIGEST = sha256_of(b"something")
# One right value for each key that the schema promises, and no other key.
VALUES: dict[str, Json] = {
    "repo": "live", "ref": "refs/heads/main", "old": NOTHING, "new": HEAD, "archive": "petrel", "suite": "devel",
    "serial": "2024011001", "snapshot": DIGEST, "source": "greeter", "version": "1.0", "changes": DIGEST,
    "files": {"greeter_1.0.dsc": DIGEST}, "revision": DIGEST, "problems": [], "before": DIGEST, "publication": 1, "tree": DIGEST,
    "added": ["hello"], "packages": ["hello"], "image": "petrel", "name": "petrel-1", "iso": DIGEST, "commit": HEAD,
    "firmware": "bios", "config": DIGEST, "pusher": "", "manifest": DIGEST, "states": {"debian/stable": DIGEST}, "job": 1,
    "kind": "image.build", "title": "build petrel", "outcome": "failed", "message": "no", "verdict": "differs",
}  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> WorldContext:
    """Upstreams recorded, devel published, a package and an image pushed. Rules change nothing, so the tests share it."""
    context = installation(tmp_path_factory.mktemp("rules"))
    commit(context.paths, "live", FILES)
    commit(context.paths, "greeter", {"debian/changelog": changelog("greeter", "1.0")}, tag="1.0")
    return context


def view_of(context: WorldContext) -> View:
    return View(context.ground(), lambda credential: signer(credential).certificate())


def tagged(context: WorldContext) -> str:
    return refs(context.paths.repo("greeter"))["refs/tags/1.0"]


def head(context: WorldContext) -> str:
    return refs(context.paths.repo("live"))["refs/heads/main"]


def with_config(context: WorldContext, **tables: Any) -> View:
    ground = replace(context.ground(), config=replace(context.config, **tables))
    return View(ground, view_of(context).certificate)


def event_of(kind: EventKind, **changes: Json) -> Event:
    body = {key: VALUES[key] for key in BODY_KEYS[kind]}
    return Event(kind, NOW, "x", {**body, **changes})


def ask(context: WorldContext, rule: Rule, event: Event, view: View | None = None) -> list[JobOrder]:
    return rule(context.database, view or view_of(context), event)


@pytest.mark.parametrize(
    ("kind", "rule"),
    [(kind, rule) for kind, rules in RULES.items() for rule in rules],
    ids=lambda x: getattr(x, "__name__", x),
)
def test_a_rule_needs_no_more_of_an_event_than_its_schema_promises(
    world: WorldContext, kind: EventKind, rule: Rule
) -> None:
    pushed = {"new": head(world)} if kind is EventKind.REPO_PUSHED else {}
    assert isinstance(ask(world, rule, event_of(kind, **pushed)), list)


def test_every_stage_of_the_line_follows_from_the_one_before() -> None:
    assert {kind: [rule.__name__ for rule in rules] for kind, rules in RULES.items()} == {
        EventKind.REPO_PUSHED: [
            "build_pushed_tag",
            "build_pushed_topic",
            "image_of_pushed_ref",
            "tidy_exceptions_of_pushed_branch",
        ],
        EventKind.BUILD_FINISHED: ["accept_what_was_built", "rebuild_what_was_built", "review_what_was_built"],
        EventKind.BUILD_COMPARED: ["explain_what_differs"],
        EventKind.UPLOAD_ACCEPTED: ["build_uploaded_source"],
        EventKind.SUITE_CHANGED: ["publish_changed_suite", "tidy_exceptions_of_changed_suite"],
        EventKind.SUITE_PUBLISHED: ["install_what_was_published", "images_of_published_suite"],
        EventKind.SNAPSHOT_RECORDED: ["images_of_new_snapshot", "tidy_exceptions_of_new_snapshot"],
        EventKind.IMAGE_BUILT: ["boot_built_image", "scenarios_of_built_image", "rebuild_built_image"],
        EventKind.IMAGE_COMPARED: ["explain_what_differs"],
    }


def test_an_accepted_source_without_packages_is_built_where_its_suite_says(world: WorldContext) -> None:
    files = {"greeter_1.0.dsc": str(DIGEST), "greeter_1.0.tar.xz": str(sha256_of(b"tar"))}
    event = event_of(EventKind.UPLOAD_ACCEPTED, source_files=files)
    assert ask(world, build_uploaded_source, event) == [], "devel does not say where"
    suites = {"devel": world.config.suites["devel"].model_copy(update={"environment": "build"})}
    view = with_config(world, suites=suites)
    [order] = ask(world, build_uploaded_source, event, view)
    assert (order.kind.name, order.title) == ("package.build", "build greeter 1.0")
    assert (order.inputs["repo"], order.inputs["suite"], order.inputs["source_files"]) == ("", "devel", files)
    assert order.holds, "the snapshot of its environment is needed"
    assert ask(world, build_uploaded_source, event_of(EventKind.UPLOAD_ACCEPTED), view) == [], "packages came along"


def test_a_source_uploaded_to_a_branch_is_built_as_its_parent_says(world: WorldContext) -> None:
    who = Who("user ada")
    branch_suite(world, "petrel", "topic-builds", "devel", "overlay", who)
    event = event_of(EventKind.UPLOAD_ACCEPTED, suite="topic-builds", source_files={"greeter_1.0.dsc": str(DIGEST)})
    suites = {"devel": world.config.suites["devel"].model_copy(update={"environment": "build"})}
    [order] = ask(world, build_uploaded_source, event, with_config(world, suites=suites))
    assert order.inputs["suite"] == "topic-builds"
    built = event_of(EventKind.BUILD_FINISHED, suite="topic-builds")
    [accept] = ask(world, accept_what_was_built, built)
    assert (accept.inputs["archive"], accept.inputs["suite"]) == ("petrel", "topic-builds")


def push(repo: str, ref: str, new: str = HEAD) -> Event:
    return event_of(EventKind.REPO_PUSHED, repo=repo, ref=ref, new=new)


def test_a_tag_pushed_to_a_package_is_built(world: WorldContext) -> None:
    [order] = ask(world, build_pushed_tag, push("greeter", "refs/tags/1.0", tagged(world)))
    assert (order.kind.name, order.inputs["repo"], order.inputs["tag"]) == ("package.build", "greeter", "1.0")


@pytest.mark.parametrize(
    "event",
    [
        push("greeter", "refs/heads/main"), push("live", "refs/tags/1.0"), push("unknown", "refs/tags/1.0"),
        push("greeter", "refs/tags/1.0", NOTHING), push("greeter", "refs/notes/x"), push("greeter", "refs/tags/upstream/1.0"),
    ],
    ids=["branch", "no package", "unknown repo", "deleted tag", "other ref", "tag of upstream"],
)  # fmt: skip
def test_no_other_push_builds_a_package(world: WorldContext, event: Event) -> None:
    assert ask(world, build_pushed_tag, event) == []


def test_a_push_to_the_default_branch_of_an_images_repo_builds_its_images(world: WorldContext) -> None:
    two = {**world.config.images, "skua": world.config.images["petrel"]}
    view = with_config(world, images=two)
    orders = ask(world, image_of_pushed_ref, push("live", "refs/heads/main", head(world)), view)
    assert [(order.kind.name, order.inputs["image"]) for order in orders] == [
        ("image.build", "petrel"),
        ("image.build", "skua"),
    ]


@pytest.mark.parametrize(
    "event",
    [
        push("live", "refs/heads/wip/main"), push("live", "refs/notes/main"), push("greeter", "refs/heads/main"),
        push("unknown", "refs/heads/main"), push("live", "refs/heads/main", NOTHING),
    ],
    ids=["work in progress", "other ref", "package", "unknown repo", "deleted"],
)  # fmt: skip
def test_no_other_push_builds_an_image(world: WorldContext, event: Event) -> None:
    assert ask(world, image_of_pushed_ref, event) == []


def test_what_was_built_is_uploaded_as_the_builder(world: WorldContext) -> None:
    orders = ask(world, accept_what_was_built, event_of(EventKind.BUILD_FINISHED))
    assert orders == [
        accept_order(
            world.config, "devel", changes=DIGEST, files={"greeter_1.0.dsc": DIGEST}, source="greeter", version="1.0",
            signers=signer("builder").certificate(),
        )
    ]  # fmt: skip


def test_a_changed_suite_is_published_at_the_revision_of_the_event(world: WorldContext) -> None:
    _, revision = live_tree(world)
    orders = ask(world, publish_changed_suite, event_of(EventKind.SUITE_CHANGED, added=["greeter"], revision=revision))
    assert orders == [publish_order(world.config, "devel", revision, ("greeter",), NOW)]


def test_a_suite_that_has_moved_on_is_published_once_with_all_that_came(world: WorldContext) -> None:
    earlier = replace(event_of(EventKind.SUITE_CHANGED, added=["hello", "world"]), subject="petrel/devel")
    _, revision = live_tree(world)
    latest = replace(event_of(EventKind.SUITE_CHANGED, added=["greeter"], revision=revision), subject="petrel/devel")
    with world.database.write() as tx:
        append_event(tx, earlier)
        append_event(tx, latest)
    assert ask(world, publish_changed_suite, earlier) == []
    [order] = ask(world, publish_changed_suite, latest)
    assert {"greeter", "hello", "world"} <= set(plain.texts(order.inputs, "added"))
    assert order.inputs["revision"] == revision


def live_tree(context: WorldContext) -> tuple[Sha256, Sha256]:
    with context.database.read() as tx:
        row = live_publication(tx, "petrel", "devel")
    assert row is not None
    return row.tree, row.revision


def published(context: WorldContext, **changes: Json) -> Event:
    tree, revision = live_tree(context)
    return event_of(EventKind.SUITE_PUBLISHED, **{"tree": tree, "revision": revision, **changes})


def test_what_an_upload_brought_is_installed_from_the_published_tree_with_our_key(world: WorldContext) -> None:
    [order] = ask(world, install_what_was_published, published(world, added=["hello", "world"]))
    tree, revision = live_tree(world)
    inputs = order.inputs
    assert (order.kind.name, inputs["packages"], inputs["tree"], inputs["revision"]) == (
        "suite.install", ["hello", "world"], tree, revision,
    )  # fmt: skip
    assert inputs["certificate"] == signer("petrel").certificate().decode()
    assert order.digest == ask(world, install_what_was_published, published(world, added=["hello", "world"]))[0].digest


def test_a_publication_that_brought_nothing_or_that_no_package_builds_for_is_not_installed(world: WorldContext) -> None:
    assert ask(world, install_what_was_published, published(world, added=[])) == []
    no_packages = with_config(world, repos={})
    assert ask(world, install_what_was_published, published(world), no_packages) == []


def test_images_follow_the_suites_and_archives_that_they_use(world: WorldContext) -> None:
    assert len(ask(world, images_of_published_suite, published(world))) == 1
    assert ask(world, images_of_published_suite, published(world, suite="other")) == []
    for archive, count in (("debian", 1), ("security", 1), ("elsewhere", 0)):
        event = event_of(EventKind.SNAPSHOT_RECORDED, archive=archive)
        assert len(ask(world, images_of_new_snapshot, event)) == count


def test_an_image_that_is_asked_for_by_three_events_is_one_job(world: WorldContext) -> None:
    orders = [
        *ask(world, image_of_pushed_ref, push("live", "refs/heads/main", head(world))),
        *ask(world, images_of_published_suite, published(world)),
        *ask(world, images_of_new_snapshot, event_of(EventKind.SNAPSHOT_RECORDED, archive="debian")),
    ]
    assert len(orders) == 3
    assert len({order.digest for order in orders}) == 1


def test_a_rule_that_cannot_say_yet_says_what_it_waits_for(world: WorldContext) -> None:
    view = View(world.ground({"debian": "2030010101"}), view_of(world).certificate)
    for rule, event in (
        (build_pushed_tag, push("greeter", "refs/tags/1.0", tagged(world))),
        (image_of_pushed_ref, push("live", "refs/heads/main", head(world))),
        (install_what_was_published, published(world)),
    ):
        with pytest.raises(NotReadyError, match="archive debian has no snapshot 2030010101 yet"):
            ask(world, rule, event, view)


def test_a_built_image_is_booted(world: WorldContext) -> None:
    event = event_of(EventKind.IMAGE_BUILT, files={"petrel-1.iso": DIGEST}, vmlinuz=DIGEST, tools=DIGEST)
    assert ask(world, boot_built_image, event) == [boot_order(world.config, event.body)]


def test_an_image_that_came_without_its_kernel_is_not_booted(world: WorldContext) -> None:
    assert ask(world, boot_built_image, event_of(EventKind.IMAGE_BUILT)) == []


def test_the_world_of_this_file_is_left_as_it_was(world: WorldContext, tmp_path: Path) -> None:
    assert [event.kind for event in world.events()].count(EventKind.SUITE_PUBLISHED) == 1


def test_exceptions_are_looked_at_when_what_is_below_them_moves_or_their_own_suite(world: WorldContext) -> None:
    def tidied(rule: Rule, kind: EventKind, **changes: Json) -> list[str]:
        return [str(order.inputs["suite"]) for order in ask(world, rule, event_of(kind, **changes))]

    row = FreezeException(
        0, "petrel", "1.0", "hello", "2.0", "petrel/next", "petrel/stable", "", "why", "user ada", NOW
    )
    upstream = replace(row, suite="2.0", base="debian/stable", branch="live/stable")
    with world.database.write() as tx:
        numbers = [insert_exception(tx, one) for one in (row, replace(row, source="world"), upstream)]
    changed, recorded = EventKind.SUITE_CHANGED, EventKind.SNAPSHOT_RECORDED
    assert tidied(tidy_exceptions_of_changed_suite, changed, suite="stable") == ["1.0"]
    assert tidied(tidy_exceptions_of_changed_suite, changed, suite="1.0") == ["1.0"]
    assert tidied(tidy_exceptions_of_changed_suite, changed, suite="next") == []
    assert tidied(tidy_exceptions_of_new_snapshot, recorded, archive="debian") == ["2.0"]
    assert tidied(tidy_exceptions_of_new_snapshot, recorded, archive="petrel") == []
    pushed = EventKind.REPO_PUSHED
    assert tidied(tidy_exceptions_of_pushed_branch, pushed, ref="refs/heads/stable") == ["2.0"]
    for ref in ("refs/heads/main", "refs/tags/stable", "refs/heads/stable/x"):
        assert tidied(tidy_exceptions_of_pushed_branch, pushed, ref=ref) == []
    with world.database.write() as tx:
        for number in numbers:
            end_exception(tx, number, "over", NOW)
    assert tidied(tidy_exceptions_of_changed_suite, changed, suite="stable") == []
