"""Uploads: look at everything, say everything that is wrong at once, and take in what is right."""

from collections.abc import Sequence
from dataclasses import replace

from distwright.archive.access import Grant, refusals
from distwright.archive.changing import SuiteChange, edited, move, root_of
from distwright.archive.indexes import is_for_apt
from distwright.archive.merging import Difference, newest, with_stones
from distwright.archive.tree import TreeRoot
from distwright.archive.upload import Upload
from distwright.archive.upload_checks import check_upload
from distwright.archive.upload_files import Opened, edits_of, in_one_line, open_upload
from distwright.errors import BadInput, Refused, listed
from distwright.jobs.step import Context, Inputs, StepResult
from distwright.model import plain
from distwright.model.digests import Json, Sha256
from distwright.model.events import Event, EventKind
from distwright.model.names import pool_folder
from distwright.model.records import SuiteState, UploadVerdict
from distwright.store.database import Transaction
from distwright.store.events import append_event
from distwright.store.holds import add_holds, object_hold, replace_holds
from distwright.store.suites import find_pool_names, get_suite, has_pool_names_below
from distwright.store.uploads import find_accepted, find_upload, insert_upload, upload_of_job

_RECORD = ".buildinfo"


def accept_upload(context: Context, inputs: Inputs) -> StepResult:
    """Judge an upload and, if nothing is wrong, make the suite's next revision of it. Safe to repeat.

    inputs: as resolve.accept_order gives them. Raises Refused with all problems, which are kept with the upload; Busy if the suite
    changed meanwhile. What was rejected is judged anew when it comes again: the configuration may have been what was wrong.
    """
    archive, suite = plain.text(inputs, "archive"), plain.text(inputs, "suite")
    changes = plain.digest(inputs, "changes")
    with context.database.read() as tx:
        known = _known(tx, context, archive, suite, changes)
        before = get_suite(tx, archive, suite)
    if known is None or not known.is_accepted:
        _judge(context, inputs, before)
    with context.database.read() as tx:
        verdict = _known(tx, context, archive, suite, changes)
        revision = get_suite(tx, archive, suite).revision
    if verdict is None or not verdict.is_accepted:
        problems = [] if verdict is None else list(verdict.problems)
        raise Refused(
            f"the upload to {suite} is rejected:\n{listed(problems)}", hint=f"distwright upload list --suite {suite}"
        )
    return StepResult({}, values={"revision": revision, "source": verdict.source, "version": verdict.version})


def _known(tx: Transaction, context: Context, archive: str, suite: str, changes: Sha256) -> UploadVerdict | None:
    """Find what this job has said already, or what a person's command has said of this file."""
    return find_upload(tx, archive, suite, changes) if context.job is None else upload_of_job(tx, context.job)


def grants_of(context: Context, inputs: Inputs) -> list[Grant]:
    """Give the grants that an order carries; our builder's for its suite is built in."""
    grants = [Grant.from_json(value) for value in plain.members(inputs, "grants")] if "grants" in inputs else []
    signers = plain.text(inputs, "signers").encode()
    if signers:
        grants.append(Grant("builder", context.objects.put(signers), suites=(plain.text(inputs, "suite"),)))
    return grants


def _judge(context: Context, inputs: Inputs, before: SuiteState) -> None:
    files = plain.digest_map(inputs, "files")
    root = root_of(context, before)
    table = context.config.archives[before.archive]
    opened = open_upload(
        context.objects,
        plain.digest(inputs, "changes"),
        files,
        grants_of(context, inputs),
        before,
        root,
        table,
        context.now(),
    )
    opened = _with_archive(context, before.archive, opened)
    problems = list(opened.problems)
    after = None
    if opened.upload is not None:
        problems += [*refusals(opened.upload, opened.grants), *check_upload(opened.upload)]
        if not problems:
            after, problems = _next_state(context, root, opened.upload)
    changes = None if opened.upload is None else opened.upload.changes
    verdict = UploadVerdict(
        archive=before.archive,
        suite=before.name,
        changes=plain.digest(inputs, "changes"),
        source="" if changes is None else changes.source,
        version="" if changes is None else str(changes.version),
        signer=opened.signer,
        is_accepted=after is not None,
        problems=problems,
        files=files,
        at=context.now(),
        signed=opened.signed,
        job=context.job,
    )
    with context.write() as tx:
        _write_verdict(tx, context, verdict, before, opened.upload, after)


