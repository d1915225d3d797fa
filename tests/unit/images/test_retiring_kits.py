"""Upgrade kits go with the images at their ends, or for want of room; no description names one that is gone."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.worlds.images import Images
from tests.worlds.installation import WorldContext, make_context
from tests.worlds.keys import signer
from tests.worlds.times import DAY

from distwright.archive.garbage import collect
from distwright.errors import Refused
from distwright.images.forms import MAKING
from distwright.images.holding import hold_image
from distwright.images.kit_descriptions import read_description
from distwright.images.kits import KIND as KIT
from distwright.images.retention import Budget
from distwright.images.retiring import LOOKS, drop_images, retire_images
from distwright.images.upgrades import described
from distwright.jobs.keeping import hold_stage
from distwright.jobs.order import JobOrder, cancel, place_order
from distwright.jobs.step import KindName
from distwright.model.digests import Sha256, sha256_of
from distwright.model.outcomes import Outcome
from distwright.signing.verify import Keyring
from distwright.store.holds import all_holds, object_hold, replace_holds
from distwright.store.jobs import find_job, find_step_result, keep_step_result
from distwright.worker.kinds import KINDS


@pytest.fixture
def context(tmp_path: Path) -> WorldContext:
    return make_context(tmp_path)


@pytest.fixture
def images(context: WorldContext) -> Images:
    return Images(context.database, context.objects, context.paths)


def retired(context: WorldContext, budget: Budget) -> dict[str, str]:
    judged = retire_images(context, (), {"petrel": budget}, really=True)
    return {one.row.name: one.why if one.stays else "goes" for one in judged}


def said(context: WorldContext) -> dict[str, set[str]]:
    """Read all descriptions as devices do: image -> the kits that are named, each of which must be there, and no other."""
    folder = context.paths.public / "images" / "upgrades"
    keyring = Keyring(signer("image").certificate(), "the image key")
    found = {}
    for link in (path for path in folder.iterdir() if path.is_symlink()):
        files = {path.name: path.read_bytes() for path in link.iterdir()}
        content, signature = files.pop("upgrades.json"), files.pop("upgrades.json.asc")
        description = read_description(keyring.verify_detached(content, signature, "upgrades.json").content)
        kits = {one.url: one.sha256 for one in description.upgrades}
        assert {name: sha256_of(kit) for name, kit in files.items()} == kits
        assert described(context, link.name) == description
        found[link.name] = set(kits)
    assert {path.name for path in (folder / ".complete").iterdir()} == set(found)
    return found


def with_stages(context: WorldContext, job: int, *names: str) -> dict[str, Sha256]:
    """Let steps of a job have given something; give their keys."""
    keys = {name: sha256_of(name.encode()) for name in names}
    with context.database.write() as tx:
        for name, key in keys.items():
            made = context.objects.put(name.encode() * 100)
            keep_step_result(tx, key, name, made, context.clock)
            replace_holds(tx, f"step {key}", [object_hold("", made, "out")], context.clock)
            hold_stage(tx, job, key, name, context.clock)
    return keys


def test_every_kind_of_job_of_images_is_known_to_what_lets_go_of_them() -> None:
    kinds = {name for kind in KINDS.values() if (name := kind.kind.name).startswith("image.")}
    assert kinds == {*MAKING, KIT.name, *LOOKS}


def test_without_a_budget_kits_stay_with_all_that_their_steps_gave(context: WorldContext, images: Images) -> None:
    one, two = images.build(), images.build()
    keys = with_stages(context, images.kit(context, one, two), "cut", "make")
    found = retired(context, Budget())
    assert found[f"{one}/{two}.kit.tar"] == f"the newest kit from {one}"
    with context.database.read() as tx:
        assert all(find_step_result(tx, key) for key in keys.values())


def test_what_the_steps_of_a_kit_gave_goes_where_there_is_a_budget_and_the_kit_stays(
    context: WorldContext, images: Images
) -> None:
    one, two = images.build(), images.build()
    images.boot(one)
    job = images.kit(context, one, two)
    keys = with_stages(context, job, "cut", "make")
    assert retired(context, Budget(0, 0))[f"{one}/{two}.kit.tar"] == f"the newest kit from {one}"
    with context.database.read() as tx:
        assert [find_step_result(tx, key) for key in keys.values()] == [None, None]
        assert not {hold.holder for hold in all_holds(tx) if hold.holder.startswith(("stages ", "step "))}
    assert said(context) == {one: {f"{two}.kit.tar"}}


def test_with_an_image_go_the_kits_from_it_and_to_it_and_what_is_said_of_it(
    context: WorldContext, images: Images
) -> None:
    first, middle, last = (images.build() for _ in range(3))
    for name in (first, middle, last):
        images.describe(context, name)
    images.boot(first)
    jobs = [images.kit(context, source, target) for source, target in ((first, middle), (middle, last), (first, last))]
    logs = [context.paths.job_log(job, 1) for job in jobs]
    assert retired(context, Budget(0, 0)) == {
        first: "the last green one", middle: "goes", last: "the newest", f"{first}/{middle}.kit.tar": "goes",
        f"{middle}/{last}.kit.tar": "goes", f"{first}/{last}.kit.tar": f"the newest kit from {first}",
    }  # fmt: skip
    assert said(context) == {first: {f"{last}.kit.tar"}, last: set()}
    assert [log.exists() for log in logs] == [False, False, True]
    with context.database.read() as tx:
        assert {hold.holder for hold in all_holds(tx) if hold.holder.startswith("upgrades ")} == {
            f"upgrades {first}", f"upgrades {last}",
        }  # fmt: skip
    for days in (10, 20):
        context.clock = datetime.now(UTC) + days * DAY
        collect(context, (), really=True)
    kits = {sha256_of(f"kit {source} {target} ".encode()) for source, target in ((first, middle), (middle, last))}
    assert not kits & set(context.objects.digests())
    assert said(context) == {first: {f"{last}.kit.tar"}, last: set()}


def test_of_older_kits_from_an_image_those_stay_for_which_there_is_room(context: WorldContext, images: Images) -> None:
    one, two, three = (images.build() for _ in range(3))
    for name in (one, two):
        hold_image(context, images.isos[name], "user ada", "the fair")
    images.kit(context, one, two)
    images.kit(context, one, three)
    old, new = f"{one}/{two}.kit.tar", f"{one}/{three}.kit.tar"
    found = retired(context, Budget(1 << 20))
    assert (found[old], found[new]) == ("within 1 MiB", f"the newest kit from {one}")
    assert retired(context, Budget(0))[old] == "goes"
    assert said(context) == {one: {f"{three}.kit.tar"}}


def test_a_kit_counts_in_the_branch_of_the_image_that_it_leads_to(context: WorldContext, images: Images) -> None:
    one, two = images.build(), images.build(branch="stable")
    images.kit(context, one, two, branch="stable")
    judged = retire_images(context, (), {"petrel": Budget()}, really=False)
    assert [(one.row.branch, one.row.name) for one in judged] == [
        ("main", one), ("stable", f"{one}/{two}.kit.tar"), ("stable", two),
    ]  # fmt: skip


def test_a_kit_is_dropped_by_name_also_the_newest_and_can_be_made_again(context: WorldContext, images: Images) -> None:
    one, two = images.build(), images.build()
    images.describe(context, one)
    job = images.kit(context, one, two)
    with context.database.read() as tx:
        made = find_job(tx, job)
    assert made is not None
    name = f"{one}/{two}.kit.tar"
    [only] = drop_images(context, (name,), really=False)
    assert (only.row.name, only.stays, only.why, said(context)) == (name, False, "named", {one: {f"{two}.kit.tar"}})
    drop_images(context, (name,), really=True)
    assert said(context) == {one: set()}
    with context.database.write() as tx:
        assert place_order(tx, JobOrder(KIT, made.inputs, "again"), context.clock).id > job


def test_an_image_that_is_dropped_by_name_takes_its_kits_along(context: WorldContext, images: Images) -> None:
    one, two = images.build(), images.build()
    images.kit(context, one, two)
    assert [(row.row.name, row.why) for row in drop_images(context, (one,), really=True)] == [
        (one, "named"), (f"{one}/{two}.kit.tar", "with its image"),
    ]  # fmt: skip
    assert said(context) == {}


def test_a_kit_that_a_job_waits_for_stays(context: WorldContext, images: Images) -> None:
    one, two = images.build(), images.build()
    images.boot(one)
    images.kit(context, one, two)
    kit = sha256_of(f"kit {one} {two} ".encode())
    with context.database.write() as tx:
        place_order(tx, JobOrder(KindName("image.look", 1), {"kit": str(kit)}, "a look"), context.clock)
    name = f"{one}/{two}.kit.tar"
    assert "needed by job " in retired(context, Budget(0, 0))[name]
    with pytest.raises(Refused, match="needed by job"):
        drop_images(context, (name,), really=True)


def test_of_a_kit_that_was_made_anew_the_old_one_is_only_its_job(context: WorldContext, images: Images) -> None:
    one, two = images.build(), images.build()
    images.boot(one)
    old, new = images.kit(context, one, two), images.kit(context, one, two, url="https://site.invalid")
    found = retired(context, Budget(0, 0))
    assert (found[f"job {old}"], found[f"{one}/{two}.kit.tar"]) == ("goes", f"the newest kit from {one}")
    assert not context.paths.job_log(old, 1).exists()
    assert context.paths.job_log(new, 1).exists()
    assert said(context) == {one: {f"{two}.kit.tar"}}


def test_a_kit_that_failed_is_dropped_as_its_job_and_never_the_last_red_one(
    context: WorldContext, images: Images
) -> None:
    red, one, two = images.build(), images.build(), images.build()
    images.boot(red, outcome=Outcome.FAILED)
    jobs = [images.fail_kit(*ends) for ends in ((one, two), (red, two))]
    keys = with_stages(context, jobs[0], "cut", "make")
    found = retired(context, Budget(1 << 20))
    assert (found[red], found[f"job {jobs[1]}"]) == ("the last red one", "within 1 MiB")
    with context.database.read() as tx:
        assert not any(find_step_result(tx, key) for key in keys.values()), "only the newest image keeps its stages"
    drop_images(context, (f"job {jobs[1]}",), really=True)
    assert f"job {jobs[1]}" not in retired(context, Budget(1 << 20))
    drop_images(context, (one,), really=True)
    assert [context.paths.job_log(job, 1).exists() for job in jobs] == [False, False]


def test_what_is_said_of_an_image_stays_while_it_is_made_or_kept_whatever_kind_of_job_makes_it(
    context: WorldContext, images: Images
) -> None:
    images.build()
    iso = context.objects.put(b"an iso")
    with context.database.write() as tx:
        made = place_order(tx, JobOrder(KindName("image.later", 1), {"name": "petrel-layer"}, "later"), context.clock)
    images.describe(context, "petrel-layer")
    retired(context, Budget())
    assert said(context) == {"petrel-layer": set()}, "it is being made"
    with context.database.write() as tx:
        replace_holds(tx, f"image {made.id}", [object_hold("", iso, "petrel-layer.iso")], context.clock)
        cancel(tx, made.id, context.clock)
    retired(context, Budget())
    assert said(context) == {"petrel-layer": set()}, "it is kept"
    with context.database.write() as tx:
        replace_holds(tx, f"image {made.id}", [], context.clock)
    retired(context, Budget())
    assert said(context) == {}
