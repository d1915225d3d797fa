"""Upstream's tarballs of a package in git: which are at hand, and of what the others are made in the environment.

In this order: as pristine-tar describes them, as the archive has them (under one name it never takes other bytes), made of
upstream's tag or branch.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from distwright.builds.checkout import OLD, Checkout
from distwright.builds.gbp_conf import tag_name
from distwright.errors import BadInput, NotFound, quoted
from distwright.formats.paths import safe_file_name
from distwright.model import plain
from distwright.model.digests import Json, Sha256
from distwright.model.names import pool_folder
from distwright.store.database import Database
from distwright.store.objects import ObjectStore
from distwright.store.suites import pool_names_beginning
from distwright.tools.git import file_at, refs, tree_of, write_tree_tar
from distwright.tools.git_history import committed_at, common_ancestor, names_at, tagged_commits

PRISTINE_TAR = "pristine-tar"
_HEADS = "refs/heads/"
_DEP14_BRANCH = "upstream/latest"
_SUFFIXES = ("xz", "gz", "bz2", "lzma")  # which of several tarballs of one content counts
_REST = re.compile(r"(?P<component>(?:-[A-Za-z0-9][A-Za-z0-9-]*)?)\.tar\.(?P<suffix>xz|gz|bz2|lzma)")
_ID = re.compile(rb"([0-9a-f]{40}|[0-9a-f]{64})\n?")


@dataclass(frozen=True, slots=True)
class Upstream:
    """A tarball that is made in the environment. tree: its content as a tar; delta: pristine-tar's; None: just pack it."""

    name: str
    tree: Sha256
    delta: Sha256 | None = None

    def to_json(self) -> Json:
        """Give the part of a job's inputs."""
        values: dict[str, Json] = {"name": self.name, "tree": self.tree, "delta": self.delta}
        return plain.without_defaults(values, {"delta": None})

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """Read what `to_json` gave; raise BadInput."""
        values = plain.with_defaults(plain.mapping({"upstream": value}, "upstream"), ("name", "tree"), {"delta": None})
        delta = None if values["delta"] is None else plain.digest(values, "delta")
        return cls(safe_file_name(plain.text(values, "name")), plain.digest(values, "tree"), delta)


@dataclass(frozen=True, slots=True)
class Origs:
    """files: those at hand, by name, signatures among them. upstream: those that are made."""

    files: Mapping[str, Sha256] = field(default_factory=dict)
    upstream: tuple[Upstream, ...] = ()

    def to_inputs(self) -> dict[str, Json]:
        """Give the keys of a build's inputs; none where there is nothing."""
        inputs: dict[str, Json] = {}
        if self.files:
            inputs["origs"] = {name: str(digest) for name, digest in sorted(self.files.items())}
        if self.upstream:
            inputs["upstream"] = [one.to_json() for one in self.upstream]
        return inputs


def find_origs(
    database: Database, objects: ObjectStore, checkout: Checkout, archives: Mapping[str, Sequence[str]]
) -> Origs:
    """Find the tarballs of upstream for the version of a package; none for a native one.

    archives: of ours, that may have them, with their components.

    Raises NotFound, naming what was looked for, if there are none; BadInput, Refused for what is there and cannot be used.
    """
    if not checkout.has_upstream:
        return Origs()
    found = (
        _by_pristine_tar(objects, checkout)
        or _of_archives(database, objects, checkout, archives)
        or _of_git(objects, checkout)
    )
    if found is None:
        raise _nothing(checkout)
    return found


def stem_of(checkout: Checkout) -> str:
    """Give what the names of a package's tarballs of upstream begin with."""
    return f"{checkout.source}_{checkout.version.upstream}.orig"


def choose(names: Iterable[str], stem: str, format_: str) -> dict[str, str]:
    """Choose among files of an archive or a branch, of each component one tarball: name -> its signature, "" if there is none.

    Format 1.0 knows one tarball, packed by gzip. Source: dpkg-source(1).
    """
    there = set(names)
    best: dict[str, tuple[int, str]] = {}
    for name in there:
        match = _REST.fullmatch(name.removeprefix(stem)) if name.startswith(stem) else None
        if match is None or (format_ == OLD and (match["component"] or match["suffix"] != "gz")):
            continue
        rank = (_SUFFIXES.index(match["suffix"]), name)
        best[match["component"]] = min(best.get(match["component"], rank), rank)
    if "" not in best:
        return {}
    return {name: f"{name}.asc" if f"{name}.asc" in there else "" for _, name in sorted(best.values())}


