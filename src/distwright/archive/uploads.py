"""Uploads: look at everything, say everything that is wrong at once, and take in what is right."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from distwright.archive.tree import TreeEntry, TreeRoot, build_tree, leaf_entries, parse_root
from distwright.errors import BadInput, DistwrightError, Refused, listed
from distwright.formats.changes import Changes, parse_changes
from distwright.formats.deb import DebControl, read_deb
from distwright.formats.deb822 import parse_one
from distwright.formats.dsc import Dsc, parse_dsc
from distwright.formats.packages import package_stanza
from distwright.formats.sources import source_stanza
from distwright.jobs.step import Context, Inputs, StepResult
from distwright.model import plain
from distwright.model.digests import Json, Sha256
from distwright.model.events import Event, EventKind
from distwright.model.names import package_name, pool_folder
from distwright.model.records import UploadVerdict
from distwright.model.versions import DebVersion
from distwright.signing.verify import Keyring
from distwright.store.archives import find_upload, get_suite, insert_upload, move_suite
from distwright.store.events import append_event
from distwright.store.holds import object_hold, replace_holds
from distwright.store.objects import ObjectStore


@dataclass(frozen=True, slots=True)
class UploadedDeb:
    """A .deb of an upload: what the .changes calls it, and what it says of itself."""

    file_name: str
    digest: Sha256
    size_bytes: int
    md5: str
    deb: DebControl

    @property
    def name(self) -> str:
        """The package's name."""
        return self.deb.control["Package"]

    @property
    def version(self) -> DebVersion:
        """The package's version."""
        return DebVersion(self.deb.control["Version"])

    @property
    def source(self) -> str:
        """The source package it was built from."""
        return self.deb.control.get("Source", self.name).partition(" ")[0]

    @property
    def architecture(self) -> str:
        """`all` or a Debian architecture."""
        return self.deb.control["Architecture"]


@dataclass(frozen=True, slots=True)
class Upload:
    """A .changes and its files, opened; nothing in it is trusted yet. present: the suite's entries before it."""

    suite: str
    changes: Changes
    files: Mapping[str, Sha256]
    sizes: Mapping[str, int]
    debs: tuple[UploadedDeb, ...]
    dsc: Dsc | None
    present: Sequence[TreeEntry]


def key_of_stanza(stanza: bytes) -> tuple[str, DebVersion]:
    """Read name and version of a Packages or Sources paragraph."""
    fields = parse_one(stanza)
    return fields["Package"], DebVersion(fields["Version"])


def all_entries(root: TreeRoot, objects: ObjectStore) -> list[TreeEntry]:
    """List everything in a tree."""
    return [
        entry
        for list_name, leaves in root.lists.items()
        for leaf in leaves
        for entry in leaf_entries(list_name, objects.read(leaf.digest), key_of_stanza)
    ]


def _files_are_here(upload: Upload) -> list[str]:
    return [f"{file.name} is missing" for file in upload.changes.files if file.name not in upload.files]


def _hashes_match(upload: Upload) -> list[str]:
    problems = []
    for file in upload.changes.files:
        if file.name not in upload.files:
            continue
        if upload.files[file.name] != file.sha256:
            problems.append(f"{file.name} has another SHA-256 than .changes says")
        elif upload.sizes[file.name] != file.size:
            problems.append(f"{file.name} has {upload.sizes[file.name]} bytes, .changes says {file.size}")
    return problems


def _names_match(upload: Upload) -> list[str]:
    problems = []
    for deb in upload.debs:
        right = f"{deb.name}_{deb.version.without_epoch}_{deb.architecture}.deb"
        if deb.file_name != right:
            problems.append(f"{deb.file_name} holds {right}")
        if deb.source != upload.changes.source:
            problems.append(f"{deb.file_name} is of source {deb.source}, not {upload.changes.source}")
        if deb.architecture not in upload.changes.architectures:
            problems.append(f"{deb.file_name} is for {deb.architecture}, which .changes does not list")
    if upload.dsc is not None and (upload.dsc.source, upload.dsc.version) != (
        upload.changes.source,
        upload.changes.source_version,
    ):
        problems.append(f".dsc is of {upload.dsc.source} {upload.dsc.version}, not of what .changes says")
    return problems


