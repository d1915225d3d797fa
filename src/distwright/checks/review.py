"""The review of what was built: lintian on the packages, blhc on the log, in the environment of the checkers, without network.

Its findings are the rows of kinds `lintian` and `hardening-flags` about the source in a suite: each review replaces all of them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from distwright.archive.resolve import Ground, resolve_suites
from distwright.builds.environment import EnvironmentRecipe, environment_step, root_of
from distwright.builds.resolve import environment_recipe, table_from
from distwright.checks.blhc import EXIT_BAD_ARGUMENTS, EXIT_LIMIT, parse_blhc
from distwright.checks.findings import see_all
from distwright.checks.lines import recipe_of
from distwright.checks.lintian import ARGV, parse_lintian
from distwright.config.model import Config
from distwright.errors import BadInput, WorkFailed
from distwright.jobs.order import PRIORITY_DAILY, JobOrder
from distwright.jobs.step import (
    Action,
    Conclusion,
    Context,
    Earlier,
    Inputs,
    JobKind,
    KindName,
    Plan,
    PlannedCommand,
    Step,
    StepEnd,
    StepResult,
    Verdict,
    Where,
    judge_by_exit,
)
from distwright.model import plain
from distwright.model.digests import Json, Sha256
from distwright.model.outcomes import Outcome
from distwright.model.records import Job, KnownFinding, Trial
from distwright.model.versions import DebVersion, compare
from distwright.store.database import Database, Transaction
from distwright.store.holds import Hold
from distwright.store.jobs import find_job
from distwright.store.trials import list_trials, set_trial

KIND = KindName("package.review", 1)
QUESTION = "review"
LINTIAN, HARDENING = "lintian", "hardening-flags"
_TIMEOUT_S = 1800
# An environment may have only one of the programs: that is its owner's choice.
_LINTIAN = """#!/bin/sh
command -v lintian >/dev/null || exit 0
cd in
exec "$@" *.changes >../lintian.json
"""
_BLHC = """#!/bin/sh
command -v blhc >/dev/null || exit 0
exec blhc --arch "$1" build.log >blhc.txt
"""

# inputs: source, version, files (name -> digest, with the .changes), log (digest; absent: it was not kept), environment (of the
# checkers), place (`suite/architecture` that it was built for; absent: nobody said).


@dataclass(frozen=True, slots=True)
class Built:
    """What a build left. files: packages, source and .changes by name. log: what it printed, if that was kept.

    place: `suite/architecture` that it was built for.
    """

    source: str
    version: str
    files: Mapping[str, Sha256]
    log: Sha256 | None = None
    place: str = ""


def built_of(inputs: Inputs, outputs: Inputs) -> Built:
    """Read what a finished `package.build` says it left. Raises BadInput."""
    files = plain.digest_map(outputs, "files") | {plain.text(outputs, "changes_name"): plain.digest(outputs, "changes")}
    log = plain.digest(outputs, "log") if "log" in outputs else None
    place = f"{plain.text(inputs, 'suite')}/{recipe_of(inputs).architecture}"
    return Built(plain.text(inputs, "source"), plain.text(inputs, "version"), files, log, place)


def order_of_build(database: Database, ground: Ground, job: Job) -> JobOrder | None:
    """Order the review of what a finished build left; None if its environment names no checkers, or it left nothing.

    Raises NotReadyError while an archive of the checkers has no snapshot.
    """
    name = checkers_of(ground.config, plain.text(job.inputs, "repo"), plain.text(job.inputs, "suite"))
    if name is None or job.outputs is None or "changes_name" not in job.outputs:
        return None
    with database.read() as tx:
        resolved = resolve_suites(tx, ground, table_from(ground.config, name))
    recipe = environment_recipe(ground.config, name, resolved)
    return review_order(built_of(job.inputs, job.outputs), recipe, resolved.holds)


def checkers_of(config: Config, repo: str, suite: str) -> str | None:
    """Name the environment whose programs look at what a repo builds, or what is built for a suite; None if there is none."""
    table = config.repos.get(repo)
    follows = config.suites.get(suite)
    environment = table.environment if table is not None else None if follows is None else follows.environment
    return None if environment is None else config.environments[environment].checkers


def review_order(built: Built, checkers: EnvironmentRecipe, holds: tuple[Hold, ...] = ()) -> JobOrder:
    """Order the review. Of the lowest priority: nothing waits for it."""
    inputs: dict[str, Json] = {
        "source": built.source,
        "version": built.version,
        "files": {name: str(digest) for name, digest in sorted(built.files.items())},
        "environment": checkers.to_json(),
    }
    if built.log is not None:
        inputs["log"] = str(built.log)
    if built.place:
        inputs["place"] = built.place
    title = f"review {built.source} {built.version}"
    return JobOrder(KIND, inputs, title, priority=PRIORITY_DAILY, holds=holds)


def plan_lintian(inputs: Inputs, earlier: Earlier) -> Plan:
    """Plan lintian on everything that was built."""
    files = plain.digest_map(inputs, "files")
    command = PlannedCommand(("./lintian.sh", *ARGV), _TIMEOUT_S, root=root_of(earlier["checkers"]))
    return Plan(
        commands=(command,),
        place={f"in/{name}": digest for name, digest in files.items()},
        write={"lintian.sh": _LINTIAN},
        collect_always={"report": "lintian.json"},
    )


def plan_blhc(inputs: Inputs, earlier: Earlier) -> Plan:
    """Plan blhc on the log; nothing is done without one."""
    if "log" not in inputs:
        return Plan(commands=())
    recipe = EnvironmentRecipe.from_json(plain.mapping(inputs, "environment"))
    command = PlannedCommand(("./blhc.sh", recipe.architecture), _TIMEOUT_S, root=root_of(earlier["checkers"]))
    return Plan(
        commands=(command,),
        place={"build.log": plain.digest(inputs, "log")},
        write={"blhc.sh": _BLHC},
        collect_always={"report": "blhc.txt"},
    )


def judge_blhc(end: StepEnd) -> Verdict:
    """Judge blhc: its exit code is a set of what it found, none of which is its failure."""
    if not end.plan.commands:
        return Verdict(Outcome.OK, "no log was kept")
    verdict = judge_by_exit(end)
    last = end.ends[-1] if end.ends else None
    if last is None or last.cut or last.exit_code >= EXIT_LIMIT or last.exit_code & EXIT_BAD_ARGUMENTS:
        return verdict
    return Verdict(Outcome.OK, "ok")


def _file(context: Context, inputs: Inputs, earlier: Earlier) -> StepResult:
    """Write the findings, unless a later version was reviewed already. Raises WorkFailed for a report that cannot be read."""
    said: dict[str, int] = {}
    rows: dict[str, list[tuple[str, Mapping[str, Json]]]] = {}
    try:
        if (report := earlier["lintian"].outputs.get("report")) is not None:
            lintian = parse_lintian(context.objects.read(report))
            rows[LINTIAN] = [(hint.key, hint.evidence()) for hint in lintian.hints]
            said = {"overridden": lintian.overridden, "more": lintian.more}
        if (report := earlier["blhc"].outputs.get("report")) is not None:
            rows[HARDENING] = [
                (fault.key, fault.evidence()) for fault in parse_blhc(context.objects.read(report)).faults
            ]
    except BadInput as error:
        raise WorkFailed(error.message, hint="distwright job log JOB") from error
    source, version = plain.text(inputs, "source"), plain.text(inputs, "version")
    now, place = context.now(), _place(inputs)
    with context.write() as tx:
        if not _is_superseded(tx, source, version, place):
            for kind, found in rows.items():
                about: dict[str, Json] = {"version": version, "job": context.job, "place": place}
                named = [(f"{key} in {place}" if place else key, {**evidence, **about}) for key, evidence in found]
                see_all(tx, kind, source, named, now, is_meant=partial(_is_of, place))
        _note(tx, context, source, version, summary(rows), now)
    values: dict[str, Json] = {kind: [key for key, _ in found] for kind, found in rows.items()}
    values |= {"summary": summary(rows), **said}
    return StepResult({}, values=values)


def summary(rows: Mapping[str, Iterable[tuple[str, Mapping[str, Json]]]]) -> str:
    """Say in a line what was found (pure): how many of each severity."""
    if not rows:
        return "the environment of the checkers has neither lintian nor blhc"
    counts: dict[str, int] = {}
    for kind, found in rows.items():
        for _, evidence in found:
            name = f"lintian {evidence['severity']}" if kind == LINTIAN else "hardening flags"
            counts[name] = counts.get(name, 0) + 1
    return ", ".join(f"{name}: {count}" for name, count in sorted(counts.items())) or "nothing to say"


def _place(inputs: Inputs) -> str:
    return plain.text(inputs, "place") if "place" in inputs else ""


def _is_of(place: str, known: KnownFinding) -> bool:
    """Say whether a finding is of a place, or was written when nobody said of which."""
    return known.evidence.get("place", "") in ("", place)


def _is_superseded(tx: Transaction, source: str, version: str, place: str) -> bool:
    """Say whether a later version was reviewed that was built for the same place."""
    later = [
        trial
        for trial in list_trials(tx, QUESTION, source)
        if compare(DebVersion(trial.version), DebVersion(version)) > 0
    ]
    jobs = [find_job(tx, trial.job) for trial in later]
    return any(job is not None and _place(job.inputs) == place for job in jobs)


def _note(tx: Transaction, context: Context, source: str, version: str, message: str, now: datetime) -> None:
    job = None if context.job is None else find_job(tx, context.job)
    if job is None:
        return
    answer = Trial(
        id=0, question=QUESTION, subject=source, version=version, commit="", states={}, order=job.digest, job=job.id,
        outcome=Outcome.OK, message=message, took_s=0, at=now,
    )  # fmt: skip
    set_trial(tx, answer)


def _conclude(inputs: Inputs, earlier: Earlier, _now: datetime, _job: int) -> Conclusion:
    values = earlier["file"].values
    return Conclusion(dict(values), f"{inputs['source']} {inputs['version']}: {plain.text(values, 'summary')}")


PACKAGE_REVIEW = JobKind(
    KIND,
    (
        environment_step("checkers", "environment"),
        Step("lintian", plan_lintian),
        Step("blhc", plan_blhc, judge_blhc),
        Action("file", _file, Where.ANYWHERE),
    ),
    _conclude,
)
