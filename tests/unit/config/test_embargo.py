"""Tables by which something private would come where everybody looks are refused; who may see it follows from them."""

import pytest
from tests.unit.config.worlds import good_config, problems_with

from distwright.config.embargo import audience, private_names

VAULT = """[archive.vault]
kind = "own"
private = true
origin = "Petrel"
label = "Petrel"
key = { credential = "vault" }
[suite.fixes]
archive = "vault"
[repo.twin]
private = true
private_twin_of = "greeter"
package = true
suite = "fixes"
environment = "build"
read = ["ada"]
[repo.live]
"""
ADD = ("[repo.live]\n", VAULT)
BOB = ("[person.ada]", '[person.bob]\nname = "Bob"\nemail = "bob@example.org"\nkeys = []\n[person.ada]')
LOOK = '[environment.look]\nfrom = ["debian/bookworm", "vault/fixes"]\n'
SECOND = """[repo.second]
private = true
package = true
suite = "fixes"
environment = "build"
read = ["bob"]
write = ["ada"]
[repo.live]
"""


def test_a_twin_with_a_place_of_its_own_is_right() -> None:
    config = good_config(ADD)
    assert private_names(config) == {"archive/vault", "repo/twin"}
    assert [audience(config, name) for name in ("repo/twin", "archive/vault")] == [{"ada"}, {"ada"}]


def test_what_is_public_or_gone_or_nobodys_has_no_audience() -> None:
    config = good_config(ADD, ('private_twin_of = "greeter"\npackage = true\n', ""))
    names = ("repo/greeter", "repo/gone", "archive/petrel", "archive/debian", "archive/gone", "archive/vault")
    assert [audience(config, name) for name in names] == [frozenset()] * 6


def test_an_archive_is_seen_by_those_who_may_read_all_that_fill_it() -> None:
    config = good_config(ADD, BOB, ("[repo.live]\n", SECOND))
    names = ("repo/twin", "repo/second", "archive/vault")
    assert [audience(config, name) for name in names] == [{"ada"}, {"ada", "bob"}, {"ada"}]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            ('suite = "fixes"', 'suite = "devel"'),
            (
                "repo.twin.suite: is in archive 'petrel', which everybody reads, and the repo is private; "
                "want a suite of an own archive with private = true"
            ),
        ),
        (
            ('suite = "devel"', 'suite = "fixes"'),
            (
                "repo.greeter.suite: is in archive 'vault', which is private, and the repo is not; "
                "want private = true, or a suite of another archive"
            ),
        ),
        (
            ('from = ["debian/bookworm", "petrel/devel"]\n[image', 'from = ["debian/bookworm", "vault/fixes"]\n[image'),
            "repo.greeter.environment: environment 'build' reads archive 'vault', which is private; want an environment without it",
        ),
        (
            ('from = ["debian/bookworm", "petrel/devel"]\n[image', 'from = ["debian/bookworm", "vault/fixes"]\n[image'),
            "image.petrel.tools: environment 'build' reads archive 'vault', which is private; want an environment without it",
        ),
        (
            ('from = ["debian/bookworm", "petrel/devel"]\ntools', 'from = ["debian/bookworm", "vault/fixes"]\ntools'),
            "image.petrel.from[1]: archive 'vault' is private, and what is made here is not; want a suite of another archive",
        ),
        (
            ("[environment.build]\n", f'{LOOK}[environment.build]\ncheckers = "look"\n'),
            "repo.greeter.environment: environment 'build' reads archive 'vault', which is private; want an environment without it",
        ),
        (
            ("valid_days = 30", f'environment = "look"\n{LOOK}'),
            "suite.devel.environment: environment 'look' reads archive 'vault', which is private; want an environment without it",
        ),
        (
            ("fetch_from", 'pool = "listed"\npackages = ["hello"]\ntogether_with = ["vault/fixes"]\nfetch_from'),
            (
                "archive.debian.together_with[0]: archive 'vault' is private, and what is made here is not; "
                "want a suite of another archive"
            ),
        ),
        (
            ('private_twin_of = "greeter"', 'private_twin_of = "greater"'),
            (
                "repo.twin.private_twin_of: repo 'greater' does not exist; "
                "want the name of a [repo.NAME] table that is not private; did you mean greeter?"
            ),
        ),
        (
            ('private_twin_of = "greeter"', 'private_twin_of = "twin"'),
            "repo.twin.private_twin_of: repo 'twin' is private itself; want the name of one that is not",
        ),
        (
            ('read = ["ada"]', 'read = ["ada"]\ndefault_branch = "trunk"'),
            (
                "repo.twin.default_branch: is another one than that of repo 'greeter', whose twin it is; "
                'want default_branch = "main"'
            ),
        ),
        (
            ("[repo.live]\n", '[repo.live]\nprivate_twin_of = "greeter"\n'),
            "repo.live.private_twin_of: is set, and the repo is not private; want private = true",
        ),
        (
            ('repo = "live"', 'repo = "twin"'),
            "image.petrel.repo: repo 'twin' is private, and images are not; want another repo",
        ),
    ],
)
def test_what_would_leak_is_refused_by_name(change: tuple[str, str], problem: str) -> None:
    found = problems_with(ADD, change)
    assert problem in [line.partition(" ")[2] for line in found], found


def test_an_environment_of_the_twins_own_archive_is_allowed() -> None:
    secret = '[environment.secret]\nfrom = ["debian/bookworm", "vault/fixes"]\n[repo.twin]\n'
    there = ("[repo.twin]\n", secret)
    assert problems_with(ADD, there, ('environment = "build"\nread', 'environment = "secret"\nread')) == []
    assert problems_with(ADD, there, ('archive = "vault"\n', 'archive = "vault"\nenvironment = "secret"\n')) == []
