"""What a tagged snapshot reads of the manifest of an image."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from distwright.errors import BadInput
from distwright.model import plain
from distwright.model.digests import Sha256

MANIFEST_FORMAT = 1


@dataclass(frozen=True, slots=True)
class ManifestPackage:
    """A package file. archives: those that it came from."""

    name: str
    version: str
    architecture: str
    sha256: Sha256
    archives: frozenset[str]

    @property
    def shown(self) -> str:
        """How people call it."""
        return f"{self.name} {self.version} {self.architecture}"


@dataclass(frozen=True, slots=True)
class Manifest:
    """packages: what went in. mentioned: names that a hook, a pin or a purge speaks of. states: `archive/suite` -> document."""

    packages: tuple[ManifestPackage, ...]
    mentioned: tuple[str, ...]
    states: Mapping[str, Sha256]


def parse_manifest(content: bytes) -> Manifest:
    """Read a manifest; raise BadInput for anything else."""
    try:
        document = json.loads(content)
    except ValueError as error:
        raise BadInput(f"the manifest is no JSON: {error}", hint="give the .manifest.json of an image") from error
    if not isinstance(document, dict) or document.get("format") != MANIFEST_FORMAT:
        raise BadInput("the manifest has an unknown format", hint="give the .manifest.json of an image")
    packages = tuple(_package(member) for member in plain.members(document, "packages") if isinstance(member, Mapping))
    mentioned = plain.texts(document, "mentioned") if "mentioned" in document else ()
    return Manifest(packages, mentioned, plain.digest_map(document, "states") if "states" in document else {})


def _package(member: plain.Plain) -> ManifestPackage:
    return ManifestPackage(
        plain.text(member, "name"),
        plain.text(member, "version"),
        plain.text(member, "architecture"),
        plain.digest(member, "sha256"),
        frozenset(place.partition("/")[0] for place in plain.texts(member, "from")),
    )
