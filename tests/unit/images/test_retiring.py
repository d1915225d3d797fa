"""Images are dropped with all that belongs to them, and with nothing that anybody else has; what must stay stays."""

import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.worlds.images import Images
from tests.worlds.installation import WorldContext, make_context
from tests.worlds.times import DAY, NOW

from distwright.archive.garbage import collect
from distwright.archive.needs import PERSON
from distwright.archive.tag_trees import TagDocument
from distwright.checks.image_contents import KIND as CONTENTS_KIND
from distwright.errors import BadUsage, NotFound, Refused
from distwright.images.build import KIND as BUILD
from distwright.images.holding import hold_image, release_image
from distwright.images.public import COMPLETE
from distwright.images.retention import Budget, Colour, JudgedImage
from distwright.images.retiring import LOOKS, budgets_of, drop_images, retire_images
from distwright.jobs.keeping import hold_stage
from distwright.jobs.order import JobOrder, place_order
from distwright.model import plain
from distwright.model.digests import Json, Sha256
from distwright.model.events import EventKind
from distwright.model.outcomes import JobState, Outcome
from distwright.model.records import TaggedSnapshot
from distwright.store.database import Transaction
from distwright.store.holds import all_holds, object_hold, replace_holds
from distwright.store.jobs import find_job, find_step_result, keep_step_result, list_jobs
from distwright.store.refs import set_ref
from distwright.store.signed import insert_tag

NOTHING = {"petrel": Budget(0, 0)}
MIB = 1 << 20


@pytest.fixture
def context(tmp_path: Path) -> WorldContext:
    return make_context(tmp_path)


@pytest.fixture
def images(context: WorldContext) -> Images:
    return Images(context.database, context.objects, context.paths)


def fates(judged: list[JudgedImage]) -> dict[str, str]:
    return {one.row.name: one.why if one.stays else "goes" for one in judged}


def retired(context: WorldContext, budget: Budget, *, really: bool = True) -> dict[str, str]:
    return fates(retire_images(context, (), {"petrel": budget}, really=really))


def public(context: WorldContext) -> set[str]:
    folder = context.paths.public / "images"
    return {path.name for path in folder.iterdir()} | {
        f"{COMPLETE}/{path.name}" for path in (folder / COMPLETE).iterdir()
    }


def holders(context: WorldContext) -> set[str]:
    with context.database.read() as tx:
        return {hold.holder for hold in all_holds(tx)}


def test_nothing_goes_where_no_budget_is_said(context: WorldContext, images: Images) -> None:
    names = [images.build() for _ in range(3)]
    assert budgets_of(context) == {"petrel": Budget()}
    judged = retire_images(context, (), budgets_of(context), really=True)
    assert [one.row.name for one in judged] == names[::-1]
    assert [one.why for one in judged] == [
        "the newest",
        *["nothing says how much is kept: set keep_mb or keep_files"] * 2,
    ]
    assert retire_images(context, ("skua",), budgets_of(context), really=True) == []


def test_the_newest_the_last_green_and_the_last_red_one_stay_and_the_others_go_first_in_words(
    context: WorldContext, images: Images
) -> None:
    old_green, green, red, newer_open, newest = (images.build() for _ in range(5))
    for name in (old_green, green):
        images.boot(name)
        images.test(name)
    images.boot(red)
    images.test(red, outcome=Outcome.FAILED)
    want = {
        newest: "the newest", newer_open: "goes", red: "the last red one", green: "the last green one", old_green: "goes",
    }  # fmt: skip
    before = public(context)
    assert retired(context, Budget(0, 0), really=False) == want
    assert public(context) == before, "only said"
    assert retired(context, Budget(0, 0)) == want
    assert retired(context, Budget(0, 0)) == {name: why for name, why in want.items() if why != "goes"}


PART: dict[str, Json] = {"asked": "now", "chosen_scenarios": ["one"]}


