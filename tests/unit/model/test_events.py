"""Events: what they must have."""

from datetime import UTC, datetime

import pytest

from distwright.errors import BadInput
from distwright.model.events import BODY_KEYS, Event, EventKind, check_body

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def test_every_kind_says_what_its_body_must_have() -> None:
    assert set(BODY_KEYS) == set(EventKind)
    assert all(BODY_KEYS.values())


@pytest.mark.parametrize("kind", EventKind)
def test_event_that_lacks_a_key_of_its_kind_is_refused(kind: EventKind) -> None:
    full = dict.fromkeys(BODY_KEYS[kind], "x")
    check_body(Event(kind, NOW, "x", full))
    for key in full:
        with pytest.raises(BadInput, match=f"event {kind} lacks {key}"):
            check_body(Event(kind, NOW, "x", {name: "x" for name in full if name != key}))


def test_event_may_say_more_than_it_must() -> None:
    body = {"commit": "c0ffee", "config": "x", "who": "ada"}
    assert Event(EventKind.CONFIG_APPLIED, NOW, "x", body).body == body


def test_event_without_a_time_zone_is_refused() -> None:
    with pytest.raises(BadInput, match=r"event config.applied has a time without a zone"):
        Event(EventKind.CONFIG_APPLIED, NOW.replace(tzinfo=None), "x", {"commit": "c0ffee", "config": "x"})
