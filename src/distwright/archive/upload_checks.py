"""What is asked of every upload: one small question each, all of them answered, pure. What is inside of files: content_checks."""

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import timedelta

from distwright.archive.content_checks import CONTENT_CHECKS
from distwright.archive.editing import version_of
from distwright.archive.upload import ALL, Upload
from distwright.formats.values import FileHash, words
from distwright.model.versions import DebVersion

_AHEAD = timedelta(days=1)
_KINDS = (".deb", ".udeb", ".dsc", ".buildinfo")


def _is_not_seen_before(upload: Upload) -> list[str]:
    """An upload is taken once: who repeats it wants something back that has gone since."""
    return [f"this was accepted already on {upload.earlier}"] if upload.earlier else []


def _is_not_from_the_future(upload: Upload) -> list[str]:
    """A Date ahead of us would let an upload be replayed for longer than its window."""
    date = upload.changes.date
    return [f"Date of .changes is {date:%Y-%m-%d %H:%M}, in the future"] if date > upload.now + _AHEAD else []


def _is_for_this_suite(upload: Upload) -> list[str]:
    """What somebody signed for one suite must not be put into another."""
    suites = words(upload.changes.distribution)
    if len(suites) != 1:
        return [f"Distribution names {len(suites)} suites, want one"]
    return [] if suites[0] == upload.suite else [f"Distribution is {suites[0]}, and this is {upload.suite}"]


def _same_key(upload: Upload) -> list[str]:
    """A .dsc or .buildinfo that is signed must be so by whoever signed the .changes."""
    return list(upload.foreign.values())


def _files_are_here(upload: Upload) -> list[str]:
    """Everything that .changes lists came along."""
    return [f"{file.name} is missing" for file in upload.changes.files if file.name not in upload.files]


def _files_are_listed(upload: Upload) -> list[str]:
    """Nothing came along that is not signed for."""
    listed = {file.name for file in upload.changes.files}
    return [f"{name} is not in .changes, so nobody has signed it" for name in upload.files if name not in listed]


def _kinds_are_known(upload: Upload) -> list[str]:
    """Only what an archive can keep may be in an upload."""
    of_source = {file.name for file in upload.dsc.files} if upload.dsc is not None else set()
    return [
        f"{file.name} is neither a package, a file of the source nor a .buildinfo"
        for file in upload.changes.files
        if not file.name.endswith(_KINDS) and file.name not in of_source
    ]


def _hashes_match(upload: Upload) -> list[str]:
    """Files are what .changes says, by size and by every digest that it gives."""
    return [text for file in upload.changes.files for text in _differences(upload, file.as_hash(), ".changes")]


def _differences(upload: Upload, want: FileHash, who: str) -> list[str]:
    found = upload.files.get(want.name)
    if found is None:
        return []
    if found.digest != want.sha256:
        return [f"{want.name} has another SHA-256 than {who} says"]
    if found.size_bytes != want.size:
        return [f"{want.name} has {found.size_bytes} bytes, {who} says {want.size}"]
    weak = (("MD5", found.md5, want.md5), ("SHA-1", found.sha1, want.sha1))
    return [f"{want.name} has another {kind} than {who} says" for kind, is_, said in weak if said not in (None, is_)]


def _names_match(upload: Upload) -> list[str]:
    """File names are made of source, version and architecture; what is inside says the same as .changes."""
    problems = []
    changes = upload.changes
    for deb in upload.debs:
        right = f"{deb.name}_{deb.version.without_epoch}_{deb.architecture}.{'udeb' if deb.is_udeb else 'deb'}"
        if deb.file_name != right:
            problems.append(f"{deb.file_name} holds {right}")
        if deb.source != changes.source:
            problems.append(f"{deb.file_name} is of source {deb.source}, not {changes.source}")
        elif deb.source_version != changes.source_version:
            problems.append(
                f"{deb.file_name} is of version {deb.source_version} of its source, not {changes.source_version}"
            )
        if deb.architecture not in changes.architectures:
            problems.append(f"{deb.file_name} is for {deb.architecture}, which .changes does not list")
    dsc = upload.dsc
    if dsc is not None and (dsc.source, dsc.version) != (changes.source, changes.source_version):
        problems.append(f".dsc is of {dsc.source} {dsc.version}, not of what .changes says")
    stem = f"{changes.source}_{changes.source_version.without_epoch}"
    problems += [
        f"{name} is not called {stem}.dsc" for name in upload.files if name.endswith(".dsc") and name != f"{stem}.dsc"
    ]
    return problems


def _listed_architectures_have_debs(upload: Upload) -> list[str]:
    """Whoever announces an architecture brings packages for it."""
    present = {deb.architecture for deb in upload.debs} | ({"source"} if upload.dsc is not None else set())
    return [f"no file for architecture {name}" for name in upload.changes.architectures if name not in present]