def test_a_part_that_a_person_chose_changes_no_colour_and_goes_with_its_image(
    context: WorldContext, images: Images
) -> None:
    red, green, _ = (images.build() for _ in range(3))
    images.boot(red)
    images.test(red, outcome=Outcome.FAILED)
    part = images.test(red, chosen=PART)
    images.test(green)
    images.test(green, outcome=Outcome.FAILED, chosen={**PART, "chosen_scenarios": ["two"]})
    found = retired(context, Budget(0, 0), really=False)
    assert (found[red], found[green]) == ("the last red one", "the last green one")
    assert {f"{red}-test-bios", f"{red}-test-bios-{part}"} <= public(context)
    images.test(images.build(), outcome=Outcome.FAILED)
    assert retired(context, Budget(0, 0))[red] == "goes"
    assert not {name for name in public(context) if name.startswith((red, f"{COMPLETE}/{red}"))}


def test_an_upgrade_that_failed_is_not_undone_by_a_test_without_one(context: WorldContext, images: Images) -> None:
    one, _ = images.build(), images.build()
    upgrade: dict[str, Json] = {"asked": "now", "upgrade": {"from": "petrel-0"}}
    images.test(one, outcome=Outcome.FAILED, chosen=upgrade)
    images.test(one)
    assert retired(context, Budget(0, 0), really=False)[one] == "the last red one"
    images.test(one, chosen={**upgrade, "asked": "later"})
    assert retired(context, Budget(0, 0), really=False)[one] == "the last green one"


def test_an_image_that_a_test_waits_for_is_needed_and_has_no_colour_yet(context: WorldContext, images: Images) -> None:
    one = images.build()
    images.build()
    images.boot(one)
    images.order_boot(one)
    [row] = [judged.row for judged in retire_images(context, (), NOTHING, really=False) if judged.row.name == one]
    assert (row.colour, len(row.needed)) == (Colour.OPEN, 1)
    assert row.needed[0].startswith("job ")


def test_with_an_image_goes_everything_that_is_only_its_own(context: WorldContext, images: Images) -> None:
    old, newest = images.build(), images.build()
    boot, test = images.boot(old), images.test(old)
    before = holders(context)
    assert {"image 1", f"test {test}"} <= before
    logs = [context.paths.job_log(job, 1) for job in (1, boot, test)]
    judged = retire_images(context, (), NOTHING, really=False)
    assert fates(judged) == {newest: "the newest", old: "the last green one"}
    images.boot(newest)
    assert retired(context, Budget(0, 0))[old] == "goes"
    assert public(context) == {COMPLETE, newest, f"{COMPLETE}/{newest}"}
    assert not {
        holder for holder in holders(context) if holder in ("image 1", f"test {test}", f"job {test}", f"job {boot}")
    }
    assert [log.exists() for log in logs] == [False] * 3
    assert [(event.subject, event.body) for event in context.events() if event.kind is EventKind.IMAGE_DROPPED] == [
        (old, {"image": "petrel", "name": old})
    ]
    context.clock += 30 * DAY
    collect(context, (), really=True)
    context.clock += 30 * DAY
    collect(context, (), really=True)
    assert images.isos[newest] in set(context.objects.digests())
    assert list((context.paths.public / "images" / newest).iterdir()), "what stays can be read"


def test_the_same_image_can_be_ordered_again_after_it_was_dropped(context: WorldContext, images: Images) -> None:
    images.build()
    images.build()
    with context.database.read() as tx:
        first = find_job(tx, 1)
    assert first is not None
    retire_images(context, (), NOTHING, really=True)
    with context.database.write() as tx:
        again = place_order(tx, JobOrder(BUILD, first.inputs, "again"), context.clock, objects=context.objects)
    assert (again.id, again.state) == (3, JobState.QUEUED)
    with context.database.read() as tx:
        assert [job.message for job in list_jobs(tx, kind=BUILD.name)][-1] == "built petrel-1.iso", "history stays"


