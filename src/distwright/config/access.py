"""Who may do what in hosted repos: names that stand for persons, and what does not fit together."""

from collections.abc import Iterable, Iterator, Mapping

from distwright.config.model import Config
from distwright.config.problems import Fault, wanted_name
from distwright.config.tables import Person, Repo
from distwright.errors import quoted

ADMIN_REPO = "gitolite-admin"
LEVELS = ("read", "write", "create", "rewind", "maintain")
"""The lists of a repo; whoever is in one may do what those before it say, too."""


def members(persons: Mapping[str, Person], who: Iterable[str]) -> frozenset[str]:
    """Give the persons that names and @roles stand for."""
    named = {name for name in who if name in persons}
    roles = {name[1:] for name in who if name.startswith("@")}
    return frozenset(named | {name for name, person in persons.items() if roles & set(person.roles)})


def at_least(persons: Mapping[str, Person], repo: Repo, level: str) -> frozenset[str]:
    """Give the persons that may do what a level of LEVELS says, by it or by a higher one."""
    lists = (getattr(repo, name) for name in LEVELS[LEVELS.index(level) :])
    return frozenset().union(*(members(persons, who) for who in lists))


def access_faults(config: Config, declared: frozenset[tuple[str, str]], *, is_whole: bool) -> Iterator[Fault]:
    """Yield what is wrong with who may do what. declared: tables that exist but could not be read; is_whole: no file is missing."""
    roles = {f"@{role}" for person in config.persons.values() for role in person.roles}
    are_persons_known = is_whole and not any(table == "person" for table, _ in declared)
    for name, repo in config.repos.items():
        yield from _name_faults(config, name)
        yield from _kind_faults(name, repo)
        for level in LEVELS:
            for position, who in enumerate(getattr(repo, level)):
                path = ("repo", name, level, position)
                if repo.private and who.startswith("@"):
                    yield Fault(path, f"{quoted(who)} is a role, and the repo is private", "the names of persons")
                elif are_persons_known and who not in config.persons and who not in roles:
                    known = roles if who.startswith("@") else config.persons.keys()
                    what = "a role of an [person.NAME]" if who.startswith("@") else "the name of a [person.NAME] table"
                    yield Fault(path, f"nobody is {quoted(who)}", wanted_name(who, known, what))
    for name, image in config.images.items():
        if image.repo in config.repos and config.repos[image.repo].private:
            yield Fault(
                ("image", name, "repo"), f"repo {quoted(image.repo)} is private, and images are not", "another repo"
            )
    yield from _ssh_key_faults(config)


def _name_faults(config: Config, name: str) -> Iterator[Fault]:
    if name == ADMIN_REPO:
        yield Fault(("repo", name), "is the repo of Gitolite itself", "another name")
    if config.site.git_user is not None and (name.endswith(".git") or "+++" in name or name == "0"):
        yield Fault(
            ("repo", name), "is a name that Gitolite reads as another one", "a name without .git and +++, and not 0"
        )


def _kind_faults(name: str, repo: Repo) -> Iterator[Fault]:
    if repo.private and repo.public:
        yield Fault(("repo", name, "public"), "is true, and so is private", "one of both")
    if repo.url is None and repo.webhook is not None:
        yield Fault(("repo", name, "webhook"), "says nothing for a repo that is hosted here", "url")
    if repo.url is not None and repo.private:
        yield Fault(
            ("repo", name, "url"), "is set, and the repo is private: it is fetched without an account", "no url"
        )


def _ssh_key_faults(config: Config) -> Iterator[Fault]:
    """sshd takes the first line that has a key, so whoever comes second would be taken for the first."""
    owner_by_key: dict[str, str] = {}
    for name, person in config.persons.items():
        if name == "0" and person.ssh_keys:
            yield Fault(("person", name), "is a name that Gitolite takes for none", "another name")
        for position, key in enumerate(person.ssh_keys):
            owner = owner_by_key.setdefault(key, name)
            if owner != name:
                problem = f"is already a key of person {quoted(owner)}"
                yield Fault(("person", name, "ssh_keys", position), problem, "a key of their own")
