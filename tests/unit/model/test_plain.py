"""Plain JSON values, read as what they must be."""

from collections.abc import Callable

import pytest

from distwright.errors import BadInput
from distwright.model import plain
from distwright.model.digests import Json, sha256_of

DIGEST = sha256_of(b"")
VALUES: dict[str, Json] = {
    "text": "x",
    "number": 7,
    "flag": True,
    "digest": str(DIGEST),
    "members": [1, "x"],
    "texts": ["x", "y"],
    "mapping": {"a": 1},
    "text_map": {"a": "x"},
    "digest_map": {"a": str(DIGEST)},
    "nothing": None,
}
READERS: dict[str, Callable[[plain.Plain, str], object]] = {
    "text": plain.text,
    "number": plain.number,
    "flag": plain.flag,
    "digest": plain.digest,
    "members": plain.members,
    "texts": plain.texts,
    "mapping": plain.mapping,
    "text_map": plain.text_map,
    "digest_map": plain.digest_map,
}
TAKES = {
    "text": {"text", "digest"},
    "number": {"number"},
    "flag": {"flag"},
    "digest": {"digest"},
    "members": {"members", "texts"},
    "texts": {"texts"},
    "mapping": {"mapping", "text_map", "digest_map"},
    "text_map": {"text_map", "digest_map"},
    "digest_map": {"digest_map"},
}


@pytest.mark.parametrize("reader", READERS)
def test_each_reader_takes_its_kind_of_value_and_no_other(reader: str) -> None:
    taken = set()
    for key in VALUES:
        try:
            READERS[reader](VALUES, key)
        except BadInput:
            continue
        taken.add(key)
    assert taken == TAKES[reader]


def test_values_come_back_as_their_types() -> None:
    assert {name: read(VALUES, name) for name, read in READERS.items()} == {
        "text": "x",
        "number": 7,
        "flag": True,
        "digest": DIGEST,
        "members": [1, "x"],
        "texts": ("x", "y"),
        "mapping": {"a": 1},
        "text_map": {"a": "x"},
        "digest_map": {"a": DIGEST},
    }


def test_complaint_names_the_key_what_is_there_and_what_is_wanted() -> None:
    with pytest.raises(BadInput, match=r"^'number' is '7'; want a string$"):
        plain.text(VALUES, "number")
    with pytest.raises(BadInput, match=r"^'size' is missing; want a whole number$"):
        plain.number(VALUES, "size")


DEFAULTS: dict[str, Json] = {"limit": None, "list": [], "map": {}}


def test_defaults_are_not_written_and_come_back() -> None:
    full: dict[str, Json] = {"name": "x", "limit": None, "list": [], "map": {}}
    assert plain.without_defaults(full, DEFAULTS) == {"name": "x"}
    assert plain.with_defaults({"name": "x"}, ("name",), DEFAULTS) == full
    other: dict[str, Json] = {"name": "x", "limit": 0, "list": ["x"], "map": {"": ""}}
    assert plain.with_defaults(plain.without_defaults(other, DEFAULTS), ("name",), DEFAULTS) == other


def test_a_member_that_nobody_knows_is_refused() -> None:
    with pytest.raises(BadInput, match="'limits' is nothing that this version knows"):
        plain.with_defaults({"name": "x", "limits": 1}, ("name",), DEFAULTS)