def test_what_is_left_of_an_image_takes_nothing_from_the_same_that_is_being_built_again(
    context: WorldContext, images: Images
) -> None:
    old, _ = images.build(), images.build()
    with context.database.read() as tx:
        first = find_job(tx, 1)
    assert first is not None
    log, link = context.paths.job_log(1, 1), context.paths.public / "images" / old
    where = link.readlink()
    assert retired(context, Budget(0, 0))[old] == "goes"
    log.write_text("as if its end had been cut off")
    with context.database.write() as tx:
        place_order(tx, JobOrder(BUILD, first.inputs, "again"), context.clock)
    link.symlink_to(where)
    assert retired(context, Budget(0, 0))[old] == "goes"
    assert (log.exists(), link.is_symlink()) == (False, True)


def test_steps_that_made_only_what_went_are_forgotten_and_shared_ones_are_not(
    context: WorldContext, images: Images
) -> None:
    old, newest = images.build(), images.build()
    shared = context.objects.put(b"kernel")
    keys = {"iso": Sha256("1" * 64), "initrd": Sha256("2" * 64)}
    with context.database.write() as tx:
        for step, made in (("iso", images.isos[old]), ("initrd", shared)):
            keep_step_result(tx, keys[step], step, made, context.clock)
            replace_holds(tx, f"step {keys[step]}", [object_hold("", made, "out")], context.clock)
        for job in (1, 2):
            replace_holds(tx, f"job {job}", [object_hold("", shared, "vmlinuz")], context.clock)
    assert retired(context, Budget(0, 0)) == {old: "goes", newest: "the newest"}
    with context.database.read() as tx:
        assert [find_step_result(tx, key) for key in keys.values()] == [None, shared]
    assert f"step {keys['initrd']}" in holders(context)
    assert f"step {keys['iso']}" not in holders(context)


def test_the_stages_of_all_but_the_newest_go_unless_another_image_uses_them(
    context: WorldContext, images: Images
) -> None:
    old, _ = images.build(), images.build()
    images.boot(old)
    keys = {
        name: Sha256(str(number) * 64) for number, name in enumerate(("root", "customise", "of the newest"), start=1)
    }
    made = {name: context.objects.put(name.encode() * 100) for name in keys}
    with context.database.write() as tx:
        for name, key in keys.items():
            keep_step_result(tx, key, name, made[name], context.clock)
            replace_holds(tx, f"step {key}", [object_hold("", made[name], "out")], context.clock)
        for job, name in ((1, "root"), (1, "customise"), (2, "root"), (2, "of the newest")):
            hold_stage(tx, job, keys[name], name, context.clock)
    assert retired(context, Budget(), really=True)[old] == "the last green one"
    assert {f"step {key}" for key in keys.values()} <= holders(context), "without a budget nothing goes"
    [one] = [one for one in retire_images(context, (), NOTHING, really=True) if one.row.name == old]
    assert (one.stays, one.keeps_stages, one.frees_bytes) == (True, False, len(b"customise" * 100))
    with context.database.read() as tx:
        assert [find_step_result(tx, key) for key in keys.values()] == [made["root"], None, made["of the newest"]]
    assert {holder for holder in holders(context) if holder.startswith(("step ", "stages "))} == {
        f"step {keys['root']}", f"step {keys['of the newest']}", "stages 2",
    }  # fmt: skip
    assert (context.paths.public / "images" / old).exists()


def test_what_somebody_holds_stays_until_they_let_go_or_it_ends(context: WorldContext, images: Images) -> None:
    held, newest = images.build(), images.build()
    ada = f"{PERSON}ada"
    hold_image(context, images.isos[held], ada, "the fair", context.clock + DAY)
    assert retired(context, Budget(0, 0))[held] == "needed by user ada (the fair)"
    context.clock += 2 * DAY
    assert retired(context, Budget(0, 0), really=False)[held] == "goes"
    hold_image(context, images.isos[held], ada, "another fair")
    with pytest.raises(Refused, match="stays: needed by user ada"):
        drop_images(context, (held,), really=True)
    release_image(context, images.isos[held], ada)
    with pytest.raises(NotFound):
        release_image(context, images.isos[held], ada)
    with pytest.raises(BadUsage):
        hold_image(context, images.isos[held], ada, " ")
    with pytest.raises(BadUsage):
        hold_image(context, images.isos[held], ada, "late", context.clock - DAY)
    assert fates(drop_images(context, (held,), really=True)) == {held: "goes"}
    with pytest.raises(NotFound):
        drop_images(context, (held,), really=True)
    with pytest.raises(Refused, match="the newest"):
        drop_images(context, (newest,), really=True)


