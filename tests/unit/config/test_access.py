"""Who may do what in hosted repos, as the tables say it."""

import base64

import pytest
from tests.unit.config.worlds import good_config, problems_with

from distwright.config.access import at_least, members

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGRpc3R3cmlnaHRkaXN0d3JpZ2h0ZGlzdHdyaWdodGRp"
ADA = 'keys = ["0123456789abcdef0123456789ABCDEF01234567"]'
BOB = '[person.bob]\nname = "Bob"\nemail = "bob@example.org"\nkeys = []'


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ('write = ["adda"]', "repo.live.write[0]: nobody is 'adda'; want the name of a [person.NAME] table; did you mean ada?"),
        ('write = ["@chief"]', "repo.live.write[0]: nobody is '@chief'; want a role of an [person.NAME]; there is none yet"),
        ("public = true\nprivate = true", "repo.live.public: is true, and so is private; want one of both"),
    ],
)  # fmt: skip
def test_what_does_not_fit_together_is_named(lines: str, problem: str) -> None:
    found = problems_with(("[repo.live]", f"[repo.live]\n{lines}"))
    assert [line for line in found if line.partition(" ")[2] == problem], found


def test_roles_open_no_private_repo() -> None:
    found = problems_with(
        ("[repo.live]", '[repo.twin]\nprivate = true\nwrite = ["@developer"]\n[repo.live]'),
        (ADA, f'{ADA}\nroles = ["developer"]'),
    )
    assert [line.partition(" ")[2] for line in found] == [
        "repo.twin.write[0]: '@developer' is a role, and the repo is private; want the names of persons"
    ]


@pytest.mark.parametrize("name", ["live.git", "g++++", "0"])
def test_names_that_gitolite_reads_as_others_are_refused_where_it_serves(name: str) -> None:
    table = ("[repo.live]", f"[repo.'{name}']\n[repo.live]")
    assert problems_with(table) == []
    served = problems_with(table, ("[site]", '[site]\ngit_user = "git"'))
    assert any("is a name that Gitolite reads as another one" in line for line in served)


def test_a_person_that_gitolite_takes_for_none_has_no_key() -> None:
    nobody = BOB.replace("[person.bob]", "[person.0]")
    assert problems_with((ADA, f"{ADA}\n{nobody}")) == []
    [line] = problems_with((ADA, f'{ADA}\n{nobody}\nssh_keys = ["{KEY}"]'))
    assert "is a name that Gitolite takes for none" in line


def test_the_repo_of_gitolite_is_nobodys() -> None:
    assert any(
        "is the repo of Gitolite itself" in line
        for line in problems_with(("[repo.live]", "[repo.gitolite-admin]\n[repo.live]"))
    )


@pytest.mark.parametrize(
    "key",
    [
        "ssh-ed25519", "ssh-ed25519 AAAA", "ssh-ed25519 AAAAB3NzaC1yc2EAAAADAQABAAABgQ==", "ssh-dss AAAAB3NzaC1kc3M=",
        f'command="sh" {KEY}', f"\\n{KEY}", KEY.replace(" ", "\\t"), KEY + "=A", f"ssh-rsa {KEY.partition(' ')[2]}",
    ],
)  # fmt: skip
def test_what_is_no_public_key_is_refused_and_never_shown(key: str) -> None:
    [line] = problems_with((ADA, f'{ADA}\nssh_keys = ["{key.replace(chr(34), chr(92) + chr(34))}"]'))
    assert "ssh_keys[0]: is not a public key of ssh" in line
    assert key not in line.partition("for example")[0]


def test_the_comment_of_a_key_is_dropped() -> None:
    config = good_config((ADA, f'{ADA}\nssh_keys = ["{KEY} no-pty evil\\ncommand"]'))
    assert config.persons["ada"].ssh_keys == (KEY,)


def test_a_key_of_two_persons_is_refused() -> None:
    found = problems_with((ADA, f'{ADA}\nssh_keys = ["{KEY} here"]\n{BOB}\nssh_keys = ["{KEY}"]'))
    assert [line.partition(" ")[2] for line in found] == [
        "person.bob.ssh_keys[0]: is already a key of person 'ada'; want a key of their own"
    ]


def test_every_kind_of_key_that_openssh_makes_today_is_taken() -> None:
    for kind in ("ssh-rsa", "ecdsa-sha2-nistp256", "sk-ssh-ed25519@openssh.com"):
        blob = base64.b64encode(len(kind).to_bytes(4, "big") + kind.encode() + b"rest").decode()
        config = good_config((ADA, f'{ADA}\nssh_keys = ["{kind} {blob}"]'))
        assert config.persons["ada"].ssh_keys == (f"{kind} {blob}",)


def test_whoever_may_do_more_may_do_less() -> None:
    config = good_config(
        ("[repo.live]", '[repo.live]\nwrite = ["bob"]\nmaintain = ["@chief"]'),
        (ADA, f'{ADA}\nroles = ["chief"]\n{BOB}'),
    )
    persons, repo = config.persons, config.repos["live"]
    assert members(persons, ["@chief", "bob"]) == {"ada", "bob"}
    assert [sorted(at_least(persons, repo, level)) for level in ("write", "create", "rewind", "maintain")] == [
        ["ada", "bob"], ["ada"], ["ada"], ["ada"]
    ]  # fmt: skip


@pytest.mark.parametrize("path", ["/etc", "a/../b", "a b", "a;b", "a//b", "", ":(top)", "-x"])
def test_paths_of_robots_stay_in_the_repository(path: str) -> None:
    assert len(problems_with((ADA, f'{ADA}\nonly_paths = ["{path}"]'))) == 1
