"""Wiring: reads the environment, files and the clock once, and builds the objects that faces use."""

import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from distwright.archive.branching import SuitesOfBranches, withdraw_all_ended
from distwright.archive.pinning import hold_pins, needs_of_pins
from distwright.archive.resolve import Ground, machine_keyring
from distwright.builds.architectures import order_elsewhere
from distwright.builds.destinations import Destination
from distwright.builds.local_checkout import TryRequest, try_order
from distwright.builds.resolve import GivenSource, build_order, commit_order, given_order
from distwright.checks.filing import file_results
from distwright.checks.inquiries import advance_inquiries
from distwright.checks.looks import LOOKS
from distwright.config.model import Config
from distwright.errors import DatabaseLost, Interrupted, NotAllowed, NotFound, Refused
from distwright.flow.advance import advance, ask_all_again
from distwright.flow.branch_looks import look_at_branches
from distwright.flow.engines.chosen import engine_of
from distwright.flow.engines.engine import Engine
from distwright.flow.keys import NeededKey, refuse_without_keys
from distwright.flow.view import View
from distwright.images.kit_orders import kit_order
from distwright.images.resolve import image_order
from distwright.images.scenarios import Chosen, tests_of_last
from distwright.jobs.lease import LEASE_S
from distwright.jobs.order import JobOrder, cancel, place_order, retry
from distwright.jobs.pools import in_its_pool, pools_at_hand, shared_pools
from distwright.mirrors import make_fetcher, present_mirrors
from distwright.model.digests import Sha256
from distwright.model.embargo import PUBLIC
from distwright.model.records import Job
from distwright.repos.configured import bring_up_to_date
from distwright.repos.fetching import fetch_order, waiting_fetch
from distwright.repos.pushes import report_unreadable, take_in_pushes
from distwright.site.applied import applied_keyring, load_applied, note_private_names
from distwright.site.awaited import hasten, not_done, say_what_is_queued, work_until
from distwright.site.away import Away, away_of, refuse_other_schema
from distwright.site.builders import builders_for
from distwright.site.config_files import refused_by_system
from distwright.site.handing_out import Handout
from distwright.site.host_requests import HostRequests
from distwright.site.keys import Keys
from distwright.site.places import alternates, state_paths
from distwright.site.pools import PoolWatch
from distwright.site.recording import order_of_record
from distwright.site.renewals import Renewals
from distwright.site.serving import Serving
from distwright.site.timetable import RECORD, Entry, Timetable
from distwright.site.uploading import UploadQueue, once
from distwright.store.database import Database
from distwright.store.migrations import is_empty, upgrade
from distwright.store.objects import FileObjects
from distwright.store.paths import StatePaths
from distwright.tools.sandbox import Sandbox, sandbox_for
from distwright.worker.asked import asker
from distwright.worker.context import CommandContext, JobContext
from distwright.worker.kinds import KINDS, portable
from distwright.worker.loop import Watcher, Worker

IDLE_S = 2.0


def _say_nothing(_text: str) -> None:
    """Nobody listens."""