def test_what_was_only_compared_goes_with_its_image(context: WorldContext, images: Images) -> None:
    old, _ = images.build(), images.build()
    job = images.rebuild(old)
    assert f"comparison {job}" in holders(context)
    assert retired(context, Budget(0, 0))[old] == "goes"
    assert f"comparison {job}" not in holders(context)
    assert not context.paths.job_log(job, 1).exists()


def test_what_an_event_that_nobody_has_read_names_stays(context: WorldContext, images: Images) -> None:
    waiting = images.build(is_seen=False)
    images.build(is_seen=False)
    assert retired(context, Budget(0, 0))[waiting].startswith("needed by event ")


def repo_with_commits(context: WorldContext, *texts: str) -> tuple[tuple[str, ...], list[str]]:
    """Make the repo of the image with commits that are empty; give how git is called there, and the commits."""
    repo = context.paths.repo("live")
    run = ("git", "-c", "user.name=a", "-c", "user.email=a@a.invalid", "-C", str(repo))
    subprocess.run(("git", "init", "--quiet", "--bare", str(repo)), check=True)
    tree = subprocess.run((*run, "write-tree"), check=True, capture_output=True, text=True).stdout.strip()
    made = (
        subprocess.run((*run, "commit-tree", tree, "-m", text), check=True, capture_output=True, text=True)
        for text in texts
    )
    return run, [one.stdout.strip() for one in made]


def test_an_image_of_a_tagged_commit_stays(context: WorldContext, images: Images) -> None:
    run, commits = repo_with_commits(context, "one", "two", "three")
    subprocess.run((*run, "tag", "-a", "-m", "release", "1.0", commits[0]), check=True)
    subprocess.run((*run, "tag", "light", commits[1]), check=True)
    names = [images.build(commit=commit) for commit in commits]
    images.build()
    found = retired(context, Budget(0, 0), really=False)
    assert [found[name] for name in names] == ["needed by tag 1.0", "needed by tag light", "goes"]
    images.build(commit="d" * 40)
    images.build()
    link = context.paths.public / "images" / "petrel-5"

    def tag_when_the_first_one_goes() -> None:
        if not link.is_symlink():
            subprocess.run((*run, "tag", "late", commits[2]), check=False, capture_output=True)

    context.when_asked_the_time = tag_when_the_first_one_goes
    with pytest.raises(Refused, match=f"{names[2]} came to be needed by tag late and stays"):
        retired(context, Budget(0, 0))
    assert names[2] in public(context)
    assert not link.is_symlink()


@dataclass
class Tagging(WorldContext):
    """Something is done when a name is gone, just before the next transaction."""

    gone: Path = Path("/nowhere")
    then: Callable[[], None] | None = None

    def write(self) -> AbstractContextManager[Transaction]:
        """Begin a writing transaction."""
        if self.then is not None and not self.gone.is_symlink():
            then, self.then = self.then, None
            then()
        return super().write()