def _listed_architectures_have_debs(upload: Upload) -> list[str]:
    present = {deb.architecture for deb in upload.debs} | ({"source"} if upload.dsc is not None else set())
    return [f"no file for architecture {name}" for name in upload.changes.architectures if name not in present]


def _is_newer(upload: Upload) -> list[str]:
    version = DebVersion(upload.changes.version)
    return [
        f"{entry.name} {entry.version} is in {upload.suite} already and not older than {version}"
        for entry in upload.present
        if entry.list_name.endswith("/source")
        and entry.name == upload.changes.source
        and entry.version.sort_key() >= version.sort_key()
    ]


def _same_name_means_same_content(upload: Upload) -> list[str]:
    present = {
        parse_one(entry.stanza).get("Filename"): parse_one(entry.stanza).get("SHA256") for entry in upload.present
    }
    problems = []
    for deb in upload.debs:
        path = f"{pool_folder('main', deb.source)}/{deb.file_name}"
        if present.get(path, deb.digest) != deb.digest:
            problems.append(f"{deb.file_name} is in {upload.suite} already, with other content")
    return problems


CHECKS: Mapping[str, Callable[[Upload], list[str]]] = {
    "files-are-here": _files_are_here,
    "hashes-match": _hashes_match,
    "names-match": _names_match,
    "listed-architectures-have-debs": _listed_architectures_have_debs,
    "version-is-newer": _is_newer,
    "same-name-same-content": _same_name_means_same_content,
}


def check_upload(upload: Upload) -> list[str]:
    """Ask every check; give all problems, each with the name of its check."""
    return [f"{name}: {problem}" for name, check in CHECKS.items() for problem in check(upload)]


def entries_of(upload: Upload, dsc_digest: Sha256 | None) -> list[TreeEntry]:
    """Give what the upload adds to the suite: a stanza for each .deb and one for the source."""
    entries = []
    for deb in upload.debs:
        component = _component(deb.deb.control.get("Section", ""))
        path = f"{pool_folder(component, deb.source)}/{deb.file_name}"
        stanza = package_stanza(deb.deb.control, filename=path, size=deb.size_bytes, md5=deb.md5, sha256=deb.digest)
        entries.append(
            TreeEntry(f"{component}/binary-{deb.architecture}", deb.name, deb.version, stanza.rstrip(b"\n") + b"\n")
        )
    if upload.dsc is not None and dsc_digest is not None:
        file = next(file for file in upload.changes.files if file.name.endswith(".dsc"))
        component = _component(file.section)
        stanza = source_stanza(
            upload.dsc,
            directory=pool_folder(component, upload.dsc.source),
            dsc_file=file.as_hash(),
            section=file.section,
            priority=file.priority,
        )
        name, version = upload.dsc.source, DebVersion(upload.dsc.version)
        entries.append(TreeEntry(f"{component}/source", name, version, stanza.rstrip(b"\n") + b"\n"))
    return entries


def without_source(entries: Sequence[TreeEntry], source: str) -> list[TreeEntry]:
    """Leave out everything that was built from a source: an upload replaces it."""
    return [entry for entry in entries if _source_of(entry) != source]


def accept_upload(context: Context, inputs: Inputs) -> StepResult:
    """Judge an upload and, if nothing is wrong, make the suite's next revision of it. Safe to repeat.

    inputs: archive, suite, changes (digest), files (name -> digest), signers (armoured certificates that may upload).
    Raises Refused with all problems; they are kept with the upload.
    """
    archive, suite, changes_digest = (
        plain.text(inputs, "archive"),
        plain.text(inputs, "suite"),
        plain.digest(inputs, "changes"),
    )
    files = plain.digest_map(inputs, "files")
    with context.database.read() as tx:
        before = find_upload(tx, archive, suite, changes_digest)
        row = get_suite(tx, archive, suite)
    if before is None:
        root = parse_root(context.objects.read(row.revision))
        upload, signer, problems = _open_upload(
            context, inputs, suite, changes_digest, files, all_entries(root, context.objects)
        )
        if upload is not None:
            problems += check_upload(upload)
        _decide(context, archive, suite, changes_digest, files, upload, signer, problems)
    with context.database.read() as tx:
        verdict = find_upload(tx, archive, suite, changes_digest)
        revision = get_suite(tx, archive, suite).revision
    if verdict is None or not verdict.is_accepted:
        problems = [] if verdict is None else list(verdict.problems)
        raise Refused(
            f"the upload to {suite} is rejected:\n{listed(problems)}", hint=f"distwright upload list --suite {suite}"
        )
    return StepResult({}, values={"revision": revision, "source": verdict.source, "version": verdict.version})