@dataclass(slots=True)
class App:
    """One opened installation. pins: archive -> serial that this command uses instead of the newest. tell: hears what is odd.

    away: there if this machine works for another: its objects and logs are there.
    """

    paths: StatePaths
    database: Database
    objects: FileObjects
    sandbox: Sandbox
    engine: Engine
    pins: dict[str, str] = field(default_factory=dict)
    fetch_from: dict[str, str] = field(default_factory=dict)
    tell: Callable[[str], None] = _say_nothing
    told: set[str] = field(default_factory=set)
    away: Away | None = None

    def now(self) -> datetime:
        """The time, UTC."""
        return datetime.now(UTC)

    def config(self) -> Config:
        """Give the configuration in force; raise NotFound before the first apply."""
        return self.applied()[0]

    def applied(self) -> tuple[Config, str]:
        """Give the configuration in force and its commit; raise NotFound before the first apply."""
        found = load_applied(self.database, self.objects)
        if found is None:
            raise NotFound(
                "no configuration is applied here yet", hint="distwright config apply COMMIT, or distwright demo"
            )
        return found

    def view(self) -> View:
        """Give what flow rules see."""
        return View(self.ground(), self.keys.certificate, self.keys.has)

    def ground(self) -> Ground:
        """Give what orders are resolved against."""
        return Ground(self.config(), self.objects, self.paths, self.now(), dict(self.pins))

    @property
    def keys(self) -> Keys:
        """The keys of this installation."""
        return Keys(self.paths)

    def make_keys(self, names: Sequence[str] = ()) -> list[tuple[NeededKey, bool]]:
        """Make the keys that the configuration needs, or those of these names, and have tried again what waits; raise NotFound."""
        made = self.keys.make_needed(self.config(), names)
        ask_all_again(self.database, self.now())
        return made

    def take_in(self) -> None:
        """Turn pushes into events, uploads into jobs and events into orders until nothing new happens."""
        while True:
            config = self.config()
            needs = needs_of_pins(self.database, config)
            suites = SuitesOfBranches(self.database, self.objects, self.paths, config)
            count = take_in_pushes(self.database, self.paths, sorted(config.repos), self.now(), needs, suites)
            count += self.uploads().take_in()
            count += advance(self.database, self.view(), self.now(), self.engine.hint)
            count += look_at_branches(self.database, config, self.now())
            file_results(self.database, config, self.now())
            count += advance_inquiries(self.database, self.ground(), LOOKS, self.engine.hint, self.applied()[1])
            if not count:
                return

    def uploads(self) -> UploadQueue:
        """Give the upload queue."""
        config, commit = self.applied()
        return UploadQueue(
            database=self.database,
            objects=self.objects,
            paths=self.paths,
            config=config,
            commit=commit,
            keyring=self._keyring,
            hint=self.engine.hint,
            now=self.now,
            tell=once(self.told, self.tell),
        )

    def order_record(self, name: str, serial: str | None) -> Job:
        """Order a record of an upstream archive, from where this machine fetches it."""
        return self.place(self._record_order(name, serial, self.now()), self.applied()[1])

    def order_fetch(self, name: str) -> Job:
        """Order that a repo of another forge is fetched: by the fetch that waits already, if there is one."""
        config, commit = self.applied()
        order = fetch_order(config, name, self.now())
        with self.database.read() as tx:
            waiting = waiting_fetch(tx, name)
        return waiting or self.place(order, commit)

    def order_of_entry(self, entry: Entry, due: datetime) -> JobOrder:
        """Make the order of an entry of the timetable."""
        is_record = entry.what == RECORD
        return self._record_order(entry.of, None, due) if is_record else fetch_order(self.config(), entry.of, due)

    def _record_order(self, name: str, serial: str | None, requested: datetime) -> JobOrder:
        given = self.fetch_from.get(name)
        return order_of_record(self.config(), self._keyring, name, given=given, serial=serial, requested=requested)

    def _keyring(self, path: str) -> Sha256:
        """Keep the keyring that a table names: a file of this machine, or of the applied configuration."""
        if path.startswith("/"):
            return self.objects.put(machine_keyring(path))
        return applied_keyring(self.database, self.objects, path)

    def place(self, order: JobOrder, commit: str | None = None) -> Job:
        """Queue an order; raise KeyMissing if what its job makes could not be signed."""
        config = self.config()
        refuse_without_keys(config, order, self.keys.has)
        order = in_its_pool(order, shared_pools(self.database, config))
        with self.database.write() as tx:
            job = place_order(tx, order, self.now(), config_commit=commit, objects=self.objects)
        self.engine.hint(job.pool)
        return job

    def order_build(
        self,
        repo: str,
        *,
        tag: str | None = None,
        ref: str | None = None,
        suite: str | None = None,
        environment: str | None = None,
    ) -> Job:
        """Order the build of a package's tag, or of a branch's newest commit or any other (ref).

        environment: another than its repo's own.
        """
        if tag is not None:
            order = build_order(self.database, self.ground(), repo=repo, tag=tag, suite=suite)
            destination = Destination("", "")
        else:
            order, destination = commit_order(self.database, self.ground(), repo=repo, ref=ref or "", suite=suite)
        if environment is not None:
            order = order_elsewhere(self.database, self.ground(), order, environment)
        return self._place_build(order, destination, self.applied()[1])

    def order_given(self, source: GivenSource, *, suite: str | None, environment: str | None) -> Job:
        """Order the build of a source package that came as files; only tried unless a suite is given."""
        order = given_order(self.database, self.ground(), source, suite=suite, environment=environment)
        return self._place_build(*order, self.applied()[1])

    def order_try(self, request: TryRequest) -> Job:
        """Order the trial of a checkout that is not hosted here."""
        return self.place(try_order(self.database, self.ground(), request), self.applied()[1])

    def _place_build(self, order: JobOrder, destination: Destination, commit: str) -> Job:
        if destination.note:
            self.tell(destination.note)
        return self.place(order, commit)

    def order_image(self, name: str, order: Callable[[Database, Ground, str], JobOrder] = image_order) -> Job:
        """Order an image as its repo and suites are now. order: makes the order, in full or otherwise."""
        config, commit = self.applied()
        if name not in config.images:
            raise NotFound(
                f"image {name} is not configured", hint="look at the [image.NAME] tables: distwright config show"
            )
        return self.place(order(self.database, self.ground(), name), commit)

    def order_image_tests(self, name: str, chosen: Chosen) -> list[Job]:
        """Order the tests of the default branch's image that was built last. Raises NotFound if there is none, or no features."""
        commit = self.applied()[1]
        return [self.place(order, commit) for order in tests_of_last(self.database, self.ground(), name, chosen)]

    def order_kit(self, source: str, target: str) -> Job:
        """Order the upgrade kit from one image to another, both by their full names. Raises NotFound, Refused."""
        return self.place(kit_order(self.database, self.objects, self.config(), source, target), self.applied()[1])

    def retry_job(self, number: int) -> Job:
        """Queue a job again that did not end well; raise Refused, NotFound."""
        with self.database.write() as tx:
            job = retry(tx, number, self.now())
        self.engine.hint(job.pool)
        return job

    def cancel_job(self, number: int) -> Job:
        """End a job; raise Refused, NotFound."""
        with self.database.write() as tx:
            return cancel(tx, number, self.now())

    def worker(self, watcher: Watcher, *, may_wait_to_retry: bool, pools: Sequence[str] = ("local",)) -> Worker:
        """Give a worker of this process."""
        return Worker(
            database=self.database,
            paths=self.paths,
            sandbox=self.sandbox,
            kinds=KINDS if self.away is None else portable(KINDS),
            every_kind=KINDS,
            make_context=self.make_context,
            pools=pools,
            watcher=watcher,
            may_wait_to_retry=may_wait_to_retry,
            hint=self.engine.hint,
            host="" if self.away is None else self.away.place.host,
            carrier_of=None if self.away is None else self.away.carrier_of,
        )

    def make_context(self, job: Job, tell: Callable[[str], None], is_cancelled: Callable[[], bool]) -> JobContext:
        """Build what a job's process uses; call it in that process."""
        database = self.database.reopen(lost_patience_s=LEASE_S)
        found = load_applied(database, self.objects)
        if found is None:
            raise NotFound("no configuration is applied here", hint="distwright config apply COMMIT")

        def check_cancelled() -> None:
            if is_cancelled():
                raise Interrupted(f"job {job.id} was cancelled", hint=f"distwright job retry {job.id}")

        context = JobContext(
            database=database,
            objects=self.objects if self.away is None else self.away.objects(check_cancelled),
            fetcher=make_fetcher(check_cancelled),
            config=found[0],
            paths=self.paths,
            sandbox=self.sandbox,
            job=job.id,
            fence=job.fence,
            tell=tell,
            is_cancelled=is_cancelled,
            alternates=alternates(os.environ),
            mirrors=partial(present_mirrors, found[0], self.fetch_from),
        )
        if self.away is None:
            if job.kind in portable(KINDS) and job.embargo == PUBLIC:  # nobody trusts builders with secrets
                context.builders = builders_for(database, self.objects, self.paths, found[0], job.pool)
            context.tried = job.broken_count
        else:
            context.clock_behind = self.away.clock_behind(database)
            context.ask = asker(context, self.away.link(check_cancelled).act)
        return context

    def serving(self) -> Serving:
        """Give what the web face gives of files; the network is used only for pool files that are not here yet."""

        def mirrors(archive: str) -> list[str]:
            return present_mirrors(self.config(), self.fetch_from, archive)  # asked anew each time

        return Serving(self.database, self.objects, self.paths, self.now, mirrors)

    def host_requests(self) -> HostRequests:
        """Give what answers machines that work for this one."""
        return HostRequests(self.database, self.objects, self.paths, self.sandbox, self.config, KINDS)

    def handout(self) -> Handout:
        """Give what tells clients how to use archives."""
        return Handout(self.database, self.objects, self.config(), self.keys.certificate, self.now)

    def command_context(self) -> CommandContext:
        """Build what a command of a person uses that acts at once, without a job."""
        config = self.config()
        mirrors = partial(present_mirrors, config, self.fetch_from)
        others = alternates(os.environ)
        return CommandContext(self.database, self.objects, make_fetcher(), config, self.paths, others, mirrors)

    def run_until_idle(
        self,
        watcher: Watcher,
        wanted: Sequence[Job] = (),
        *,
        pools: Sequence[str] | None = None,
        kinds: Sequence[str] | None = None,
    ) -> None:
        """Run everything that follows from the events so far, here and now, until nothing is left to do.

        Another worker may do part of it: waits for what that one runs, and until the wanted jobs are done. kinds: only these.
        pools: None for those at hand.
        """
        worker = self._worker_here(watcher, pools)
        if kinds is not None:
            worker.kinds = worker.every_kind = {name: kind for name, kind in worker.kinds.items() if name in kinds}

        def left() -> list[Job]:
            found = worker.unfinished([job.id for job in wanted])
            return [job for job in found if kinds is None or job.kind in kinds]

        work_until(worker, self.engine, self.take_in, left, is_all=True)

    def run_until_done(
        self, watcher: Watcher, wanted: Sequence[Job] | Callable[[], list[Job]], follow: Collection[str] = ()
    ) -> None:
        """Run some jobs here and now, before all others, until they are done; the rest of the queue stays and is told of.

        Waits for one that another worker has. wanted: the jobs, or what lists those that are not done yet, if more come up. follow:
        kinds of what follows from the jobs and is waited for as well.
        """
        worker = self._worker_here(watcher, None)
        if not callable(wanted):
            hasten(self.database, wanted)
            wanted = partial(not_done, self.database, [job.id for job in wanted], follow)
        work_until(worker, self.engine, self.take_in, wanted, is_all=False)
        say_what_is_queued(worker, self.tell)

    def _worker_here(self, watcher: Watcher, pools: Sequence[str] | None) -> Worker:
        pools = pools or pools_at_hand(self.database, self.config())
        worker = self.worker(watcher, may_wait_to_retry=False, pools=pools)
        self._begin(worker).order_due(*self.applied(), self.now())
        return worker

    def run_for_ever(self, watcher: Watcher, pools: tuple[str, ...] = ("local",)) -> None:
        """Serve the job table until interrupted; while the server of the database is away, wait for it."""
        worker = self.worker(watcher, may_wait_to_retry=True, pools=pools)
        renewals: Renewals | None = None
        timetable = Timetable(self.database, self.objects, self.order_of_entry, self.engine.hint)
        watch = PoolWatch(self.database, self.engine.hint)
        is_lost = False
        while True:
            try:
                renewals = renewals or self._begin(worker)
                applied = self.applied()
                renewals.order_due(*applied, self.now())
                timetable.order_due(*applied, self.database.now())
                watch.look(*applied, self.database.now())
                self.take_in()
                is_idle = not worker.run_one()
                if is_lost:
                    self.tell("the database answers again")
                is_lost = False
            except DatabaseLost as error:
                if not is_lost:
                    self.tell(f"{error.message}: waiting for it")
                is_lost = is_idle = True
            if is_idle:
                self.engine.wait(pools, IDLE_S)

    def _begin(self, worker: Worker) -> Renewals:
        """Clean up, bring hooks, settings and holds of hosted repos up to date, and name the refs that are passed over."""
        worker.clean_up()
        config = self.config()
        note_private_names(self.database, config, self.now())  # of a state that an older version left
        bring_up_to_date(config, self.paths, self.now())
        report_unreadable(self.paths, sorted(config.repos), self.tell)
        hold_pins(self.command_context())
        withdraw_all_ended(self.database, self.paths, config)
        return Renewals(self.database, self.objects, self.place, self.tell)


