"""Refusals of pushes: what is refused, and that each says what to type next."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distwright.model.names import suite_of_branch
from distwright.repos.refusals import (
    colliding_suite,
    is_within,
    outside_of_paths,
    suite_of,
    words_of_denial,
)

REFS = ["refs/heads/main", "refs/heads/feature/foo", "refs/tags/1.0-rc1"]
SUITES = {"devel": "devel"}
PINS = ["config/pins/**"]
RULES = {
    "address": "git@example.org",
    "repos": {"live": {"bases": ["main", "release/*"], "create": ["ada"], "rewind": ["ada", "bob"], "maintain": []}},
}


@given(st.text(st.characters(codec="utf-8", exclude_characters="\n\0")))
def test_a_suite_has_the_name_that_the_archive_gives_it(name: str) -> None:
    assert suite_of(f"refs/heads/{name}") == suite_of_branch(name)


@pytest.mark.parametrize(
    ("ref", "words"),
    [
        (
            "refs/heads/feature-foo",
            "branch feature-foo would have the suite feature-foo, which belongs to branch feature/foo.",
        ),
        ("refs/heads/Main", "branch Main would have the suite main, which belongs to branch main."),
        ("refs/tags/main", "tag main would have the suite main, which belongs to branch main."),
        ("refs/heads/1.0-RC1", "branch 1.0-RC1 would have the suite 1.0-rc1, which belongs to tag 1.0-rc1."),
        ("refs/heads/Devel", "branch Devel would have the suite devel, which is configured for branch devel."),
        ("refs/tags/devel", "tag devel would have the suite devel, which is configured for branch devel."),
    ],
)
def test_a_ref_whose_suite_is_anothers_is_refused_by_name(ref: str, words: str) -> None:
    first, then = colliding_suite(ref, REFS, SUITES)
    assert first == words
    assert then.startswith("Choose another name: git push ORIGIN ")


@pytest.mark.parametrize("ref", [*REFS, "refs/heads/devel", "refs/heads/feature/foo2", "refs/tags/1.0"])
def test_a_ref_with_a_suite_of_its_own_is_not(ref: str) -> None:
    assert colliding_suite(ref, REFS, SUITES) == []


@pytest.mark.parametrize(
    ("pattern", "inside", "outside"),
    [
        ("config/pins/**", ["config/pins/a", "config/pins/a/b"], ["config/pins2/a", "config/pin", "x/config/pins/a"]),
        ("config/pins/", ["config/pins/a", "config/pins/a/b"], ["config/pinsa"]),
        ("config/pins", ["config/pins", "config/pins/a"], ["config/pins.d", "config"]),
        ("*/serial", ["a/serial"], ["a/b/serial", "serial"]),
        ("**/serial", ["a/serial", "a/b/serial", "serial"], ["a/serials"]),
        ("a?c", ["abc"], ["a/c", "abbc"]),
        ("a.c", ["a.c"], ["abc"]),
        ("a+", ["a+"], ["aa"]),
    ],
)
def test_paths_match_as_documented(pattern: str, inside: list[str], outside: list[str]) -> None:
    assert [path for path in inside if not is_within(path, [pattern])] == []
    assert [path for path in outside if is_within(path, [pattern])] == []


def test_a_name_with_a_newline_is_no_other_name() -> None:
    assert not is_within("debian/rules\nconfig/pins/a", PINS)
    assert is_within("config/pins/a\nb", PINS)


def test_a_robot_keeps_to_its_paths() -> None:
    assert outside_of_paths("live", "pinbot", ["config/pins/a"], PINS, updates_branch=True) == []
    first, then = outside_of_paths("live", "pinbot", ["config/pins/a", "é\n", "b", "c", "d"], PINS, updates_branch=True)
    assert first == "pinbot may change only config/pins/** in live; these commits change 'b', 'c', 'd' and 1 more."
    assert "git reset --soft" in then
    [words] = outside_of_paths("live", "pinbot", [], PINS, updates_branch=False)
    assert "it makes and deletes no branch and no tag" in words


@pytest.mark.parametrize(
    ("access", "ref", "words"),
    [
        ("R", "any", "ssh git@example.org info"),
        (
            "+",
            "refs/heads/main",
            "branch main is a base: it is never rewound or deleted. Take a commit back by another: git revert",
        ),
        ("D", "refs/heads/release/2", "branch release/2 is a base: it is never rewound or deleted"),
        (
            "W",
            "refs/heads/main",
            "branch main is a base, to which nobody push. Push a topic: git push ORIGIN HEAD:refs/heads/NAME",
        ),
        ("+", "refs/tags/1.0", "tag 1.0 is there: tags are never moved or deleted. Make another: git tag -s NAME"),
        ("C", "refs/tags/1.0", "tags of live are made by nobody"),
        ("+", "refs/heads/topic", "topics are rewound and deleted by ada, bob. Push under another name: git push"),
        ("D", "refs/heads/topic", "topics are rewound and deleted by ada, bob"),
        ("C", "refs/heads/topic", "branches of live are made by ada"),
        ("C", "refs/notes/a", "only branches and tags are kept here: git push ORIGIN HEAD:refs/heads/NAME"),
    ],
)
def test_each_denial_of_gitolites_says_what_to_type(access: str, ref: str, words: str) -> None:
    [line] = words_of_denial(RULES, "live", "eve", access, ref)
    assert words in line


def test_a_repo_that_one_may_not_read_is_told_like_one_that_is_not_there() -> None:
    there, nothing = (words_of_denial(RULES, name, "eve", "R", "any") for name in ("live", "nothing"))
    assert [line.replace("live", "nothing") for line in there] == nothing
