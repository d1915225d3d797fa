"""Open an upload: who signed it, what its files are, and what they would make of the suite. Nothing of it is trusted here."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from distwright.archive.editing import Edits, StanzaReader
from distwright.archive.merging import of_source
from distwright.archive.translations import Offered
from distwright.archive.tree import Get, Stanzas, TreeRoot
from distwright.archive.upload_checks import Upload, UploadedDeb
from distwright.config.tables_archive import OwnArchive, UpstreamArchive
from distwright.errors import BadInput, DistwrightError
from distwright.formats.changes import Changes, parse_changes
from distwright.formats.clearsign import is_clearsigned, strip_clearsign
from distwright.formats.deb import read_deb
from distwright.formats.dsc import Dsc, parse_dsc
from distwright.formats.packages import package_stanza, translation_stanza
from distwright.formats.sources import source_stanza
from distwright.model.digests import Sha256
from distwright.model.names import package_name, pool_folder
from distwright.model.records import SuiteState
from distwright.signing.verify import Keyring
from distwright.store.objects import ObjectStore

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Opened:
    """What could be read. upload: None if not even the .changes could. problems: what could not, each with its check's name."""

    upload: Upload | None
    signer: str | None
    problems: Sequence[str]


def open_upload(
    objects: ObjectStore,
    changes_file: Sha256,
    files: Mapping[str, Sha256],
    signers: bytes,
    before: SuiteState,
    root: TreeRoot,
    archive: OwnArchive | UpstreamArchive,
) -> Opened:
    """Read a .changes and its files. signers: certificates that may upload. root: the present state of the suite."""
    try:
        verified = Keyring(signers, "the uploaders").verify_clear(objects.read(changes_file), ".changes")
    except DistwrightError as error:
        return Opened(None, None, [f"signature: {in_one_line(error)}"])
    try:
        changes = parse_changes(verified.content)
        package_name(changes.source)
    except BadInput as error:
        return Opened(None, verified.signers[0], [f"readable: {in_one_line(error)}"])
    debs, dsc, problems = _open_files(objects, files)
    upload = Upload(
        suite=before.name,
        changes=changes,
        files=files,
        sizes={name: objects.size(digest) for name, digest in files.items()},
        debs=debs,
        dsc=dsc,
        present=_present(root, changes, debs, objects.read),
        taken={},
        components=archive.components,
        architectures=archive.architectures,
    )
    return Opened(upload, verified.signers[0], problems)


def edits_of(upload: Upload) -> tuple[Edits, Offered]:
    """Give what the upload makes of the suite: all of its source that was there goes, its packages come. Raises BadInput."""
    edits: dict[str, dict[str, Stanzas]] = {}
    offered: dict[str, dict[str, Stanzas]] = {}
    for (list_name, name), stanzas in upload.present.items():
        if stanzas and upload.is_replaced(list_name, name):
            edits.setdefault(list_name, {})[name] = ()
    for deb in upload.debs:
        edits.setdefault(f"{deb.component}/binary-{deb.architecture}", {})[deb.name] = (stanza_of(deb),)
        texts = offered.setdefault(deb.component, {})
        texts[deb.name] = (*texts.get(deb.name, ()), _ending_once(translation_stanza(deb.deb.control)))
    if upload.dsc is not None:
        component = upload.source_component
        edits.setdefault(f"{component}/source", {})[upload.dsc.source] = (_source_stanza(upload, upload.dsc),)
    return edits, offered


def stanza_of(deb: UploadedDeb) -> bytes:
    """Give the paragraph that the index shows; raise BadInput with all problems of the control file."""
    control = deb.deb.control
    return _ending_once(
        package_stanza(control, filename=deb.pool_path, size=deb.size_bytes, md5=deb.md5, sha256=deb.digest)
    )


def in_one_line(error: DistwrightError) -> str:
    """Write an error for a list of problems."""
    first, *more = error.message.split("\n")
    return f"{first} {'; '.join(line.strip() for line in more)}".strip()


def _source_stanza(upload: Upload, dsc: Dsc) -> bytes:
    file = next(file for file in upload.changes.files if file.name.endswith(".dsc"))
    stanza = source_stanza(
        dsc,
        directory=pool_folder(upload.source_component, dsc.source),
        dsc_file=file.as_hash(),
        section=file.section,
        priority=file.priority,
    )
    return _ending_once(stanza)


def _present(root: TreeRoot, changes: Changes, debs: Sequence[UploadedDeb], get: Get) -> dict[tuple[str, str], Stanzas]:
    """Find what the suite has of the source, and of the names of the packages that came."""
    present = of_source(root, changes.source, get)
    reader = StanzaReader(root, get)
    for list_name in root.lists:
        for name in sorted({deb.name for deb in debs}) if "/binary-" in list_name else ():
            present.setdefault((list_name, name), reader.find(list_name, name))
    return present


def _open_files(
    objects: ObjectStore, files: Mapping[str, Sha256]
) -> tuple[tuple[UploadedDeb, ...], Dsc | None, list[str]]:
    debs: list[UploadedDeb] = []
    problems: list[str] = []
    dsc = None
    for name, digest in files.items():
        try:
            if name.endswith(".deb"):
                debs.append(_open_deb(objects, name, digest))
            elif name.endswith(".dsc"):
                content = objects.read(digest)
                dsc = parse_dsc(strip_clearsign(content) if is_clearsigned(content) else content)
        except BadInput as error:
            problems.append(f"readable: {name}: {in_one_line(error)}")
    return tuple(debs), dsc, problems


def _open_deb(objects: ObjectStore, name: str, digest: Sha256) -> UploadedDeb:
    with objects.open(digest) as file:
        deb = read_deb(file)
        file.seek(0)
        md5 = hashlib.md5(usedforsecurity=False)
        while piece := file.read(_CHUNK):
            md5.update(piece)
    opened = UploadedDeb(name, digest, objects.size(digest), md5.hexdigest(), deb)
    stanza_of(opened)  # asks for everything that an index needs
    return opened


def _ending_once(stanza: bytes) -> bytes:
    return stanza.rstrip(b"\n") + b"\n"
