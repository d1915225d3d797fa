"""The order of sources that moved is that of the plain rule, whatever needs what; the rule itself takes quadratic time."""

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from distwright.checks.moved import Moved, MovedSource

NAMES = [f"source{number:02}" for number in range(12)]


def by_the_rule(chosen: list[str], needs: Mapping[str, frozenset[str]]) -> list[str]:
    """Place each time the first one whose needs among the chosen are placed; if there is none, the first that is left."""
    placed: list[str] = []
    left = list(chosen)
    while left:
        ready = next((one for one in left if needs[one] & set(chosen) <= set(placed)), left[0])
        placed.append(ready)
        left.remove(ready)
    return placed


@given(
    needs=st.dictionaries(st.sampled_from(NAMES), st.frozensets(st.sampled_from(NAMES), max_size=4)),
    closure=st.none() | st.frozensets(st.sampled_from(NAMES)),
)
def test_sources_come_in_the_order_of_the_plain_rule(
    needs: dict[str, frozenset[str]], closure: frozenset[str] | None
) -> None:
    needs = {name: needs.get(name, frozenset()) - {name} for name in NAMES}
    moved = Moved(tuple(MovedSource(name, "1", "2", {name: ("1", "2")}) for name in NAMES), needs)
    chosen = [name for name in NAMES if closure is None or name in closure]
    assert [one.source for one in moved.ordered(closure)] == by_the_rule(chosen, needs)
