"""Rules: what follows from an event. Each gives orders, or says why it must wait; none changes anything itself.

A rule opens the database for its rows alone: git runs before.
"""

from collections.abc import Callable, Mapping

from distwright.archive.changing import TAKEN
from distwright.archive.resolve import accept_order, publish_order, resolve_suites
from distwright.archive.suite_rows import ENDED
from distwright.archive.tidying import tidy_order
from distwright.builds.checkout import is_tag_of_upstream
from distwright.builds.install import install_order
from distwright.builds.package import BUILDER_CREDENTIAL
from distwright.builds.resolve import build_order, environment_recipe, source_build_order, table_from
from distwright.checks.explain import explain_order, pairs_of
from distwright.checks.image_rebuild import image_rebuild_order
from distwright.checks.rebuild import DIFFERS, rebuild_order
from distwright.checks.review import order_of_build
from distwright.config.model import Config
from distwright.flow.branch_rules import (
    build_pushed_topic,
    image_of_pushed_ref,
    images_of_new_snapshot,
    images_of_published_suite,
)
from distwright.flow.view import Rule, View
from distwright.images.branch_sources import is_for_many
from distwright.images.documentation import needed_tests
from distwright.images.forms import BUILD_KIND
from distwright.images.resolve import boot_order
from distwright.images.scenarios import ALL, orders_of_tests
from distwright.jobs.order import JobOrder
from distwright.model import plain
from distwright.model.digests import Sha256
from distwright.model.events import Event, EventKind
from distwright.model.records import FreezeException
from distwright.repos.spool import NOTHING
from distwright.store.database import Database
from distwright.store.events import events_since
from distwright.store.exceptions import list_exceptions
from distwright.store.holds import holds_of
from distwright.store.jobs import find_job
from distwright.store.suites import find_suite, list_revisions

_TAGS, _HEADS = "refs/tags/", "refs/heads/"


def build_pushed_tag(database: Database, view: View, event: Event) -> list[JobOrder]:
    """A tag pushed to a package's repo is built, unless it is one of upstream's versions."""
    repo, ref = plain.text(event.body, "repo"), plain.text(event.body, "ref")
    table = view.config.repos.get(repo)
    if table is None or not table.package or not ref.startswith(_TAGS) or event.body["new"] == NOTHING:
        return []
    tag, revision = ref.removeprefix(_TAGS), plain.text(event.body, "new")
    if is_tag_of_upstream(view.ground.paths.repo(repo), table.default_branch, tag):
        return []
    return [build_order(database, view.ground, repo=repo, tag=tag, revision=revision)]


def build_uploaded_source(database: Database, view: View, event: Event) -> list[JobOrder]:
    """A source that was accepted without packages is built, if its suite says where."""
    archive, suite = plain.text(event.body, "archive"), plain.text(event.body, "suite")
    with database.read() as tx:
        row = find_suite(tx, archive, suite)
    table = view.config.suites.get(suite if row is None else row.settings)
    if table is None or table.environment is None or "source_files" not in event.body:
        return []
    return [
        source_build_order(
            database,
            view.ground,
            archive=archive,
            suite=suite,
            environment=table.environment,
            source=plain.text(event.body, "source"),
            version=plain.text(event.body, "version"),
            files=plain.digest_map(event.body, "source_files"),
        )
    ]


def accept_what_was_built(_database: Database, view: View, event: Event) -> list[JobOrder]:
    """A finished build is uploaded to its suite."""
    return [
        accept_order(
            view.config,
            plain.text(event.body, "suite"),
            changes=plain.digest(event.body, "changes"),
            files=plain.text_map(event.body, "files"),
            signers=view.certificate(BUILDER_CREDENTIAL),
            source=plain.text(event.body, "source"),
            version=plain.text(event.body, "version"),
            archive=plain.text(event.body, "archive"),
        )
    ]


