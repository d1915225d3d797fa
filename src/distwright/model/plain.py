"""Read plain JSON values (job inputs, event bodies) as what they must be; anything else is a bug and is named as one."""

from collections.abc import Collection, Mapping, Sequence

from distwright.errors import BadInput, quoted
from distwright.model.digests import Json, Sha256

Plain = Mapping[str, Json]


def text(values: Plain, key: str) -> str:
    """Give a string member."""
    value = values.get(key)
    if not isinstance(value, str):
        raise _wrong(values, key, "a string")
    return value


def number(values: Plain, key: str) -> int:
    """Give a whole number."""
    value = values.get(key)
    if not isinstance(value, int) or isinstance(value, bool):
        raise _wrong(values, key, "a whole number")
    return value


def flag(values: Plain, key: str) -> bool:
    """Give a truth value."""
    value = values.get(key)
    if not isinstance(value, bool):
        raise _wrong(values, key, "true or false")
    return value


def digest(values: Plain, key: str) -> Sha256:
    """Give a SHA-256."""
    return Sha256(text(values, key))


def members(values: Plain, key: str) -> Sequence[Json]:
    """Give a list."""
    value = values.get(key)
    if not isinstance(value, list | tuple):
        raise _wrong(values, key, "a list")
    return value


def texts(values: Plain, key: str) -> tuple[str, ...]:
    """Give a list of strings."""
    found = members(values, key)
    if not all(isinstance(member, str) for member in found):
        raise _wrong(values, key, "a list of strings")
    return tuple(str(member) for member in found)


def mapping(values: Plain, key: str) -> Plain:
    """Give a mapping."""
    value = values.get(key)
    if not isinstance(value, Mapping):
        raise _wrong(values, key, "a mapping")
    return value


def text_map(values: Plain, key: str) -> dict[str, str]:
    """Give a mapping from string to string."""
    found = mapping(values, key)
    return {name: text(found, name) for name in found}


def digest_map(values: Plain, key: str) -> dict[str, Sha256]:
    """Give a mapping from string to SHA-256."""
    return {name: Sha256(value) for name, value in text_map(values, key).items()}


def without_defaults(values: Plain, defaults: Plain) -> dict[str, Json]:
    """Leave out the members that are what `with_defaults` puts in, so that a field which is added later changes no identity."""
    return {key: value for key, value in values.items() if key not in defaults or value != defaults[key]}


def with_defaults(values: Plain, required: Collection[str], defaults: Plain) -> Plain:
    """Put in the defaults of members that are left out.

    Raises BadInput for a member that is in neither: it was written by a later version and means something that we would not do.
    """
    unknown = sorted(set(values) - set(required) - set(defaults))
    if unknown:
        raise BadInput(
            f"{quoted(unknown[0])} is nothing that this version knows", hint="install the version that wrote it"
        )
    return {**defaults, **values}


def _wrong(values: Plain, key: str, want: str) -> BadInput:
    found = f"is {quoted(repr(values[key]), 60)}" if key in values else "is missing"
    return BadInput(f"{quoted(key)} {found}; want {want}", hint="report this as a bug of distwright")
