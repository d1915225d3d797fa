"""Turns are fair, whoever queues how much and when: of two shares that both wait, none is served twice more than the other."""

from itertools import count

from hypothesis import given
from hypothesis import strategies as st
from tests.worlds.state import count_order, memory_database
from tests.worlds.times import NOW

from distwright.jobs.lease import Ending, Retry, claim_next, end_attempt
from distwright.jobs.order import place_order
from distwright.model.outcomes import Outcome
from distwright.store.database import Database

SHARES = ("ada", "bob", "eve")
_QUEUE = st.tuples(st.sampled_from(SHARES), st.integers(1, 6))
_WORK = st.sampled_from(["claim", "claim and end", "claim and put back"])


@given(st.lists(st.one_of(_QUEUE, _WORK), max_size=40))
def test_no_share_that_waits_falls_behind_another(actions: list[tuple[str, int] | str]) -> None:
    database = memory_database()
    numbers = count()
    waiting = dict.fromkeys(SHARES, 0)
    # For each pair, by how much the first was served more than the second since both have waited without a break.
    ahead = {(one, other): 0 for one in SHARES for other in SHARES if one != other}
    try:
        for action in actions:
            if isinstance(action, tuple):
                share, many = action
                with database.write() as tx:
                    for _ in range(many):
                        place_order(tx, count_order(next(numbers), share=share), NOW)
                waiting[share] += many
            elif (worked := _worked(database, action)) is not None:
                served = action != "claim and put back"
                waiting[worked] -= served
                for one, other in ahead:
                    ahead[one, other] += served * ((one == worked) - (other == worked))
            ahead = {pair: value if all(waiting[share] for share in pair) else 0 for pair, value in ahead.items()}
            assert max(ahead.values()) <= 2, (ahead, waiting)
    finally:
        database.close()


def _worked(database: Database, action: str) -> str | None:
    """Claim the next job, and perhaps end it or put it back; give its share, None if nothing waits."""
    job = claim_next(database, ["local"], "somebody", NOW)
    if job is not None and action == "claim and end":
        end_attempt(database, job, Ending(Outcome.OK, ""), NOW)
    if job is not None and action == "claim and put back":
        end_attempt(database, job, Ending(Outcome.CANCELLED, ""), NOW, retry=Retry.MADE_WAY)
    return None if job is None else job.share