def open_app(state: str | None, *, create: bool = False, may_be_away: bool = False) -> App:
    """Open the installation; raise NotFound if there is none (and create is not wanted), NotAllowed if it is not ours.

    may_be_away: also on a machine that works for another, which is refused otherwise: there, only the server may do it.
    Raises Refused for a database that somebody emptied: to go on would be another installation, over this one's objects.
    """
    paths = state_paths(state)
    try:
        if not create and not paths.has_database:
            raise NotFound(
                f"there is no distwright state in {paths.root}",
                hint="distwright demo makes one; or name another with --state DIR",
            )
        if paths.root.is_dir() and not os.access(paths.root, os.W_OK):
            raise NotAllowed(
                f"{paths.root} cannot be written", hint="run as its owner, or choose another place with --state DIR"
            )
        paths.make()
    except OSError as error:
        raise refused_by_system(error, "choose another place with --state DIR") from error
    database = Database(paths.database_url)
    if not create and is_empty(database):
        raise Refused(
            f"{database.shown} holds nothing, not even tables: somebody emptied it",
            hint="restore it from a backup, or choose another place with --state DIR",
        )
    away = away_of(paths, database, may_be_away=may_be_away)
    if away is None:
        upgrade(database)
    else:
        refuse_other_schema(database, away.place)
    objects = FileObjects(paths.objects) if away is None else away.objects()
    return App(paths, database, objects, sandbox_for(os.geteuid()), engine_of(database, paths), away=away)
