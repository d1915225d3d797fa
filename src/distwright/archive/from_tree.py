"""Read any archive that lies here as `dists/` and `pool/`: what its indexes promise, believed as far as its Release covers it."""

import hashlib
import mmap
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO

from distwright.archive.theirs import SOURCE, TheirArchive, TheirFile, TheirPackage, TheirSuite
from distwright.errors import BadInput, NotFound, Refused, listed, quoted
from distwright.formats.clearsign import strip_clearsign
from distwright.formats.compression import ENDINGS, split_ending, unpacked_parts
from distwright.formats.deb822 import raw_field
from distwright.formats.packages import iter_packages
from distwright.formats.release import IndexEntry, Release, parse_release
from distwright.formats.sources import iter_sources
from distwright.signing.verify import Keyring

_INDEX = re.compile(
    r"(?P<component>[^/].*?)(?:/debian-installer)?/(?:binary-(?P<architecture>[^/]+)/Packages|source/Sources)"
)
_PLAIN_LIMIT_BYTES = 4 << 30
_DEEP = 3  # a suite is as deep as this at most: bookworm/updates
_AGAIN = "publish theirs again, then run the same command again"


def tree_archive(
    root: Path, scratch: Path, *, only: Sequence[str] | None = None, keyring: Keyring | None = None
) -> TheirArchive:
    """Read the suites below `dists/`; names that stand for another of them (stable -> bookworm) are passed over.

    scratch: an empty folder of ours. only: suites to read. keyring: what their Releases must be signed with; without, nothing
    says who made them. Raises NotFound, Refused naming all that is wrong.
    """
    names = [name for name in _suite_names(root / "dists") if only is None or name in only]
    if not names:
        raise NotFound(
            f"{quoted(str(root))} has no suite in dists/", hint="name the folder that dists/ and pool/ are in"
        )
    suites: list[TheirSuite] = []
    notes: list[str] = []
    problems: list[str] = []
    for name in names:
        try:
            suite, said = _suite(root, name, scratch, keyring)
            suites.append(suite)
            notes += said
        except (BadInput, Refused) as error:
            problems.append(f"{quoted(name)}: {error.message}")
    if problems:
        raise Refused(f"{quoted(str(root))} cannot be read:\n{listed(problems)}", hint=_AGAIN)
    return TheirArchive(tuple(suites), notes=tuple(notes))


def _suite_names(dists: Path) -> list[str]:
    """Find suites; of several names for one folder the real one counts."""
    found: dict[Path, str] = {}
    for place in sorted(_below(dists, _DEEP), key=lambda place: (place.is_symlink(), str(place))):
        found.setdefault(place.resolve(), str(place.relative_to(dists)))
    return sorted(found.values())


def _below(folder: Path, depth: int) -> Iterator[Path]:
    for place in sorted(folder.iterdir()) if folder.is_dir() else ():
        if place.name.startswith(".") or not place.is_dir():
            continue
        if (place / "InRelease").is_file() or (place / "Release").is_file():
            yield place
        if depth and not place.is_symlink():
            yield from (deeper for deeper in _below(place, depth - 1) if _is_release(deeper))


def _is_release(place: Path) -> bool:
    """Say whether a Release is that of a suite: reprepro and dak write one beside each index too, which names no indexes."""
    if (place / "InRelease").is_file():
        return True
    content = (place / "Release").read_bytes()
    return b"\nSHA256:" in content or b"\nMD5Sum:" in content


def _suite(root: Path, name: str, scratch: Path, keyring: Keyring | None) -> tuple[TheirSuite, tuple[str, ...]]:
    folder = root / "dists" / name
    release = parse_release(_release_text(folder, keyring))
    chosen, absent = _chosen_indexes(folder, release)
    matches = [match for stem in chosen if (match := _INDEX.fullmatch(stem))]
    fields = {
        "Origin": release.origin or "",
        "Label": release.label or "",
        "Suite": release.suite or "",
        "Codename": release.codename or "",
        "Version": release.version or "",
        "Description": release.description or "",
        "NotAutomatic": "yes" if release.not_automatic else "",
        "ButAutomaticUpgrades": "yes" if release.but_automatic_upgrades else "",
    }
    suite = TheirSuite(
        name,
        tuple(dict.fromkeys(match["component"] for match in matches)),
        tuple(dict.fromkeys(match["architecture"] for match in matches if match["architecture"] not in (None, "all"))),
        partial(_packages, root, folder, chosen, scratch),
        {key: text for key, text in fields.items() if text},
    )
    return suite, tuple(f"{name}: {place} is not here" for place in absent)