def _by_pristine_tar(objects: ObjectStore, checkout: Checkout) -> Origs | None:
    branch = refs(checkout.where).get(f"{_HEADS}{PRISTINE_TAR}")
    if branch is None or checkout.gbp.pristine_tar is False:
        return None
    names = names_at(checkout.where, branch)
    described = [name.removesuffix(".delta") for name in names if name.endswith(".delta")]
    signatures = [name for name in names if name.endswith(".asc")]
    files: dict[str, Sha256] = {}
    upstream: list[Upstream] = []
    for name, signature in choose([*described, *signatures], stem_of(checkout), checkout.format).items():
        delta, identity = (file_at(checkout.where, branch, f"{name}.{ending}") for ending in ("delta", "id"))
        match = _ID.fullmatch(identity or b"")
        if delta is None or match is None:
            raise BadInput(
                f"branch pristine-tar of {checkout.where.stem} has no proper {name}.id",
                hint=f"run pristine-tar commit {name} again, and push the branch",
            )
        tree = _tree_named(objects, checkout, match[1].decode(), name)
        upstream.append(Upstream(name, tree, objects.put(delta)))
        if signature and (content := file_at(checkout.where, branch, signature)) is not None:
            files[signature] = objects.put(content)
    return Origs(files, tuple(upstream)) if upstream else None


def _tree_named(objects: ObjectStore, checkout: Checkout, identity: str, name: str) -> Sha256:
    """Give the tree that pristine-tar has made a delta to, as a tar: of its files alone, for that is all it looks at."""
    try:
        tree = tree_of(checkout.where, identity)
    except NotFound as error:
        raise NotFound(
            f"{name} is described in branch pristine-tar of {checkout.where.stem}, but its content {identity[:12]} was not pushed",
            hint="push upstream's branch and tags too: git push origin upstream --tags",
        ) from error
    return _packed(objects, checkout, tree, prefix="", mtime=0)


def _of_archives(
    database: Database, objects: ObjectStore, checkout: Checkout, archives: Mapping[str, Sequence[str]]
) -> Origs | None:
    """Take what was uploaded with the same version of upstream; what the archive no longer has cannot be taken."""
    stem = stem_of(checkout)
    for archive, components in archives.items():
        known: dict[str, Sha256] = {}
        with database.read() as tx:
            for component in components:
                beginning = f"{pool_folder(component, checkout.source)}/{stem}"
                found = pool_names_beginning(tx, archive, beginning)
                known |= {path.rpartition("/")[2]: digest for path, digest in found.items()}
        chosen = choose(known, stem, checkout.format)
        names = [name for pair in chosen.items() for name in pair if name]
        if names and all(objects.touch(known[name]) for name in names):
            return Origs({name: known[name] for name in names})
    return None


def _of_git(objects: ObjectStore, checkout: Checkout) -> Origs | None:
    commit = upstream_commit(checkout)
    if commit is None:
        return None
    suffix = "gz" if checkout.format == OLD else checkout.gbp.suffix or _SUFFIXES[0]
    prefix = f"{checkout.source}-{checkout.version.upstream}/"
    tree = _packed(objects, checkout, commit, prefix=prefix, mtime=committed_at(checkout.where, commit))
    return Origs(upstream=(Upstream(safe_file_name(f"{stem_of(checkout)}.tar.{suffix}"), tree),))


def upstream_commit(checkout: Checkout) -> str | None:
    """Find upstream's source of a version in git: by its tag, or by upstream's branch, as debian/gbp.conf says.

    Of a branch, the newest commit that the package contains counts, for the branch itself moves on; its tip only if gbp.conf says
    upstream-tree = branch and the package contains nothing of it.
    """
    tags = tagged_commits(checkout.where)
    for name in () if checkout.gbp.has_branch_tip else _tag_names(checkout):
        if name in tags:
            return tags[name]
    heads = refs(checkout.where)
    for branch in _branches(checkout):
        tip = heads.get(f"{_HEADS}{branch}")
        if tip is None:
            continue
        contained = common_ancestor(checkout.where, checkout.commit, tip)
        if contained is not None and contained != checkout.commit:
            return contained
        if contained is None and checkout.gbp.has_branch_tip:
            return tip
    return None


def _tag_names(checkout: Checkout) -> tuple[str, ...]:
    upstream = checkout.version.upstream
    return tuple(
        dict.fromkeys((tag_name(checkout.gbp.upstream_tag, upstream), f"upstream/{tag_name('%(version)s', upstream)}"))
    )


def _branches(checkout: Checkout) -> tuple[str, ...]:
    return tuple(dict.fromkeys((checkout.gbp.upstream_branch, _DEP14_BRANCH)))


def _packed(objects: ObjectStore, checkout: Checkout, tree: str, *, prefix: str, mtime: int) -> Sha256:
    with objects.writing() as writer:
        write_tree_tar(checkout.where, tree, writer, prefix=prefix, mtime=mtime)
    return writer.digest


def _nothing(checkout: Checkout) -> NotFound:
    tags = " or ".join(quoted(name) for name in _tag_names(checkout))
    branches = " or ".join(quoted(name) for name in _branches(checkout))
    name = f"{stem_of(checkout)}.tar.*"
    return NotFound(
        f"{checkout.what} is {checkout.format} and needs upstream's source of {checkout.version.upstream}, but there is no {name} "
        f"on branch pristine-tar or in the archive, no tag {tags}, and no branch {branches} that it contains",
        hint=f"git tag {_tag_names(checkout)[0]} COMMIT and push the tag; or: gbp import-orig --pristine-tar TARBALL",
    )
