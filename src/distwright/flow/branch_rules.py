"""Rules about branches: what a push to one builds, and which images a suite or an archive that moved builds.

Every order names its commit, its suites and its serials by digest, so an order that is made twice is one job.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from distwright.archive.pins import parse_pin, pin_path
from distwright.archive.suites import has_source
from distwright.archive.tree import EMPTY_ROOT
from distwright.builds.destinations import suite_of_repo
from distwright.builds.resolve import commit_order
from distwright.config.tables import Image, Repo
from distwright.errors import BadInput, DistwrightError
from distwright.flow.coming import wait_for_packages
from distwright.flow.view import OUR_FAULTS, PartlyOrdered, View
from distwright.images.branch_sources import OVERLAYS, Subject, is_release, own_sources
from distwright.images.resolve import image_order, version_at
from distwright.jobs.order import PRIORITY_TOPIC, JobOrder, with_priority
from distwright.model import plain
from distwright.model.events import Event
from distwright.model.records import BranchSuite
from distwright.repos.active import ActiveBranch, active_branches
from distwright.repos.branches import BASE_BRANCH, HEADS, TAGS, is_base, is_topic, read_base_branch, short
from distwright.repos.spool import NOTHING
from distwright.store.branches import branches_of_archives, branches_of_suite, find_branch_suite
from distwright.store.database import Database
from distwright.store.suites import find_suite, list_suites
from distwright.tools.git import refs, small_files_at
from distwright.tools.git_history import is_within

_FILE_LIMIT_BYTES = 1 << 16


def build_pushed_topic(database: Database, view: View, event: Event) -> list[JobOrder]:
    """A commit pushed to a topic of a package's repo is built into its overlay, unless it is in a base, or there already."""
    repo, ref, new = (plain.text(event.body, key) for key in ("repo", "ref", "new"))
    table = view.config.repos.get(repo)
    if table is None or not table.package or not ref.startswith(HEADS) or new == NOTHING:
        return []
    if not is_topic(table, short(ref)):
        return []
    with database.read() as tx:
        row = find_branch_suite(tx, repo, ref, suite_of_repo(view.config, repo).archive)
    if row is None or not row.suite or row.gone_at is not None:
        return []  # why it has none was told when it was pushed
    where = view.ground.paths.repo(repo)
    if is_within(where, new, _bases(where, table)):
        return []
    order, _ = commit_order(database, view.ground, repo=repo, ref=short(ref), revision=new)
    if "tag" in order.inputs or _is_there(database, view, row, order):
        return []
    return [with_priority(order, PRIORITY_TOPIC)]


def image_of_pushed_ref(database: Database, view: View, event: Event) -> list[JobOrder]:
    """A push to an image's repo builds the images of the pushed commit, be there newer ones or not; of a topic, with its packages.

    Of a base branch, the topics that lie on it are built again; of a tag, images are built if it is the version of its changelog.
    """
    repo, ref, new = (plain.text(event.body, key) for key in ("repo", "ref", "new"))
    table = view.config.repos.get(repo)
    names = [name for name, image in view.config.images.items() if image.repo == repo]
    if table is None or not names or new == NOTHING:
        return []
    where = view.ground.paths.repo(repo)
    if ref.startswith(TAGS):
        if not is_release(short(ref), version_at(where, new)):
            return []
        wanted = [Wanted(name, Subject(tag=short(ref)), new) for name in names]
    elif not ref.startswith(HEADS):
        return []
    elif is_base(table, short(ref)):
        wanted = [Wanted(name, Subject(short(ref)), new) for name in names]
        wanted += [one for name in names for one in _topics_on(database, view, name, short(ref))]
    elif ref in refs(where) and is_topic(table, short(ref)) and not is_within(where, new, _bases(where, table)):
        wait_for_packages(database, view, names, ref)
        wanted = [Wanted(name, Subject(short(ref)), new) for name in names]
    else:
        return []
    return _ordered(database, view, wanted)


