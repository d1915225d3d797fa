"""The doctor looks at the state too: who may read keys, who may change it, whether the database is whole."""

from pathlib import Path

import pytest
from tests.worlds.installation import WorldContext, make_context
from tests.worlds.keys import key_file
from tests.worlds.times import NOW

from distwright.site.doctor import examine_state
from distwright.site.health import HealthFinding
from distwright.store.paths import StatePaths


@pytest.fixture
def context(tmp_path: Path) -> WorldContext:
    context = make_context(tmp_path / "state")
    context.paths.root.chmod(0o711)
    context.paths.database.chmod(0o600)
    (context.paths.keys / "builder.pgp").write_bytes(key_file("builder"))
    (context.paths.keys / "builder.pgp").chmod(0o600)
    return context


def findings(paths: StatePaths) -> dict[str, HealthFinding]:
    return {finding.check: finding for finding in examine_state(paths, NOW)}


def test_a_state_that_is_not_there_yet_is_only_noted_and_not_made(tmp_path: Path) -> None:
    found = findings(StatePaths(tmp_path / "state"))
    assert {name: finding.state for name, finding in found.items()} == {
        "state": "note",
        "database": "note",
        "keys": "well",
        "endings": "well",
    }
    assert not (tmp_path / "state").exists()


def test_a_state_of_ours_is_well(context: WorldContext) -> None:
    assert {name: finding.state for name, finding in findings(context.paths).items()} == {
        "state": "well",
        "database": "well",
        "keys": "well",
        "endings": "well",
    }


@pytest.mark.parametrize(
    ("path", "mode", "hint"),
    [
        ("", 0o775, "chmod go-w {}"),
        ("objects", 0o757, "chmod go-w {}"),
        ("keys", 0o755, "chmod 700 {}"),
        ("keys/builder.pgp", 0o640, "chmod 600 {}"),
        ("db.sqlite", 0o644, "chmod 600 {}"),
    ],
)
def test_what_others_may_do_is_named_with_its_mode_and_mended_by_the_hint(
    context: WorldContext, path: str, mode: int, hint: str
) -> None:
    place = context.paths.root / path
    place.chmod(mode)
    finding = findings(context.paths)["state"]
    assert (finding.state, finding.what) == ("wrong", f"{place} has mode {mode:04o}")
    assert finding.hint == hint.format(place)


def test_a_damaged_database_is_wrong(context: WorldContext) -> None:
    content = bytearray(context.paths.database.read_bytes())
    content[4096 * 3 : 4096 * 6] = b"rot!" * 3072
    context.paths.database.write_bytes(content)
    finding = findings(context.paths)["database"]
    assert (finding.check, finding.state) == ("database", "wrong")


@pytest.mark.parametrize("how", ["emptied", "gone"])
def test_a_database_that_is_lost_while_objects_are_there_is_wrong(context: WorldContext, how: str) -> None:
    context.objects.put(b"something")
    if how == "gone":
        context.paths.database.unlink()
    else:
        context.paths.database.write_bytes(b"")
    finding = findings(context.paths)["database"]
    assert (finding.state, finding.hint) == ("wrong", "restore it from a backup")
