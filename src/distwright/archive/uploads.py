"""Uploads: look at everything, say everything that is wrong at once, and take in what is right."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from distwright.archive.editing import iter_entries
from distwright.archive.indexes import pool_of
from distwright.archive.tree import TreeEntry, TreeRoot, build_tree, parse_root
from distwright.archive.upload_checks import Upload, UploadedDeb, check_upload
from distwright.errors import BadInput, Busy, DistwrightError, Refused, listed
from distwright.formats.changes import parse_changes
from distwright.formats.deb import read_deb
from distwright.formats.deb822 import parse_one
from distwright.formats.dsc import parse_dsc
from distwright.formats.packages import package_stanza
from distwright.formats.sources import source_stanza
from distwright.jobs.step import Context, Inputs, StepResult
from distwright.model import plain
from distwright.model.digests import Json, Sha256, sha256_of
from distwright.model.events import Event, EventKind
from distwright.model.names import package_name, pool_folder
from distwright.model.records import SuiteState, UploadVerdict
from distwright.signing.verify import Keyring
from distwright.store.database import Transaction
from distwright.store.events import append_event
from distwright.store.holds import object_hold, replace_holds
from distwright.store.objects import ObjectStore
from distwright.store.suites import get_suite, list_suites, move_suite
from distwright.store.uploads import find_upload, insert_upload


def entries_of(upload: Upload) -> list[TreeEntry]:
    """Give what the upload adds to the suite: a stanza for each .deb and one for the source; raise BadInput."""
    entries = [
        TreeEntry(f"{deb.component}/binary-{deb.architecture}", deb.name, deb.version, stanza_of(deb))
        for deb in upload.debs
    ]
    if upload.dsc is not None:
        file = next(file for file in upload.changes.files if file.name.endswith(".dsc"))
        component = upload.source_component
        stanza = source_stanza(
            upload.dsc,
            directory=pool_folder(component, upload.dsc.source),
            dsc_file=file.as_hash(),
            section=file.section,
            priority=file.priority,
        )
        entries.append(TreeEntry(f"{component}/source", upload.dsc.source, upload.dsc.version, _ending_once(stanza)))
    return entries


def stanza_of(deb: UploadedDeb) -> bytes:
    """Give the paragraph that the index shows; raise BadInput with all problems of the control file."""
    control = deb.deb.control
    stanza = package_stanza(control, filename=deb.pool_path, size=deb.size_bytes, md5=deb.md5, sha256=deb.digest)
    return _ending_once(stanza)


def without_source(entries: Sequence[TreeEntry], source: str) -> list[TreeEntry]:
    """Leave out everything that was built from a source: an upload replaces it."""
    return [entry for entry in entries if _source_of(entry) != source]


def pool_of_archive(tx: Transaction, archive: str, objects: ObjectStore) -> dict[str, Sha256]:
    """Say what every pool path means that a suite of the archive names: path -> content."""
    roots = [parse_root(objects.read(row.revision)) for row in list_suites(tx) if row.archive == archive]
    return {file.path: file.sha256 for root in roots for file in pool_of(root, objects.read)}


def accept_upload(context: Context, inputs: Inputs) -> StepResult:
    """Judge an upload and, if nothing is wrong, make the suite's next revision of it. Safe to repeat.

    inputs: archive, suite, changes (digest), files (name -> digest), signers (armoured certificates that may upload).
    Raises Refused with all problems, which are kept with the upload; Busy if the suite changed meanwhile.
    """
    archive, suite = plain.text(inputs, "archive"), plain.text(inputs, "suite")
    changes = plain.digest(inputs, "changes")
    with context.database.read() as tx:
        known = find_upload(tx, archive, suite, changes)
        before = get_suite(tx, archive, suite)
        taken = pool_of_archive(tx, archive, context.objects)
    if known is None:
        _judge(context, inputs, before, taken)
    with context.database.read() as tx:
        verdict = find_upload(tx, archive, suite, changes)
        revision = get_suite(tx, archive, suite).revision
    if verdict is None or not verdict.is_accepted:
        problems = [] if verdict is None else list(verdict.problems)
        raise Refused(
            f"the upload to {suite} is rejected:\n{listed(problems)}", hint=f"distwright upload list --suite {suite}"
        )
    return StepResult({}, values={"revision": revision, "source": verdict.source, "version": verdict.version})


def _judge(context: Context, inputs: Inputs, before: SuiteState, taken: Mapping[str, Sha256]) -> None:
    files = plain.digest_map(inputs, "files")
    present = list(iter_entries(parse_root(context.objects.read(before.revision)), context.objects.read))
    opened = _open_upload(context, inputs, before, files, present, taken)
    problems, added = list(opened.problems), []
    if opened.upload is not None:
        problems += check_upload(opened.upload)
    if opened.upload is not None and not problems:
        try:
            added = entries_of(opened.upload)
        except BadInput as error:
            problems.append(f"readable: {_in_one_line(error)}")
    root = None
    if opened.upload is not None and not problems:
        kept = without_source(present, opened.upload.changes.source)
        root = build_tree([*kept, *added], context.objects.put)
        context.objects.put(root.to_bytes())
    changes = None if opened.upload is None else opened.upload.changes
    verdict = UploadVerdict(
        archive=before.archive,
        suite=before.name,
        changes=plain.digest(inputs, "changes"),
        source="" if changes is None else changes.source,
        version="" if changes is None else str(changes.version),
        signer=opened.signer,
        is_accepted=root is not None,
        problems=problems,
        files=files,
        at=context.now(),
    )
    names = [] if opened.upload is None else sorted({deb.name for deb in opened.upload.debs})
    with context.write() as tx:
        added_names = [name for name in names if not name.endswith("-dbgsym")]
        _write_verdict(tx, verdict, before, root, added_names, context.job)


def _write_verdict(
    tx: Transaction,
    verdict: UploadVerdict,
    before: SuiteState,
    root: TreeRoot | None,
    added: Sequence[str],
    job: int | None,
) -> None:
    archive, suite, now = verdict.archive, verdict.suite, verdict.at
    insert_upload(tx, verdict)
    fact: dict[str, Json] = {
        "archive": archive,
        "suite": suite,
        "source": verdict.source,
        "version": verdict.version,
        "changes": verdict.changes,
    }
    if root is None:
        body: dict[str, Json] = {**fact, "problems": list(verdict.problems)}
        append_event(tx, Event(EventKind.UPLOAD_REJECTED, now, f"{archive}/{suite} {verdict.source}", body, job))
        return
    # The tree was made of the suite as it was before; if it has another revision now, that one must not be lost.
    if not move_suite(tx, before, root.revision, now):
        raise Busy(f"suite {archive}/{suite} has changed while the upload was judged", hint="distwright job retry JOB")
    replace_holds(tx, f"suite {archive}/{suite}", [object_hold("", root.revision, "present state")], now)
    kept = [object_hold("", digest, name) for name, digest in {".changes": verdict.changes, **verdict.files}.items()]
    replace_holds(tx, f"upload {verdict.changes}", kept, now)
    subject = f"{archive}/{suite} {verdict.source} {verdict.version}"
    append_event(tx, Event(EventKind.UPLOAD_ACCEPTED, now, subject, {**fact, "revision": root.revision}, job))
    change: dict[str, Json] = {
        "archive": archive,
        "suite": suite,
        "before": before.revision,
        "revision": root.revision,
        "added": list(added),
    }
    append_event(tx, Event(EventKind.SUITE_CHANGED, now, f"{archive}/{suite}", change, job))


@dataclass(frozen=True, slots=True)
class _Opened:
    upload: Upload | None
    signer: str | None
    problems: Sequence[str]


def _open_upload(
    context: Context,
    inputs: Inputs,
    before: SuiteState,
    files: Mapping[str, Sha256],
    present: Sequence[TreeEntry],
    taken: Mapping[str, Sha256],
) -> _Opened:
    try:
        keyring = Keyring(plain.text(inputs, "signers").encode(), "the uploaders")
        verified = keyring.verify_clear(context.objects.read(plain.digest(inputs, "changes")), ".changes")
    except DistwrightError as error:
        return _Opened(None, None, [f"signature: {_in_one_line(error)}"])
    try:
        changes = parse_changes(verified.content)
        package_name(changes.source)
    except BadInput as error:
        return _Opened(None, verified.signers[0], [f"readable: {_in_one_line(error)}"])
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
            problems.append(f"readable: {name}: {_in_one_line(error)}")
    table = context.config.archives[before.archive]
    sizes = {name: context.objects.size(digest) for name, digest in files.items()}
    upload = Upload(
        before.name, changes, files, sizes, tuple(debs), dsc, present, taken, table.components, table.architectures
    )
    published = _published(upload, context.paths.public / before.archive)
    return _Opened(replace(upload, taken={**taken, **published}), verified.signers[0], problems)


def _open_deb(objects: ObjectStore, name: str, digest: Sha256) -> UploadedDeb:
    with objects.open(digest) as file:
        deb = read_deb(file)
        file.seek(0)
        md5 = hashlib.md5(usedforsecurity=False)
        while piece := file.read(1 << 20):
            md5.update(piece)
    opened = UploadedDeb(name, digest, objects.size(digest), md5.hexdigest(), deb)
    stanza_of(opened)  # asks for everything that an index needs
    return opened


def _published(upload: Upload, pool: Path) -> dict[str, Sha256]:
    """Say what is published already under the paths of the upload, even if no suite names it any more."""
    paths = {path for path, _ in upload.pool_paths() if path not in upload.taken and ".." not in path.split("/")}
    return {path: sha256_of((pool / path).read_bytes()) for path in paths if (pool / path).is_file()}


def _in_one_line(error: DistwrightError) -> str:
    first, *more = error.message.split("\n")
    return f"{first} {'; '.join(line.strip() for line in more)}".strip()


def _ending_once(stanza: bytes) -> bytes:
    return stanza.rstrip(b"\n") + b"\n"


def _source_of(entry: TreeEntry) -> str:
    if entry.list_name.endswith("/source"):
        return entry.name
    return (parse_one(entry.stanza).get("Source") or entry.name).partition(" ")[0]