def _release_text(folder: Path, keyring: Keyring | None) -> bytes:
    signed, plain = folder / "InRelease", folder / "Release"
    if signed.is_file():
        content = signed.read_bytes()
        return strip_clearsign(content) if keyring is None else keyring.verify_clear(content, str(signed)).content
    content = plain.read_bytes()
    if keyring is not None:
        detached = folder / "Release.gpg"
        if not detached.is_file():
            raise Refused(f"{quoted(str(plain))} is not signed", hint="leave out --keyring if you trust this disk")
        keyring.verify_detached(content, detached.read_bytes(), str(plain))
    return content


def _chosen_indexes(folder: Path, release: Release) -> tuple[Mapping[str, IndexEntry], tuple[str, ...]]:
    """Choose one compression of each index; give also what was not mirrored. Raises Refused for an index that got lost."""
    stems: dict[str, list[IndexEntry]] = {}
    for path, entry in release.indexes.items():
        stem, _ = split_ending(path)
        if _INDEX.fullmatch(stem):
            stems.setdefault(stem, []).append(entry)
    chosen: dict[str, IndexEntry] = {}
    absent: list[str] = []
    for stem, entries in sorted(stems.items()):
        here = [entry for entry in entries if (folder / entry.path).is_file()]
        if here:
            chosen[stem] = min(here, key=lambda entry: ENDINGS.index(split_ending(entry.path)[1]))
        elif min(entry.size for entry in entries):
            absent.append(stem)
    # A mirror of some architectures has a Release that names all: the folders of the others are not here.
    lost = [stem for stem in absent if (folder / stem).parent.is_dir()]
    if lost or (absent and not chosen):
        raise Refused(f"{', '.join(lost or absent)} is in no compression here that can be read", hint=_AGAIN)
    return chosen, tuple(sorted({stem.rpartition("/")[0] for stem in absent}))


def _packages(root: Path, folder: Path, chosen: Mapping[str, IndexEntry], scratch: Path) -> Iterator[TheirPackage]:
    for stem, entry in chosen.items():
        match = _INDEX.fullmatch(stem)
        if match is None:
            continue
        with tempfile.TemporaryFile(dir=scratch) as file:
            _unpack(folder / entry.path, entry, file)
            if not file.tell():
                continue
            file.flush()
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
                try:
                    read = _binaries if match["architecture"] else _sources
                    yield from read(root, match["component"], text)
                except BadInput as error:
                    raise BadInput(f"{quoted(str(folder / entry.path))}: {error.message}", hint=_AGAIN) from error


def _unpack(place: Path, entry: IndexEntry, target: BinaryIO) -> None:
    content = place.read_bytes()
    if (len(content), hashlib.sha256(content).hexdigest()) != (entry.size, entry.sha256):
        raise Refused(f"{quoted(str(place))} is not what Release says: it is older or newer", hint=_AGAIN)
    for part in unpacked_parts(content, split_ending(entry.path)[1], limit_bytes=_PLAIN_LIMIT_BYTES):
        target.write(part)


def _binaries(root: Path, component: str, text: mmap.mmap) -> Iterator[TheirPackage]:
    for entry in iter_packages(text):
        priority = (raw_field(entry.raw, b"Priority") or b"").decode(errors="replace")
        name = entry.filename.rpartition("/")[2]
        file = TheirFile(name, f"{root}/{entry.filename}", entry.sha256, entry.size)
        phase = (raw_field(entry.raw, b"Phased-Update-Percentage") or b"").decode(errors="replace")
        section = entry.section or ""
        yield TheirPackage(
            component, entry.name, str(entry.version), entry.architecture, section, priority, (file,), phase
        )


def _sources(root: Path, component: str, text: mmap.mmap) -> Iterator[TheirPackage]:
    for entry in iter_sources(text):
        priority = (raw_field(entry.raw, b"Priority") or b"").decode(errors="replace")
        below = f"{root}/{entry.directory}" if entry.directory else str(root)
        files = [TheirFile(file.name, f"{below}/{file.name}", file.sha256, file.size) for file in entry.files]
        files.sort(key=lambda file: (not file.name.endswith(".dsc"), file.name))
        yield TheirPackage(
            component, entry.name, str(entry.version), SOURCE, entry.section or "", priority, tuple(files)
        )
