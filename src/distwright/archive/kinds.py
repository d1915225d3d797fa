"""The job kinds of this stage: record, accept, publish, sign anew, and look at freeze exceptions."""

import json
from datetime import datetime

from distwright.archive.judging import RecordRequest
from distwright.archive.publish import PublishRequest, publish
from distwright.archive.record import record
from distwright.archive.renewing import PUBLIC, RENEW_KIND, due_names, renew_due
from distwright.archive.resolve import ACCEPT_KIND, PUBLISH_KIND, RECORD_KIND
from distwright.archive.snapshots import PoolChoice
from distwright.archive.tidying import TIDY_KIND, tidy_suite
from distwright.archive.uploads import accept_upload
from distwright.errors import Refused
from distwright.jobs.step import Action, Conclusion, Context, Earlier, Inputs, JobKind, StepResult
from distwright.model import plain
from distwright.model.digests import Json
from distwright.model.serials import Serial
from distwright.signing.verify import Keyring
from distwright.store.suites import find_suite

# What version 0.1.0 did not say: its jobs may still wait when it is replaced.
_RECORD_BEFORE: Inputs = {"udebs": False, "contents": False, "all_forms": False, "pool": "lazy", "credential": ""}
_PUBLISH_BEFORE: Inputs = {"contents": False, "pdiffs": False}


def _record(context: Context, inputs: Inputs, _earlier: Earlier) -> StepResult:
    inputs = {**_RECORD_BEFORE, **inputs}
    keyring = Keyring(context.objects.read(plain.digest(inputs, "keyring")), plain.text(inputs, "keyring_name"))
    request = RecordRequest(
        archive=plain.text(inputs, "archive"),
        suites=plain.texts(inputs, "suites"),
        components=plain.texts(inputs, "components"),
        architectures=plain.texts(inputs, "architectures"),
        has_sources=plain.flag(inputs, "sources"),
        translations=plain.texts(inputs, "translations"),
        origin=plain.text(inputs, "origin"),
        label=plain.text(inputs, "label"),
        accept_expired=plain.flag(inputs, "accept_expired"),
        url=plain.text(inputs, "url"),
        keyring=keyring,
        has_udebs=plain.flag(inputs, "udebs"),
        has_contents=plain.flag(inputs, "contents"),
        has_installer="installer" in inputs,
        has_all_forms=plain.flag(inputs, "all_forms"),
        pool=_pool_choice(inputs),
        credential=plain.text(inputs, "credential"),
        together=plain.texts(inputs, "together") if "together" in inputs else (),
        together_packages=plain.texts(inputs, "together_packages") if "together" in inputs else (),
    )
    serial = None if inputs["serial"] is None else Serial(plain.text(inputs, "serial"))
    recorded = record(request, context, context.paths.cache / "pool", serial)
    for note in recorded.notes:
        context.log(note)
    row = recorded.row
    values: dict[str, Json] = {
        "serial": row.serial,
        "snapshot": row.digest,
        "is_new": recorded.is_new,
        "notes": list(recorded.notes),
    }
    return StepResult({}, values=values)


def _pool_choice(inputs: Inputs) -> PoolChoice | None:
    if plain.text(inputs, "pool") == "lazy":
        return None
    return PoolChoice(
        plain.texts(inputs, "packages"),
        has_recommends=plain.flag(inputs, "recommends"),
        has_sources=plain.flag(inputs, "pool_sources"),
        is_filtered=plain.flag(inputs, "filtered"),
    )


def _recorded(inputs: Inputs, earlier: Earlier, _now: datetime, _job: int) -> Conclusion:
    values = earlier["record"].values
    state = "new" if values["is_new"] else "unchanged"
    notes = "".join(f"; {note}" for note in plain.texts(values, "notes"))
    return Conclusion(dict(values), f"{inputs['archive']} {values['serial']} ({state}){notes}")


def _accept(context: Context, inputs: Inputs, _earlier: Earlier) -> StepResult:
    return accept_upload(context, inputs)