def images_of_published_suite(database: Database, view: View, event: Event) -> list[JobOrder]:
    """Images that use a suite are built when it is published: those of base branches, of topics on them, and of its own topic."""
    archive, suite = plain.text(event.body, "archive"), plain.text(event.body, "suite")
    is_empty = event.body["revision"] == EMPTY_ROOT.revision
    with database.read() as tx:
        found = branches_of_suite(tx, archive, suite)
    rows = [row for row in found if row.gone_at is None and row.repo in view.config.repos]
    is_used = any(row.kind == "base" for row in rows) or any(
        f"{archive}/{suite}" in image.from_ for image in view.config.images.values()
    )
    if is_empty and not is_used:
        return []  # the overlay of a new topic: there may be hundreds at once
    wanted: list[Wanted] = []
    for name, image in view.config.images.items():
        own = own_sources(view.config, image)
        if archive in own and _is_pushed(view, image):
            wanted += _of_bases(database, view, name, f"{archive}/{suite}", rows)
            if not is_empty:  # what has nothing yet changes no image
                wanted += _of_topics(view, name, suite, rows)
    return _ordered(database, view, wanted)


def images_of_new_snapshot(database: Database, view: View, event: Event) -> list[JobOrder]:
    """Images of base branches that use an upstream archive are built on its new snapshot, unless the branch has pinned another."""
    archive = plain.text(event.body, "archive")
    wanted = []
    for name, image in view.config.images.items():
        if any(source.partition("/")[0] == archive for source in image.from_) and _is_pushed(view, image):
            table, where = view.config.repos[image.repo], view.ground.paths.repo(image.repo)
            wanted.append(Wanted(name, Subject(table.default_branch)))
            heads = refs(where)
            others = {ref: heads[ref] for ref in _bases(where, table) if short(ref) != table.default_branch}
            pins = small_files_at(
                where, [(head, pin_path(archive)) for head in others.values()], limit_bytes=_FILE_LIMIT_BYTES
            )
            wanted += [
                Wanted(name, Subject(short(ref)))
                for ref, head in others.items()
                if not _is_pinned(pins.get((head, pin_path(archive))))
            ]
    return _ordered(database, view, wanted)


def topics_to_build(where: Path, repo: Repo, view: View) -> list[ActiveBranch]:
    """List the topics that are still worked on: with a commit of the last days, and not in a base."""
    active = active_branches(where, repo, view.ground.now)
    return [branch for branch in active if not branch.is_base and is_topic(repo, branch.name)]


@dataclass(frozen=True, slots=True)
class Wanted:
    """An image that is to be ordered. revision: None is the newest commit. is_aside: of a topic that the event is not about."""

    image: str
    subject: Subject
    revision: str | None = None
    is_aside: bool = False


def _ordered(database: Database, view: View, wanted: Iterable[Wanted]) -> list[JobOrder]:
    """Order each; what cannot be ordered keeps nothing else from it. Raises PartlyOrdered.

    What is wrong with a topic that the event is not about was said when that was pushed.
    """
    orders: list[JobOrder] = []
    reasons: list[DistwrightError] = []
    once: dict[tuple[str, Subject, str | None], Wanted] = {}
    for one in wanted:
        once.setdefault((one.image, one.subject, one.revision), one)
    for one in once.values():
        try:
            orders.append(image_order(database, view.ground, one.image, revision=one.revision, subject=one.subject))
        except OUR_FAULTS as error:
            reasons.append(error)
        except DistwrightError as error:
            if not one.is_aside:
                reasons.append(error)
    if reasons and not orders and len(reasons) == 1:
        raise reasons[0]
    if reasons:
        raise PartlyOrdered(orders, reasons)
    return orders


def _of_bases(
    database: Database, view: View, name: str, published: str, rows: Sequence[BranchSuite]
) -> Iterator[Wanted]:
    """Give the images of base branches that use a suite, and those of topics on them."""
    image = view.config.images[name]
    table, where = view.config.repos[image.repo], view.ground.paths.repo(image.repo)
    archive, _, suite = published.partition("/")
    bases = [short(ref) for ref in _bases(where, table)]
    if published not in image.from_:
        using = [base for base in bases if _has(rows, image.repo, base)]
    elif own_sources(view.config, image)[archive] == suite:
        using = [table.default_branch]
    else:
        using = bases
    for base in using:
        yield Wanted(name, Subject(base))
        yield from _topics_on(database, view, name, base)


