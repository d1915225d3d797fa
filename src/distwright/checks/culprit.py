"""The culprit: which snapshot, which source in it, or which commit of ours made a package stop building?

First the axis (the old commit with the new serials), then the step on it by halves, then, for a serial, the source that moved by
it. Asked is only what no earlier trial has answered.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from distwright.archive.resolve import Ground
from distwright.builds.environment import EnvironmentRecipe
from distwright.checks.bisection import Answer, Named, NoBreak, Probe, next_step
from distwright.checks.closure import installed_with
from distwright.checks.findings import add_evidence
from distwright.checks.inquiries import Effect, Move, made_jobs
from distwright.checks.lines import Serials, Step, named, snapshots_of, states_along, steps_between
from distwright.checks.moved import MovedSource, mixed_recipe
from distwright.checks.search import CULPRIT, Search, State, search_of, state_of
from distwright.checks.targets import Target
from distwright.errors import BadInput, BadUsage, NotFound
from distwright.model import plain
from distwright.model.digests import Json, digest_of
from distwright.model.records import Inquiry
from distwright.store.database import Database, Transaction
from distwright.store.holds import Hold, serial_hold
from distwright.tools.git_history import commit_line, commits_between

_OF_SERIALS = ("source", "sources", "serial", "serials")

Found = Mapping[str, Json]
"""An answer. what: source, sources, serial, serials, commit, commits, or none. text: for people."""


@dataclass(frozen=True, slots=True)
class _Ends:
    """A good state, and a bad one."""

    good: State
    bad: State


def question(
    target: Target, good: tuple[Serials, str], bad: tuple[Serials, str], finding: Mapping[str, Json] | None = None
) -> dict[str, Json]:
    """Write down what is asked. good, bad: serials and commit. finding: kind, subject and key of the one that is explained."""
    asked: dict[str, Json] = {
        "target": target.to_json(),
        "good": {"serials": dict(good[0]), "commit": good[1]},
        "bad": {"serials": dict(bad[0]), "commit": bad[1]},
    }
    return asked if finding is None else {**asked, "finding": dict(finding)}


def holds_of_line(tx: Transaction, good: Serials, bad: Serials) -> list[Hold]:
    """Hold every snapshot that a search between two states may need."""
    rows = [row for row in snapshots_of(tx, bad) if good.get(row.archive, row.serial) <= row.serial <= bad[row.archive]]
    return [serial_hold("", row.archive, row.serial, CULPRIT) for row in rows]


def look(database: Database, ground: Ground, row: Inquiry) -> Move:
    """Walk as far as the answers lead; ask the next state, or say what broke it."""
    target = Target.from_json(plain.mapping(row.asked, "target"))
    good, bad = (_state(plain.mapping(row.asked, key)) for key in ("good", "bad"))
    search = search_of(database, ground, row, target, bad)
    found = _find(search, _Ends(good, bad))
    if found is None:
        with database.read() as tx:
            line = holds_of_line(tx, dict(good.serials), dict(bad.serials))
        return Move(orders=search.orders, progress=search.progress(), holds=search.holds(line))
    known = sum(isinstance(told, Mapping) and not told["is_made"] for told in search.told.values())
    answer: dict[str, Json] = {**found, "told": dict(search.told), "known": known}
    return Move(answer=answer, is_stopped=found["what"] == "none", effects=_effects(row, found))


def _state(given: plain.Plain) -> State:
    return state_of(plain.text_map(given, "serials"), plain.text(given, "commit"))


def _effects(row: Inquiry, found: Found) -> list[Effect]:
    if "finding" not in row.asked:
        return []
    about = plain.text_map(row.asked, "finding")
    more: dict[str, Json] = {"culprit": {**found, "inquiry": row.id, "builds": len(made_jobs(row))}}
    if found["what"] in _OF_SERIALS:  # the search knows better than what was tried before it
        more["since"] = plain.mapping(plain.mapping(found, "first_bad"), "serials")
        more["last_good"] = plain.mapping(plain.mapping(found, "last_good"), "serials")
    return [partial(_explain, about=about, more=more)]


def _explain(tx: Transaction, now: datetime, *, about: Mapping[str, str], more: Mapping[str, Json]) -> None:
    add_evidence(tx, about["kind"], about["subject"], about["key"], more)


def _find(search: Search, ends: _Ends) -> Found | None:
    """Give what broke it; None while something must be asked first. What commits cannot tell is known before anything is built."""
    gap = _gap(search, ends)
    if gap and ends.good.serials == ends.bad.serials:
        return _none(gap)
    if gap:  # whether the serials did it can still be told
        ends = _Ends(ends.good.at(ends.bad.commit), ends.bad)
    for state, wanted in ((ends.bad, Answer.BAD), (ends.good, Answer.GOOD)):
        answer = search.asked(state)
        if answer is None:
            return None
        if answer is not wanted:
            return _no_break(search, state, answer, gap if state is ends.good else "")
        if state is ends.bad:
            search.take_stage(state)
    axis = _axis(search, ends)
    if isinstance(axis, _Ends):
        return _of_commits(search, axis) if axis.good.serials == axis.bad.serials else _of_serials(search, axis)
    return axis


def _gap(search: Search, ends: _Ends) -> str:
    """Say why no line of commits leads from one end to the other; "" if one does, or none is needed."""
    try:
        _line(search.ground, search.target, ends.good.commit, ends.bad.commit)
    except (BadInput, NotFound) as error:
        return error.message
    return ""


def _line(ground: Ground, target: Target, good: str, bad: str) -> tuple[str, ...]:
    """Give the commits after `good` up to `bad`. Raises BadInput or NotFound if the way does not lead from one to the other."""
    if good == bad:
        return ()
    where = ground.paths.repo(target.repo)
    if not (target.repo and good and bad and where.exists()):
        raise NotFound(
            f"there is no repo that has both states of {target.source}: {good[:12] or 'uploaded'}, {bad[:12] or 'uploaded'}",
            hint=f"distwright package history {target.source}",
        )
    return commits_between(where, good, bad)


def _axis(search: Search, ends: _Ends) -> _Ends | Found | None:
    """Find a good and a bad state that differ either in serials or in commits: one question, two if the first cannot be judged."""
    good, bad = ends.good, ends.bad
    if good.commit == bad.commit or good.serials == bad.serials:
        return ends
    for between in (bad.at(good.commit), good.at(bad.commit)):
        answer = search.asked(between)
        if answer is None:
            return None
        if answer is not Answer.UNKNOWN:
            return _Ends(good, between) if answer is Answer.BAD else _Ends(between, bad)
    return _none("neither the old commit with the new serials nor the new commit with the old serials can be judged")


def _of_commits(search: Search, ends: _Ends) -> Found | None:
    """Bisect our own commits."""
    where = search.ground.paths.repo(search.target.repo)
    commits = (ends.good.commit, *_line(search.ground, search.target, ends.good.commit, ends.bad.commit))
    states = [ends.bad.at(commit) for commit in commits]
    step = _step(search, states)
    if not isinstance(step, Named):
        return step
    suspects: list[Json] = []
    names: list[str] = []
    for commit in commits[step.good + 1 : step.bad + 1]:
        line = commit_line(where, commit)
        suspects.append({"commit": commit, "author": line.author, "subject": line.subject})
        names.append(f"commit {commit[:12]} ({line.author}, {line.subject})")
    what = "commit" if step.is_exact else "commits"
    serials: Json = dict(ends.bad.serials)
    return {"what": what, "text": _break(names), "commits": suspects, "with": serials, **_remarks(step, states)}


def _of_serials(search: Search, ends: _Ends) -> Found | None:
    """Bisect upstream's serials, then what moved by the one that is named."""
    good, bad = dict(ends.good.serials), dict(ends.bad.serials)
    with search.database.read() as tx:
        steps = steps_between(snapshots_of(tx, bad), good, bad)
    states = [state_of(serials, ends.bad.commit) for serials in states_along(good, steps)]
    step = _step(search, states)
    if not isinstance(step, Named):
        return step
    suspected = steps[step.good : step.bad]
    remarks = _remarks(step, states)
    if len({one.archive for one in suspected}) > 1:
        return {**_of_steps(suspected), **remarks}
    found = _of_sources(search, states[step.good], states[step.bad], suspected)
    return None if found is None else {**found, **remarks}