def _accepted(inputs: Inputs, earlier: Earlier, _now: datetime, _job: int) -> Conclusion:
    values = earlier["accept"].values
    return Conclusion(dict(values), f"accepted {values['source']} {values['version']} into {inputs['suite']}")


def _publish(context: Context, inputs: Inputs, _earlier: Earlier) -> StepResult:
    inputs = {**_PUBLISH_BEFORE, **inputs}
    credentials = plain.texts(inputs, "credentials") if "credentials" in inputs else (plain.text(inputs, "credential"),)
    archive, suite = plain.text(inputs, "archive"), plain.text(inputs, "suite")
    with context.database.read() as tx:
        present = find_suite(tx, archive, suite)
    if present is not None and present.revision != inputs["revision"]:
        context.log(f"{archive}/{suite} has moved on to {present.revision.short}, which is published in one go")
        return StepResult({}, values={"moved_on": str(present.revision)})
    request = PublishRequest(
        archive=plain.text(inputs, "archive"),
        suite=plain.text(inputs, "suite"),
        revision=plain.digest(inputs, "revision"),
        lists=plain.texts(inputs, "lists"),
        fields=plain.text_map(inputs, "fields"),
        added=plain.texts(inputs, "added"),
        contents=plain.flag(inputs, "contents"),
        pdiffs=plain.flag(inputs, "pdiffs"),
    )
    row = publish(request, context, context.signer(*credentials))
    files = json.loads(context.objects.read(row.tree))["files"]
    return StepResult({}, values={"publication": row.id, "tree": row.tree, "inrelease": files["InRelease"]})


def _published(inputs: Inputs, earlier: Earlier, _now: datetime, _job: int) -> Conclusion:
    values = earlier["publish"].values
    if "moved_on" in values:
        return Conclusion(
            {}, f"{inputs['archive']}/{inputs['suite']} has moved on; its present state is published instead"
        )
    return Conclusion(
        dict(values), f"published {inputs['archive']}/{inputs['suite']} (publication {values['publication']})"
    )


def _tidy(context: Context, inputs: Inputs, _earlier: Earlier) -> StepResult:
    ended = tidy_suite(context, plain.text(inputs, "archive"), plain.text(inputs, "suite"), "distwright")
    return StepResult({}, values={"ended": [f"{one.row.name}: {one.why}" for one in ended]})


def _tidied(inputs: Inputs, earlier: Earlier, _now: datetime, _job: int) -> Conclusion:
    ended = plain.texts(earlier["tidy"].values, "ended")
    what = "; ".join(ended) or "all are still needed"
    return Conclusion({"ended": list(ended)}, f"exceptions of {inputs['archive']}/{inputs['suite']}: {what}")


def _renew(context: Context, inputs: Inputs, _earlier: Earlier) -> StepResult:
    archive = plain.text({"archive": PUBLIC, **inputs}, "archive")
    done = renew_due(context, archive)
    left = due_names(context.config, context.database, context.objects, context.now(), archive)
    if left:
        raise Refused(f"not signed anew: {', '.join(left)}", hint="see the log of this job: distwright job log JOB")
    return StepResult({}, values={"renewed": list(done)})


def _renewed(_inputs: Inputs, earlier: Earlier, _now: datetime, _job: int) -> Conclusion:
    done = plain.texts(earlier["renew"].values, "renewed")
    return Conclusion({"renewed": list(done)}, f"signed anew: {', '.join(done) or 'nothing was left to do'}")


RECORD = JobKind(RECORD_KIND, (Action("record", _record),), _recorded)
ACCEPT = JobKind(ACCEPT_KIND, (Action("accept", _accept),), _accepted)
PUBLISH = JobKind(PUBLISH_KIND, (Action("publish", _publish),), _published)
TIDY = JobKind(TIDY_KIND, (Action("tidy", _tidy),), _tidied)
RENEW = JobKind(RENEW_KIND, (Action("renew", _renew),), _renewed)
