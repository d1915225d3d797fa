"""Whatever JSON an order or an event is: what it mentions that is private is found, at any depth, and nothing breaks."""

from hypothesis import given
from hypothesis import strategies as st

from distwright.model.digests import Json
from distwright.model.embargo import PUBLIC, Embargo, named_in

PRIVATE = frozenset({"repo/twin", "archive/vault"})
MENTIONS: tuple[Json, ...] = (
    {"repo": "twin"},
    {"archive": "vault"},
    {"vault/fixes": 1},
    "twin refs/heads/x",
    ["vault/x"],
)
_PLAIN = st.none() | st.booleans() | st.integers() | st.text(max_size=9)
_JSON: st.SearchStrategy[Json] = st.recursive(
    _PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)
_PATHS = st.lists(st.text(max_size=5) | st.integers(0, 2), max_size=6)


@given(_JSON)
def test_no_value_breaks_it_and_a_row_keeps_what_was_found(value: Json) -> None:
    found = named_in(value, PRIVATE)
    assert found.names <= PRIVATE
    assert Embargo.of_text(found.text) == found
    assert named_in(value, ()) == PUBLIC


@given(_JSON, st.sampled_from(MENTIONS), _PATHS)
def test_a_mention_is_found_wherever_it_stands(around: Json, mention: Json, path: list[str | int]) -> None:
    value: Json = mention
    for step in path:
        value = {step: value, f"{step}2": around} if isinstance(step, str) else [around, value, around]
    assert named_in(value, PRIVATE).names >= named_in(mention, PRIVATE).names != frozenset()
