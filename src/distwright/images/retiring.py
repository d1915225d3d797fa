"""Let go of images: who needs one keeps it, a budget decides about the rest.

The public names and the holds go in one transaction, names first; then the folders, then the logs. Cut off anywhere, the next run
ends it: an image that is held and has lost its names is shown again or dropped, one that is held no more is dropped. Objects go
when the collector finds that nobody holds them.

Kits follow: no description names one any more before what it left goes. What is said of upgrades from an image goes last of all.
"""

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path

from distwright.archive.tag_trees import parse_tag
from distwright.errors import Lost, NotFound, Refused, quoted
from distwright.images.boot import KIND as BOOT
from distwright.images.forms import LAYER_KIND, MAKING
from distwright.images.kits import KIND as KIT
from distwright.images.public import COMPLETE, show_image
from distwright.images.retention import Budget, Colour, JudgedImage, KeptImage, freed_by, judge_images
from distwright.images.testing import KIND as TEST
from distwright.images.testing import is_of_a_part, report_folder, upgrade_tried
from distwright.images.upgrades import FOLDER, kit_file, settle_upgrades, upgrades_holder, withdraw_kit
from distwright.jobs.keeping import STEP, let_stages_go
from distwright.jobs.step import Context
from distwright.model import plain
from distwright.model.digests import Sha256
from distwright.model.events import Event, EventKind
from distwright.model.outcomes import JobState, Outcome
from distwright.model.records import Job
from distwright.store.database import Transaction
from distwright.store.events import append_event
from distwright.store.holds import Hold, all_holds, drop_holds, holds_on
from distwright.store.jobs import attempts_of, forget_orders, forget_step_results, list_jobs
from distwright.store.locks import locked
from distwright.store.refs import refs_of
from distwright.store.settle import settle_folders
from distwright.store.signed import list_tags
from distwright.tools.git import tagged_commits

# Kinds of jobs that look at an image, and who holds what they leave beside `job 12`; those of later rooms by name.
LOOKS = {BOOT.name: "", TEST.name: "test", "image.contents": "contents"} | dict.fromkeys(
    ("image.rebuild", "image.rehearsal"), "comparison"
)
_TESTS = (BOOT.name, TEST.name)
_LOOKED_AT = 1_000_000
_STEP = "step "
# Whose holds are no need of somebody else: those of images, of what looked at them, and of steps, which may be done again. What an
# attempt holds it keeps whoever else has it; the job that takes an image holds that itself.
_OF_IMAGES = ("image ", *(f"{word} " for word in LOOKS.values() if word), "attempt ", _STEP)
_BAD = (Outcome.FAILED, Outcome.TIMED_OUT)
_TAG = "refs/tags/"
_FOLDERS_OF_ONE = 3  # the symlink, and two folders below .complete


@dataclass(frozen=True, slots=True)
class _Found:
    """An image as it is found. shown: files of its public folder. holders: who holds for it. logs: of all its attempts.

    commit: that it was built from.

    A kit has one file, which is shown among the upgrades from its image.
    """

    row: KeptImage
    shown: Mapping[str, Sha256]
    holders: tuple[str, ...]
    logs: tuple[Path, ...]
    commit: str = ""


@dataclass(frozen=True, slots=True)
class _Tags:
    """What tags name. rows: as they are recorded. commits, manifests: of git, of tagged snapshots -> the tag in words."""

    rows: tuple[object, ...]
    commits: Mapping[str, str]
    manifests: Mapping[Sha256, str]

    def on(self, commit: str, shown: Mapping[str, Sha256]) -> Iterator[str]:
        """Name the tags of an image."""
        if tag := self.commits.get(commit):
            yield tag
        yield from sorted({self.manifests[digest] for digest in shown.values() if digest in self.manifests})


def budgets_of(context: Context) -> dict[str, Budget]:
    """Give the budget of each image as the configuration says it."""
    return {
        name: Budget(None if table.keep_mb is None else table.keep_mb << 20, table.keep_files)
        for name, table in context.config.images.items()
    }


