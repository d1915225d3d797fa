"""Plans as JSON: a runner elsewhere reads what was written, and a field that is added changes no identity of before."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distwright.builds.environment import EnvironmentRecipe
from distwright.errors import BadInput
from distwright.jobs.step import Plan, PlannedCommand, ShelfEntry
from distwright.model import plain
from distwright.model.digests import Json, Sha256, canonical_json, digest_of, sha256_of

STATE = sha256_of(b"state")
words = st.text(max_size=8)
digests = st.binary(max_size=2).map(sha256_of)
pairs = st.dictionaries(words, words, max_size=3)
entries = st.builds(
    ShelfEntry,
    words,
    words,
    digests,
    st.booleans(),
    pairs.map(lambda found: tuple(sorted(found.items()))),
    st.lists(words, max_size=2).map(tuple),
)
commands = st.builds(
    PlannedCommand,
    st.lists(words, max_size=3).map(tuple),
    st.integers(0, 10**6),
    root=st.none() | digests,
    reads_shelf=st.booleans(),
    until=st.none() | words,
    never=st.none() | words,
    environment=pairs.map(lambda found: tuple(sorted(found.items()))),
)
plans = st.builds(
    Plan,
    st.lists(commands, max_size=2).map(tuple),
    place=st.dictionaries(words, digests, max_size=2),
    write=pairs,
    templates=pairs,
    collect=pairs,
    shelf=st.lists(entries, max_size=2).map(tuple),
    programs=st.lists(words, max_size=2).map(tuple),
)


@given(plans)
def test_a_plan_comes_back_from_json(plan: Plan) -> None:
    assert Plan.from_json(plan.to_json()) == plan
    assert canonical_json(Plan.from_json(plan.to_json()).to_json()) == canonical_json(plan.to_json())


@given(plans, plans)
def test_plans_that_differ_have_other_identities(one: Plan, other: Plan) -> None:
    assert (digest_of(one.to_json()) == digest_of(other.to_json())) == (one == other)


def test_what_is_not_said_is_not_written() -> None:
    plan = Plan((PlannedCommand(("true",), 1),), shelf=(ShelfEntry("debian", "stable", STATE),))
    assert plan.to_json() == {
        "commands": [{"argv": ["true"], "timeout_s": 1}],
        "shelf": [{"archive": "debian", "suite": "stable", "document": str(STATE)}],
    }


def test_the_order_of_an_environment_is_no_part_of_an_identity() -> None:
    ordered = PlannedCommand(("true",), 1, environment=(("A", "1"), ("B", "2")))
    turned = replace(ordered, environment=ordered.environment[::-1])
    assert digest_of(turned.to_json()) == digest_of(ordered.to_json())
    assert PlannedCommand.from_json(turned.to_json()) == ordered


def recipe() -> EnvironmentRecipe:
    entry = ShelfEntry("debian", "stable", STATE)
    return EnvironmentRecipe((entry,), {entry.name: ("main",)}, "buildd", (), "amd64", 1)


def test_a_recipe_comes_back_from_json_with_and_without_what_may_be_missing() -> None:
    for one in (recipe(), replace(recipe(), include=("debhelper",))):
        written = one.to_json()
        assert isinstance(written, dict)
        assert EnvironmentRecipe.from_json(written) == one
    assert "include" not in plain.mapping({"recipe": recipe().to_json()}, "recipe")


def whole() -> dict[str, Callable[[dict[str, Json]], object]]:
    return {
        "plan": lambda more: Plan.from_json({"commands": [], **more}),
        "command": lambda more: PlannedCommand.from_json({"argv": ["true"], "timeout_s": 1, **more}),
        "entry": lambda more: ShelfEntry.from_json({"archive": "a", "suite": "b", "document": str(STATE), **more}),
        "recipe": lambda more: EnvironmentRecipe.from_json({**plain.mapping({"r": recipe().to_json()}, "r"), **more}),
    }


@pytest.mark.parametrize("kind", whole())
def test_a_field_of_a_later_version_is_refused_and_never_passed_over(kind: str) -> None:
    """A limit or a device that an older runner does not know is something that it would not keep to."""
    whole()[kind]({})
    with pytest.raises(BadInput, match="'network' is nothing that this version knows"):
        whole()[kind]({"network": False})


@pytest.mark.parametrize(
    "wrong", [None, [], {}, {"commands": 1}, {"commands": [["true"]]}, {"commands": [], "shelf": {}}]
)
def test_what_is_no_plan_is_refused(wrong: Json) -> None:
    with pytest.raises(BadInput):
        Plan.from_json(wrong)


def test_a_digest_that_is_none_is_refused() -> None:
    with pytest.raises(BadInput):
        Plan.from_json({"commands": [], "place": {"x": "y"}})
    assert Plan.from_json({"commands": [], "place": {"x": str(STATE)}}).place == {"x": Sha256(STATE)}
