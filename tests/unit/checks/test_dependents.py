"""Finding who depends on a candidate, on real indexes of a small recorded archive."""

from pathlib import Path

import pytest
from tests.unit.archive.requests import record_request
from tests.worlds.archive import Upstream
from tests.worlds.installation import WorldContext, make_context
from tests.worlds.packages import make_deb, make_source
from tests.worlds.tallies import LIBRARY, library, user, world

from distwright.archive.record import record
from distwright.archive.resolve import resolve_suites
from distwright.builds.environment import EnvironmentRecipe
from distwright.builds.resolve import environment_recipe
from distwright.checks.candidates import Candidate, candidate_of_objects
from distwright.checks.dependents import PACKAGE_DEPENDENTS, FoundAll, State, dependents_order, found_all, refuse_older
from distwright.errors import BadUsage, Refused
from distwright.jobs.step import Action
from distwright.store.objects import FileObjects


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> WorldContext:
    """Have everybody who uses the library in a recorded archive."""
    upstream = Upstream()
    sources, debs = world()
    upstream.add(*sources, *debs, make_source("apart"), make_deb("apart"), user("further", needs="keeper"))
    upstream.publish()
    made = make_context(tmp_path_factory.mktemp("dependents"), upstream)
    record(record_request(), made, made.paths.cache / "pool")
    return made


def recipe(context: WorldContext) -> EnvironmentRecipe:
    with context.database.read() as tx:
        resolved = resolve_suites(tx, context.ground(), ["debian/stable"])
    return environment_recipe(context.config, "build", resolved)


def candidate(context: WorldContext, version: str = "2") -> Candidate:
    deb = library(version)
    return candidate_of_objects(context.objects, {deb.file_name: context.objects.put(deb.content)}, "tally", "amd64")


def search(context: WorldContext, *, depth: int = 1, limit: int = 20, version: str = "2") -> FoundAll:
    order = dependents_order(candidate(context, version), recipe(context), depth=depth, limit=limit)
    (step,) = PACKAGE_DEPENDENTS.steps
    assert isinstance(step, Action)
    result = step.perform(context, order.inputs, {})
    concluded = PACKAGE_DEPENDENTS.conclude(order.inputs, {"find": result}, context.clock, 1)
    return found_all(concluded.outputs)


def without(folder: Path, file: str) -> WorldContext:
    """Record an archive whose mirror has lost a file since."""
    upstream = Upstream()
    sources, debs = world()
    upstream.add(*sources, *debs)
    upstream.publish()
    upstream.forget(file)
    made = make_context(folder, upstream)
    record(record_request(), made, made.paths.cache / "pool")
    return made


def test_who_is_built_with_it_and_who_tests_with_it_is_found_with_files(context: WorldContext) -> None:
    found = search(context)
    assert [(one.name, one.level, one.is_built, one.is_tested) for one in found.found] == [
        ("keeper", 1, True, False),
        ("crooked", 1, True, False),
        ("counter", 1, True, False),
        ("tester", 0, False, True),
    ]
    assert all(context.objects.has(digest) for one in found.found for digest in one.files.values())
    assert sorted(found.found[0].files) == ["keeper_1.dsc", "keeper_1.tar.gz"]
    assert found.debs == {"libtally-dev_1_all.deb": library("1").sha256}
    assert (found.left, found.left_count, found.lacking, found.reference) == ((), 0, (), None)
    needs = context.objects.read(found.build_needs).decode()
    assert "Package: counter\nVersion: 1\nArchitecture: all\nBuild-Depends: libtally-dev\nBinary: x\n" in needs
    assert "apart" not in needs


def test_a_source_that_the_mirror_has_lost_is_named_and_hides_nobody(tmp_path: Path) -> None:
    made = without(tmp_path, "counter_1.tar.gz")
    found = search(made)
    assert [one.name for one in found.found] == ["keeper", "crooked", "tester"]
    (lost,) = found.unfetched
    assert (lost.name, lost.is_built) == ("counter", True)
    assert "no longer has" in lost.why
    assert found_all(found.to_json()) == found
    of_an_older_version = {**found.to_json(), "unfetched": [[lost.name, lost.why]]}
    assert found_all(of_an_older_version) == found


