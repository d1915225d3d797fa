"""Readers: one token each, of which only the sum is kept; what each may see follows from the configuration of now."""

from dataclasses import replace

import pytest
from tests.worlds.embargoed import CONFIG, PERSONS
from tests.worlds.state import placed
from tests.worlds.times import NOW

from distwright.config.load import parse_config
from distwright.errors import NotAllowed, NotFound
from distwright.jobs.order import JobOrder
from distwright.jobs.step import KindName
from distwright.model.embargo import PUBLIC, Embargo
from distwright.site.applied import note_private_names
from distwright.site.readers import Viewer, give_token, person_of, private_rows, reader_rows, take_token
from distwright.store.database import Database
from distwright.store.readers import list_readers

CONFIGURED = parse_config([("a.toml", CONFIG.format(folder="/nowhere", persons=PERSONS))])
ADA, BOB, ANYBODY = Viewer(CONFIGURED, "ada"), Viewer(CONFIGURED, "bob"), Viewer(CONFIGURED)


def test_a_token_proves_who_somebody_is_until_it_is_replaced_or_taken(database: Database) -> None:
    first = give_token(database, CONFIGURED, "ada", NOW)
    assert person_of(database, CONFIGURED, "ada", first) == "ada"
    second = give_token(database, CONFIGURED, "ada", NOW)
    assert len(second) >= 43, "256 bits"
    with database.read() as tx:
        [row] = list_readers(tx)
    assert second not in repr(row)
    take_token(database, "ada")
    with pytest.raises(NotFound, match="'ada' has no token"):
        take_token(database, "ada")
    for name, token in (("ada", first), ("ada", second), ("eve", second), ("", ""), ("ada", ""), ("ada", "\udc80")):
        with pytest.raises(NotAllowed, match="no person has this name and token"):
            person_of(database, CONFIGURED, name, token)
    with pytest.raises(NotFound, match="the configuration has no person 'eve'"):
        give_token(database, CONFIGURED, "eve", NOW)


def test_who_left_the_configuration_is_nobody(database: Database) -> None:
    token = give_token(database, CONFIGURED, "ada", NOW)
    without = replace(CONFIGURED, persons={"bob": CONFIGURED.persons["bob"]})
    with pytest.raises(NotAllowed):
        person_of(database, without, "ada", token)


def test_only_who_may_read_all_that_something_comes_from_sees_it() -> None:
    twin, notes = Embargo(frozenset({"repo/greeter-twin", "archive/vault"})), Embargo(frozenset({"repo/notes"}))
    gone = Embargo(frozenset({"repo/gone"}))
    seen = [[viewer.sees(what) for what in (PUBLIC, twin, notes, twin | notes, gone)] for viewer in (ADA, BOB, ANYBODY)]
    assert seen == [
        [True, True, False, False, False],
        [True, False, True, False, False],
        [True, False, False, False, False],
    ]
    assert [viewer.sees_branches_of("greeter-twin") for viewer in (ADA, BOB, ANYBODY)] == [True, False, False]
    assert [ANYBODY.sees_branches_of(repo) for repo in ("greeter", "gone")] == [True, False]
    assert [viewer.archive("vault") is None for viewer in (ADA, BOB, ANYBODY)] == [False, True, True]
    assert (ANYBODY.archive("petrel") is None, ANYBODY.archive("gone")) == (False, None)


def test_a_hidden_job_is_told_like_one_that_is_not_there(database: Database) -> None:
    note_private_names(database, CONFIGURED, NOW)
    placed(database, JobOrder(KindName("count", 1), {"repo": "greeter-twin"}, "secret"))
    with database.read() as tx:
        assert ADA.job(tx, 1).title == "secret"
        assert (ADA.embargoes(tx), BOB.embargoes(tx)) == ({"", "repo/greeter-twin"}, {""})
        said = []
        for number in (1, 2):
            with pytest.raises(NotFound) as caught:
                BOB.job(tx, number)
            said.append((caught.value.message.replace(str(number), "N"), caught.value.hint))
    assert said[0] == said[1]


def test_lists_say_what_is_private_and_who_sees_it(database: Database) -> None:
    assert private_rows(CONFIGURED) == [
        {"kind": "archive", "name": "vault", "twin of": "", "readers": ["ada"]},
        {"kind": "repo", "name": "greeter-twin", "twin of": "greeter", "readers": ["ada"]},
        {"kind": "repo", "name": "notes", "twin of": "", "readers": ["bob"]},
    ]
    give_token(database, CONFIGURED, "bob", NOW)
    assert reader_rows(database, CONFIGURED) == [
        {"person": "bob", "given": f"{NOW:%Y-%m-%d %H:%M:%S}", "may see": ["repo/notes"]}
    ]
