"""Hostile tables: whatever is written into them, Gitolite reads rules for persons and repos that there are, and nothing else."""

import json
import re
import string

from hypothesis import example, given
from hypothesis import strategies as st
from tests.unit.config.test_access import KEY
from tests.worlds.gitolite_rules import may, parsed

from distwright.config.load import parse_config
from distwright.config.model import Config
from distwright.errors import BadConfig
from distwright.repos.gitolite_tree import CONF, admin_files, authorized_keys

SIGNS = st.text(
    st.sampled_from([*string.ascii_lowercase[:6], *"AU@+*?.$^()[]|\\ =#\n\r\t,;:\"'%~/-_0é\u2028\0"]), max_size=12
)
WORDS = st.sampled_from(
    [
        "USER",
        "x/USER/y",
        "@all",
        "all",
        "CREATOR",
        "refs/",
        "VREF/",
        "main",
        "a\n    RW+ = eve",
        "ada = @all",
        "include",
        "-",
    ]
)
HOSTILE = st.one_of(SIGNS, WORDS, st.builds(str.__add__, WORDS, SIGNS))
NAMES = st.one_of(st.from_regex(r"[a-z0-9][a-z0-9._+-]{0,6}", fullmatch=True), HOSTILE)
PATTERNS = st.one_of(st.from_regex(r"[A-Za-z*?][A-Za-z._/+*?-]{0,8}", fullmatch=True), HOSTILE)
FACT = re.compile(r"refs/(heads|tags)/|VREF/distwright-(suites|paths)|refs/\.\*")


def config_of(person: str, repo: str, role: str, pattern: str, key: str, path: str) -> Config | None:
    quote = json.dumps
    text = (
        f'format = 1\n[site]\nname = "P"\ngit_user = "git"\n[repo.{quote(repo)}]\nprotected = [{quote(pattern)}]\n'
        f'write = [{quote("@" + role)}]\nrewind = [{quote(person)}]\nmaintain = ["zed"]\n'
        f'[person.{quote(person)}]\nname = "A"\nemail = "a@example.org"\nkeys = []\nroles = [{quote(role)}]\n'
        f"ssh_keys = [{quote(key)}]\n"
        f'[person.zed]\nname = "Z"\nemail = "z@example.org"\nkeys = []\n'
        f'[person.bot]\nname = "B"\nemail = "b@example.org"\nkeys = []\nroles = [{quote(role)}]\nonly_paths = [{quote(path)}]\n'
    )
    try:
        return parse_config([("a.toml", text)])
    except BadConfig:
        return None


@given(
    person=NAMES, repo=NAMES, role=NAMES, pattern=PATTERNS, key=st.builds(f"{KEY} {{}}".format, HOSTILE), path=PATTERNS
)
@example("ada", "live", "chief", "x/USER/y", KEY, "a/**")
@example("all", "testing", "all", "*", f"{KEY} a\nb", "**")
@example("ada@2", "live", "chief", "main\n    RW+ = @all", KEY, "a")
@example("a.pub", "a.b", "creator", "?", KEY, "a")
def test_no_table_brings_in_a_rule(person: str, repo: str, role: str, pattern: str, key: str, path: str) -> None:
    config = config_of(person, repo, role, pattern, key, path)
    if config is None:
        return
    files = admin_files(config, "", "")
    rules = parsed(files[CONF].content.decode())
    assert rules.keys() == {"gitolite-admin", repo}
    users = {user for _, _, named in rules[repo] for user in named}
    assert users <= {"@all", *config.persons}
    assert all(FACT.match(ref) for _, ref, _ in rules[repo])
    assert [right for right, _, named in rules[repo] if "@all" in named and right not in ("-", "R")] == []
    literal = re.sub(r"[*]", "x/y", pattern).replace("?", "z")
    for ref in (f"refs/heads/{literal}", "refs/heads/main"):
        assert not may(rules, repo, person, "+", ref)
        assert not may(rules, repo, "bot", "+", ref)
    assert may(rules, repo, "zed", "W", f"refs/heads/{literal}")
    keys = authorized_keys(files, "/shell").splitlines()
    assert keys == ["# gitolite start", f'command="/shell {person}",restrict {KEY} {person}', "# gitolite end"]


def test_what_the_fuzzing_tries_is_not_all_refused() -> None:
    assert config_of("ada", "live", "chief", "x/USER/y", KEY, "a/**") is not None
