"""Random lives of freeze exceptions: clients never go back, no exception outlives its need, and none takes from the base."""

from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.worlds.archive import UpstreamFetcher, make_deb, make_source
from tests.worlds.installation import WorldContext
from tests.worlds.state import memory_database
from tests.worlds.times import NOW

from distwright.archive.exceptions import ExceptionRequest, let_in
from distwright.archive.suites import Who, branch_suite, merge_suite, packages_of, undo_change
from distwright.archive.tidying import judge_suite, tidy_suite
from distwright.archive.tree import EMPTY_ROOT, TreeEntry, build_tree
from distwright.errors import Refused
from distwright.model.records import FreezeException, SuiteState
from distwright.model.versions import DebVersion
from distwright.store.exceptions import list_exceptions
from distwright.store.memory import MemoryObjects
from distwright.store.paths import StatePaths
from distwright.store.suites import get_suite, insert_suite, move_suite

WHO = Who("user ada")
SOURCES = ("hello", "world")
VERSIONS = ("0.9", "1.0~rc1", "1.0", "1.0+b1", "1.10", "1:0.1")
Place = tuple[str, str]  # list, name


class ExceptionLives(RuleBasedStateMachine):
    """`stable`, the overlay `frozen` above it, and `next`, where fixes are made."""

    def __init__(self) -> None:
        super().__init__()
        self.database, self.objects = memory_database(), MemoryObjects()
        self.context = WorldContext(StatePaths(Path("/nowhere")), self.database, self.objects, UpstreamFetcher({}))

    def teardown(self) -> None:
        self.database.close()

    @initialize()
    def begin(self) -> None:
        self.objects.put(EMPTY_ROOT.to_bytes())
        with self.database.write() as tx:
            for name in ("stable", "next"):
                insert_suite(tx, SuiteState("petrel", name, "base", EMPTY_ROOT.revision, NOW))
        branch_suite(self.context, "petrel", "frozen", "stable", "overlay", WHO)

    def row(self, suite: str) -> SuiteState:
        with self.database.read() as tx:
            return get_suite(tx, "petrel", suite)

    def versions(self, suite: str) -> dict[Place, str]:
        return {(kind, name): version for kind, name, version in packages_of(self.objects, self.row(suite))}

    def seen(self) -> dict[Place, bytes]:
        """Give what clients of the overlay and its base take: the highest version of each."""
        found: dict[Place, bytes] = {}
        for suite in ("stable", "frozen"):
            for place, version in self.versions(suite).items():
                found[place] = max(found.get(place, b""), DebVersion(version).sort_key())
        return found

    def exceptions(self) -> list[FreezeException]:
        with self.database.read() as tx:
            return list_exceptions(tx)

    @rule(
        suite=st.sampled_from(["stable", "next"]),
        held=st.dictionaries(st.sampled_from(SOURCES), st.sampled_from(VERSIONS)),
    )
    def hold(self, suite: str, held: dict[str, str]) -> None:
        """Make a suite have exactly these sources, each with two packages."""
        entries = []
        for source, version in held.items():
            made = (make_deb(source, version), make_deb(f"lib{source}", version, source=source))
            for deb in made:
                self.objects.put(deb.content)
                entries.append(TreeEntry("main/binary-amd64", deb.name, DebVersion(version), deb.stanza().encode()))
            theirs = make_source(source, version)
            for content in theirs.files.values():
                self.objects.put(content)
            entries.append(TreeEntry("main/source", source, DebVersion(version), theirs.stanza().encode()))
        revision = self.objects.put(build_tree(entries, self.objects.put).to_bytes())
        with self.database.write() as tx:
            move_suite(tx, get_suite(tx, "petrel", suite), revision, NOW)

    @rule(source=st.sampled_from(SOURCES), version=st.sampled_from(VERSIONS), dry_run=st.booleans())
    def let_in(self, source: str, version: str, dry_run: bool) -> None:  # noqa: FBT001  # given by hypothesis
        place, before, seen = ("main/source", source), self.versions("frozen"), self.seen()
        request = ExceptionRequest("petrel", "frozen", source, version, "next", "a reason", "user ada")
        is_there = self.versions("next").get(place) == version
        is_newer = seen.get(place, b"") < DebVersion(version).sort_key()
        try:
            let_in(request, self.context, dry_run=dry_run)
        except Refused:
            assert not (is_there and is_newer)
            assert self.versions("frozen") == before
            return
        assert is_there
        assert is_newer
        if dry_run:
            assert self.versions("frozen") == before
        else:
            assert self.seen()[place] == DebVersion(version).sort_key()
            assert [row.version for row in self.exceptions() if row.source == source] == [version]

    @rule()
    def tidy(self) -> None:
        seen, needed = (
            self.seen(),
            [one.row.id for one in judge_suite(self.context, "petrel", "frozen") if one.is_needed],
        )
        tidy_suite(self.context, "petrel", "frozen", "user ada")
        assert [row.id for row in self.exceptions()] == needed
        assert all(self.seen().get(place, b"") >= version for place, version in seen.items())
        assert tidy_suite(self.context, "petrel", "frozen", "user ada") == []

    @rule()
    def undo(self) -> None:
        try:
            undo_change(self.context, "petrel", "frozen", WHO, dry_run=False)
        except Refused as error:
            assert "has no change to undo" in error.message  # noqa: PT017  # any other is a fault

    @rule()
    def merge_into_the_base(self) -> None:
        """What was let in may be wanted in the base after all: nothing that the base has goes or gets older."""
        before = self.versions("stable")
        merge_suite(self.context, "petrel", "stable", "frozen", WHO, dry_run=False)
        after = self.versions("stable")
        assert all(
            place in after and DebVersion(after[place]).sort_key() >= DebVersion(version).sort_key()
            for place, version in before.items()
        )

    @invariant()
    def each_source_has_one_exception_at_most(self) -> None:
        sources = [row.source for row in self.exceptions()]
        assert len(sources) == len(set(sources))


TestExceptionLives = ExceptionLives.TestCase
TestExceptionLives.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
