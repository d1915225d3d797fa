"""Read an archive that reprepro keeps: its configuration, and what its database says through reprepro itself.

Nothing of theirs is written and no lock of theirs is taken: reprepro is run on a copy of its database of packages, with a
configuration of ours, for theirs may name hooks. A lock that a dead reprepro left is no hindrance.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from distwright.archive.from_tree import tree_archive
from distwright.archive.theirs import SOURCE, TheirArchive, TheirFile, TheirPackage, TheirSuite
from distwright.errors import BadInput, NotFound, quoted
from distwright.formats.deb822 import Stanza, parse_stanzas
from distwright.formats.paths import safe_path
from distwright.formats.values import checksum_list, number
from distwright.tools.reprepro import list_packages
from distwright.tools.run import ENVIRONMENT

_RELEASE_FIELDS = (
    "Origin", "Label", "Suite", "Codename", "Version", "Description", "NotAutomatic", "ButAutomaticUpgrades", "ValidFor",
)  # fmt: skip
_INCLUDES = 20  # files that include files: more is a circle
_KINDS = ("deb", "udeb", "dsc")


def reprepro_archive(base: Path, scratch: Path) -> TheirArchive:
    """Read a reprepro base directory. scratch: an empty folder of ours. Raises NotFound, BadInput, ProgramFailed.

    Where reprepro is not installed, what it exported last is read instead, and a note says so.
    """
    distributions = read_distributions(base / "conf")
    uploaders = {stanza["Codename"]: _uploaders(base / "conf", stanza) for stanza in distributions}
    options = _options(base / "conf" / "options")
    outdir = _place(base, options.get("outdir", "+b/"))
    if shutil.which("reprepro", path=ENVIRONMENT["PATH"]) is None:
        note = "reprepro is not installed here, so this is what it exported last: apt install reprepro"
        found = tree_archive(outdir, scratch, only=[stanza["Codename"] for stanza in distributions])
        return replace(found, uploaders=uploaders, notes=(*found.notes, note))
    dbdir = _place(base, options.get("dbdir", "+b/db"))
    if not (dbdir / "packages.db").is_file():
        raise NotFound(
            f"{quoted(str(dbdir))} has no database of reprepro", hint="name the folder that conf/ and db/ are in"
        )
    is_locked = (dbdir / "lockfile").exists()
    _copy_database(dbdir, scratch)
    _write_distributions(distributions, scratch / "conf")
    note = "reprepro is locked: should it be at work, run this again when it has finished"
    suites = tuple(_suite(stanza, outdir, scratch) for stanza in distributions)
    return TheirArchive(suites, uploaders, (note,) if is_locked else ())


def read_distributions(conf: Path) -> list[Stanza]:
    """Read conf/distributions with what it includes (reprepro(1)); raise NotFound, BadInput."""
    if not (conf / "distributions").exists():
        raise NotFound(
            f"{quoted(str(conf))} has no file distributions", hint="name the folder that conf/ and db/ are in"
        )
    found = list(_stanzas(conf, conf / "distributions", _INCLUDES))
    if not found:
        raise NotFound(
            f"{quoted(str(conf / 'distributions'))} names no distribution",
            hint="name the folder that conf/ and db/ are in",
        )
    for stanza in found:
        missing = [name for name in ("Codename", "Architectures", "Components") if not stanza.get(name)]
        if missing:
            raise BadInput(
                f"a distribution in {quoted(str(conf))} has no {missing[0]}: {quoted(stanza.raw)}",
                hint="run there: reprepro check",
            )
    return found


def _stanzas(conf: Path, file: Path, depth: int) -> Iterator[Stanza]:
    if not depth:
        raise BadInput(f"{quoted(str(file))} includes itself", hint="look at its lines with !include:")
    if file.is_dir():
        for member in sorted(file.glob("*.conf")):
            if not member.name.startswith("."):
                yield from _stanzas(conf, member, depth - 1)
        return
    try:
        stanzas = list(parse_stanzas(file.read_bytes(), hand_written=True))
    except OSError as error:
        raise NotFound(
            f"{quoted(str(file))} cannot be read: {error.strerror}", hint="run it as reprepro's user"
        ) from error
    except BadInput as error:
        raise BadInput(f"{quoted(str(file))}: {error.message}", hint="correct it: reprepro check says more") from error
    for stanza in stanzas:
        included = stanza.get("!include")
        if included is None:
            yield stanza
        else:
            yield from _stanzas(conf, _place(conf.parent, included, conf), depth - 1)


def _uploaders(conf: Path, stanza: Stanza) -> tuple[str, ...]:
    """Give the rules of its file of uploaders, without comments; a file that is not there has none."""
    named = stanza.get("Uploaders")
    place = None if not named else _place(conf.parent, named, conf)
    if place is None or not place.is_file():
        return ()
    lines = place.read_text(encoding="utf-8", errors="replace").splitlines()
    return tuple(line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#"))


def _options(file: Path) -> Mapping[str, str]:
    if not file.is_file():
        return {}
    rows = [line.split(None, 1) for line in file.read_text(encoding="utf-8", errors="replace").splitlines()]
    return {row[0].removeprefix("--"): row[1].strip() for row in rows if len(row) == 2 and not row[0].startswith("#")}


def _place(base: Path, text: str, start: Path | None = None) -> Path:
    """Say what a path in the configuration means: +b/ is the base, +c/ the configuration (reprepro(1))."""
    if text.startswith("+b/"):
        return base / text[3:]
    if text.startswith("+c/"):
        return base / "conf" / text[3:]
    return (start or base) / Path(text).expanduser()


def _copy_database(dbdir: Path, scratch: Path) -> None:
    """Copy what `list` reads: reprepro takes a lock even for that, and refuses to if there is one."""
    (scratch / "db").mkdir()
    for file in (*dbdir.glob("packages*.db"), dbdir / "version"):
        if file.is_file():
            shutil.copyfile(file, scratch / "db" / file.name)


def _write_distributions(distributions: Sequence[Stanza], conf: Path) -> None:
    conf.mkdir()
    texts = [
        "".join(
            f"{name}: {' '.join(stanza[name].split())}\n"
            for name in ("Codename", "Architectures", "Components", "UDebComponents")
            if stanza.get(name)
        )
        for stanza in distributions
    ]
    (conf / "distributions").write_text("\n".join(texts), encoding="utf-8")


def _suite(stanza: Stanza, outdir: Path, scratch: Path) -> TheirSuite:
    architectures = tuple(name for name in stanza["Architectures"].split() if name != SOURCE)
    components = tuple(stanza["Components"].split())
    fields = {name: stanza[name] for name in _RELEASE_FIELDS if stanza.get(name)}
    codename = stanza["Codename"]
    return TheirSuite(codename, components, architectures, partial(_packages, codename, outdir, scratch), fields)


def _packages(codename: str, outdir: Path, scratch: Path) -> Iterator[TheirPackage]:
    for kind in _KINDS:
        for component, key, name, version, architecture, section, priority, size, sha256, checksums in list_packages(
            scratch / "conf", scratch / "db", codename, kind
        ):
            try:
                place = outdir / safe_path(key)
                if kind == "dsc":
                    files = _source_files(place, checksums)
                    own = SOURCE
                else:
                    own = architecture
                    files = (TheirFile(place.name, str(place), sha256, number(size)),)
            except BadInput as error:
                raise BadInput(
                    f"reprepro lists {quoted(name)} in {codename}: {error.message}",
                    hint="run there: reprepro collectnewchecksums",
                ) from error
            yield TheirPackage(component, name, version, own, section, priority, files)


def _source_files(dsc: Path, checksums: str) -> tuple[TheirFile, ...]:
    rows = checksum_list(checksums, str, safe_path)
    files = [TheirFile(name, str(dsc.parent / name), sha256, size) for name, (sha256, size) in rows.items()]
    return tuple(sorted(files, key=lambda file: (file.name != dsc.name, file.name)))
