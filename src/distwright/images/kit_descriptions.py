"""What upgrades there are from an image: the description that its devices read, format 1. Pure.

It is there from the moment that an image is public, and says then that there is none: a device that gets no description knows that
something is wrong. It says nothing of times: the same upgrades are the same bytes.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from distwright.errors import BadInput, Refused
from distwright.model import plain
from distwright.model.digests import Json, Sha256, canonical_json

FORMAT = 1
FILE, SIGNATURE = "upgrades.json", "upgrades.json.asc"
_KIT = "kit"


@dataclass(frozen=True, slots=True)
class Release:
    """An image as upgrades name it. name: in full, as IMAGE_ID of its os-release."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class Upgrade:
    """A way from one image to another. url: absolute, or relative to the description."""

    target: Release
    url: str
    sha256: Sha256
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Description:
    """All upgrades from one image. product: the image's table; channel: the branch that it is built from."""

    product: str
    channel: str
    initial: Release
    upgrades: tuple[Upgrade, ...] = ()

    def to_bytes(self) -> bytes:
        """Write it, as it is signed; upgrades in order of name, whatever order they came in."""
        upgrades: list[Json] = [
            {
                "type": _KIT,
                "target": _release(one.target),
                "url": one.url,
                "sha256": str(one.sha256),
                "size_bytes": one.size_bytes,
            }
            for one in sorted(self.upgrades, key=lambda one: one.target.name)
        ]
        return canonical_json(
            {
                "format": FORMAT,
                "product": self.product,
                "channel": self.channel,
                "initial": _release(self.initial),
                "upgrades": upgrades,
            }
        )


def read_description(content: bytes) -> Description:
    """Read a description, whose signature was verified. Raises BadInput; Refused for a later format."""
    try:
        values = plain.mapping({"description": json.loads(content)}, "description")
    except (ValueError, RecursionError) as error:
        raise BadInput("the description of upgrades is no JSON", hint="fetch it again") from error
    if plain.number(values, "format") != FORMAT:
        raise Refused(
            f"the description of upgrades has format {values['format']}", hint="install a later version of distwright"
        )
    ways = [plain.mapping({"upgrade": one}, "upgrade") for one in plain.members(values, "upgrades")]
    return Description(
        plain.text(values, "product"),
        plain.text(values, "channel"),
        _read_release(values, "initial"),
        # A type that came later is none of ours to follow.
        tuple(_read_upgrade(way) for way in ways if plain.text(way, "type") == _KIT),
    )


def upgrade_by(description: Description, sha256: Sha256) -> Upgrade:
    """Find the upgrade that a kit with this digest is; raise Refused if the description does not name it."""
    for upgrade in description.upgrades:
        if upgrade.sha256 == sha256:
            return upgrade
    raise Refused(
        f"the kit is none of the {len(description.upgrades)} upgrades from {description.initial.name}",
        hint="fetch the kit and its description again",
    )


def with_upgrade(upgrades: Sequence[Upgrade], new: Upgrade) -> tuple[Upgrade, ...]:
    """Add an upgrade; it stands for an earlier one to the same image."""
    return (*(one for one in upgrades if one.target.name != new.target.name), new)


def _release(release: Release) -> Json:
    return {"name": release.name, "version": release.version}


def _read_release(values: Mapping[str, Json], key: str) -> Release:
    given = plain.mapping(values, key)
    return Release(plain.text(given, "name"), plain.text(given, "version"))


def _read_upgrade(way: Mapping[str, Json]) -> Upgrade:
    return Upgrade(
        _read_release(way, "target"),
        plain.text(way, "url"),
        plain.digest(way, "sha256"),
        plain.number(way, "size_bytes"),
    )
