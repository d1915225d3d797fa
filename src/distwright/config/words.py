"""Say in a sysadmin's words what a setting wants, what it got instead, and how a value is written in TOML."""

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Literal, Union, get_args, get_origin, get_type_hints

from distwright.config.problems import Path, one_of
from distwright.config.tables_archive import Credential, Table
from distwright.config.values import Want
from distwright.errors import quoted


@dataclass(frozen=True, slots=True)
class Setting:
    """One key of a table, as people need it explained."""

    key: str
    attribute: str
    want: Want
    member: Want | None
    required: bool
    default: object
    description: str
    example: object

    @property
    def in_words(self) -> str:
        """Say what it wants, with an example where words alone are not enough."""
        return _with_example(self.want, self.example)

    @property
    def member_in_words(self) -> str:
        """Say what one member of a list wants."""
        example = next(iter(self.example), None) if isinstance(self.example, list | tuple) else None
        return _with_example(self.member or self.want, example)


@cache
def settings_of(table: type[Table]) -> Mapping[str, Setting]:
    """Give the settings of a table by their TOML key, in the order of the class."""
    hints = get_type_hints(table, include_extras=True)
    found = {}
    for attribute, field in table.model_fields.items():
        key = field.validation_alias if isinstance(field.validation_alias, str) else attribute
        default = None if field.is_required() else field.default
        found[key] = Setting(
            key=key,
            attribute=attribute,
            want=_want_of(hints[attribute]),
            member=_member_of(hints[attribute]),
            required=field.is_required(),
            default=default,
            description=field.description or "",
            example=field.examples[0] if field.examples else default,
        )
    return found


def wanted(table: type[Table], path: Path) -> str:
    """Say what the setting at `path` (below the table) wants; a member of a list is asked for as one of them."""
    setting = settings_of(table).get(str(path[0])) if path else None
    if setting is None:
        return "a table"
    if len(path) > 1 and isinstance(path[1], int) and setting.member:
        return setting.member_in_words
    return setting.in_words


def got(value: object) -> str:
    """Say what kind of value stands there, never the text of a string: it may be a secret in the wrong place."""
    match value:
        case bool():
            return f"is {str(value).lower()}"
        case str():
            return "is a string"
        case int() | float():
            return f"is the number {quoted(_number(value), 40)[1:-1]}"
        case dt.date() | dt.time():
            return "is a date or time"
        case list() | tuple():
            return "is a list"
        case _:
            return "is a table"


def toml_value(value: object) -> str:
    """Write a value as TOML, on one line."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            return json.dumps(value, ensure_ascii=False)
        case list() | tuple():
            return f"[{', '.join(toml_value(member) for member in value)}]"
        case Credential():
            return toml_value({"credential": value.credential})
        case dict():
            return f"{{ {', '.join(f'{key} = {toml_value(member)}' for key, member in value.items())} }}"
        case _:
            return str(value)


def _with_example(want: Want, example: object) -> str:
    if example is None or isinstance(example, bool | int) or want.one[0] in '"{':
        return want.one
    return f"{want.one}, for example {toml_value(example)}"


def _number(value: object) -> str:
    return "far too big" if isinstance(value, int) and value.bit_length() > 200 else str(value)


def _want_of(hint: object) -> Want:
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        marks = [mark for mark in args[1:] if isinstance(mark, Want)]
        return marks[0] if marks else _want_of(args[0])
    if origin in (Union, UnionType):
        return _want_of(next(arg for arg in args if arg is not NoneType))
    if origin is tuple:
        return Want(f"a list of {_want_of(args[0]).many}", "lists")
    if origin is Literal:
        return Want(one_of([toml_value(arg) for arg in args]), "words")
    if hint is bool:
        return Want("true or false", "true or false")
    if hint is Credential:
        return Want('{ credential = "name" }', "credentials")
    raise TypeError(f"{hint!r} has no words yet")


def _member_of(hint: object) -> Want | None:
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _member_of(args[0])
    return _want_of(args[0]) if origin is tuple else None
