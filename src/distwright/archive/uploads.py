"""Uploads: look at everything, say everything that is wrong at once, and take in what is right."""

from collections.abc import Sequence
from dataclasses import replace

from distwright.archive.changing import SuiteChange, edited, move, root_of
from distwright.archive.merging import Difference, newest, with_stones
from distwright.archive.tree import TreeRoot
from distwright.archive.upload_checks import Upload, check_upload
from distwright.archive.upload_files import Opened, edits_of, in_one_line, open_upload
from distwright.errors import BadInput, Refused, listed
from distwright.jobs.step import Context, Inputs, StepResult
from distwright.model import plain
from distwright.model.digests import Json, Sha256
from distwright.model.events import Event, EventKind
from distwright.model.records import SuiteState, UploadVerdict
from distwright.store.database import Transaction
from distwright.store.events import append_event
from distwright.store.holds import object_hold, replace_holds
from distwright.store.suites import find_pool_names, get_suite
from distwright.store.uploads import find_upload, insert_upload


def accept_upload(context: Context, inputs: Inputs) -> StepResult:
    """Judge an upload and, if nothing is wrong, make the suite's next revision of it. Safe to repeat.

    inputs: archive, suite, changes (digest), files (name -> digest), signers (armoured certificates that may upload).
    Raises Refused with all problems, which are kept with the upload; Busy if the suite changed meanwhile. What was rejected is
    judged anew when it comes again: the configuration may have been what was wrong.
    """
    archive, suite = plain.text(inputs, "archive"), plain.text(inputs, "suite")
    changes = plain.digest(inputs, "changes")
    with context.database.read() as tx:
        known = find_upload(tx, archive, suite, changes)
        before = get_suite(tx, archive, suite)
    if known is None or not known.is_accepted:
        _judge(context, inputs, before)
    with context.database.read() as tx:
        verdict = find_upload(tx, archive, suite, changes)
        revision = get_suite(tx, archive, suite).revision
    if verdict is None or not verdict.is_accepted:
        problems = [] if verdict is None else list(verdict.problems)
        raise Refused(
            f"the upload to {suite} is rejected:\n{listed(problems)}", hint=f"distwright upload list --suite {suite}"
        )
    return StepResult({}, values={"revision": revision, "source": verdict.source, "version": verdict.version})


def _judge(context: Context, inputs: Inputs, before: SuiteState) -> None:
    files = plain.digest_map(inputs, "files")
    signers = plain.text(inputs, "signers").encode()
    root = root_of(context, before)
    table = context.config.archives[before.archive]
    opened = open_upload(context.objects, plain.digest(inputs, "changes"), files, signers, before, root, table)
    opened = _with_taken(context, before.archive, opened)
    problems = list(opened.problems)
    after = None
    if opened.upload is not None:
        problems += check_upload(opened.upload)
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
    )
    with context.write() as tx:
        _write_verdict(tx, context, verdict, before, opened.upload, after)


def _with_taken(context: Context, archive: str, opened: Opened) -> Opened:
    """Add what the paths of the upload mean in the archive already."""
    if opened.upload is None:
        return opened
    paths = sorted({path for path, _ in opened.upload.pool_paths()})
    with context.database.read() as tx:
        taken = find_pool_names(tx, archive, paths)
    return replace(opened, upload=replace(opened.upload, taken=taken))


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
    append_event(tx, Event(EventKind.UPLOAD_ACCEPTED, now, subject, {**fact, "revision": after.revision}, context.job))
    added = tuple(sorted({deb.name for deb in upload.debs if not deb.name.endswith("-dbgsym")}))
    change = SuiteChange("upload", f"{verdict.source} {verdict.version}", f"key {verdict.signer}", added)
    pool: list[tuple[str, Sha256]] = list(upload.pool_paths())
    # The tree was made of the suite as it was before; if it has another revision now, that one must not be lost.
    move(tx, before, after.revision, change, context, pool)
