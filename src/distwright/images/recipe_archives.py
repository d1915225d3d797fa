"""What a recipe says about apt in archives/: pins of the build and of the image, and sources that the image's table must name."""

import re
from collections.abc import Collection
from dataclasses import dataclass

from distwright.errors import quoted
from distwright.images.recipe_files import ImageFile, is_link, text_of
from distwright.images.recipe_lists import Values

_FILE = re.compile(r"archives/([^/]+)\.(list|pref|conf|key|auth|deb)(\.chroot|\.binary)?")
_HOST_PIN = re.compile(r"Pin:\s*origin\b", re.IGNORECASE)
_SOURCE = re.compile(r"(deb|deb-src)\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)((?:\s+\S+)*)\s*")
_PLACEHOLDER = re.compile(r"@([A-Z_]+)@")
_NOT_HONOURED = {
    "conf": "apt's settings are distwright's while it builds; call it .conf.binary if the image shall have it",
    "key": "say it as keyring or live_key of the [archive.NAME]",
    "auth": "a password has no place in a recipe",
    "deb": "put the package into packages.chroot/",
}


@dataclass(frozen=True, slots=True)
class Source:
    """A line of archives/*.list: where apt would look. place: file and line."""

    place: str
    url: str
    suite: str
    components: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Archives:
    """preferences: name -> apt_preferences(5) while packages are installed. includes: files of the image. sources: see above."""

    preferences: dict[str, bytes]
    includes: tuple[ImageFile, ...]
    sources: tuple[Source, ...]


def archives_of(files: list[ImageFile], values: Values, problems: list[str]) -> Archives:
    """Read archives/: `.chroot` counts for the build only, `.binary` for the image only, neither for both."""
    preferences: dict[str, bytes] = {}
    includes: list[ImageFile] = []
    sources: list[Source] = []
    for file in files:
        found = _FILE.fullmatch(file.path)
        if found is None:
            problems.append(f"{file.path}: this version has no use for it")
            continue
        name, kind, stage = found.groups()
        if kind == "list":
            sources += _sources(file, values, problems)
        elif (kind in ("pref", "conf") and stage == ".binary") or kind == "pref":
            if is_link(file, problems):
                continue
            if stage != ".chroot":
                folder = "preferences.d" if kind == "pref" else "apt.conf.d"
                includes.append(ImageFile(f"etc/apt/{folder}/{name}.{kind}", file.content, is_executable=False))
            if stage != ".binary":
                preferences[f"{name}.pref"] = file.content
                problems += _host_pins(file)
        else:
            problems.append(f"{file.path}: {_NOT_HONOURED[kind]}")
    return Archives(dict(sorted(preferences.items())), tuple(includes), tuple(sources))


def unknown_sources(sources: Collection[Source], known: Collection[tuple[str, str, str]]) -> list[str]:
    """Say which sources are none of the image's. known: address, suite and component of each that it is made from."""
    places = {(url.rstrip("/"), suite, component) for url, suite, component in known}
    return [
        f"{source.place}: {quoted(source.url)} {source.suite} {component} is the live_url of no suite in `from`"
        for source in sources
        for component in source.components
        if (source.url.rstrip("/"), source.suite, component) not in places
    ]


def sources_in(place: str, text: str, values: Values, problems: list[str]) -> list[Source]:
    """Read sources.list(5) with live-build's @DISTRIBUTION@ and the like; sources of source packages are left out."""
    found = []
    for number, raw in enumerate(text.splitlines(), start=1):
        line = _filled(raw.partition("#")[0].strip(), values)
        if not line:
            continue
        match = _SOURCE.fullmatch(line)
        if match is None or match[4].endswith("/"):
            problems.append(f"{place}:{number}: want deb URL SUITE COMPONENT ..., of an archive with dists/")
        elif match[1] == "deb":
            found.append(Source(f"{place}:{number}", match[3], match[4], tuple(match[5].split())))
    return found


def _sources(file: ImageFile, values: Values, problems: list[str]) -> list[Source]:
    return sources_in(file.path, text_of(file, problems), values, problems)


def _filled(line: str, values: Values) -> str:
    return _PLACEHOLDER.sub(lambda found: " ".join(values.get(found[1], (found[0],))), line)


def _host_pins(file: ImageFile) -> list[str]:
    """A build reads every archive from one address of its own, so a pin by host would never count."""
    lines = file.content.decode(errors="replace").splitlines()
    return [
        f"{file.path}:{number}: a pin by host counts in the image only: pin by release, or call it .pref.binary"
        for number, line in enumerate(lines, start=1)
        if _HOST_PIN.match(line)
    ]
