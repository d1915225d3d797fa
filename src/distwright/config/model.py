"""The whole configuration as one frozen value, and the list of its tables."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from distwright.config.tables import Environment, Image, Person, Repo, Site
from distwright.config.tables_archive import Archive, OwnArchive, Suite, Table, Upload, UpstreamArchive
from distwright.config.tables_hosts import Host, Pool
from distwright.model.digests import Json

FORMAT = 1
"""The newest format of the tables that this version understands."""

TABLES: Mapping[str, Mapping[str | None, type[Table]]] = {
    "site": {None: Site},
    "archive": {"upstream": UpstreamArchive, "own": OwnArchive},
    "suite": {None: Suite},
    "repo": {None: Repo},
    "environment": {None: Environment},
    "image": {None: Image},
    "person": {None: Person},
    "upload": {None: Upload},
    "host": {None: Host},
    "pool": {None: Pool},
}
"""Table name -> value of its `kind` -> class; in the order of dependence. A single class has the kind None."""

NOT_YET = ("flow", "check", "mirror", "notice", "release")
"""Tables that later versions will have settings for."""


@dataclass(frozen=True, slots=True)
class Config:
    """What the files say, checked: every name that is referred to exists. Mappings are read-only, sorted by name."""

    site: Site
    archives: Mapping[str, Archive]
    suites: Mapping[str, Suite]
    repos: Mapping[str, Repo]
    environments: Mapping[str, Environment]
    images: Mapping[str, Image]
    persons: Mapping[str, Person]
    origins: Mapping[str, str] = field(compare=False)
    """Dotted key -> "file:line", for each table and key that is written in a file; defaults are not in it."""
    uploads: Mapping[str, Upload] = field(default_factory=dict)
    hosts: Mapping[str, Host] = field(default_factory=dict)
    pools: Mapping[str, Pool] = field(default_factory=dict)

    def tables(self) -> Iterator[tuple[str, str, Table]]:
        """Yield (table, name, value) in the order of dependence, then by name; `[site]` has the name ''."""
        yield "site", "", self.site
        for table, values in self._by_table():
            for name, value in values.items():
                yield table, name, value

    def canonical(self) -> Json:
        """Give plain JSON values for digests: defaults written out, unset settings and `fetch_from` left out.

        The result depends on what the files say only: not on their names, their order or how the TOML is laid out.
        """
        plain: dict[str, Json] = {"format": FORMAT, "site": _plain(self.site)}
        for table, values in self._by_table():
            plain[table] = {name: _plain(value) for name, value in values.items()}
        return plain

    def _by_table(self) -> tuple[tuple[str, Mapping[str, Table]], ...]:
        return (
            ("archive", self.archives),
            ("suite", self.suites),
            ("repo", self.repos),
            ("environment", self.environments),
            ("image", self.images),
            ("person", self.persons),
            ("upload", self.uploads),
            ("host", self.hosts),
            ("pool", self.pools),
        )


def _plain(value: Table) -> Json:
    plain: Json = value.model_dump(mode="json", by_alias=True, exclude_none=True)
    return plain