def _open_upload(
    context: Context,
    inputs: Inputs,
    suite: str,
    changes_digest: Sha256,
    files: Mapping[str, Sha256],
    present: Sequence[TreeEntry],
) -> tuple[Upload | None, str | None, list[str]]:
    try:
        keyring = Keyring(plain.text(inputs, "signers").encode(), "the uploaders")
        verified = keyring.verify_clear(context.objects.read(changes_digest), ".changes")
        changes = parse_changes(verified.content)
        package_name(changes.source)
    except DistwrightError as error:
        return None, None, [f"signature: {error.message}"]
    problems: list[str] = []
    debs: list[UploadedDeb] = []
    dsc = None
    for name, digest in files.items():
        try:
            if name.endswith(".deb"):
                debs.append(_open_deb(context.objects, name, digest))
            elif name.endswith(".dsc"):
                dsc = parse_dsc(context.objects.read(digest))
        except BadInput as error:
            problems.append(f"readable: {name}: {error.message}")
    sizes = {name: context.objects.size(digest) for name, digest in files.items()}
    upload = Upload(suite, changes, files, sizes, tuple(debs), dsc, present)
    return upload, verified.signers[0], problems


def _open_deb(objects: ObjectStore, name: str, digest: Sha256) -> UploadedDeb:
    with objects.open(digest) as file:
        deb = read_deb(file)
        package_name(deb.control["Package"])
        file.seek(0)
        md5 = hashlib.md5(usedforsecurity=False)
        while piece := file.read(1 << 20):
            md5.update(piece)
    return UploadedDeb(name, digest, objects.size(digest), md5.hexdigest(), deb)


def _decide(
    context: Context,
    archive: str,
    suite: str,
    changes_digest: Sha256,
    files: Mapping[str, Sha256],
    upload: Upload | None,
    signer: str | None,
    problems: list[str],
) -> None:
    now = context.now()
    root: TreeRoot | None = None
    source = "" if upload is None else upload.changes.source
    version = "" if upload is None else str(upload.changes.version)
    if upload is not None and not problems:
        dsc = next((digest for name, digest in files.items() if name.endswith(".dsc")), None)
        entries = without_source(upload.present, source) + entries_of(upload, dsc)
        root = build_tree(entries, context.objects.put)
        context.objects.put(root.to_bytes())
    row = UploadVerdict(archive, suite, changes_digest, source, version, signer, root is not None, problems, files, now)
    with context.database.write() as tx:
        before = get_suite(tx, archive, suite)
        insert_upload(tx, row)
        if root is None:
            body = {"suite": suite, "changes": changes_digest, "problems": list(problems)}
            append_event(tx, Event(EventKind.UPLOAD_REJECTED, now, f"{archive}/{suite} {source}", body))
            return
        move_suite(tx, before, root.revision, now)
        replace_holds(tx, f"suite {archive}/{suite}", [object_hold("", root.revision, "present state")], now)
        kept = [object_hold("", digest, name) for name, digest in files.items()]
        replace_holds(tx, f"upload {changes_digest}", kept, now)
        subject = f"{archive}/{suite} {source} {version}"
        fact = {
            "suite": suite,
            "source": source,
            "version": version,
            "changes": changes_digest,
            "revision": root.revision,
        }
        append_event(tx, Event(EventKind.UPLOAD_ACCEPTED, now, subject, {**fact, "archive": archive}))
        added = [] if upload is None else sorted({deb.name for deb in upload.debs if not deb.name.endswith("-dbgsym")})
        change: dict[str, Json] = {"archive": archive, "suite": suite, "revision": root.revision, "added": added}
        append_event(tx, Event(EventKind.SUITE_CHANGED, now, f"{archive}/{suite}", change))


def _component(section: str) -> str:
    area, slash, _ = section.partition("/")
    return area if slash else "main"


def _source_of(entry: TreeEntry) -> str:
    if entry.list_name.endswith("/source"):
        return entry.name
    return (parse_one(entry.stanza).get("Source") or entry.name).partition(" ")[0]
