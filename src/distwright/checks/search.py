"""What a search for a culprit has at hand: trials of one package in any state, their answers, and those to ask next."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from distwright.archive.resolve import Ground
from distwright.builds.environment import EnvironmentRecipe
from distwright.builds.trying import KIND
from distwright.checks.answers import Builds, answer_of, builds_of, stage_of
from distwright.checks.bisection import Answer
from distwright.checks.inquiries import answered, made_jobs, placed_jobs
from distwright.checks.lines import Serials, named, recipe_at, recipe_of
from distwright.checks.moved import Moved, moved_sources, packages_at
from distwright.checks.targets import Target, pinned, target_trial
from distwright.errors import BadInput, NotFound, Refused
from distwright.jobs.order import PRIORITY_DAILY, JobOrder
from distwright.model import plain
from distwright.model.digests import Json, Sha256, canonical_json, sha256_of
from distwright.model.outcomes import Outcome
from distwright.model.records import Inquiry, Job
from distwright.store.database import Database
from distwright.store.holds import Hold, holds_on_all
from distwright.store.jobs import find_job

CULPRIT = "culprit"


@dataclass(frozen=True, slots=True)
class State:
    """A package at a commit ("" for what was uploaded) with serials; mix names the environment in which only a part has moved.

    line: the digest of everything that the mixture is made of, which its name does not tell.
    """

    serials: tuple[tuple[str, str], ...]
    commit: str
    mix: str = ""
    line: str = ""

    @property
    def name(self) -> str:
        """What people read."""
        at = f" at {self.commit[:12]}" if self.commit else ""
        return f"{named(dict(self.serials))}{at}{f', {self.mix}' if self.mix else ''}"

    @property
    def key(self) -> str:
        """What its order is kept under."""
        return f"{self.name} ({self.line})" if self.line else self.name

    def at(self, commit: str) -> "State":
        """Give the same state at another commit."""
        return replace(self, commit=commit)


def state_of(serials: Serials, commit: str, mix: str = "", line: str = "") -> State:
    """Make a state."""
    return State(tuple(sorted(serials.items())), commit, mix, line)


@dataclass(slots=True)
class Search:
    """One look of a search.

    recipe: the environment as it was first asked about: what is ours in it stays as it was. bases: commit -> inputs of its trial
    without the environment. no_base: commits of which no trial can be ordered. digests: key of a state -> its order. told: what is
    answered. mixes: environments by the keys of states. stage: where the failure that is looked for stops. orders: asked next.
    builds: what was tried by whomever. twins: order -> the build of its state by somebody else that answers it.
    compared: two environments, by digest -> the object that says what moved between them.
    """

    database: Database
    ground: Ground
    row: Inquiry
    target: Target
    builds: Builds
    recipe: EnvironmentRecipe
    bases: dict[str, plain.Plain]
    no_base: dict[str, str]
    digests: dict[str, str]
    told: dict[str, Json]
    twins: dict[str, int] = field(default_factory=dict)
    compared: dict[str, str] = field(default_factory=dict)
    mixes: dict[str, EnvironmentRecipe] = field(default_factory=dict)
    stage: str = ""
    orders: list[JobOrder] = field(default_factory=list)

    def answer(self, state: State) -> Answer | None:
        """Give what is known of a state, and tell it; None if it is not known."""
        try:
            job = self.job(state)
        except (BadInput, NotFound, Refused) as error:
            self.no_base[state.commit] = error.message
            self.told[state.name] = {
                "answer": Answer.UNKNOWN.value,
                "job": None,
                "is_made": False,
                "message": error.message,
            }
            return Answer.UNKNOWN
        if job is None:
            return None
        answer = answer_of(job, self.stage)
        message = "" if answer is Answer.GOOD else job.message
        is_made = job.id in made_jobs(self.row)
        self.told[state.name] = {"answer": answer.value, "job": job.id, "is_made": is_made, "message": message}
        return answer

    def asked(self, state: State) -> Answer | None:
        """Give what is known of a state; ask if it is not."""
        answer = self.answer(state)
        if answer is None:
            order = self.order(state)
            if order.digest in self.twins:  # somebody has built it meanwhile
                return self.answer(state)
            self.orders.append(order)
        return answer

    def job(self, state: State) -> Job | None:
        """Find the job that answers a state; raises what its order raises."""
        if state.key not in self.digests:
            self.order(state)
        digest = Sha256(self.digests[state.key])
        with self.database.read() as tx:
            return answered(tx, digest, placed_jobs(self.row)) or find_job(tx, self.twins.get(digest, 0))

    def answers(self, states: Sequence[State]) -> dict[int, Answer]:
        """Give what is known of the states of a line, by their places. Of a commit that nobody has tried nothing can be."""
        near = {*self.bases, *self.no_base, *self.builds.commits}
        known = {place: self.answer(state) for place, state in enumerate(states) if state.commit in near}
        return {place: answer for place, answer in known.items() if answer is not None}

    def take_stage(self, state: State) -> None:
        """Look for the failure that this state has, and no other one."""
        job = self.job(state)
        self.stage = stage_of(job) if job is not None and job.outcome is Outcome.FAILED else ""

    def order(self, state: State) -> JobOrder:
        """Order the trial of a state; raises what the order of its commit raises."""
        recipe = self.mixes[state.key] if state.mix else self.recipe_at(dict(state.serials))
        inputs = {**self._base(state.commit), "environment": recipe.to_json()}
        title = f"try {self.target.source} with {state.name}"
        order = JobOrder(KIND, inputs, title, priority=PRIORITY_DAILY)
        self.digests[state.key] = order.digest
        with self.database.read() as tx:
            twin = self.builds.twin(tx, order)
        if twin is not None:
            self.twins[order.digest] = twin.id
        return order

    def recipe_at(self, serials: Serials) -> EnvironmentRecipe:
        """Give the environment at other serials."""
        with self.database.read() as tx:
            return recipe_at(tx, self.ground.objects, self.recipe, serials)

    def moved(self, before: EnvironmentRecipe, after: EnvironmentRecipe, archive: str) -> Moved:
        """Say what moved between two environments; the indexes are read once in a search."""
        objects = self.ground.objects
        between = sha256_of(canonical_json([before.to_json(), after.to_json()]))
        kept = self.compared.get(between)
        if kept is not None and objects.has(Sha256(kept)):
            return Moved.from_json(json.loads(objects.read(Sha256(kept))))
        found = moved_sources(packages_at(objects, before, archive), packages_at(objects, after, archive))
        self.compared[between] = objects.put(canonical_json(found.to_json()))
        return found

    def _base(self, commit: str) -> plain.Plain:
        if commit in self.no_base:
            raise NotFound(self.no_base[commit], hint=f"look at commit {commit[:12]}")
        if commit not in self.bases:
            self.bases[commit] = _without_environment(target_trial(self.database, self.ground, self.target, commit))
        return self.bases[commit]

    def holds(self, line: Iterable[Hold]) -> list[Hold]:
        """Say what the search needs while it goes on: the serials of its line, and what its orders name."""
        own: dict[str, Json] = {
            "recipe": self.recipe.to_json(),
            "bases": {key: dict(base) for key, base in self.bases.items()},
            "compared": list(self.compared.values()),
        }
        return list({(hold.kind, hold.target): hold for hold in (*line, *holds_on_all(own))}.values())

    def progress(self) -> dict[str, Json]:
        """Give what the next look needs to know."""
        return {
            "recipe": self.recipe.to_json(),
            "bases": {commit: dict(base) for commit, base in self.bases.items()},
            "no_base": dict(self.no_base),
            "digests": dict(self.digests),
            "told": dict(self.told),
            "twins": dict(self.twins),
            "compared": dict(self.compared),
        }


def search_of(database: Database, ground: Ground, row: Inquiry, target: Target, at: State) -> Search:
    """Begin a look of a search, or go on with what the last one kept. at: a state that must be there."""
    with database.read() as tx:
        builds = builds_of(tx, target.source)
    kept = row.progress
    if "recipe" not in kept:
        order = target_trial(database, pinned(ground, dict(at.serials)), target, at.commit)
        bases = {at.commit: _without_environment(order)}
        return Search(database, ground, row, target, builds, recipe_of(order.inputs), bases, {}, {}, {})
    kept = {"twins": {}, "compared": {}, **kept}  # which a search of an older version does not have
    given, twins = (plain.mapping(kept, key) for key in ("bases", "twins"))
    return Search(
        database, ground, row, target, builds, EnvironmentRecipe.from_json(plain.mapping(kept, "recipe")),
        {commit: plain.mapping(given, commit) for commit in given},
        plain.text_map(kept, "no_base"), plain.text_map(kept, "digests"), dict(plain.mapping(kept, "told")),
        {digest: plain.number(twins, digest) for digest in twins}, plain.text_map(kept, "compared"),
    )  # fmt: skip


def _without_environment(order: JobOrder) -> plain.Plain:
    return {key: value for key, value in order.inputs.items() if key != "environment"}
