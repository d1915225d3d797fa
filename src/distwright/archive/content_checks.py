"""What is asked of the files of an upload themselves: fields, relations, times, names, formats; pure."""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime

from distwright.archive.upload import ALL, Upload
from distwright.errors import quoted
from distwright.formats.deb822 import Stanza
from distwright.formats.relations import BINARY_RELATIONS, BUILD_RELATIONS, unreadable
from distwright.model.versions import DebVersion

_MULTI_ARCH = frozenset({"no", "same", "foreign", "allowed"})
_SECTION = re.compile(r"[a-z0-9-]+(/[a-z0-9.+-]+)?")
_PRIORITY = re.compile(r"[a-z]+")
_EARLIEST = datetime(1975, 1, 1, tzinfo=UTC).timestamp()
_DAY_S = 24 * 3600
_ORIG = re.compile(r"\.orig\.tar\.(gz|bz2|xz|zst|lzma)")
_PACKED = r"\.tar\.(gz|bz2|xz|zst|lzma)"


def _fields_are_sound(upload: Upload) -> list[str]:
    """Fields that apt and dpkg act on have values that both know."""
    return [f"{deb.file_name}: {text}" for deb in upload.debs for text in _field_problems(deb.deb.control)]


def _field_problems(control: Stanza) -> Iterator[str]:
    multi_arch = control.get("Multi-Arch", "no").lower()
    if multi_arch not in _MULTI_ARCH:
        yield f"Multi-Arch is {quoted(multi_arch)}"
    if multi_arch == "same" and control["Architecture"] == ALL:
        yield "Multi-Arch is same in a package for all architectures"
    for name in ("Essential", "Protected", "Important"):
        if control.get(name, "no") not in ("yes", "no"):
            yield f"{name} is neither yes nor no"
    if "Section" in control and not _SECTION.fullmatch(control["Section"]):
        yield f"Section is {quoted(control['Section'])}"
    if "Priority" in control and not _PRIORITY.fullmatch(control["Priority"]):
        yield f"Priority is {quoted(control['Priority'])}"
    size = control.get("Installed-Size", "0")
    if not (size.isascii() and size.isdigit() and len(size) < 15):
        yield f"Installed-Size is {quoted(size)}"


def _relations_can_be_read(upload: Upload) -> list[str]:
    """apt stops reading a whole index at a relation that it does not understand."""
    problems = []
    for deb in upload.debs:
        problems += [f"{deb.file_name}: {text}" for text in unreadable(deb.deb.control, BINARY_RELATIONS)]
    if upload.dsc is not None:
        problems += [f".dsc: {text}" for text in unreadable(upload.dsc.stanza, BUILD_RELATIONS, for_build=True)]
    return problems


def _versions_begin_with_a_digit(upload: Upload) -> list[str]:
    """Debian Policy 5.6.12; dpkg only warns."""
    versions = {str(upload.changes.version): upload.changes.version}
    versions |= {f"{deb.file_name}: {deb.version}": deb.version for deb in upload.debs}
    return [
        f"version {text} does not begin with a digit" for text, version in versions.items() if not _is_proper(version)
    ]


def _is_proper(version: DebVersion) -> bool:
    return version.upstream[:1].isdigit()


def _names_are_announced(upload: Upload) -> list[str]:
    """Whoever reads .changes sees every package that comes, but for the debug packages that dpkg makes by itself."""
    announced = upload.changes.binaries
    return [
        f"{deb.file_name} is not among the Binary packages of .changes"
        for deb in upload.debs
        if announced and deb.name not in announced and not deb.name.endswith("-dbgsym")
    ]


def _times_are_possible(upload: Upload) -> list[str]:
    """Files of the future make tools warn and rebuild for ever; before 1975 there was no package (as dak)."""
    latest = upload.now.timestamp() + _DAY_S
    problems = []
    for deb in upload.debs:
        seen = deb.survey
        if seen.members and seen.latest > latest:
            problems.append(f"{deb.file_name}: {quoted(seen.latest_name)} is from the future")
        if seen.members and seen.earliest < _EARLIEST:
            problems.append(f"{deb.file_name}: {quoted(seen.earliest_name)} is older than 1975")
    return problems


def _names_stay_inside(upload: Upload) -> list[str]:
    """What is unpacked stays below where it is unpacked."""
    return [f"{deb.file_name}: {text}" for deb in upload.debs for text in deb.survey.bad_names]


def _source_format_is_whole(upload: Upload) -> list[str]:
    """A source has the files that its format is made of, under names made of source and version: the orig tar among them."""
    dsc = upload.dsc
    if dsc is None:
        return []
    names = [file.name for file in dsc.files]
    plain, upstream = (re.escape(f"{dsc.source}_{text}") for text in (dsc.version.without_epoch, dsc.version.upstream))
    problems = [
        f"{name} is not a file of source {dsc.source}" for name in names if not name.startswith(f"{dsc.source}_")
    ]
    orig = [name for name in names if re.fullmatch(upstream + _ORIG.pattern, name)]
    native = [name for name in names if re.fullmatch(plain + _PACKED, name)]
    match dsc.format:
        case "3.0 (quilt)":
            debian = [name for name in names if re.fullmatch(plain + r"\.debian" + _PACKED, name)]
            problems += _want_one("orig tar", orig) + _want_one("debian tar", debian)
        case "3.0 (native)":
            problems += _want_one("tar", native)
        case "1.0":
            has_diff = any(name == f"{dsc.source}_{dsc.version.without_epoch}.diff.gz" for name in names)
            problems += _want_one("orig tar", orig) if has_diff else _want_one("tar", [*native, *orig])
        case _:
            problems.append(f"{quoted(dsc.format)} is not a source format that is taken")
    return problems


def _want_one(what: str, names: list[str]) -> list[str]:
    return [] if len(names) == 1 else [f".dsc names {len(names)} files as {what}, want one"]


def _buildinfo_agrees(upload: Upload) -> list[str]:
    """A build record is kept for ever; it must be about these files."""
    problems = []
    changes = upload.changes
    for name, record in upload.buildinfos.items():
        if (record.source, record.source_version) != (changes.source, changes.source_version):
            problems.append(f"{name} is of {record.source} {record.source_version}")
        said = {file.name: file.sha256 for file in record.checksums}
        for file_name, digest in said.items():
            if file_name in upload.files and upload.files[file_name].digest != digest:
                problems.append(f"{name} says another SHA-256 of {file_name}")
    if upload.buildinfos:
        known = {file.name for record in upload.buildinfos.values() for file in record.checksums}
        problems += [
            f"no .buildinfo says how {deb.file_name} was built" for deb in upload.debs if deb.file_name not in known
        ]
    return problems


CONTENT_CHECKS: Mapping[str, Callable[[Upload], list[str]]] = {
    "fields-are-sound": _fields_are_sound,
    "relations-can-be-read": _relations_can_be_read,
    "versions-begin-with-a-digit": _versions_begin_with_a_digit,
    "names-are-announced": _names_are_announced,
    "times-are-possible": _times_are_possible,
    "names-stay-inside": _names_stay_inside,
    "source-format-is-whole": _source_format_is_whole,
    "buildinfo-agrees": _buildinfo_agrees,
}
