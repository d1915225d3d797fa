"""Random histories of suites against a simple model: what each has, what was removed, and what undo must give back.

Some steps are cut off at some change that they make, and what nobody holds is collected in between.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from tests.worlds.archive import UpstreamFetcher
from tests.worlds.histories import (
    PACKAGE,
    CrashError,
    FragileContext,
    FragileObjects,
    Fuse,
    Held,
    Model,
    Place,
    differing,
    root_of_model,
)
from tests.worlds.state import memory_database
from tests.worlds.times import NOW

from distwright.archive.changing import SuiteChange, edited, hold_suite, move, root_of
from distwright.archive.garbage import collect, mark
from distwright.archive.merging import with_stones
from distwright.archive.own_snapshots import drop_snapshots, parse_own_snapshot, take_snapshot
from distwright.archive.suites import (
    Outcome,
    Who,
    branch_suite,
    diff_suites,
    merge_suite,
    packages_of,
    pull_packages,
    remove_packages,
    reset_suite,
    undo_change,
)
from distwright.archive.tree import EMPTY_ROOT
from distwright.errors import Refused
from distwright.model.digests import Sha256
from distwright.model.records import SuiteState
from distwright.model.versions import DebVersion
from distwright.store.holds import all_holds
from distwright.store.memory import MemoryObjects
from distwright.store.paths import StatePaths
from distwright.store.suites import get_suite, insert_suite

WHO = Who("user ada")
LISTS = ("main/binary-amd64", "main/binary-all", "contrib/binary-amd64")
NAMES = ("hello", "hello-data", "world", "petrel", "zeta")
SOURCES = ("hello", "petrel", "world")
VERSIONS = ("0.9", "1.0~rc1", "1.0", "1.0+b1", "1.10", "1:0.1")


SUITES = st.sampled_from(["devel", "topic", "release", "copy"])


class SuiteHistories(RuleBasedStateMachine):
    """devel is there from the beginning; others branch off."""

    def __init__(self) -> None:
        super().__init__()
        self.database = memory_database()
        self.fuse, self.cut_at = Fuse(), 0
        self.objects = FragileObjects(self.fuse)
        self.folder = TemporaryDirectory(prefix="distwright-histories-")
        paths = StatePaths(Path(self.folder.name))
        self.context = FragileContext(paths, self.database, self.objects, UpstreamFetcher({}), fuse=self.fuse)
        self.context.clock = datetime.now(UTC) + timedelta(days=3)  # so that no object counts as kept just now
        self.models: dict[str, Model] = {}
        self.snapshots: dict[str, tuple[Sha256, dict[str, Sha256]]] = {}

    def teardown(self) -> None:
        self.database.close()
        self.folder.cleanup()

    @initialize()
    def begin(self) -> None:
        self.objects.put(EMPTY_ROOT.to_bytes())
        with self.database.write() as tx:
            insert_suite(tx, SuiteState("petrel", "devel", "base", EMPTY_ROOT.revision, NOW))
            hold_suite(tx, "petrel", "devel", EMPTY_ROOT.revision, self.context.now())
        self.models["devel"] = Model()

    def row(self, suite: str) -> SuiteState:
        with self.database.read() as tx:
            return get_suite(tx, "petrel", suite)

    def named(self, suite: str) -> str:
        return suite if suite in self.models else "devel"

    @rule(suite=SUITES, source=st.sampled_from(SOURCES), version=st.sampled_from(VERSIONS), text=st.sampled_from("ab"),
          places=st.sets(st.tuples(st.sampled_from(LISTS), st.sampled_from(NAMES)), min_size=1, max_size=3))  # fmt: skip
    def add(self, suite: str, source: str, version: str, text: str, places: set[Place]) -> None:
        """Bring a new build of a source: what was built from it before goes, unless the new one has it."""
        suite = self.named(suite)
        model, row = self.models[suite], self.row(suite)
        built = {place: Held(source, version, f"{text} {version}"[: 1 if text == "a" else None]) for place in places}
        gone = model.built_of(source) - places
        if any(place in model.packages and held.key < model.packages[place].key for place, held in built.items()):
            return  # the checks of an upload refuse that
        edits: dict[str, dict[str, tuple[bytes, ...]]] = {}
        offered: dict[str, dict[str, tuple[bytes, ...]]] = {}
        for (list_name, name), held in built.items():
            edits.setdefault(list_name, {})[name] = (held.stanza(name),)
            texts = offered.setdefault(list_name.partition("/")[0], {})
            texts[name] = (*texts.get(name, ()), held.translation(name))
        for list_name, name in gone:
            edits.setdefault(list_name, {})[name] = ()
        packages = {place: held for place, held in model.packages.items() if place not in gone} | built
        changes = differing(model.packages, packages)
        root = root_of(self.context, row)
        self.objects.put(PACKAGE)  # as intake does with each file
        after = edited(self.context, root, edits, offered, with_stones(root, changes))
        stones = {place: stone for place, stone in model.stones.items() if place not in built}
        stones |= {place: model.packages[place].version for place in gone}
        if after.revision != row.revision:
            with self.database.write() as tx:
                move(tx, row, after.revision, SuiteChange("upload", "", "key"), self.context)
        assert model.become(packages, stones) == (after.revision != row.revision)

    @rule(suite=SUITES, new=st.sampled_from(["topic", "release", "copy"]), kind=st.sampled_from(["base", "overlay"]))
    def branch(self, suite: str, new: str, kind: str) -> None:
        parent = self.named(suite)
        if new in self.models:
            with pytest.raises(Refused, match=f"suite petrel/{new} exists"):
                branch_suite(self.context, "petrel", new, parent, kind, WHO)
            return
        branch_suite(self.context, "petrel", new, parent, kind, WHO)
        self.models[new] = Model() if kind == "overlay" else Model(*self.models[parent].state())

    @rule(changes=st.integers(min_value=1, max_value=12))
    def be_cut_off(self, changes: int) -> None:
        """Let what comes next end at one of its changes, if it makes as many."""
        self.cut_at = changes

    @rule()
    def collect(self) -> None:
        """Let go of what nobody holds: exactly that; the invariants read all the rest."""
        collect(self.context, [], really=True)
        with self.database.read() as tx:
            held = [Sha256(hold.target) for hold in all_holds(tx)]
        assert set(self.objects.digests()) <= mark(held, self.objects)

    @precondition(lambda self: self.snapshots)
    @rule(data=st.data())
    def drop(self, data: st.DataObject) -> None:
        serial = data.draw(st.sampled_from(sorted(self.snapshots)))
        drop_snapshots(self.context, "petrel", [serial])
        del self.snapshots[serial]

    @rule(into=SUITES, other=SUITES, dry_run=st.booleans())
    def merge(self, into: str, other: str, dry_run: bool) -> None:  # noqa: FBT001  # given by hypothesis
        into, other = self.named(into), self.named(other)
        mine, theirs = self.models[into], self.models[other]
        packages, stones = dict(mine.packages), dict(mine.stones)
        clash = False
        for place in mine.packages.keys() | theirs.packages.keys():
            here, there = mine.packages.get(place), theirs.packages.get(place)
            if there is None:
                stone = theirs.stones.get(place)
                if here and stone and here.key <= DebVersion(stone).sort_key():
                    del packages[place]
            elif here is None:
                stone = mine.stones.get(place)
                if not stone or there.key > DebVersion(stone).sort_key():
                    packages[place] = there
            elif there.key > here.key:
                packages[place] = there
            elif there.key == here.key and here != there:
                clash = True
        for place, version in theirs.stones.items():
            known = stones.get(place)
            if known is None or DebVersion(known).sort_key() < DebVersion(version).sort_key():
                stones[place] = version
        stones = {place: version for place, version in stones.items() if place not in packages}

        def act() -> Outcome:
            return merge_suite(self.context, "petrel", into, other, WHO, dry_run=dry_run)

        if clash:
            with pytest.raises(Refused, match="has other content there"):
                act()
            return
        self.carried_out(into, act, packages, stones, dry_run=dry_run, is_upwards=True)

    @rule(into=SUITES, other=SUITES, sources=st.lists(st.sampled_from(SOURCES), min_size=1, max_size=2, unique=True),
          dry_run=st.booleans())  # fmt: skip
    def pull(self, into: str, other: str, sources: list[str], dry_run: bool) -> None:  # noqa: FBT001  # as above
        into, other = self.named(into), self.named(other)
        mine, theirs = self.models[into], self.models[other]
        pulled = {place: theirs.packages[place] for source in sources for place in theirs.built_of(source)}
        gone = {place for source in sources for place in mine.built_of(source)} - pulled.keys()
        packages = {place: held for place, held in mine.packages.items() if place not in gone} | pulled
        stones = {place: stone for place, stone in mine.stones.items() if place not in pulled}
        stones |= {place: mine.packages[place].version for place in gone}
        both = [(mine.packages[place], held) for place, held in pulled.items() if place in mine.packages]
        is_worse = any(held.key < here.key or (held.key == here.key and held != here) for here, held in both)

        def act() -> Outcome:
            return pull_packages(self.context, "petrel", into, other, sources, WHO, dry_run=dry_run)

        if is_worse or not all(theirs.built_of(source) for source in sources):
            with pytest.raises(Refused, match=r"is newer than|has other content|no such source"):
                act()
            return
        self.carried_out(into, act, packages, stones, dry_run=dry_run)

    @rule(
        suite=SUITES, names=st.lists(st.sampled_from(NAMES), min_size=1, max_size=2, unique=True), dry_run=st.booleans()
    )
    def remove(self, suite: str, names: list[str], dry_run: bool) -> None:  # noqa: FBT001  # as above
        suite = self.named(suite)
        model = self.models[suite]
        found = [model.built_of(name) | {place for place in model.packages if place[1] == name} for name in names]

        def act() -> Outcome:
            return remove_packages(self.context, "petrel", suite, names, WHO, dry_run=dry_run)

        if not all(found):
            with pytest.raises(Refused, match="no such package here"):
                act()
            return
        gone = set().union(*found)
        packages = {place: held for place, held in model.packages.items() if place not in gone}
        stones = {**model.stones, **{place: model.packages[place].version for place in gone}}
        self.carried_out(suite, act, packages, stones, dry_run=dry_run)

    @rule(suite=SUITES, wanted=SUITES, downgrades=st.booleans(), dry_run=st.booleans())
    def reset(self, suite: str, wanted: str, downgrades: bool, dry_run: bool) -> None:  # noqa: FBT001  # as above
        suite, wanted = self.named(suite), self.named(wanted)
        model, other = self.models[suite], self.models[wanted]
        is_worse = any(change.is_downgrade for change in differing(model.packages, other.packages))

        def act() -> Outcome:
            return reset_suite(
                self.context, "petrel", suite, self.row(wanted).revision, WHO,
                action="reset", downgrades=downgrades, dry_run=dry_run,
            )  # fmt: skip

        if is_worse and not downgrades:
            with pytest.raises(Refused, match="would be downgraded"):
                act()
            return
        self.carried_out(suite, act, *other.state(), dry_run=dry_run)

    @rule(suite=SUITES, dry_run=st.booleans())
    def undo(self, suite: str, dry_run: bool) -> None:  # noqa: FBT001  # as above
        suite = self.named(suite)
        model = self.models[suite]
        if not model.undos:
            with pytest.raises(Refused, match="has no change to undo"):
                undo_change(self.context, "petrel", suite, WHO, dry_run=dry_run)
            return
        packages, stones = model.undos[-1]
        undone = model.undos[:-1]
        self.carried_out(
            suite,
            lambda: undo_change(self.context, "petrel", suite, WHO, dry_run=dry_run),
            packages, stones, dry_run=dry_run,
        )  # fmt: skip
        if not dry_run:
            model.undos = undone

    @rule()
    def snapshot(self) -> None:
        row = take_snapshot(self.context, "petrel", [])
        self.snapshots[row.serial] = (row.digest, {name: self.row(name).revision for name in self.models})

    @precondition(lambda self: len(self.models) > 1)
    @rule(old=SUITES, new=SUITES)
    def diff(self, old: str, new: str) -> None:
        old, new = self.named(old), self.named(new)
        told = diff_suites(self.context, self.row(old).revision, self.row(new).revision)
        assert set(told) == differing(self.models[old].packages, self.models[new].packages)
        assert len(told) == len(set(told))

    def carried_out(
        self,
        suite: str,
        act: Callable[[], Outcome],
        packages: Mapping[Place, Held],
        stones: Mapping[Place, str],
        *,
        dry_run: bool,
        is_upwards: bool = False,
    ) -> None:
        """Act, and hold the answer and the model to each other; with dry_run nothing may change."""
        model, before = self.models[suite], self.row(suite)
        after = root_of_model(Model(dict(packages), dict(stones)), MemoryObjects()).revision
        self.fuse.left, self.cut_at = self.cut_at, 0
        try:
            done = act()
        except CrashError:
            if self.row(suite).revision == before.revision:
                self.fuse.left = 0
                done = act()  # as whoever has typed it does once more
            else:  # it was done, and nobody heard of it
                assert self.row(suite).revision == after
                model.become(packages, stones)
                return
        self.fuse.left = 0
        assert set(done.changes) == differing(model.packages, packages)
        if dry_run:
            assert self.row(suite) == before
        else:
            assert model.become(packages, stones) == (done.after != done.before)
            assert (done.before, done.after) == (before.revision, self.row(suite).revision)
        assert not is_upwards or not any(change.is_downgrade for change in done.changes)

    @invariant()
    def every_suite_is_what_the_model_says(self) -> None:
        for name, model in self.models.items():
            row = self.row(name)
            assert row.revision == root_of_model(model, MemoryObjects()).revision
            assert set(packages_of(self.objects, row)) == {
                (*place, held.version) for place, held in model.packages.items()
            }
            assert not model.stones.keys() & model.packages.keys()

    @invariant()
    def snapshots_stay_as_they_were(self) -> None:
        for digest, states in self.snapshots.values():
            held = parse_own_snapshot(self.objects.read(digest)).suites
            assert {name: revision for name, (revision, _) in held.items()} == states


def histories(examples: int, steps: int) -> settings:
    return settings(
        max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )


TestSuiteHistories = SuiteHistories.TestCase
TestSuiteHistories.settings = histories(60, 40)


@pytest.mark.full
def test_many_long_histories() -> None:
    run_state_machine_as_test(SuiteHistories, settings=histories(150, 60))