def rebuild_what_was_built(database: Database, view: View, event: Event) -> list[JobOrder]:
    """A build of a tag or of the default branch is built again in other circumstances, unless its repo says otherwise."""
    repo = plain.text(event.body, "repo") if "repo" in event.body else ""
    table = view.config.repos.get(repo)
    if table is None or not table.rebuild or event.job is None:
        return []
    if "branch" in event.body and event.body["branch"] != table.default_branch:
        return []
    with database.read() as tx:
        job = find_job(tx, event.job)
        held = holds_of(tx, f"build {event.job}")
    return [] if job is None else [rebuild_order(job, tuple(hold for hold in held if hold.kind == "serial"))]


def rebuild_built_image(database: Database, view: View, event: Event) -> list[JobOrder]:
    """An image of a base branch or of a release is built again in other circumstances, unless its table says otherwise."""
    table = view.config.images.get(plain.text(event.body, "image"))
    if table is None or not table.rebuild or event.job is None:
        return []
    with database.read() as tx:
        job = find_job(tx, event.job)
        held = holds_of(tx, f"image {event.job}")
    if job is None or job.kind != BUILD_KIND.name:
        return []
    repo = view.config.repos[table.repo]
    version = (
        plain.text(job.inputs, "version") if "version" in job.inputs else ""
    )  # orders of the first form say neither
    branch = plain.text(job.inputs, "branch") if "branch" in job.inputs else repo.default_branch
    if not is_for_many(repo, branch, version):
        return []
    return [image_rebuild_order(job, tuple(hold for hold in held if hold.kind == "serial"))]


def explain_what_differs(database: Database, view: View, event: Event) -> list[JobOrder]:
    """Two builds that differ are looked at by diffoscope, if the environment that made them names one of checkers."""
    environment = _environment_of(view.config, event)
    if event.body["verdict"] != DIFFERS or not event.body.get("pairs") or environment is None:
        return []
    checkers = view.config.environments[environment].checkers
    if checkers is None:
        return []
    with database.read() as tx:
        resolved = resolve_suites(tx, view.ground, table_from(view.config, checkers))
    recipe = environment_recipe(view.config, checkers, resolved)
    return [explain_order(recipe, pairs_of(event.body), event.subject, resolved.holds)]


def _environment_of(config: Config, event: Event) -> str | None:
    """Name the environment whose packages made what was compared: of a repo, or the tools of an image."""
    image = config.images.get(str(event.body.get("image", "")))
    repo = config.repos.get(str(event.body.get("repo", "")))
    return image.tools if image is not None else None if repo is None else repo.environment


def review_what_was_built(database: Database, view: View, event: Event) -> list[JobOrder]:
    """A finished build is reviewed, if its environment names one of checkers."""
    if event.job is None:
        return []
    with database.read() as tx:
        job = find_job(tx, event.job)
    order = None if job is None else order_of_build(database, view.ground, job)
    return [] if order is None else [order]


def publish_changed_suite(database: Database, view: View, event: Event) -> list[JobOrder]:
    """A changed suite is published, once for all changes that came meanwhile: an event of an earlier state leads to nothing."""
    archive, suite, revision = (plain.text(event.body, key) for key in ("archive", "suite", "revision"))
    if event.body.get("action") == TAKEN:
        return []  # another installation publishes it
    with database.read() as tx:
        row = find_suite(tx, archive, suite)
        steps = list_revisions(tx, archive, suite, 1)
        waiting = events_since(tx, event.subject, EventKind.SUITE_CHANGED, EventKind.SUITE_PUBLISHED)
    if row is None and steps and steps[0].action == ENDED:
        return []  # it is gone since, with its branch or by a person
    if row is not None and row.revision != revision:
        return []  # the event of the present state is in the log as well, and publishes all of it
    added = {name for earlier in waiting for name in plain.texts(earlier.event.body, "added")}
    names = sorted(added | set(plain.texts(event.body, "added")))
    settings = suite if row is None else row.settings
    if settings in view.config.suites and view.config.suites[settings].archive != archive:
        return []  # another archive has a suite of that name, which may be public where this one is not
    return [publish_order(view.config, suite, Sha256(revision), names, event.at, settings=settings)]