def retire_images(
    context: Context, names: Sequence[str], budgets: Mapping[str, Budget], *, really: bool
) -> list[JudgedImage]:
    """Say of each image whether it stays and why, and drop the others; really: do it. names: of tables; empty: all.

    An image that stays and cannot be seen, because dropping it was cut off or the folder was lost, is shown again. Raises Refused
    if one came to be needed meanwhile: it stays, those before it are gone.
    """
    with locked(context.paths.lock("images")):
        found = {one.row.jobs: one for one in _find(context)}
        judged = judge_images((one.row for one in found.values() if not names or one.row.image in names), budgets)
        if really:
            _let_go(context, judged, found)
    return judged


def _let_go(context: Context, judged: Iterable[JudgedImage], found: dict[tuple[int, ...], _Found]) -> None:
    """Do what was judged; images first, for one of them may have come to be needed, and kits follow."""
    manifests: dict[Sha256, Sha256] = {}
    for one in sorted(judged, key=lambda one: bool(one.row.ends)):
        if not one.stays:
            _drop(context, found.pop(one.row.jobs), found.values(), manifests)
            continue
        _show_again(context, found[one.row.jobs])
        if not one.keeps_stages:
            with context.write() as tx:
                let_stages_go(tx, one.row.jobs)
    settle_upgrades(context)


def drop_images(context: Context, names: Sequence[str], *, really: bool) -> list[JudgedImage]:
    """Drop images and kits by name, whatever the budget, with an image all kits from it and to it; really: do it.

    Raises NotFound, and Refused, before any goes, for what must stay: what somebody needs, the newest, the last green and red one.
    """
    with locked(context.paths.lock("images")):
        found = {one.row.jobs: one for one in _find(context)}
        known = {name for one in found.values() for name in (one.row.name, f"job {one.row.jobs[0]}")}
        if unknown := sorted(set(names) - known):
            raise NotFound(f"there is no image {quoted(unknown[0])}", hint="distwright image retire")
        tables = {one.row.image for one in found.values()}
        judged = judge_images((one.row for one in found.values()), dict.fromkeys(tables, Budget(0, 0)))
        wanted = [one for one in judged if one.row.name in names or f"job {one.row.jobs[0]}" in names]
        if staying := next((one for one in wanted if one.row.needed or (one.stays and not one.row.ends)), None):
            raise Refused(f"{staying.row.name} stays: {staying.why}", hint="distwright image retire")
        images = {one.row.name for one in wanted}
        followers = [one for one in judged if images & {*one.row.ends} and one not in wanted and not one.row.needed]
        wanted = [replace(one, why="named") for one in wanted] + [
            replace(one, why="with its image") for one in followers
        ]
        going = {one.row.jobs for one in wanted}
        beside = [one.row for jobs, one in found.items() if jobs not in going]
        answer = [replace(one, stays=False, frees_bytes=freed_by(one.row, beside)) for one in wanted]
        if really:
            _let_go(context, answer, found)
    return answer


def _find(context: Context) -> list[_Found]:
    """List every image and failed build of which anything is left."""
    tags = _tags(context, {})
    with context.database.read() as tx:
        made = (job for kind in MAKING for job in list_jobs(tx, kind=kind, limit=_LOOKED_AT))
        builds = sorted(made, key=lambda job: job.id, reverse=True)
        looks = [job for kind in LOOKS for job in list_jobs(tx, kind=kind, limit=_LOOKED_AT)]
        holds = [hold for hold in all_holds(tx) if hold.until is None or hold.until > context.now()]
        survey = _Survey(context, tx, looks, holds, tags)
        seen = {_name(job) for job in builds if job.state is not JobState.DONE}
        found = []
        for job in (job for job in builds if job.state is JobState.DONE):  # newest first: a public name is the newest's
            one = survey.of(job, owns_name=_name(job) not in seen)
            seen |= {_name(job)} if job.outcome is Outcome.OK else set()
            found.append(one)
        ends: set[tuple[str, ...]] = set()
        for job in (job for job in list_jobs(tx, kind=KIT.name, limit=_LOOKED_AT) if job.state is JobState.DONE):
            found.append(one := survey.of_kit(job, ends))
            ends |= {one.row.ends} if one.row.public else set()
    return [one for one in found if one.row.objects or one.row.files or one.row.stages]