def _of_steps(steps: Sequence[Step]) -> dict[str, Json]:
    suspects: list[Json] = [{"archive": one.archive, "serial": one.serial, "before": one.before} for one in steps]
    names = [f"serial {one.serial} of archive {one.archive}" for one in steps]
    return {"what": "serial" if len(names) == 1 else "serials", "text": _break(names), "serials": suspects}


def _of_sources(search: Search, good: State, bad: State, steps: Sequence[Step]) -> Found | None:
    """Tell apart the sources that moved between two states that differ in one archive, by environments with both serials.

    First those that had a part in the good build; if they are not to blame, all.
    """
    archive, where = steps[0].archive, _of_steps(steps)
    before, after = search.recipe_at(dict(good.serials)), search.recipe_at(dict(bad.serials))
    found = search.moved(before, after, archive)
    installed = installed_with(search.ground.objects, search.job(good))
    every = found.ordered()
    near = every if installed is None else found.ordered(installed | set(after.include))
    for moved in (near, every):
        if not moved:
            continue
        mixtures = _mixtures(before, after, archive, dict(good.serials)[archive], moved)
        step = _moved_step(search, mixtures, bad, is_all=len(moved) == len(every))
        if step is None:
            return None
        if isinstance(step, Named):
            suspects = moved[step.good : step.bad]
            names = [f"{one.source} {one.after}" if one.after else f"the removal of {one.source}" for one in suspects]
            text = _break([f"{name} from serial {steps[-1].serial} of archive {archive}" for name in names])
            what = "source" if len(suspects) == 1 else "sources"
            return {**where, "what": what, "text": text, "sources": _told(suspects)}
    why = "to hold back its sources does not tell which" if every else "no package moved by it"
    return {**where, "text": f"{where['text']}; {why}", "sources": _told(every)}


