"""Secrets that are a word: tokens of uploads, secrets of webhooks. From systemd's credentials directory, or the state's keys."""

import contextlib
import os
import secrets
from pathlib import Path

from distwright.store.paths import StatePaths


def token_of(paths: StatePaths, credential: str) -> str:
    """Give a token; "" if there is none of that name."""
    given = os.environ.get("CREDENTIALS_DIRECTORY")
    places = [*([Path(given) / credential] if given else []), paths.token(credential)]
    for place in places:
        with contextlib.suppress(FileNotFoundError):
            return place.read_text().strip()
    return ""


def new_token(paths: StatePaths, credential: str) -> str:
    """Make a token in place of the one of that name, and give it."""
    made = secrets.token_urlsafe(32)
    place = paths.token(credential)
    fresh = place.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    fresh.write_text(f"{made}\n")
    fresh.rename(place)
    return made