def _tags(context: Context, manifests: dict[Sha256, Sha256]) -> _Tags:
    """Read what tags name just now. manifests: documents of tagged snapshots that were read already; more are added."""
    with context.database.read() as tx:
        tagged, rows = list_tags(tx), _tag_rows(context, tx)
    repos = {context.paths.repo(table.repo) for table in context.config.images.values()}
    commits = {commit: f"tag {tag}" for repo in repos if repo.exists() for commit, tag in tagged_commits(repo).items()}
    for digest in {row.digest for row in tagged} - manifests.keys():
        manifests[digest] = parse_tag(context.objects.read(digest)).manifest
    return _Tags(rows, commits, {manifests[row.digest]: f"snapshot tag {row.tag}" for row in tagged})


def _tag_rows(context: Context, tx: Transaction) -> tuple[object, ...]:
    """Give all tags that are recorded, to see whether they are the same as a moment ago."""
    repos = sorted({table.repo for table in context.config.images.values()})
    return (
        *((row.archive, row.tag, row.digest) for row in list_tags(tx)),
        *((repo, row) for repo in repos for row in sorted(refs_of(tx, repo).items()) if row[0].startswith(_TAG)),
    )


def _name(job: Job) -> str:
    return plain.text(job.inputs, "name") if "name" in job.inputs else ""


def _commit(job: Job) -> str:
    return str(job.inputs.get("commit", ""))


def _branch(job: Job) -> str:
    """Say with which images one is judged: a layer must not stand for the newest one that was built in full."""
    branch = plain.text(job.inputs, "branch") if "branch" in job.inputs else ""
    return f"{branch}, layers" if job.kind == LAYER_KIND.name else branch


