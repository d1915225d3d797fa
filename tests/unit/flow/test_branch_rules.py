"""What follows from a push to a branch, and from a suite or an archive that moves, as far as branches go."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.unit.archive.requests import record_request
from tests.worlds.archive import MIRROR, Upstream, UpstreamFetcher
from tests.worlds.branched import Branched
from tests.worlds.packages import make_deb
from tests.worlds.repos import changelog
from tests.worlds.times import DATE

from distwright.archive.pins import pin_path
from distwright.archive.record import record
from distwright.archive.suites import Who, branch_suite
from distwright.images.scenarios import last_built
from distwright.jobs.lease import Ending, claim_next, end_attempt
from distwright.jobs.order import PRIORITY_BASE, PRIORITY_RELEASE, PRIORITY_TOPIC, cancel
from distwright.model.digests import Json
from distwright.model.events import Event, EventKind
from distwright.model.outcomes import JobState, Outcome
from distwright.model.records import Job
from distwright.repos.branches import BASE_BRANCH
from distwright.store.events import append_event
from distwright.store.jobs import list_jobs

OVERLAYS = "config/APT_overlays.d"


@pytest.fixture
def world(tmp_path: Path) -> Branched:
    """Main is pushed to both repos and taken in; the image of it is ordered."""
    world = Branched.made(tmp_path)
    world.push("greeter")
    world.push("live")
    world.look()
    return world


def builds(world: Branched) -> list[tuple[str, str]]:
    """Give suite and commit of each build."""
    return [(str(job.inputs["suite"]), str(job.inputs["commit"])) for job in world.jobs("package.build")]


def states(world: Branched, number: int = -1) -> list[str]:
    """Give the suites of ours in an image."""
    named = world.jobs("image.build")[number].inputs["states"]
    assert isinstance(named, dict)
    return sorted(name for name in named if name.startswith("petrel/"))


def test_a_commit_of_a_topic_is_built_into_its_overlay_which_is_there_before_the_job(world: Branched) -> None:
    head = world.push("greeter", "feature/x", {"a": "1"}, at="main")
    world.look()
    assert builds(world) == [("feature-x", head)]
    [build] = world.jobs("package.build")
    assert (build.inputs["branch"], build.inputs["archive"], build.priority) == ("feature/x", "petrel", PRIORITY_TOPIC)
    assert str(build.inputs["version"]) == f"1.0~00002.g{head[:12]}"
    [publishing] = world.jobs("suite.publish")
    assert (publishing.inputs["suite"], publishing.id < build.id) == ("feature-x", True)
    assert world.open_reasons() == []


def test_each_commit_that_was_pushed_is_built_once(world: Branched) -> None:
    first = world.push("greeter", "topic", {"a": "1"}, at="main")
    world.look()
    second = world.push("greeter", "topic", {"a": "2"})
    world.look()
    world.look()
    assert builds(world) == [("topic", first), ("topic", second)]
    world.fill("topic", str(world.jobs("package.build")[-1].inputs["version"]))
    world.delete("greeter", "topic")
    world.look()
    world.push("greeter", "other", {"a": "3"}, at="main")
    world.look()
    before = len(builds(world))
    with world.context.database.write() as tx:
        body = {"repo": "greeter", "ref": "refs/heads/topic", "old": "0" * 40, "new": second, "pusher": ""}
        append_event(tx, Event(EventKind.REPO_PUSHED, world.context.clock, "greeter refs/heads/topic", body))
    world.look()
    assert len(builds(world)) == before, "its branch is gone"


def test_a_commit_that_its_suite_has_already_is_not_built_on_another_snapshot(world: Branched) -> None:
    head = world.push("greeter", "topic", {"a": "1"}, at="main")
    world.look()
    world.fill("topic", f"1.0~00002.g{head[:12]}")
    world.delete("greeter", "topic")
    world.look()
    move_on(world)
    world.push("greeter", "topic", {"a": "1"}, at="main")
    world.look()
    assert builds(world) == [("topic", head)]


@pytest.mark.parametrize("branch", ["wip/x", "pristine-tar", "upstream/latest"])
def test_what_is_no_topic_is_not_built_and_has_no_suite(world: Branched, branch: str) -> None:
    world.push("greeter", branch, {"a": "1"}, at="main")
    world.look()
    assert (builds(world), [row.name for row in world.suites()]) == ([], ["devel"])


def test_a_branch_that_brings_nothing_beyond_a_base_has_a_suite_and_no_jobs(world: Branched) -> None:
    for repo in ("greeter", "live"):
        world.begin(repo, "topic", at="main")
    world.look()
    world.publish()
    assert (builds(world), world.images()) == ([], ["main"])
    assert world.suite("topic").kind == "overlay"
    head = world.push("greeter", "topic", {"a": "1"})
    world.look()
    assert builds(world) == [("topic", head)]


def test_a_tagged_commit_is_built_by_its_tag_alone(world: Branched) -> None:
    world.push("greeter", "topic", tag="1.0")
    world.look()
    assert [suite for suite, _ in builds(world)] == ["devel"]


def test_a_branch_whose_suite_is_anothers_is_not_built(world: Branched) -> None:
    world.push("greeter", "feature/a", {"a": "1"})
    world.look()
    world.push("greeter", "feature-a", {"a": "2"})
    world.look()
    assert [suite for suite, _ in builds(world)] == ["feature-a"]
    assert [event.subject for event in world.context.events() if event.kind is EventKind.WARNING_RAISED] == [
        "greeter refs/heads/feature-a"
    ]


def test_packages_of_a_topic_are_built_with_its_overlays_where_suites_of_ours_are_used(world: Branched) -> None:
    config = world.context.config
    build = config.environments["build"].model_copy(update={"from_": ("debian/stable", "petrel/devel")})
    world.context.config = replace(config, environments={**config.environments, "build": build})
    world.push("greeter", "topic", {"a": "1"})
    world.look()
    assert builds(world) == []
    assert [reason for _, reason, _ in world.open_reasons()] == [
        "suite petrel/topic was never published (push a tag of a package to its repo)"
    ]
    world.publish()
    [job] = world.jobs("package.build")
    shelf = str(job.inputs["environment"])
    assert all(f"'{name}'" in shelf for name in ("devel", "topic"))


def test_an_image_of_a_topic_without_packages_is_built_once(world: Branched) -> None:
    head = world.push("live", "feature/x", {"a": "1"}, at="main")
    world.look()
    assert world.images() == ["main", "feature/x"]
    made = world.jobs("image.build")[-1]
    assert (made.inputs["commit"], states(world), made.priority) == (head, ["petrel/devel"], PRIORITY_TOPIC)
    assert world.jobs("image.build")[0].priority == PRIORITY_BASE
    world.publish()
    world.publish()
    assert len(world.images()) == 2
    assert world.open_reasons() == []


@pytest.mark.parametrize("first", ["greeter", "live"])
def test_an_image_of_a_fresh_topic_waits_for_the_packages_that_were_pushed_with_it_and_is_built_once(
    world: Branched, first: str
) -> None:
    for repo in (first, "live" if first == "greeter" else "greeter"):
        world.push(repo, "feature/x", {"a": "1"}, at="main")
        world.take_in()
    world.look()
    world.publish()
    [build] = world.jobs("package.build")
    assert world.images() == ["main"]
    [(subject, reason, is_refused)] = world.open_reasons()
    assert (subject, is_refused) == ("live refs/heads/feature/x", False)
    assert reason == f"job {build.id} ({build.title}) comes first (distwright job show {build.id})"
    end(world, build, Outcome.OK)
    world.fill("feature-x", str(build.inputs["version"]))
    assert world.images() == ["main", "feature/x"]
    assert states(world) == ["petrel/devel", "petrel/feature-x"]
    assert world.open_reasons() == []


def test_an_image_of_a_topic_whose_packages_do_not_build_is_built_without_them(world: Branched) -> None:
    for repo in ("greeter", "live"):
        world.push(repo, "feature/x", {"a": "1"}, at="main")
    world.look()
    world.publish()
    assert world.images() == ["main"]
    end(world, world.jobs("package.build")[0], Outcome.FAILED)
    world.look()
    assert (world.images(), states(world)) == (["main", "feature/x"], ["petrel/devel"])
    assert world.open_reasons() == []


def test_an_image_of_a_topic_whose_packages_were_cancelled_comes_some_minutes_later(world: Branched) -> None:
    for repo in ("greeter", "live"):
        world.push(repo, "feature/x", {"a": "1"}, at="main")
    world.look()
    world.publish()
    with world.context.database.write() as tx:
        cancel(tx, world.jobs("package.build")[0].id, world.context.clock)
    world.look()
    assert world.images() == ["main"]
    world.context.clock += timedelta(minutes=6)
    world.look()
    assert world.images() == ["main", "feature/x"]


def end(world: Branched, job: Job, outcome: Outcome) -> None:
    """Let a job that waits end so."""
    with world.context.database.read() as tx:
        waiting = [one.id for one in list_jobs(tx, states=[JobState.QUEUED])]
    assert job.id in waiting
    taken = claim_next(world.context.database, ["local"], "worker", world.context.clock, only=[job.id])
    assert taken is not None
    assert end_attempt(world.context.database, taken, Ending(outcome, "ended"), world.context.clock)


def test_a_published_overlay_builds_the_image_of_its_topic_or_the_base_with_it_on_top(world: Branched) -> None:
    world.push("greeter", "feature/x", {"a": "1"}, at="main")
    world.look()
    world.publish()
    assert world.images() == ["main"], "an empty overlay changes nothing"
    world.fill("feature-x", "1.1")
    assert world.images() == ["main", "main+feature/x"]
    assert states(world) == ["petrel/devel", "petrel/feature-x"]
    [build] = world.jobs("package.build")
    end(world, build, Outcome.OK)
    world.push("live", "feature/x", {"a": "1"}, at="main")
    world.look()
    assert world.images() == ["main", "main+feature/x", "feature/x"]
    world.fill("feature-x", "1.2")
    assert world.images()[3:] == ["feature/x"]


def test_a_published_overlay_builds_the_images_of_branches_that_name_it(world: Branched) -> None:
    branch_suite(world.context, "petrel", "bugfix", "devel", "overlay", Who("user ada"))
    world.publish()
    world.push("live", "topic", {f"{OVERLAYS}/bugfix": ""}, at="main")
    world.push("live", "broken", {f"{OVERLAYS}/bugfix": "", f"{OVERLAYS}/gone": ""}, at="main")
    world.look()
    world.publish()
    assert world.images() == ["main", "topic"]
    refused = [(subject, is_refused) for subject, _, is_refused in world.open_reasons()]
    assert refused == [("live refs/heads/broken", True)]
    world.fill("bugfix", "1.1")
    assert world.images() == ["main", "topic", "topic"]
    assert states(world) == ["petrel/bugfix", "petrel/devel"]
    assert len(world.open_reasons()) == 1, "what is wrong with a topic is said once"


def test_a_base_suite_that_moves_builds_active_topics_on_it_again(world: Branched) -> None:
    world.change_repo("live", protected=("stable",))
    world.push("live", "stable", {BASE_BRANCH: "stable\n"})
    world.push("live", "on-main", {"a": "1"}, at="main")
    world.push("live", "on-stable", {BASE_BRANCH: "stable\n", "a": "1"}, at="stable")
    world.push("greeter", "packages", {"a": "1"}, at="main")
    world.look()
    world.publish()
    world.fill("packages", "1.1")
    assert sorted(world.images()) == ["main", "main+packages", "on-main", "on-stable", "stable"]
    world.fill("devel", "1.2")
    assert sorted(world.images()[5:]) == ["main", "main+packages", "on-main"]
    world.fill("stable", "1.3")
    assert sorted(world.images()[8:]) == ["on-stable", "stable"]
    world.context.clock += timedelta(days=31)
    world.fill("devel", "1.4")
    assert world.images()[10:] == ["main"], "nobody has worked on the others for a month"


def test_a_new_snapshot_builds_bases_that_have_not_pinned_it(world: Branched) -> None:
    world.change_repo("live", protected=("stable", "next"))
    world.push("live", "stable", {BASE_BRANCH: "stable\n", pin_path("debian"): "2024011001\n"})
    world.push("live", "next", {BASE_BRANCH: "next\n", pin_path("debian"): "latest\n"})
    world.push("live", "topic", {"a": "1"}, at="main")
    world.look()
    world.publish()
    before = len(world.images())
    move_on(world)
    assert sorted(world.images()[before:]) == ["main", "next"]


def test_a_tag_that_is_the_version_builds_the_image_of_the_release_and_no_other_tag_does(world: Branched) -> None:
    world.push("live", "main", {"debian/changelog": changelog("live", "2.0~rc1")}, tag="2.0-rc1")
    world.push("live", "main", {"a": "1"}, tag="before-holidays")
    world.look()
    world.publish()
    [release] = [job for job in world.jobs("image.build") if job.inputs["branch"] == "2.0-rc1"]
    assert release.priority == PRIORITY_RELEASE
    assert "before-holidays" not in world.images()
    assert {row.name for row in world.suites()} == {"devel", "2.0-rc1", "before-holidays"}
    assert world.open_reasons() == []


def test_events_of_a_branch_that_came_and_went_lead_to_nothing(world: Branched) -> None:
    for repo in ("greeter", "live"):
        world.push(repo, "topic", {"a": "1"}, at="main")
        world.take_in()
        world.delete(repo, "topic")
        world.take_in()
    world.look()
    assert (builds(world), world.jobs("suite.publish"), world.images(), world.open_reasons()) == ([], [], ["main"], [])


def move_on(world: Branched) -> None:
    """Record a new snapshot of Debian, and look at what follows."""
    upstream = Upstream(suites=("stable",), label="Debian")
    upstream.add(make_deb("of-debian", "2.0"))
    upstream.publish(DATE + timedelta(days=1))
    world.context.clock += timedelta(days=1)
    world.context.fetcher = UpstreamFetcher({MIRROR: upstream})
    record(record_request(), world.context, world.context.paths.cache / "pool")
    world.look()


def test_tests_that_a_person_asks_for_are_of_the_default_branch(world: Branched) -> None:
    """A topic's image may be the newest, and would be nobody's guess."""
    world.push("live", "topic", {"a": "1"}, at="main")
    world.look()
    world.publish()
    of_main, of_topic = world.jobs("image.build")
    with world.context.database.write() as tx:
        for job in (of_main, of_topic):
            body: dict[str, Json] = {
                "image": "petrel",
                "name": str(job.inputs["name"]),
                "files": {},
                "manifest": "",
                "commit": "",
                "states": {},
            }
            append_event(tx, Event(EventKind.IMAGE_BUILT, world.context.clock, str(job.inputs["name"]), body, job.id))
        found = [last_built(tx, "petrel", branch) for branch in ("main", "topic", "other", None)]
    assert [None if body is None else body["name"] for body in found] == [
        of_main.inputs["name"], of_topic.inputs["name"], None, of_topic.inputs["name"],
    ]  # fmt: skip
