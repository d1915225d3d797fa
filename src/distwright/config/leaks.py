"""Find secrets that were written into the configuration, so that they are refused and never shown."""

import re
from collections.abc import Iterable, Iterator

from distwright.config.problems import Fault, Path, is_below

_SECRET_KEY = re.compile(r"(.*[_-])?(password|passphrase|token|secret)", re.IGNORECASE | re.DOTALL)
_SECRET_TEXT = re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY|AGE-SECRET-KEY-1|PuTTY-User-Key-File-", re.IGNORECASE)
_WANT = '{ credential = "name" }, with the secret itself kept outside'


def leaks(value: object, path: Path = ()) -> Iterator[Fault]:
    """Yield a fault for each string that is, or is named as, a secret; what it says is never in the fault."""
    match value:
        case dict():
            for key, member in value.items():
                yield from leaks(member, (*path, key))
        case list():
            for position, member in enumerate(value):
                yield from leaks(member, (*path, position))
        case str() if _SECRET_TEXT.search(value):
            yield Fault(path, "is a private key, and secrets never stand in the configuration", _WANT)
        case str() if _SECRET_KEY.fullmatch(_key(path)):
            yield Fault(path, "is a secret in plain text, and secrets never stand in the configuration", _WANT)


def without_leaked(faults: Iterable[Fault], leaked: Iterable[Fault]) -> list[Fault]:
    """Drop the faults about a leaked value or the list it stands in: they might show it."""
    settings = {_setting(leak.path) for leak in leaked}
    return [fault for fault in faults if not is_below(fault.path, settings)]


def _setting(path: Path) -> Path:
    """Give the path of the setting that a member of a list belongs to."""
    while path and isinstance(path[-1], int):
        path = path[:-1]
    return path


def _key(path: Path) -> str:
    return str(next(iter(_setting(path)[-1:]), ""))