class _Survey:
    """Looks at what belongs to a build."""

    def __init__(
        self, context: Context, tx: Transaction, looks: Iterable[Job], holds: Iterable[Hold], tags: _Tags
    ) -> None:
        self._context, self._tx, self._tags = context, tx, tags
        self._looks: dict[str, list[Job]] = {}
        for job in looks:
            for key in {str(job.inputs.get("name", "")), str(job.inputs.get("iso", ""))} - {""}:
                self._looks.setdefault(key, []).append(job)
        self._held: dict[str, set[Sha256]] = {}
        self._stages: dict[str, set[str]] = {}
        self._holders: dict[str, list[Hold]] = {}
        for hold in holds:
            if hold.kind == "object":
                self._held.setdefault(hold.holder, set()).add(Sha256(hold.target))
                self._holders.setdefault(hold.target, []).append(hold)
            elif hold.kind == STEP:
                self._stages.setdefault(hold.holder, set()).add(hold.target)

    def of(self, job: Job, *, owns_name: bool) -> _Found:
        """Say what there is of a build, and of what looked at it."""
        is_built = job.outcome is Outcome.OK and "files" in (job.outputs or {})
        shown = plain.digest_map(job.outputs or {}, "files") if is_built else {}
        looks = self._looks_at(job) if is_built and owns_name else []
        over = [job, *(look for look in looks if look.state is JobState.DONE)]
        holders = tuple(name for one in over for name in holders_of(one))
        objects = {digest for holder in holders for digest in self._held.get(holder, ())}
        stages = self._of_stages(over) - objects
        logs = tuple(path for one in over for path in self._logs(one))
        public = tuple(self._public(job, looks)) if is_built and owns_name else ()
        row = KeptImage(
            name=_name(job) if is_built else f"job {job.id}",
            image=plain.text(job.inputs, "image"),
            branch=_branch(job),
            jobs=tuple(one.id for one in over),
            at=job.finished_at or job.created_at,
            colour=colour_of(job, looks),
            objects={digest: self._size(digest) for digest in sorted(objects)},
            files=_FOLDERS_OF_ONE * sum(self._is_there(name) for name in public) + len(logs),
            log_bytes=sum(path.stat().st_size for path in logs),
            stages={digest: self._size(digest) for digest in sorted(stages)},
            public=public,
            needed=tuple(self._needs(job, shown, holders)) if is_built and owns_name else (),
            is_begun=is_built and not objects,
        )
        return _Found(row, shown, holders, logs, _commit(job))

    def of_kit(self, job: Job, made: Set[tuple[str, ...]]) -> _Found:
        """Say what there is of a kit, or of what was to be one. made: the ends of those that are known already, which are newer."""
        order = plain.mapping(job.inputs, "order")
        initial, target = plain.text(plain.mapping(job.inputs, "from"), "name"), plain.text(order, "name")
        kit = plain.digest(job.outputs, "kit") if job.outputs is not None and "kit" in job.outputs else None
        is_named = kit in self._held.get(upgrades_holder(initial), ()) and (initial, target) not in made
        shown = {kit_file(target): kit} if kit is not None and is_named else {}
        holders = (f"job {job.id}",)
        objects = {*shown.values(), *self._held.get(holders[0], ())}
        logs = tuple(self._logs(job))
        row = KeptImage(
            name=f"{initial}/{kit_file(target)}" if shown else f"job {job.id}",
            image=plain.text(order, "image"),
            branch=plain.text(order, "branch") if "branch" in order else "",
            jobs=(job.id,),
            at=job.finished_at or job.created_at,
            colour=Colour.OPEN,
            objects={digest: self._size(digest) for digest in sorted(objects)},
            files=len(logs),
            log_bytes=sum(path.stat().st_size for path in logs),
            stages={digest: self._size(digest) for digest in sorted(self._of_stages([job]) - objects)},
            public=(f"{FOLDER}/{initial}",) if shown else (),
            needed=tuple(_others(self._holders_of(shown), (*holders, upgrades_holder(initial)))),
            ends=(initial, target),
        )
        return _Found(row, shown, holders, logs)

    def _of_stages(self, jobs: Iterable[Job]) -> set[Sha256]:
        """List what the steps of jobs gave, as far as it is kept."""
        keys = {key for job in jobs for key in self._stages.get(f"stages {job.id}", ())}
        return {digest for key in keys for digest in self._held.get(f"{_STEP}{key}", ())}

    def _holders_of(self, shown: Mapping[str, Sha256]) -> list[Hold]:
        return [hold for digest in shown.values() for hold in self._holders.get(digest, ())]

    def _looks_at(self, job: Job) -> list[Job]:
        """List what looked at an image, newest first, each once."""
        keys = (_name(job), str((job.outputs or {}).get("iso", "")))
        by_number = {look.id: look for key in keys for look in self._looks.get(key, ())}
        return [by_number[number] for number in sorted(by_number, reverse=True)]

    def _public(self, job: Job, looks: Sequence[Job]) -> Iterator[str]:
        yield _name(job)
        # By the first, earlier versions named the report of a part, too.
        tests = [look for look in looks if look.kind == TEST.name]
        usual = {f"{_name(job)}-test-{look.inputs['firmware']}" for look in tests}
        yield from sorted(usual | {report_folder(look.inputs, look.id) for look in tests})

    def _is_there(self, name: str) -> bool:
        images = self._context.paths.public / "images"
        return any((images / path).exists() for path in (name, f"{COMPLETE}/{name}"))

    def _logs(self, job: Job) -> Iterator[Path]:
        for attempt in attempts_of(self._tx, job.id):
            path = self._context.paths.job_log(job.id, attempt.fence)
            yield from (one for one in (path, *path.parent.glob(f"{path.name}.*")) if one.is_file())

    def _size(self, digest: Sha256) -> int:
        try:
            return self._context.objects.size(digest)
        except Lost:
            return 0

    def _needs(self, job: Job, shown: Mapping[str, Sha256], holders: Sequence[str]) -> Iterator[str]:
        yield from self._tags.on(_commit(job), shown)
        yield from _others(self._holders_of(shown), holders)


def _others(holds: Iterable[Hold], holders: Sequence[str]) -> list[str]:
    """Say who else holds something, each once, in words."""
    found = {
        hold.holder: hold.reason
        for hold in holds
        if not hold.holder.startswith(_OF_IMAGES) and hold.holder not in holders
    }
    return [f"{holder} ({reason})" for holder, reason in sorted(found.items())]


