"""Turn the values of one TOML table into its class, or into faults in plain words."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from distwright.config.model import TABLES
from distwright.config.problems import Fault, Path, nearest, one_of
from distwright.config.tables_archive import Credential, Table
from distwright.config.values import TAKEN_ENDINGS, TAKEN_NAMES
from distwright.config.words import got, settings_of, toml_value, wanted
from distwright.errors import BadInput, quoted
from distwright.model.names import our_name


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of a table. With faults, `value` has defaults or examples in place of the settings they are about."""

    value: Table | None
    faults: tuple[Fault, ...]


def check_table(path: Path, values: object) -> Checked:
    """Check the table at `path`, ("archive", "debian") or ("site",), and find every fault in it."""
    table, *names = (str(part) for part in path)
    faults = [fault for name in names for fault in _name_faults(path, table, name)]
    if not isinstance(values, dict):
        header = f"[{table}.NAME]" if names else f"[{table}]"
        return Checked(None, (*faults, Fault(path, got(values), f"a table, written {header}")))
    kinds = TABLES[table]
    kind = None if None in kinds else values.get("kind")
    if not isinstance(kind, str | None) or kind not in kinds:
        return Checked(None, (*faults, *_kind_faults(path, values, kinds)))
    faults += _unknown_keys(path, values, kinds[kind], kinds)
    value, more = _validate(path, values, kinds[kind])
    return Checked(value, (*faults, *more))


def _name_faults(path: Path, table: str, name: str) -> Iterator[Fault]:
    try:
        our_name(name, table)
    except BadInput as error:
        yield Fault(path, f"{quoted(name)} cannot be a name", error.hint.removeprefix("use "))
    if table == "archive" and (name in TAKEN_NAMES or name.endswith(TAKEN_ENDINGS)):
        yield Fault(path, f"{quoted(name)} is taken: /{name} is a page or a folder of ours", "another name")


def _kind_faults(path: Path, values: Mapping[str, object], kinds: Mapping[str | None, type[Table]]) -> Iterator[Fault]:
    """Without its kind, only keys that no kind has can be told to be wrong."""
    want = one_of([toml_value(kind) for kind in kinds])
    kind = values.get("kind")
    if "kind" not in values:
        yield Fault((*path, "kind"), "is missing", want)
    elif isinstance(kind, str):
        near = nearest(kind, [str(known) for known in kinds])
        yield Fault((*path, "kind"), f"{quoted(kind)} is not known", want + (f"; did you mean {near}?" if near else ""))
    else:
        yield Fault((*path, "kind"), got(kind), want)
    known = {key for model in kinds.values() for key in settings_of(model)}
    for key in values:
        if key not in known:
            yield _unknown_key((*path, key), known)


def _unknown_keys(
    path: Path, values: Mapping[str, object], model: type[Table], kinds: Mapping[str | None, type[Table]]
) -> Iterator[Fault]:
    settings = settings_of(model)
    for key, value in values.items():
        if key not in settings:
            others = [kind for kind, other in kinds.items() if key in settings_of(other)]
            if others:
                yield Fault((*path, key), f"belongs to kind = {toml_value(others[0])} only", "it left out")
            else:
                yield _unknown_key((*path, key), set(settings))
        elif isinstance(value, dict) and settings[key].want.one.startswith("{"):
            inner = settings_of(Credential)
            yield from (_unknown_key((*path, key, deeper), set(inner)) for deeper in value if deeper not in inner)


def _unknown_key(path: Path, known: set[str]) -> Fault:
    near = nearest(str(path[-1]), known)
    return Fault(path, "is not a known key", f"{near} (the nearest known key)" if near else one_of(sorted(known)))


def _validate(path: Path, values: Mapping[str, object], model: type[Table]) -> tuple[Table, list[Fault]]:
    settings = settings_of(model)
    known = {settings[key].attribute: _frozen(value) for key, value in values.items() if key in settings}
    try:
        return model.model_validate(known), []
    except ValidationError as error:
        keys = {setting.attribute: key for key, setting in settings.items()}
        details = error.errors(include_url=False)
        faults = [fault for detail in details if (fault := _fault(path, model, keys, detail))]
        return _mended(model, known, {str(detail["loc"][0]) for detail in details}), faults


def _mended(model: type[Table], known: Mapping[str, object], wrong: set[str]) -> Table:
    """Put defaults, empty lists or examples where settings are wrong, so that the right ones can be checked further."""
    mended: dict[str, Any] = {}
    for setting in settings_of(model).values():
        if setting.attribute in known and not {setting.attribute, setting.key} & wrong:
            mended[setting.attribute] = known[setting.attribute]
        elif setting.member:
            mended[setting.attribute] = ()
        else:
            mended[setting.attribute] = setting.example if setting.required else setting.default
    return model.model_construct(**mended)


def _fault(path: Path, model: type[Table], keys: Mapping[str, str], detail: ErrorDetails) -> Fault | None:
    if detail["type"] == "extra_forbidden":
        return None  # _unknown_keys has said so, with the nearest name
    inside = tuple(keys.get(part, part) if isinstance(part, str) else part for part in detail["loc"])
    return Fault((*path, *inside), _in_words(detail), wanted(model, inside))


def _in_words(detail: ErrorDetails) -> str:
    """Say what is wrong without pydantic's terms."""
    value = detail["input"]
    match detail["type"]:
        case "missing":
            return "is missing"
        case "value_error":
            return str(detail["ctx"]["error"])
        case "too_short":
            return "is an empty list"
        case "literal_error" if isinstance(value, str):
            return f"{quoted(value)} is not known"
        case "greater_than_equal" | "less_than_equal":
            return f"{quoted(str(value), 40)[1:-1]} is out of bounds" if abs(value) < 10**40 else "is out of bounds"
        case "string_unicode":
            return "has signs that are no text"
        case _:
            return got(value)


def _frozen(value: object) -> object:
    return tuple(_frozen(member) for member in value) if isinstance(value, list) else value
