"""The package at a commit: its changelog, its source format and where upstream's source is, read from git without a checkout."""

from dataclasses import dataclass
from pathlib import Path

from distwright.builds.gbp_conf import GbpConf, parse_gbp_conf, tags_of_version
from distwright.builds.versions_of_commits import Standing
from distwright.errors import BadInput, NotFound, quoted
from distwright.formats.changelog import ChangelogEntry, parse_changelog, top_entry
from distwright.model.names import package_name
from distwright.model.versions import DebVersion
from distwright.tools.git import file_at
from distwright.tools.git_history import count_commits, first_parents, is_ancestor, mode_at, tagged_commits

CHANGELOG, FORMAT, GBP_CONF = "debian/changelog", "debian/source/format", "debian/gbp.conf"
NATIVE, QUILT, OLD = "3.0 (native)", "3.0 (quilt)", "1.0"
_SYMLINK = "120000"


@dataclass(frozen=True, slots=True)
class Checkout:
    """A package at a commit. what: how messages call it ("tag 1.0 of greeter"). changelog: its bytes; top: its newest entry."""

    where: Path
    commit: str
    what: str
    changelog: bytes
    top: ChangelogEntry
    format: str
    gbp: GbpConf

    @property
    def source(self) -> str:
        """The name of the source package."""
        return self.top.package

    @property
    def version(self) -> DebVersion:
        """The newest version in the changelog."""
        return self.top.version

    @property
    def has_upstream(self) -> bool:
        """Say whether the source package consists of upstream's tarball and something beside it."""
        return self.format == QUILT or (self.format == OLD and self.version.revision != "")

    @property
    def tags(self) -> tuple[str, ...]:
        """The names of the tags that its version may have."""
        return tags_of_version(self.version, self.gbp)


def read_checkout(where: Path, commit: str, what: str) -> Checkout:
    """Read the package at a commit.

    Raises NotFound if there is none, BadInput for a changelog that is broken or no file, a gbp.conf that cannot be read, and a
    source format that is not built here.
    """
    changelog = _plain_file(where, commit, CHANGELOG, what)
    if changelog is None:
        raise NotFound(f"{what} has no debian/changelog", hint="add one: dch --create")
    try:
        top = top_entry(changelog.decode(errors="replace"))
        package_name(top.package)
        kind = _format_of(_plain_file(where, commit, FORMAT, what))
        gbp = _plain_file(where, commit, GBP_CONF, what)
        return Checkout(where, commit, what, changelog, top, kind, GbpConf() if gbp is None else parse_gbp_conf(gbp))
    except BadInput as error:
        raise BadInput(f"{what}: {error.message}", hint=error.hint) from error


def standing_of(checkout: Checkout) -> Standing:
    """Say where a commit stands among the tags of its versions.

    Tags of versions are those that its changelog names. A commit's line is its first parents: what was merged into it cannot make
    a later commit look older than an earlier one.
    """
    tags = tagged_commits(checkout.where)
    top_commit = _tagged(checkout.tags, tags)
    if top_commit is not None and is_ancestor(checkout.where, top_commit, checkout.commit):
        since = count_commits(checkout.where, checkout.commit, without=top_commit)
        return Standing(checkout.version, checkout.version, since, since)
    versions = {name: version for version in _versions(checkout) for name in tags_of_version(version, checkout.gbp)}
    released: dict[str, DebVersion] = {}
    for name, version in versions.items():
        if name in tags and version != checkout.version:
            released.setdefault(tags[name], version)
    for commit in first_parents(checkout.where, checkout.commit) if released else ():
        if commit in released:
            count = count_commits(checkout.where, checkout.commit, without=commit)
            return Standing(checkout.version, released[commit], count)
    return Standing(checkout.version, None, count_commits(checkout.where, checkout.commit))


def tag_of_checkout(checkout: Checkout) -> str | None:
    """Name the tag by which this very commit is its version; None if it has none."""
    tags = tagged_commits(checkout.where)
    return next((name for name in checkout.tags if tags.get(name) == checkout.commit), None)


def _tagged(names: tuple[str, ...], tags: dict[str, str]) -> str | None:
    return next((tags[name] for name in names if name in tags), None)


def _versions(checkout: Checkout) -> list[DebVersion]:
    """List the versions of a changelog, as far as it can be read: what is old is often written by hand."""
    found: list[DebVersion] = []
    entries = parse_changelog(checkout.changelog.decode(errors="replace"))
    while True:
        try:
            found.append(next(entries).version)
        except (StopIteration, BadInput):
            return found


def _format_of(content: bytes | None) -> str:
    text = OLD if content is None else content.decode(errors="replace").partition("\n")[0].strip()
    if text not in (NATIVE, QUILT, OLD):
        raise BadInput(
            f"debian/source/format says {quoted(text)}, which is not built here",
            hint=f"write {QUILT} or {NATIVE} into debian/source/format",
        )
    return text


def _plain_file(where: Path, commit: str, path: str, what: str) -> bytes | None:
    """Give a file that must be one: through a symlink, git and dpkg would read two different things."""
    if mode_at(where, commit, path) == _SYMLINK:
        raise BadInput(f"{path} of {what} is a symlink", hint=f"put the file itself at {path}")
    return file_at(where, commit, path)
