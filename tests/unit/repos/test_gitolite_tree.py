"""What Gitolite is told follows from the tables alone, and lets each person do what the tables say and no more."""

from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.config.test_access import KEY
from tests.worlds.gitolite_rules import may, parsed

from distwright.config.load import parse_config
from distwright.config.model import Config
from distwright.repos.gitolite_tree import CONF, admin_files, authorized_keys, mark_of

PEOPLE = ("ada", "bob", "carol", "dan", "eve", "pinbot")
BASES = ("refs/heads/main", "refs/heads/release/1.0")
TOPICS = ("refs/heads/topic", "refs/heads/xmain", "refs/heads/main2", "refs/heads/release", "refs/heads/a/main")
TAG = "refs/tags/1.0"
TABLES = dedent("""\
    [repo.live]
    public = true
    protected = ["release/*"]
    write = ["pinbot"]
    create = ["carol"]
    rewind = ["bob"]
    maintain = ["@chief"]
    [repo.twin]
    private = true
    read = ["carol"]
    maintain = ["bob"]
    [suite.devel]
    archive = "petrel"
    [archive.petrel]
    kind = "own"
    origin = "Petrel"
    label = "Petrel"
    key = { credential = "petrel" }
""")


def config_of(tables: str) -> Config:
    more = {"ada": 'roles = ["chief"]', "pinbot": 'only_paths = ["config/pins/**"]'}
    people = "".join(
        f'[person.{name}]\nname = "{name}"\nemail = "{name}@example.org"\nkeys = []\n{more.get(name, "")}\n'
        for name in PEOPLE
    )
    return parse_config([("a.toml", f'format = 1\n[site]\nname = "Petrel"\ngit_user = "git"\n{tables}{people}')])


def conf_of(config: Config) -> str:
    return admin_files(config, "", "")[CONF].content.decode()


LIVE = parsed(conf_of(config_of(TABLES)))


def test_the_file_is_what_is_written_here() -> None:
    head, mark, *lines = conf_of(config_of(TABLES)).splitlines()
    assert head.startswith("# Written by distwright")
    assert mark.startswith("@distwright-")
    assert "\n".join(lines).strip() == dedent("""\
        repo gitolite-admin
            - = @all

        repo live
            option CREATE_IS_C = 1
            option DELETE_IS_D = 1
            RWC refs/heads/main$ refs/heads/release/.*$ refs/tags/ = ada
            - refs/heads/main$ refs/heads/release/.*$ refs/tags/ = @all
            RW+CD refs/heads/ = ada bob
            RWC refs/heads/ = carol
            RW refs/heads/ = pinbot
            - VREF/distwright-suites = @all
            - VREF/distwright-paths = pinbot
            R = @all

        repo twin
            option CREATE_IS_C = 1
            option DELETE_IS_D = 1
            RWC refs/heads/main$ refs/tags/ = bob
            - refs/heads/main$ refs/tags/ = @all
            RW+CD refs/heads/ = bob
            - VREF/distwright-suites = @all
            R = bob carol""")


@pytest.mark.parametrize("user", PEOPLE)
@pytest.mark.parametrize("ref", [*BASES, *TOPICS, TAG, "refs/notes/x"])
@pytest.mark.parametrize("access", ["R", "W", "+", "C", "D"])
def test_each_may_do_what_the_table_says_and_no_more(user: str, ref: str, access: str) -> None:
    level = {"ada": 4, "bob": 3, "carol": 2, "pinbot": 1}.get(user, 0)
    if access == "R":
        wanted = True
    elif ref in BASES:
        wanted = level == 4 and access in "WC"
    elif ref == TAG:
        wanted = level == 4 and access in "WC"  # git knows W of no tag that exists: it is +
    elif ref in TOPICS:
        wanted = level >= {"W": 1, "C": 2, "+": 3, "D": 3}[access]
    else:
        wanted = False
    assert may(LIVE, "live", user, access, "any" if access == "R" else ref) == wanted


def test_a_private_repo_is_read_by_those_it_names_and_gitolites_own_by_nobody() -> None:
    assert [name for name in PEOPLE if may(LIVE, "twin", name, "R", "any")] == ["bob", "carol"]
    assert [name for name in PEOPLE if may(LIVE, "gitolite-admin", name, "R", "any")] == []


@given(st.dictionaries(st.sampled_from(["write", "create", "rewind", "maintain"]), st.sets(st.sampled_from(PEOPLE))))
def test_nobody_rewinds_or_deletes_a_base_or_a_tag_and_no_robot_makes_anything(lists: dict[str, set[str]]) -> None:
    lines = "".join(f"{level} = {sorted(names)}\n" for level, names in lists.items())
    rules = parsed(conf_of(config_of(f'[repo.live]\nprotected = ["release/*"]\n{lines}')))
    for user in PEOPLE:
        for ref in (*BASES, TAG):
            assert not may(rules, "live", user, "+", ref)
            assert not may(rules, "live", user, "D", ref)
    assert not any(may(rules, "live", "pinbot", access, ref) for access in "C+D" for ref in (*BASES, *TOPICS, TAG))
    highest = {name for names in lists.values() for name in names}
    assert {name for name in PEOPLE if may(rules, "live", name, "W", "any")} == highest


def test_a_branch_called_user_is_not_gitolites_word_for_who_pushes() -> None:
    rules = parsed(conf_of(config_of('[repo.live]\nprotected = ["x/USER/y"]\nrewind = ["bob"]\n')))
    assert [ref for _, ref, _ in rules["live"] if "/USER/" in ref] == []
    assert not may(rules, "live", "bob", "+", "refs/heads/x/USER/y")


def test_the_order_of_tables_changes_nothing_and_each_file_changes_the_mark() -> None:
    one, two = TABLES.split("[repo.twin]")
    second, rest = two.split("[suite.devel]")
    turned = f"[repo.twin]{second}{one}[suite.devel]{rest}"
    files = admin_files(config_of(TABLES), "x", "")
    assert admin_files(config_of(turned), "x", "") == files
    marks = {
        mark_of(files),
        mark_of(admin_files(config_of(TABLES), "y", "")),
        mark_of(admin_files(config_of(TABLES), "x", "z")),
    }
    assert len(marks) == 3


def test_keys_are_files_of_their_persons() -> None:
    text = TABLES + f'[person.frank]\nname = "F"\nemail = "f@example.org"\nkeys = []\nssh_keys = ["{KEY} f@home"]\n'
    files = admin_files(config_of(text), "", "")
    assert files["keydir/frank@1.pub"].content.decode() == f"{KEY} frank\n"
    assert authorized_keys(files, "/gitolite-shell") == (
        f'# gitolite start\ncommand="/gitolite-shell frank",restrict {KEY} frank\n# gitolite end\n'
    )