def test_one_that_was_to_be_tested_only_is_lost_for_its_tests(tmp_path: Path) -> None:
    made = without(tmp_path, "tester_1.tar.gz")
    (lost,) = search(made).unfetched
    assert (lost.name, lost.is_built) == ("tester", False)


def test_the_next_one_takes_the_place_of_what_the_mirror_has_lost(tmp_path: Path) -> None:
    made = without(tmp_path, "keeper_1.tar.gz")
    found = search(made, limit=1)
    assert [one.name for one in found.found if one.is_built] == ["crooked"]
    assert ([one.name for one in found.unfetched], found.left) == (["keeper"], ("counter",))


def test_what_the_mirror_has_lost_of_the_candidate_itself_leaves_the_rest_to_be_asked(tmp_path: Path) -> None:
    made = without(tmp_path, library("1").file_name)
    found = search(made)
    assert (found.debs, [one.name for one in found.unfetched]) == ({}, ["tally"])
    assert len(found.found) == 4


def test_of_the_same_version_ours_is_looked_at() -> None:
    state = State()
    theirs, ours = (make_source("one").stanza().encode() for _ in range(2))
    state.take(0, theirs, is_own=False, source=True)
    state.take(1, ours, is_own=True, source=True)
    state.take(2, theirs, is_own=False, source=True)
    assert (state.sources["one"].place, state.sources["one"].is_own) == (1, True)


def test_depth_follows_what_they_build(context: WorldContext) -> None:
    assert ("further", 2) in [(one.name, one.level) for one in search(context, depth=2).found]


def test_the_limit_leaves_out_the_largest_and_says_whom(context: WorldContext) -> None:
    found = search(context, limit=1)
    assert [one.name for one in found.found] == ["keeper", "tester"]
    assert (found.left, found.left_count) == (("counter", "crooked"), 2)


def test_found_is_read_as_it_was_written(context: WorldContext) -> None:
    found = search(context)
    assert found_all(found.to_json()) == found


@pytest.mark.parametrize(("version", "said"), [("1", "is there already"), ("0.9", "is older than 1, which is there")])
def test_a_candidate_that_apt_would_not_take_is_refused(context: WorldContext, version: str, said: str) -> None:
    with pytest.raises(Refused, match=said):
        search(context, version=version)


def test_a_package_that_is_nowhere_yet_is_no_older_one(context: WorldContext) -> None:
    refuse_older(candidate(context), {"other": "9"})


def test_a_candidate_is_read_as_it_was_written(context: WorldContext) -> None:
    made = candidate(context)
    assert Candidate.from_json(made.to_json()) == made
    assert made.offered == {LIBRARY}
    assert candidate(context, "1").offered == {LIBRARY, "tally-abi-1"}
    changed = made.added_to(recipe(context))
    assert [entry.name for entry in changed.shelf] == ["debian/stable", "_candidate/candidate"]
    assert changed.source_lines()[-1] == "deb [trusted=yes] {shelf:_candidate/candidate} candidate main"


def test_what_cannot_be_a_candidate_is_refused(context: WorldContext) -> None:
    objects: FileObjects = context.objects  # type: ignore[assignment]
    foreign, other = make_deb("libtally-dev", "2", architecture="arm64", source="tally"), make_deb("other", "2")
    debug = make_deb("libtally-dev-dbgsym", "2", source="tally")
    files = {deb.file_name: objects.put(deb.content) for deb in (foreign, debug)}
    with pytest.raises(BadUsage, match="no package for amd64"):
        candidate_of_objects(objects, files, "tally", "amd64")
    with pytest.raises(BadUsage, match="of source other"):
        candidate_of_objects(objects, {other.file_name: objects.put(other.content)}, "tally", "amd64")


def test_the_search_says_how_many(context: WorldContext) -> None:
    order = dependents_order(candidate(context), recipe(context), depth=1, limit=1)
    (step,) = PACKAGE_DEPENDENTS.steps
    assert isinstance(step, Action)
    done = PACKAGE_DEPENDENTS.conclude(
        order.inputs, {"find": step.perform(context, order.inputs, {})}, context.clock, 1
    )
    assert done.message == "1 sources to build, 1 to test, 2 left out by the limit"