def install_what_was_published(database: Database, view: View, event: Event) -> list[JobOrder]:
    """What an upload brought is installed by a real apt from the published tree."""
    suite, added = plain.text(event.body, "suite"), plain.texts(event.body, "added")
    environments = [repo.environment for repo in view.config.repos.values() if repo.suite == suite and repo.environment]
    environments += [
        table.environment for name, table in view.config.suites.items() if name == suite and table.environment
    ]
    if not added or not environments:
        return []
    with database.read() as tx:
        resolved = resolve_suites(tx, view.ground, table_from(view.config, environments[0]))
    archive = view.config.archives[plain.text(event.body, "archive")]
    order = install_order(
        environment_recipe(view.config, environments[0], resolved),
        archive=plain.text(event.body, "archive"),
        suite=suite,
        components=tuple(archive.components),
        tree=plain.digest(event.body, "tree"),
        revision=plain.digest(event.body, "revision"),
        certificate=view.certificate(archive.key.credential if archive.kind == "own" else ""),
        packages=added,
        holds=resolved.holds,
    )
    return [order]


def tidy_exceptions_of_changed_suite(database: Database, _view: View, event: Event) -> list[JobOrder]:
    """Freeze exceptions of a suite that changed are looked at, and those of suites that are read above it."""
    name = f"{plain.text(event.body, 'archive')}/{plain.text(event.body, 'suite')}"
    return _tidy_orders(database, event, lambda row: name in (f"{row.archive}/{row.suite}", row.base))


def tidy_exceptions_of_new_snapshot(database: Database, _view: View, event: Event) -> list[JobOrder]:
    """Freeze exceptions are looked at when the archive that is read below them moves."""
    archive = plain.text(event.body, "archive")
    return _tidy_orders(database, event, lambda row: bool(row.branch) and row.base.partition("/")[0] == archive)


def tidy_exceptions_of_pushed_branch(database: Database, _view: View, event: Event) -> list[JobOrder]:
    """Freeze exceptions are looked at when the branch whose pins count for them moves: it may have been thawed."""
    repo, ref = plain.text(event.body, "repo"), plain.text(event.body, "ref")
    return _tidy_orders(database, event, lambda row: row.branch == f"{repo}/{ref.removeprefix(_HEADS)}")


def _tidy_orders(database: Database, event: Event, is_meant: Callable[[FreezeException], bool]) -> list[JobOrder]:
    with database.read() as tx:
        rows = [row for row in list_exceptions(tx) if is_meant(row)]
    suites = sorted({(row.archive, row.suite) for row in rows})
    return [tidy_order(archive, suite, f"{event.kind} {event.subject}", event.at) for archive, suite in suites]


def boot_built_image(_database: Database, view: View, event: Event) -> list[JobOrder]:
    """A built image is booted, if it came with what that takes: the kernel to try the accelerator with, and the tools."""
    return [boot_order(view.config, event.body)] if {"vmlinuz", "tools"} <= event.body.keys() else []


def scenarios_of_built_image(database: Database, view: View, event: Event) -> list[JobOrder]:
    """A built image is tested by its features, if it has any, with each firmware; by less if only documentation changed."""
    with database.read() as tx:
        job = None if event.job is None else find_job(tx, event.job)
    chosen = ALL if job is None else needed_tests(view.ground, job.inputs)
    return orders_of_tests(database, view.ground, event.body, chosen)


RULES: Mapping[EventKind, tuple[Rule, ...]] = {
    EventKind.REPO_PUSHED: (
        build_pushed_tag,
        build_pushed_topic,
        image_of_pushed_ref,
        tidy_exceptions_of_pushed_branch,
    ),
    EventKind.BUILD_FINISHED: (accept_what_was_built, rebuild_what_was_built, review_what_was_built),
    EventKind.BUILD_COMPARED: (explain_what_differs,),
    EventKind.UPLOAD_ACCEPTED: (build_uploaded_source,),
    EventKind.SUITE_CHANGED: (publish_changed_suite, tidy_exceptions_of_changed_suite),
    EventKind.SUITE_PUBLISHED: (install_what_was_published, images_of_published_suite),
    EventKind.SNAPSHOT_RECORDED: (images_of_new_snapshot, tidy_exceptions_of_new_snapshot),
    EventKind.IMAGE_BUILT: (boot_built_image, scenarios_of_built_image, rebuild_built_image),
    EventKind.IMAGE_COMPARED: (explain_what_differs,),
}
