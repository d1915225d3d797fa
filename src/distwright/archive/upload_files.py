"""Open an upload: who signed it, what its files are, and what they would make of the suite. Nothing of it is trusted here."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from distwright.archive.access import Grant
from distwright.archive.deb_survey import survey_deb
from distwright.archive.editing import Edits, StanzaReader
from distwright.archive.merging import of_source
from distwright.archive.translations import Offered
from distwright.archive.tree import Get, Stanzas, TreeRoot
from distwright.archive.upload import Upload, UploadedDeb, UploadedFile
from distwright.config.tables_archive import OwnArchive, UpstreamArchive
from distwright.errors import BadInput, DistwrightError, Refused
from distwright.formats.buildinfo import BuildInfo, parse_buildinfo
from distwright.formats.changes import Changes, parse_changes
from distwright.formats.clearsign import is_clearsigned, strip_clearsign
from distwright.formats.deb import read_deb
from distwright.formats.dsc import Dsc, parse_dsc
from distwright.formats.packages import package_stanza, translation_stanza
from distwright.formats.sources import source_stanza
from distwright.model.digests import Sha256
from distwright.model.names import package_name, pool_folder
from distwright.model.records import SuiteState
from distwright.signing.verify import Keyring, signed_at, weak_digests
from distwright.store.objects import ObjectStore

TEXT_LIMIT_BYTES = 16 << 20  # of .changes, .dsc and .buildinfo
FILES_LIMIT = 5000
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Opened:
    """What could be read. upload: None if not even the .changes could. problems: what could not, each with its check's name.

    signed: SHA-256 of the signed text. grants: by fingerprint, of those who signed.
    """

    upload: Upload | None
    signer: str | None
    problems: Sequence[str]
    signed: Sha256 | None = None
    grants: Mapping[str, Sequence[Grant]] = field(default_factory=dict)


@dataclass(slots=True)
class _Read:
    """What was found in the files so far."""

    files: dict[str, UploadedFile] = field(default_factory=dict)
    debs: list[UploadedDeb] = field(default_factory=list)
    dsc: Dsc | None = None
    buildinfos: dict[str, BuildInfo] = field(default_factory=dict)
    foreign: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def open_upload(
    objects: ObjectStore,
    changes_file: Sha256,
    files: Mapping[str, Sha256],
    grants: Sequence[Grant],
    before: SuiteState,
    root: TreeRoot,
    archive: OwnArchive | UpstreamArchive,
    now: datetime,
) -> Opened:
    """Read a .changes and its files. grants: whose signatures count. root: the present state of the suite."""
    try:
        message = _text_of(objects, changes_file, ".changes")
        if weak := weak_digests(message):
            return Opened(None, None, [f"strong-digests: .changes is signed with {', '.join(weak)}"])
        keyring, by_signer = _trusted(objects, grants)
        verified = keyring.verify_clear(message, ".changes")
        when = signed_at(message, ".changes")
    except DistwrightError as error:
        return Opened(None, None, [f"signature: {in_one_line(error)}"])
    signer, signed = verified.signers[0], Sha256(hashlib.sha256(verified.content.rstrip()).hexdigest())
    allowed = {name: by_signer.get(name, ()) for name in verified.signers}
    try:
        changes = parse_changes(verified.content)
        package_name(changes.source)
        if len(files) > FILES_LIMIT:
            raise BadInput(f"{len(files)} files came along", hint=f"upload at most {FILES_LIMIT} at once")
    except BadInput as error:
        return Opened(None, signer, [f"readable: {in_one_line(error)}"], signed, allowed)
    read = _Read()
    for name, digest in files.items():
        _open_file(objects, keyring, verified.signers, name, digest, read)
    upload = Upload(
        suite=before.name,
        changes=changes,
        signers=verified.signers,
        signed_at=when,
        now=now,
        files=read.files,
        debs=tuple(read.debs),
        dsc=read.dsc,
        buildinfos=read.buildinfos,
        foreign=read.foreign,
        present=_present(root, changes, read.debs, objects.read),
        components=archive.components,
        architectures=archive.architectures,
    )
    return Opened(upload, signer, read.problems, signed, allowed)


def edits_of(upload: Upload) -> tuple[Edits, Offered]:
    """Give what the upload makes of the suite: all of its source that was there goes, its packages come. Raises BadInput."""
    edits: dict[str, dict[str, Stanzas]] = {}
    offered: dict[str, dict[str, Stanzas]] = {}
    for (list_name, name), stanzas in upload.present.items():
        if stanzas and upload.is_replaced(list_name, name):
            edits.setdefault(list_name, {})[name] = ()
    for deb in upload.debs:
        edits.setdefault(deb.list_name, {})[deb.name] = (stanza_of(deb),)
        if not deb.is_udeb:
            texts = offered.setdefault(deb.component, {})
            texts[deb.name] = (*texts.get(deb.name, ()), _ending_once(translation_stanza(deb.deb.control)))
    if upload.dsc is not None:
        component = upload.source_component
        edits.setdefault(f"{component}/source", {})[upload.dsc.source] = (_source_stanza(upload, upload.dsc),)
    return edits, offered


def stanza_of(deb: UploadedDeb) -> bytes:
    """Give the paragraph that the index shows; raise BadInput with all problems of the control file."""
    file = deb.file
    return _ending_once(
        package_stanza(deb.deb.control, filename=deb.pool_path, size=file.size_bytes, md5=file.md5, sha256=file.digest)
    )


def in_one_line(error: DistwrightError) -> str:
    """Write an error for a list of problems."""
    first, *more = error.message.split("\n")
    return f"{first} {'; '.join(line.strip() for line in more)}".strip()


def _trusted(objects: ObjectStore, grants: Sequence[Grant]) -> tuple[Keyring, dict[str, list[Grant]]]:
    """Give the certificates that count, and what each of them was granted."""
    contents: dict[Sha256, bytes] = {}
    by_signer: dict[str, list[Grant]] = {}
    for grant in grants:
        content = contents.setdefault(grant.keyring, objects.read(grant.keyring))
        for fingerprint in Keyring(content, f"grant {grant.name}").fingerprints:
            if grant.counts(fingerprint):
                by_signer.setdefault(fingerprint, []).append(grant)
    if not by_signer:
        raise Refused("nobody may upload here", hint="add an [upload.NAME] table")
    return Keyring.joined(contents.values(), "the uploaders", by_signer.keys()), by_signer


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
            if stanzas := reader.find(list_name, name):
                present[list_name, name] = stanzas
    return present


def _open_file(
    objects: ObjectStore, keyring: Keyring, signers: Sequence[str], name: str, digest: Sha256, read: _Read
) -> None:
    try:
        read.files[name] = file = _hashed(objects, digest)
        if name.endswith((".deb", ".udeb")):
            read.debs.append(_open_deb(objects, name, file))
        elif name.endswith(".dsc"):
            read.dsc = parse_dsc(_signed_text(objects, keyring, signers, name, digest, read))
        elif name.endswith(".buildinfo"):
            read.buildinfos[name] = parse_buildinfo(_signed_text(objects, keyring, signers, name, digest, read))
    except BadInput as error:
        read.problems.append(f"readable: {name}: {in_one_line(error)}")


def _signed_text(
    objects: ObjectStore, keyring: Keyring, signers: Sequence[str], name: str, digest: Sha256, read: _Read
) -> bytes:
    """Give the text of a file that may be signed; if it is, by whom the .changes is signed, or that is noted."""
    content = _text_of(objects, digest, name)
    if not is_clearsigned(content):
        return content
    try:
        verified = keyring.verify_clear(content, name)
        if not set(verified.signers) & set(signers):
            read.foreign[name] = f"{name} is signed by key {verified.signers[0]}, .changes by {' '.join(signers)}"
    except Refused as error:
        read.foreign[name] = in_one_line(error)
    return strip_clearsign(content)


def _text_of(objects: ObjectStore, digest: Sha256, name: str) -> bytes:
    size = objects.size(digest)
    if size > TEXT_LIMIT_BYTES:
        raise BadInput(f"{name} has {size} bytes, {TEXT_LIMIT_BYTES} are allowed", hint="look at what was sent")
    return objects.read(digest)


def _hashed(objects: ObjectStore, digest: Sha256) -> UploadedFile:
    md5, sha1 = hashlib.md5(usedforsecurity=False), hashlib.sha1(usedforsecurity=False)
    with objects.open(digest) as file:
        while piece := file.read(_CHUNK):
            md5.update(piece)
            sha1.update(piece)
    return UploadedFile(digest, objects.size(digest), md5.hexdigest(), sha1.hexdigest())


def _open_deb(objects: ObjectStore, name: str, file: UploadedFile) -> UploadedDeb:
    with objects.open(file.digest) as content:
        deb = UploadedDeb(name, file, read_deb(content), survey_deb(content))
    stanza_of(deb)  # asks for everything that an index needs
    return deb


def _ending_once(stanza: bytes) -> bytes:
    return stanza.rstrip(b"\n") + b"\n"