def _moved_step(search: Search, line: "_Mixtures", bad: State, *, is_all: bool) -> Named | NoBreak | None:
    """Bisect sources; None if it has asked something. is_all: nothing else has moved.

    A mixture is made when it is asked for: its recipe names all that has moved, and so would take time and space of each.
    """
    last = len(line.moved)
    if last == 1 and is_all:
        return Named(0, 1)  # there is nothing else, so nothing needs to be built
    answers = {0: Answer.GOOD, last: Answer.BAD}
    is_first_known = is_all
    while True:
        step = next_step(last, answers)
        if isinstance(step, Named) and step.good == 0 and not is_first_known:
            step = Probe(0)  # nothing but what else has moved speaks for the first source: ask without it
            is_first_known = True
        if not isinstance(step, Probe):
            return step
        answer = search.asked(line.state(search, bad, step.state))
        if answer is None:
            return None
        answers[step.state] = answer


@dataclass(frozen=True, slots=True)
class _Mixtures:
    """Environments between `serial` of an archive and a later one: the first sources have moved, the others have not.

    line: the digest of all that they are made of.
    """

    before: EnvironmentRecipe
    after: EnvironmentRecipe
    archive: str
    serial: str
    moved: Sequence[MovedSource]
    line: str

    def state(self, search: Search, bad: State, count: int) -> State:
        """Give the state in which `count` sources have moved, and let the search know its environment."""
        upto = f", up to {self.moved[count - 1].source}" if count else ""
        mix = f"{count} of {len(self.moved)} sources moved{upto}, from {self.archive} {self.serial}"
        state = state_of(dict(bad.serials), bad.commit, mix, self.line)
        gone, held = self.moved[:count], self.moved[count:]
        search.mixes[state.key] = mixed_recipe(self.before, self.after, self.archive, held, gone)
        return state


def _mixtures(
    before: EnvironmentRecipe, after: EnvironmentRecipe, archive: str, serial: str, moved: Sequence[MovedSource]
) -> _Mixtures:
    rows: list[Json] = [[one.source, one.before, one.after, sorted(one.packages)] for one in moved]
    line = digest_of([before.to_json(), after.to_json(), rows]).short
    return _Mixtures(before, after, archive, serial, moved, line)


def _told(moved: Sequence[MovedSource]) -> list[Json]:
    return [
        {"source": one.source, "before": one.before, "after": one.after, "packages": sorted(one.packages)}
        for one in moved
    ]


def _step(search: Search, states: Sequence[State]) -> Named | Found | None:
    """Take one step of a bisection; None if it has asked something."""
    answers = search.answers(states)
    while True:
        step = next_step(len(states) - 1, answers)
        if isinstance(step, Named):
            return step
        if isinstance(step, NoBreak):
            return _no_break(search, states[step.state], step.answer)
        answer = search.asked(states[step.state])
        if answer is None:
            return None
        answers[step.state] = answer


def _no_break(search: Search, state: State, answer: Answer, gap: str = "") -> Found:
    """Say that an end is not what was thought. gap: why its commit is not that of the question, "" if it is."""
    told = search.told[state.name]
    message = f": {told['message']}" if isinstance(told, Mapping) and told["message"] else ""
    does = {Answer.GOOD: "builds", Answer.BAD: "does not build", Answer.UNKNOWN: "cannot be judged"}[answer]
    return _none(f"{search.target.source} {does} with {state.name}{message}{f'; {gap}' if gap else ''}")


def _none(text: str) -> Found:
    return {"what": "none", "text": text}


def _remarks(step: Named, states: Sequence[State]) -> dict[str, Json]:
    """Say what a reader must know of the line: it was broken before, or was not tried in full."""
    remarks: dict[str, Json] = {
        name: {"serials": dict(state.serials), "commit": state.commit}
        for name, state in (("first_bad", states[step.bad]), ("last_good", states[step.good]))
    }
    if step.earlier_bad:
        remarks["earlier_bad"] = [states[place].name for place in step.earlier_bad]
    return {**remarks, **({"gave_up": True} if step.gave_up else {})}


def _break(names: Sequence[str]) -> str:
    return f"{names[0]} breaks it" if len(names) == 1 else f"one of these breaks it: {', '.join(names)}"


def check_ends(ground: Ground, target: Target, good: tuple[Serials, str], bad: tuple[Serials, str]) -> None:
    """Refuse a question that has no line: the same state twice, a good one that is newer, or that is not on the way to the bad one.

    Raises BadUsage, BadInput, NotFound.
    """
    steps_between((), good[0], bad[0])
    if good == bad:
        raise BadUsage(
            f"the good state of {target.source} is the bad one: {named(good[0])}",
            hint=f"distwright package history {target.source}",
        )
    if good[0] == bad[0]:
        _line(ground, target, good[1], bad[1])
