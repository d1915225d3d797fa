"""SHA-256 digests and the one canonical JSON that identities are computed from."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Self

from distwright.errors import BadInput, quoted

_HEX64 = re.compile(r"[0-9a-f]{64}")

type_error_hint = "pass str, int, bool, None, lists or string-keyed mappings only"

Json = None | bool | int | str | Sequence["Json"] | Mapping[str, "Json"]


class Sha256(str):
    """A SHA-256 in lower-case hexadecimal, 64 characters; anything else cannot be made into one."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Raise BadInput unless `text` is exactly 64 lower-case hexadecimal digits."""
        if not _HEX64.fullmatch(text):
            raise BadInput(f"{quoted(text)} is not a SHA-256", hint="give 64 lower-case hexadecimal digits")
        return super().__new__(cls, text)

    @classmethod
    def known(cls, text: str) -> Self:
        """Take text that was found to be a SHA-256 already, unchecked: for whoever handles hundreds of thousands."""
        return super().__new__(cls, text)

    @property
    def short(self) -> str:
        """The first 12 digits, for people to read; never an identity."""
        return self[:12]


def sha256_of(content: bytes) -> Sha256:
    """Hash bytes."""
    return Sha256(hashlib.sha256(content).hexdigest())


def canonical_json(value: Json) -> bytes:
    """Write a value the only way: UTF-8, sorted keys, no spaces, no floats, no NaN, one newline at the end.

    Two equal values give equal bytes on every machine, so the SHA-256 of the bytes is an identity.
    Raises BadInput for floats, for values that JSON does not have, and for text that is not Unicode (lone surrogates).
    """
    _refuse_inexact(value)
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=_as_json_has_it)
    try:
        return text.encode() + b"\n"
    except UnicodeEncodeError as error:
        around = text[max(0, error.start - 20) : error.end + 20]
        raise BadInput(
            f"{quoted(around)} is not Unicode text", hint="rename it: names from outside must be UTF-8"
        ) from None


def digest_of(value: Json) -> Sha256:
    """Say the identity of a value: the SHA-256 of its canonical JSON."""
    return sha256_of(canonical_json(value))


def digests_in(value: Json, place: str = "") -> Iterator[tuple[str, Sha256]]:
    """Yield every SHA-256 that a value names, with its place in it (`tools.shelf.0.document`)."""
    if isinstance(value, str):
        if _HEX64.fullmatch(value):
            yield place, Sha256(value)
    elif isinstance(value, Mapping):
        for key, member in value.items():
            yield from digests_in(member, f"{place}.{key}" if place else key)
    elif isinstance(value, Sequence):
        for number, member in enumerate(value):
            yield from digests_in(member, f"{place}.{number}" if place else str(number))


def _as_json_has_it(value: Sequence[Json] | Mapping[str, Json]) -> Json:
    """Turn a mapping that is no dict into one, and a sequence that is no list or tuple into a list."""
    return dict(value) if isinstance(value, Mapping) else list(value)


def _refuse_inexact(value: Json) -> None:
    if value is None or isinstance(value, bool | int | str):
        return
    if isinstance(value, Mapping):
        for key, member in value.items():
            if not isinstance(key, str):
                raise BadInput(f"key {key!r} is not a string", hint=type_error_hint)
            _refuse_inexact(member)
        return
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        for member in value:
            _refuse_inexact(member)
        return
    raise BadInput(f"{type(value).__name__} has no canonical form", hint=type_error_hint)
