"""What is dropped: nothing that is needed, whatever its age; of the rest what the policy leaves."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st
from tests.worlds.times import DAY, NOW

from distwright.archive.retiring import Policy, judge_snapshots
from distwright.model.digests import sha256_of
from distwright.model.records import Snapshot
from distwright.model.serials import Serial
from distwright.store.holds import serial_hold

ROWS = [
    Snapshot("debian", Serial(f"20231{month}0101"), sha256_of(b""), NOW - age * DAY, None, "")
    for month, age in ((2, 1), (1, 30), (0, 60))
]
HOLD = serial_hold("release 1.0", "debian", ROWS[2].serial, "made of it")


def stays(policy: Policy, *, is_followed: bool = True, held: bool = False) -> list[bool]:
    needed = {str(ROWS[2].serial): [HOLD]} if held else {}
    return [row.stays for row in judge_snapshots(ROWS, needed, policy, NOW, is_followed=is_followed)]


def test_a_policy_leaves_the_newest_and_the_young() -> None:
    assert stays(Policy()) == [True, True, True]
    assert stays(Policy(keep=1)) == [True, False, False]
    assert stays(Policy(keep=2)) == [True, True, False]
    assert stays(Policy(keep_days=45)) == [True, True, False]
    assert stays(Policy(keep=1, keep_days=45)) == [True, True, False]
    assert stays(Policy(keep=3, keep_days=1)) == [True, True, True]
    assert stays(Policy(keep_days=1)) == [True, False, False]
    assert stays(Policy(keep_days=1), is_followed=False) == [False, False, False]


@given(
    st.builds(Policy, st.none() | st.integers(1, 5), st.none() | st.integers(1, 100)),
    st.integers(0, 4000),
    st.booleans(),
)
def test_what_is_needed_stays_whatever_the_policy_and_its_age(policy: Policy, days: int, is_followed: bool) -> None:  # noqa: FBT001
    needed = {str(ROWS[2].serial): [HOLD] * 5}
    judged = judge_snapshots(ROWS, needed, policy, NOW + timedelta(days=days), is_followed=is_followed)
    assert judged[2].stays
    assert judged[2].why == f"needed by {', '.join(['release 1.0 (made of it)'] * 3)}, and 2 more"
