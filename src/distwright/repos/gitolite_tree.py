"""What Gitolite is told: the configuration as the files of its repo gitolite-admin. Pure: same tables, same bytes."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from distwright.config.access import ADMIN_REPO, at_least
from distwright.config.model import Config
from distwright.config.tables import Repo
from distwright.model.names import suite_of_branch

CONF, RULES, REFUSALS = "conf/gitolite.conf", "local/rules.json", "local/refusals.py"
MARK = "@distwright-"
# Gitolite's own USER in a rule becomes the name of who pushes (Conf/Load.pm), so it must not appear as it is.
_SIGNS = {"*": ".*", "?": ".", ".": "\\.", "+": "\\+"}
_HEAD = "# Written by distwright from its configuration. Changes by hand are undone: distwright config apply\n"
_SUITES = """\
#!/bin/sh
# Refuses a new branch or tag whose suite would be another's.
case "$2" in *[!0]*) exit 0 ;; esac
{ git for-each-ref --format='%(refname)' refs/heads refs/tags && printf .; } |
    /usr/bin/python3 -I -S "${0%/*}/../refusals.py" suites "$GL_REPO" "$1"
"""
_PATHS = """\
#!/bin/sh
# Refuses of a robot what is outside of its paths, in any commit.
list() {
    case "$1" in *[!0]*) ;; *) return 0 ;; esac
    case "$2" in *[!0]*) ;; *) return 0 ;; esac
    git log -m --format= --name-only --no-renames -z "$1..$2" --
}
{ list "$2" "$3" && printf .; } |
    /usr/bin/python3 -I -S "${0%/*}/../refusals.py" paths "$GL_REPO" "$GL_USER" "$2" "$3"
"""
_WORDS = """\
#!/bin/sh
# Says to who is refused what to do instead.
case "$6" in *DENIED*) exec /usr/bin/python3 -I -S "${0%/*}/../refusals.py" denied "$@" ;; esac
"""


@dataclass(frozen=True, slots=True)
class AdminFile:
    """A file of gitolite-admin."""

    content: bytes
    is_program: bool = False

    @property
    def mode(self) -> str:
        """Its mode, as git writes it."""
        return "100755" if self.is_program else "100644"


def admin_files(config: Config, refusals: str, address: str) -> dict[str, AdminFile]:
    """Give all files of gitolite-admin, path -> file, sorted by path.

    refusals: text of refusals.py. address: what people give to ssh, for words to them ("" if nobody knows).
    A mark in gitolite.conf names the digest of all of them: what Gitolite compiled has it.
    """
    files = {
        REFUSALS: AdminFile(refusals.encode()),
        RULES: AdminFile(json.dumps(_rules(config, address), indent=1, sort_keys=True).encode() + b"\n"),
        "local/VREF/distwright-paths": AdminFile(_PATHS.encode(), is_program=True),
        "local/VREF/distwright-suites": AdminFile(_SUITES.encode(), is_program=True),
        "local/triggers/distwright-words": AdminFile(_WORDS.encode(), is_program=True),
        **_key_files(config),
    }
    conf = "".join(_conf(config))
    mark = hashlib.sha256(conf.encode())
    for path, file in sorted(files.items()):
        mark.update(f"{path} {hashlib.sha256(file.content).hexdigest()}\n".encode())
    files[CONF] = AdminFile(f"{_HEAD}{MARK}{mark.hexdigest()} = distwright\n{conf}".encode())
    return dict(sorted(files.items()))


def mark_of(files: Mapping[str, AdminFile]) -> str:
    """Give the mark in gitolite.conf."""
    found = re.search(rf"^{MARK}[0-9a-f]{{64}}", files[CONF].content.decode(), re.MULTILINE)
    assert found is not None  # noqa: S101  # admin_files writes it
    return found[0]


def authorized_keys(files: Mapping[str, AdminFile], shell: str) -> str:
    """Give what Gitolite's ssh-authkeys makes of the keys. shell: path of gitolite-shell."""
    lines = ["# gitolite start"]
    for path in sorted(path for path in files if path.startswith("keydir/")):
        person = path.removeprefix("keydir/").rpartition("@")[0]
        lines.append(f'command="{shell} {person}",restrict {files[path].content.decode().rstrip()}')
    return "\n".join([*lines, "# gitolite end", ""])


def _key_files(config: Config) -> dict[str, AdminFile]:
    return {
        f"keydir/{name}@{number}.pub": AdminFile(f"{key} {name}\n".encode())
        for name, person in config.persons.items()
        for number, key in enumerate(person.ssh_keys, 1)
    }


def hosted_repos(config: Config) -> dict[str, Repo]:
    """Give the repos that are pushed to here; the others are fetched from where they are kept."""
    return {name: repo for name, repo in config.repos.items() if repo.url is None}


def _conf(config: Config) -> Iterator[str]:
    yield f"\nrepo {ADMIN_REPO}\n    - = @all\n"
    for name, repo in sorted(hosted_repos(config).items()):
        yield f"\nrepo {name}\n    option CREATE_IS_C = 1\n    option DELETE_IS_D = 1\n"
        yield from (f"    {rule}\n" for rule in _repo_rules(config, repo))


def _repo_rules(config: Config, repo: Repo) -> Iterator[str]:
    """Give the rules of a repo; of those that match a ref and a person, the first counts."""
    robots = {name for name, person in config.persons.items() if person.only_paths}
    maintain, rewind, create, write, read = (
        at_least(config.persons, repo, level) for level in ("maintain", "rewind", "create", "write", "read")
    )
    bases = " ".join(f"refs/heads/{_regex(base)}$" for base in _bases(repo))
    yield from _rule("RWC", f"{bases} refs/tags/", maintain - robots)
    yield from _rule("RW", bases, maintain & robots)
    yield f"- {bases} refs/tags/ = @all"
    yield from _rule("RW+CD", "refs/heads/", rewind - robots)
    yield from _rule("RWC", "refs/heads/", create - rewind - robots)
    yield from _rule("RW", "refs/heads/", (write - create - rewind) | (write & robots))
    if not repo.package:
        yield "- VREF/distwright-suites = @all"
    yield from _rule("-", "VREF/distwright-paths", write & robots)
    if repo.private:
        yield from _rule("R", "", read)
    else:
        yield "R = @all"


def _rule(right: str, refs: str, persons: Iterable[str]) -> Iterator[str]:
    if persons := sorted(persons):
        yield f"{right} {refs}{' ' if refs else ''}= {' '.join(persons)}"


def _bases(repo: Repo) -> list[str]:
    return sorted({repo.default_branch, *repo.protected})


def _regex(pattern: str) -> str:
    """Give the regular expression of a pattern of branches; its other signs are letters, digits and _ / -."""
    return "".join(_SIGNS.get(sign, sign) for sign in pattern).replace("USER", "[U]SER")


def _rules(config: Config, address: str) -> dict[str, object]:
    """Give what refusals.py must know."""
    people = {
        name: {level: sorted(at_least(config.persons, repo, level)) for level in ("create", "rewind", "maintain")}
        for name, repo in hosted_repos(config).items()
    }
    return {
        "address": address,
        "repos": {name: {"bases": _bases(repo), **people[name]} for name, repo in hosted_repos(config).items()},
        "robots": {name: list(person.only_paths) for name, person in config.persons.items() if person.only_paths},
        "suites": {suite_of_branch(name): name for name in config.suites},
    }
