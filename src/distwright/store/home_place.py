"""Where the server is, on a machine that works for it: `home.json` in its state, which only its owner reads."""

import json
from dataclasses import dataclass

from distwright.errors import BadInput
from distwright.model import plain
from distwright.model.digests import canonical_json
from distwright.store.durable import write_durably
from distwright.store.paths import StatePaths


@dataclass(frozen=True, slots=True)
class HomePlace:
    """url: of the server, without a slash at the end. host: what this machine is called there. token: what proves it."""

    url: str
    host: str
    token: str


def read_home(paths: StatePaths) -> HomePlace | None:
    """Say for whom this state works; None if it is an installation of its own. Raises BadInput for a broken file."""
    try:
        text = paths.home.read_text()
    except FileNotFoundError:
        return None
    try:
        values = plain.mapping({"home": json.loads(text)}, "home")
        return HomePlace(plain.text(values, "url"), plain.text(values, "host"), plain.text(values, "token"))
    except (BadInput, ValueError, KeyError) as error:
        raise BadInput(f"{paths.home} cannot be read", hint="run distwright host join again") from error


def keep_home(paths: StatePaths, place: HomePlace, database_url: str) -> None:
    """Make a state one that works for another. First for whom: a state that knows the database alone would be the server."""
    paths.root.mkdir(parents=True, exist_ok=True, mode=0o711)
    values = {"url": place.url, "host": place.host, "token": place.token}
    write_durably(paths.home, canonical_json(values), mode=0o600)
    write_durably(paths.database_place, f"{database_url}\n".encode(), mode=0o600)