def holders_of(job: Job) -> tuple[str, ...]:
    """Name who holds what a job of images has left, once it is done."""
    word = "image" if job.kind in MAKING else LOOKS[job.kind]
    return (f"job {job.id}", f"{word} {job.id}") if word else (f"job {job.id}",)


def colour_of(job: Job, looks: Sequence[Job]) -> Colour:
    """Say how an image is, by the newest answer with each firmware, and to each upgrade (pure). looks: newest first.

    What a person chose of the tests is no answer: it may leave out what failed.
    """
    if job.outcome is not Outcome.OK:
        return Colour.RED if job.outcome in _BAD else Colour.OPEN
    tests = [look for look in looks if look.kind in _TESTS and not is_of_a_part(look.inputs)]
    answers: dict[tuple[str, object, str], Outcome] = {}
    for look in tests:
        if look.outcome in (Outcome.OK, *_BAD):
            answers.setdefault((look.kind, look.inputs.get("firmware"), upgrade_tried(look.inputs)), look.outcome)
    if any(outcome in _BAD for outcome in answers.values()):
        return Colour.RED
    is_waited_for = any(look.state is not JobState.DONE for look in tests)
    return Colour.GREEN if answers and not is_waited_for else Colour.OPEN


def _show_again(context: Context, one: _Found) -> None:
    """Lay an image out that is held and whose name is not there. Its reports are not: each test writes them anew."""
    images = context.paths.public / "images"
    if one.shown and one.row.public and not one.row.ends and not (images / one.row.name).exists():
        show_image(images, one.row.name, one.shown, context.objects)


def _drop(context: Context, one: _Found, others: Iterable[_Found], manifests: dict[Sha256, Sha256]) -> None:
    """Drop one image, or kit. others: those that there are beside it. Safe to repeat; raises Refused if it came to be needed.

    Who has come to need a kit holds it: that it is named no more takes nothing from them. manifests: as of `_tags`.
    """
    images, row = context.paths.public / "images", one.row
    for kit in one.shown.values() if row.ends else ():
        withdraw_kit(context, row.ends[0], kit)
    names = () if row.ends else row.public
    shared = {digest for other in others for digest in other.row.objects}
    is_gone = False
    while not is_gone:
        tags = _tags(context, manifests)  # anew: dropping many takes long, and a release is tagged meanwhile
        with context.write() as tx:
            if tags.rows != _tag_rows(context, tx):
                continue
            held = [
                hold for digest in set(one.shown.values()) for hold in holds_on(tx, "object", digest, context.now())
            ]
            if names and (needs := [*tags.on(one.commit, one.shown), *_others(held, one.holders)]):
                raise Refused(f"{row.name} came to be needed by {needs[0]} and stays", hint="distwright image retire")
            # While nobody can order the same image anew: its name would be this one.
            for name in names:
                if (images / name).is_symlink():
                    (images / name).unlink()
            settle_folders({images} if names else set())
            _forget(tx, context, one, [digest for digest in row.objects if digest not in shared])
        is_gone = True
    for name in names:
        for folder in (images / COMPLETE / name, images / name):  # the second as versions before 0.3 made it
            shutil.rmtree(folder, ignore_errors=True)
    for log in one.logs:
        log.unlink(missing_ok=True)


def _forget(tx: Transaction, context: Context, one: _Found, alone: Sequence[Sha256]) -> None:
    """Let go of everything that is held for an image, and of results of steps that only it has. alone: objects of nobody else."""
    steps = {
        hold.holder for digest in alone for hold in holds_on(tx, "object", digest) if hold.holder.startswith(_STEP)
    }
    drop_holds(tx, [*one.holders, *sorted(steps)])
    forget_step_results(tx, [step.removeprefix(_STEP) for step in steps])
    let_stages_go(tx, one.row.jobs)
    forget_orders(tx, one.row.jobs)
    if one.row.public and not one.row.is_begun and not one.row.ends:
        body = {"image": one.row.image, "name": one.row.name}
        append_event(tx, Event(EventKind.IMAGE_DROPPED, context.now(), one.row.name, body, context.job))
