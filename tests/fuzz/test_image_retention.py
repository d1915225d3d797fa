"""Whatever images there are and however small the budget: what must stay stays, and what may go goes, the oldest first."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st
from tests.worlds.times import NOW

from distwright.images.retention import Budget, Colour, JudgedImage, KeptImage, judge_branch, judge_images, used_by
from distwright.model.digests import Sha256, sha256_of

OBJECTS = {sha256_of(str(number).encode()): number**2 for number in range(12)}


@st.composite
def branches(draw: st.DrawFn, image: str = "petrel") -> list[KeptImage]:
    count = draw(st.integers(0, 9))
    numbers = draw(st.permutations(range(1, count + 1)))
    return [
        KeptImage(
            f"{image}-{number}", image, "main", (number, 100 + number),
            NOW + timedelta(minutes=draw(st.integers(0, 4))),  # some at one moment
            draw(st.sampled_from(list(Colour))),
            {digest: OBJECTS[digest] for digest in draw(st.sets(st.sampled_from(sorted(OBJECTS)), max_size=5))},
            draw(st.integers(0, 6)),
            log_bytes=draw(st.integers(0, 9)),
            stages={digest: OBJECTS[digest] for digest in draw(st.sets(st.sampled_from(sorted(OBJECTS)), max_size=3))},
            public=(f"{image}-{number}",) if draw(st.booleans()) else (),
            needed=("user ada (the fair)",) if draw(st.integers(0, 5)) == 0 else (),
            is_begun=draw(st.integers(0, 5)) == 0,
        )
        for number in numbers
    ]  # fmt: skip


@st.composite
def with_kits(draw: st.DrawFn) -> list[KeptImage]:
    """Images of two branches, and kits between any of them and of some that are gone, some published and some needed."""
    images = [replace(row, branch=draw(st.sampled_from(("main", "topic")))) for row in draw(branches())]
    names = st.sampled_from([row.name for row in images] or ["petrel-gone"]) | st.just("petrel-gone")
    kits = [
        replace(
            row, name=f"kit {row.name}", jobs=(1000 + number,), colour=Colour.OPEN, is_begun=False,
            ends=(draw(names), draw(names)),
        )
        for number, row in enumerate(draw(branches()))
    ]  # fmt: skip
    return [*images, *kits]


budgets = st.builds(Budget, st.none() | st.integers(0, 400), st.none() | st.integers(0, 40))


def order(row: KeptImage) -> tuple[object, int]:
    return row.at, max(row.jobs)


def stay(judged: list[JudgedImage]) -> list[KeptImage]:
    return [one.row for one in judged if one.stays]


def must_stay(rows: list[KeptImage]) -> list[str]:
    """Say it once more, in another way than the code."""
    whole = sorted((row for row in rows if not row.is_begun), key=order)
    names = [row.name for row in rows if row.needed]
    for wanted in (Colour.GREEN, Colour.RED):
        names += [row.name for row in whole if row.colour is wanted][-1:]
    newest = {row.ends[:1]: row.name for row in sorted(rows, key=order) if row.public and row.ends}
    return names + [row.name for row in whole if row.public and not row.ends][-1:] + list(newest.values())


@given(branches(), budgets)
def test_what_is_needed_and_the_last_of_each_colour_never_goes(rows: list[KeptImage], budget: Budget) -> None:
    judged = judge_branch(rows, budget)
    assert {row.name for row in stay(judged)} >= set(must_stay(rows))
    assert sorted(one.row.name for one in judged) == sorted(row.name for row in rows), "each is judged once"
    assert all(one.why for one in judged)


@given(branches(), budgets)
def test_what_stays_is_within_the_budget_unless_all_of_it_must_stay(rows: list[KeptImage], budget: Budget) -> None:
    kept = stay(judge_branch(rows, budget))
    size_bytes, files = used_by(kept)
    within = (budget.size_bytes is None or size_bytes <= budget.size_bytes) and (
        budget.files is None or files <= budget.files
    )
    assert within or {row.name for row in kept} == set(must_stay(rows))


@given(branches(), budgets)
def test_nothing_goes_while_something_older_stays_that_could_go(rows: list[KeptImage], budget: Budget) -> None:
    judged, protected = judge_branch(rows, budget), set(must_stay(rows))
    free = sorted((one for one in judged if one.row.name not in protected), key=lambda one: order(one.row))
    fates = [one.stays for one in free if not one.row.is_begun]
    assert fates == sorted(fates), "older ones go first"
    assert not any(one.stays for one in free if one.row.is_begun), "what was begun is ended"


@given(branches(), budgets)
def test_only_the_newest_keeps_its_stages_where_there_is_a_budget(rows: list[KeptImage], budget: Budget) -> None:
    built = [row for row in rows if row.public and not row.is_begun]
    for one in judge_branch(rows, budget):
        is_newest = bool(built) and one.row == max(built, key=order)
        assert one.keeps_stages == (one.stays and (is_newest or budget == Budget()))


@given(branches(), budgets)
def test_what_is_freed_is_what_only_those_have_that_go(rows: list[KeptImage], budget: Budget) -> None:
    judged = judge_branch(rows, budget)
    kept: set[Sha256] = {digest for row in stay(judged) for digest in row.objects}
    kept |= {digest for one in judged if one.keeps_stages for digest in one.row.stages}
    for one in judged:
        going = set() if one.stays else set(one.row.objects)
        going |= set() if one.keeps_stages else set(one.row.stages)
        logs = 0 if one.stays else one.row.log_bytes
        assert one.frees_bytes == logs + sum(OBJECTS[digest] for digest in going - kept)


@given(branches(), budgets)
def test_judged_again_after_dropping_nothing_more_goes(rows: list[KeptImage], budget: Budget) -> None:
    kept = stay(judge_branch(rows, budget))
    assert stay(judge_branch(kept, budget)) == sorted(kept, key=order, reverse=True)


@given(branches(), branches("skua"), budgets)
def test_each_branch_is_judged_by_its_own_budget(one: list[KeptImage], other: list[KeptImage], budget: Budget) -> None:
    judged = judge_images([*other, *one], {"petrel": budget})
    assert judged == [*judge_branch(one, budget), *judge_branch(other, Budget())]
    assert all(row.stays for row in judged if row.row.image == "skua" and not row.row.is_begun)


@given(with_kits(), budgets)
def test_a_kit_stays_with_both_its_images_or_because_it_is_needed(rows: list[KeptImage], budget: Budget) -> None:
    judged = judge_images(rows, {"petrel": budget})
    there = {row.name for row in stay(judged) if not row.ends}
    assert sorted(one.row.jobs for one in judged) == sorted(row.jobs for row in rows), "each is judged once"
    for one in judged:
        if one.row.ends and one.stays:
            assert {*one.row.ends} <= there or one.row.needed
        elif one.row.ends:
            is_newest = one.row.public and one.row.name in must_stay(
                [row for row in rows if row.branch == one.row.branch]
            )
            assert not ({*one.row.ends} <= there and is_newest), "the newest kit from an image stays while it can"


@given(with_kits(), budgets)
def test_judged_again_after_dropping_no_more_images_or_kits_go(rows: list[KeptImage], budget: Budget) -> None:
    kept = stay(judge_images(rows, {"petrel": budget}))
    assert {row.jobs for row in stay(judge_images(kept, {"petrel": budget}))} == {row.jobs for row in kept}


@given(with_kits(), budgets)
def test_kits_take_the_place_of_nothing_that_must_stay(rows: list[KeptImage], budget: Budget) -> None:
    without = [row for row in rows if not row.ends]
    kept = {row.name for row in stay(judge_images(rows, {"petrel": budget}))}
    for branch in ("main", "topic"):
        assert kept >= set(must_stay([row for row in without if row.branch == branch]))