def _with_archive(context: Context, archive: str, opened: Opened) -> Opened:
    """Add what the archive knows already: what paths of the upload mean, whether the source is known, and the upload itself."""
    upload = opened.upload
    if upload is None:
        return opened
    paths = sorted({path for path, _ in upload.pool_paths()})
    with context.database.read() as tx:
        taken = find_pool_names(tx, archive, paths)
        folders = [pool_folder(component, upload.changes.source) for component in upload.components]
        is_known = any(has_pool_names_below(tx, archive, folder) for folder in folders)
        earlier = None if opened.signed is None else find_accepted(tx, archive, opened.signed)
    lost = [path for path, digest in taken.items() if not context.objects.touch(digest)]
    when = "" if earlier is None else f"{earlier.at:%Y-%m-%d %H:%M} into {earlier.suite}"
    return replace(opened, upload=replace(upload, taken=taken, lost=lost, is_known=is_known, earlier=when))


def _next_state(context: Context, root: TreeRoot, upload: Upload) -> tuple[TreeRoot | None, list[str]]:
    try:
        edits, offered = edits_of(upload)
    except BadInput as error:
        return None, [f"readable: {in_one_line(error)}"]
    changes = [
        Difference(list_name, name, _version(upload.present.get((list_name, name), ())), _version(stanzas))
        for list_name, names in edits.items()
        for name, stanzas in names.items()
    ]
    return edited(context, root, edits, offered, with_stones(root, changes)), []


def _version(stanzas: Sequence[bytes]) -> str:
    version = newest(stanzas)
    return "" if version is None else str(version)


def _write_verdict(
    tx: Transaction,
    context: Context,
    verdict: UploadVerdict,
    before: SuiteState,
    upload: Upload | None,
    after: TreeRoot | None,
) -> None:
    archive, suite, now = verdict.archive, verdict.suite, verdict.at
    insert_upload(tx, verdict)
    kept = [object_hold("", digest, name) for name, digest in verdict.files.items()]
    kept.append(object_hold("", verdict.changes, ".changes"))
    replace_holds(tx, f"upload {verdict.changes}", kept, now)
    if after is not None:  # who keeps uploads for a while only still has to keep these, for ever
        records = [object_hold("", digest, name) for name, digest in verdict.files.items() if name.endswith(_RECORD)]
        add_holds(tx, f"buildinfo {archive}/{verdict.source} {verdict.version}", records, now)
    fact: dict[str, Json] = {
        "archive": archive,
        "suite": suite,
        "source": verdict.source,
        "version": verdict.version,
        "changes": verdict.changes,
    }
    if upload is None or after is None:
        subject = f"{archive}/{suite} {verdict.source}"
        body: dict[str, Json] = {**fact, "problems": list(verdict.problems)}
        append_event(tx, Event(EventKind.UPLOAD_REJECTED, now, subject, body, context.job))
        return
    subject = f"{archive}/{suite} {verdict.source} {verdict.version}"
    accepted: dict[str, Json] = {**fact, "revision": after.revision, **_to_build(upload)}
    append_event(tx, Event(EventKind.UPLOAD_ACCEPTED, now, subject, accepted, context.job))
    added = tuple(
        sorted({deb.name for deb in upload.debs if is_for_apt(deb.list_name) and not deb.name.endswith("-dbgsym")})
    )
    change = SuiteChange("upload", f"{verdict.source} {verdict.version}", f"key {verdict.signer}", added)
    pool: list[tuple[str, Sha256]] = list(upload.pool_paths())
    # The tree was made of the suite as it was before; if it has another revision now, that one must not be lost.
    move(tx, before, after.revision, change, context, pool)


def _to_build(upload: Upload) -> dict[str, Json]:
    """Name the files of a source that came without packages: somebody has to build them."""
    if upload.dsc is None or upload.debs:
        return {}
    files = {name: file.digest for name, file in upload.files.items() if name.endswith(".dsc")}
    files |= {file.name: file.sha256 for file in upload.dsc.files}
    return {"source_files": {name: str(digest) for name, digest in sorted(files.items())}}