def _packages_are_there_once(upload: Upload) -> list[str]:
    """One index never holds two packages of one name from one upload: apt would take either."""
    places = Counter((deb.name, deb.component, deb.architecture) for deb in upload.debs)
    twice = [f"{name} is there {count} times for {arch}" for (name, _, arch), count in places.items() if count > 1]
    homes: dict[str, set[str]] = {}
    for deb in upload.debs:
        homes.setdefault(deb.name, set()).add(ALL if deb.architecture == ALL else f"single, {deb.component}")
    return twice + [
        f"{name} is there for all architectures and for one" for name, kinds in homes.items() if len(kinds) > 1
    ]


def _has_its_source(upload: Upload) -> list[str]:
    """Packages without their source cannot be built again, and most licences want it; it may be in the suite already."""
    count = sum(name.endswith(".dsc") for name in upload.files)
    if count:
        return [] if count == 1 else [f"{count} .dsc files, want one"]
    source, version = upload.changes.source, upload.changes.source_version
    if version in upload.source_there:
        return []
    there = ", ".join(map(str, upload.source_there))
    has = f"{upload.suite} has {source} {there}, not {version}" if there else f"{upload.suite} has no source {source}"
    return [f"no .dsc: {has}, so its packages would be there without their source"]


def _source_is_whole(upload: Upload) -> list[str]:
    """Every file of the source came along, or is in the archive with the same content (the tar of upstream)."""
    problems = []
    for file in () if upload.dsc is None else upload.dsc.files:
        if file.name in upload.files:
            problems += _differences(upload, file, ".dsc")
        elif upload.source_path(file.name) not in upload.taken:
            problems.append(f"{file.name}, which .dsc names, is neither here nor in the archive")
        elif upload.source_path(file.name) in upload.lost:
            problems.append(f"{file.name}, which .dsc names, must come along: the archive no longer has it")
    return problems


def _belongs_into_the_archive(upload: Upload) -> list[str]:
    """The archive has the components and architectures."""
    problems = [
        f"{name} is for component {component}, the archive has {', '.join(upload.components)}"
        for name, component in (
            *((deb.file_name, deb.component) for deb in upload.debs),
            *((name, upload.source_component) for name in upload.files if name.endswith(".dsc")),
        )
        if component not in upload.components
    ]
    return problems + [
        f"{deb.file_name} is for {deb.architecture}, the archive has {', '.join(upload.architectures)}"
        for deb in upload.debs
        if deb.architecture not in (ALL, *upload.architectures)
    ]


def _is_newer(upload: Upload) -> list[str]:
    """The source is newer than what the suite has, and no package of it goes back."""
    version = DebVersion(upload.changes.version)
    problems: list[str] = []
    for (list_name, name), stanzas in upload.present.items():
        is_source = list_name.endswith("/source")
        if is_source:
            ours = version if upload.has_source and name == upload.changes.source else None
        else:
            ours = _comes_as(upload, name, list_name.rpartition("/binary-")[2])
        if ours is None:
            continue
        least = (ours.sort_key(), not is_source)  # a package may stay as it is, the source may not
        problems += [
            f"{name} {there} is in {upload.suite} already and not older than {ours}"
            for there in map(version_of, stanzas)
            if (there.sort_key(), True) > least
        ]
    return problems


def _comes_as(upload: Upload, name: str, architecture: str) -> DebVersion | None:
    """Say in which version a package comes to where the suite has one; other architectures may be rebuilt without this one."""
    for deb in upload.debs:
        if deb.name == name and (upload.has_source or ALL in (architecture, deb.architecture)):
            return deb.version
        if deb.name == name and deb.architecture == architecture:
            return deb.version
    return None


def _same_name_means_same_content(upload: Upload) -> list[str]:
    """What is published under a name never changes: clients and mirrors have it."""
    problems = [
        f"{path.rpartition('/')[2]} is in the archive already, with other content"
        for path, digest in upload.pool_paths()
        if upload.taken.get(path, digest) != digest
    ]
    return list(dict.fromkeys(problems))


CHECKS: Mapping[str, Callable[[Upload], list[str]]] = {
    "not-seen-before": _is_not_seen_before,
    "not-from-the-future": _is_not_from_the_future,
    "is-for-this-suite": _is_for_this_suite,
    "same-key": _same_key,
    "files-are-here": _files_are_here,
    "files-are-listed": _files_are_listed,
    "kinds-are-known": _kinds_are_known,
    "hashes-match": _hashes_match,
    "names-match": _names_match,
    "listed-architectures-have-debs": _listed_architectures_have_debs,
    "packages-are-there-once": _packages_are_there_once,
    "has-its-source": _has_its_source,
    "source-is-whole": _source_is_whole,
    "belongs-into-the-archive": _belongs_into_the_archive,
    "version-is-newer": _is_newer,
    "same-name-same-content": _same_name_means_same_content,
    **CONTENT_CHECKS,
}


def check_upload(upload: Upload) -> list[str]:
    """Ask every check; give all problems, each with the name of its check."""
    return [f"{name}: {problem}" for name, check in CHECKS.items() for problem in check(upload)]