def _of_topics(view: View, name: str, suite: str, rows: Sequence[BranchSuite]) -> Iterator[Wanted]:
    """Give the images of topics whose overlay a suite is, or that name it among their overlays."""
    image = view.config.images[name]
    table, where = view.config.repos[image.repo], view.ground.paths.repo(image.repo)
    heads = refs(where)
    for topic in sorted({row.branch for row in rows if row.kind == "overlay"}):
        has_own = f"{HEADS}{topic}" in heads
        yield Wanted(name, Subject(topic) if has_own else Subject(table.default_branch, on_top=topic))
    bases = [(short(ref), heads[ref]) for ref in _bases(where, table)]
    tips = [*bases, *((tip.name, tip.commit) for tip in topics_to_build(where, table, view))]
    path = f"{OVERLAYS}/{suite}"
    named = small_files_at(where, [(head, path) for _, head in tips], limit_bytes=_FILE_LIMIT_BYTES)
    for branch, head in tips:
        if (head, path) in named:
            yield Wanted(name, Subject(branch), is_aside=True)


def _topics_on(database: Database, view: View, name: str, base: str) -> list[Wanted]:
    """List the images of topics whose base a branch is: of branches there, and of topics that only repos of packages have."""
    image = view.config.images[name]
    table, where = view.config.repos[image.repo], view.ground.paths.repo(image.repo)
    tips = topics_to_build(where, table, view)
    files = small_files_at(where, [(tip.commit, BASE_BRANCH) for tip in tips], limit_bytes=_FILE_LIMIT_BYTES)
    said = {tip.name: _said(files.get((tip.commit, BASE_BRANCH)), table) for tip in tips}
    found = [Wanted(name, Subject(branch), is_aside=True) for branch, on in said.items() if on == base]
    if base == table.default_branch:
        here = refs(where)
        others = _topics_of_packages(database, view, own_sources(view.config, image))
        found += [
            Wanted(name, Subject(base, on_top=topic), is_aside=True)
            for topic in others
            if f"{HEADS}{topic}" not in here
        ]
    return found


def _topics_of_packages(database: Database, view: View, archives: Mapping[str, str]) -> list[str]:
    """Name the topics that are worked on and have packages. One process for each repo that has one."""
    with database.read() as tx:
        filled = {
            (row.archive, row.name)
            for row in list_suites(tx)
            if row.archive in archives and row.revision != EMPTY_ROOT.revision
        }
        rows = [
            row
            for row in branches_of_archives(tx, archives)
            if row.kind == "overlay" and row.gone_at is None and (row.archive, row.suite) in filled
        ]
    by_repo: dict[str, set[str]] = {}
    for row in rows:
        by_repo.setdefault(row.repo, set()).add(row.branch)
    found: set[str] = set()
    for repo, topics in by_repo.items():
        table, where = view.config.repos.get(repo), view.ground.paths.repo(repo)
        if table is not None and where.exists():
            found |= topics & {tip.name for tip in topics_to_build(where, table, view)}
    return sorted(found)


def _is_there(database: Database, view: View, row: BranchSuite, order: JobOrder) -> bool:
    """Say whether a suite has what an order would build: the commit was pushed before."""
    with database.read() as tx:
        suite = find_suite(tx, row.archive, row.suite)
    source, version = plain.text(order.inputs, "source"), plain.text(order.inputs, "version")
    return suite is not None and has_source(view.ground.objects, suite, source, version)


def _is_pushed(view: View, image: Image) -> bool:
    where = view.ground.paths.repo(image.repo)
    return where.exists() and f"{HEADS}{view.config.repos[image.repo].default_branch}" in refs(where)


def _bases(where: Path, table: Repo) -> list[str]:
    """Give the base branches that are there, by their full names."""
    return sorted(ref for ref in refs(where) if ref.startswith(HEADS) and is_base(table, short(ref)))


def _has(rows: Sequence[BranchSuite], repo: str, base: str) -> bool:
    return any((row.repo, row.ref) == (repo, f"{HEADS}{base}") for row in rows)


def _said(content: bytes | None, table: Repo) -> str:
    """Say which base a topic names; what cannot be read is no base, and was refused when it was pushed."""
    try:
        return table.default_branch if content is None else read_base_branch(content, BASE_BRANCH)
    except BadInput:
        return ""


def _is_pinned(content: bytes | None) -> bool:
    try:
        return content is not None and parse_pin(content, "pin") is not None
    except BadInput:
        return False
