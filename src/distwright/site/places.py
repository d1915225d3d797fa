"""Where the state of an installation is, and other object stores of this machine: as options and variables say."""

import os
from collections.abc import Mapping
from pathlib import Path

from distwright.errors import BadUsage
from distwright.store.objects import FileObjects
from distwright.store.paths import StatePaths

ROOT_STATE = Path("/var/lib/distwright")


def alternates(environment: Mapping[str, str]) -> tuple[FileObjects, ...]:
    """Give the object stores that DISTWRIGHT_ALTERNATES names (folders, separated by colons): tried before the network."""
    named = environment.get("DISTWRIGHT_ALTERNATES", "")
    return tuple(FileObjects(Path(folder)) for folder in named.split(":") if folder)


def state_folder(given: str | None, environment: Mapping[str, str], uid: int) -> Path:
    """Say where the state is: as given, as DISTWRIGHT_STATE says, /var/lib/distwright for root, ./state otherwise."""
    place = chosen(given, "--state", environment, "DISTWRIGHT_STATE")
    if place is not None:
        return Path(place).absolute()
    return ROOT_STATE if uid == 0 else Path("state").absolute()


def chosen(given: str | None, option: str, environment: Mapping[str, str], variable: str) -> str | None:
    """Give what an option or a variable says; an empty one is a mistake (an unset variable in a script), never the default."""
    text = environment.get(variable) if given is None else given
    if text is None or (text and "\0" not in text):
        return text
    raise BadUsage(f"{variable if given is None else option} is empty", hint="give a path, or leave it out")


def state_paths(given: str | None) -> StatePaths:
    """Say where the state is, whether it exists or not: by the one path that has neither `..` nor a link in it.

    The sandbox shows a work folder at its own place only (tools/enter_root.py), and no other way to it.
    """
    return StatePaths(state_folder(given, os.environ, os.geteuid()).resolve())
