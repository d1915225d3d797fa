"""SHA-256 digests, and the canonical JSON that identities are computed from."""

import hashlib
import json
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distwright.errors import BadInput
from distwright.model.digests import Json, Sha256, canonical_json, digest_of, sha256_of

VALUES: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
    ),
)


class Colour(StrEnum):
    RED = "red"


def test_digest_is_64_lower_case_hexadecimal_digits() -> None:
    assert sha256_of(b"petrel") == Sha256(hashlib.sha256(b"petrel").hexdigest())
    assert sha256_of(b"petrel").short == hashlib.sha256(b"petrel").hexdigest()[:12]


@pytest.mark.parametrize(
    "text", ["", "0" * 63, "0" * 65, "A" * 64, "g" * 64, "0" * 64 + "\n", " " + "0" * 63, "٠" * 64]
)
def test_anything_else_is_no_digest(text: str) -> None:
    with pytest.raises(BadInput, match="is not a SHA-256"):
        Sha256(text)


def test_canonical_json_is_written_the_only_way() -> None:
    value: Json = {"b": [1, True, None, -7], "a": {"z": "ü\n", "y": []}, "": "", "c": (Colour.RED, sha256_of(b""))}
    assert (
        canonical_json(value)
        == (
            '{"":"","a":{"y":[],"z":"ü\\n"},"b":[1,true,null,-7],"c":["red","'
            'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]}\n'
        ).encode()
    )


@given(VALUES)
def test_canonical_json_is_read_back(value: Json) -> None:
    assert json.loads(canonical_json(value)) == value


@given(st.dictionaries(st.text(st.characters(codec="utf-8")), st.integers(), min_size=1), st.randoms())
def test_order_of_keys_is_no_part_of_an_identity(value: dict[str, int], chance: object) -> None:
    keys = list(value)
    chance.shuffle(keys)  # type: ignore[attr-defined]
    assert digest_of({key: value[key] for key in keys}) == digest_of(value)


def test_every_kind_of_list_and_mapping_gives_the_same_bytes() -> None:
    plain: Json = {"a": [1, 2], "b": {"c": "d"}}
    frozen: Mapping[str, Json] = MappingProxyType({"a": (1, 2), "b": MappingProxyType({"c": "d"})})
    ranged: Json = {"a": range(1, 3), "b": {"c": "d"}}
    assert canonical_json(plain) == canonical_json(frozen) == canonical_json(ranged)


def test_digest_of_a_value_is_that_of_its_canonical_bytes() -> None:
    assert digest_of({"a": 1}) == sha256_of(b'{"a":1}\n')


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (1.5, "float has no canonical form"),
        ({"a": [float("nan")]}, "float has no canonical form"),
        (b"bytes", "bytes has no canonical form"),
        ({"a": {1: "b"}}, "key 1 is not a string"),
        ({"a", "b"}, "set has no canonical form"),
        ([object()], "object has no canonical form"),
        ("half a \ud83d", "half a .* is not Unicode text"),
        ({"\udcff": 1}, "is not Unicode text"),
    ],
)
def test_what_json_has_not_is_refused(value: Json, complaint: str) -> None:
    with pytest.raises(BadInput, match=complaint):
        canonical_json(value)