@pytest.mark.parametrize("is_pushed", [False, True], ids=["snapshot", "push"])
def test_an_image_that_is_tagged_at_the_last_moment_stays(
    context: WorldContext, images: Images, *, is_pushed: bool
) -> None:
    run, [commit] = repo_with_commits(context, "one")
    old, first, _ = images.build(commit=commit), images.build(), images.build()
    with context.database.read() as tx:
        job = find_job(tx, 1)
    assert job is not None
    manifest = plain.digest_map(job.outputs or {}, "files")[f"{old}.manifest.json"]

    def tag() -> None:
        digest = context.objects.put(TagDocument({}, {}, manifest).to_bytes())
        if is_pushed:
            subprocess.run((*run, "tag", "1.0", commit), check=True)
        with context.database.write() as tx:
            if is_pushed:
                set_ref(tx, "live", "refs/tags/1.0", commit, NOW)
            else:
                insert_tag(tx, TaggedSnapshot("debian", "1.0", digest, "release", NOW))

    tagging = Tagging(context.paths, context.database, context.objects, context.fetcher, context.config)
    tagging.clock, tagging.gone, tagging.then = context.clock, context.paths.public / "images" / first, tag
    with pytest.raises(Refused, match=f"{old} came to be needed by (snapshot )?tag 1.0 and stays"):
        retired(tagging, Budget(0, 0))
    assert old in public(context)
    assert retired(context, Budget(0, 0))[old].startswith("needed by ")


def test_failed_builds_count_and_the_last_one_stays(context: WorldContext, images: Images) -> None:
    first, second = images.fail(), images.fail(left=b"x" * MIB)
    good = images.build()
    assert retired(context, Budget(0, 0)) == {
        good: "the newest", f"job {second}": "the last red one", f"job {first}": "goes",
    }  # fmt: skip
    assert not context.paths.job_log(first, 1).exists()
    assert context.paths.job_log(second, 1).exists()
    assert f"job {first}" not in holders(context)


def test_within_the_budget_the_newest_stay_and_each_branch_has_its_own(context: WorldContext, images: Images) -> None:
    names = [images.build(iso=f"{number}".encode() * MIB) for number in range(5)]
    other = images.build(branch="topic", iso=b"t" * MIB)
    found = retired(context, Budget(3 * MIB + 10_000))
    assert [found[name] for name in names] == ["goes", "goes", "within 3 MiB", "within 3 MiB", "the newest"]
    assert found[other] == "the newest"
    assert list(retired(context, Budget(None, 1000)).values()).count("within 1,000 files") == 2


def test_a_folder_that_was_lost_is_laid_out_again_and_never_taken_for_dropped(
    context: WorldContext, images: Images
) -> None:
    names = [images.build() for _ in range(3)]
    for name in names:
        (context.paths.public / "images" / name).unlink()
    assert "goes" not in retired(context, Budget(), really=False).values()
    retired(context, Budget())
    assert set(names) <= public(context)


def test_the_name_of_what_reads_images_is_the_one_that_is_looked_for() -> None:
    assert CONTENTS_KIND.name in LOOKS


def test_evidence_that_has_ended_takes_no_room(context: WorldContext, images: Images) -> None:
    name = images.build()
    images.test(name, evidence=b"e" * MIB)
    with context.database.write() as tx:
        ended = [replace(hold, until=images.clock + DAY) for hold in all_holds(tx) if hold.holder.startswith("test ")]
        replace_holds(tx, ended[0].holder, ended, images.clock)
    context.clock = images.clock + timedelta(hours=1)
    assert sum(retire_images(context, (), NOTHING, really=False)[0].row.objects.values()) > MIB
    context.clock += 2 * DAY
    assert sum(retire_images(context, (), NOTHING, really=False)[0].row.objects.values()) < MIB


def test_layers_are_a_branch_of_their_own_and_go_with_all_that_is_theirs(context: WorldContext, images: Images) -> None:
    full = images.build()
    layers = [images.build(layer_on=full) for _ in range(3)]
    assert retired(context, Budget(0, 0), really=False) == {
        full: "the newest", layers[2]: "the newest", layers[1]: "goes", layers[0]: "goes",
    }  # fmt: skip
    retired(context, Budget(0, 0))
    assert public(context) >= {full, layers[2]}
    assert not {name for name in public(context) if name in layers[:2]}
    assert not {"image 2", "image 3"} & holders(context)
    drop_images(context, [images.build(layer_on=full), layers[2]][1:], really=True)
    assert layers[2] not in public(context)
