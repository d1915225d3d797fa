"""`distwright demo`: an example distribution, from its folder to a booted image."""

from collections.abc import Callable
from pathlib import Path

import click

from distwright.app import App, open_app
from distwright.archive.resolve import NotReadyError
from distwright.cli.options import json_option, print_json, print_table, say, state_option
from distwright.cli.watch import TerminalWatcher
from distwright.config.load import checked_fetch_url, parse_config
from distwright.config.model import Config
from distwright.config.tables_archive import UpstreamArchive
from distwright.errors import BadUsage, NotFound, ProgramFailed, listed, quoted
from distwright.flow.keys import keys_of_config
from distwright.model.digests import Json
from distwright.model.outcomes import JobState, Outcome
from distwright.model.records import Job
from distwright.model.serials import Serial
from distwright.site.applied import apply_config, files_of_commit, keyrings_of_commit, keyrings_of_folder
from distwright.site.config_files import config_files
from distwright.site.example import PACKAGES, Pushed, push_folder
from distwright.site.line import StageRow
from distwright.site.programs import missing_programs
from distwright.site.views import line

EXAMPLE = Path(__file__).parents[3] / "examples" / "petrel"


@click.command()
@click.argument("example", required=False, type=click.Path(path_type=Path, exists=True, file_okay=False))
@state_option
@click.option(
    "--serial",
    "serials",
    multiple=True,
    metavar="[ARCHIVE=]SERIAL",
    help="Use this snapshot, or record upstream under this name.",
)
@click.option(
    "--fetch-from", "fetch_from", multiple=True, metavar="ARCHIVE=URL", help="Fetch an archive from here, this time."
)
@click.option("--follow", is_flag=True, help="Print the logs of all jobs while they run.")
@json_option
def command(
    example: Path | None,
    state: str | None,
    serials: tuple[str, ...],
    fetch_from: tuple[str, ...],
    follow: bool,
    as_json: bool,
) -> None:
    """Carry an example distribution from git to a booted image; run again, it goes on where it stopped.

    EXAMPLE is its folder (default: examples/petrel of this checkout). Exit codes: 0 the image booted, 1 a job failed.
    """
    _check_programs()
    folder = (example or EXAMPLE).absolute()
    if not folder.is_dir():
        raise NotFound(f"example {folder} does not exist", hint="distwright demo FOLDER, or run it from a checkout")
    files = config_files(str(folder))
    config = parse_config(sorted(files.items()))
    addresses = {name: checked_fetch_url(url) for name, url in _pairs(fetch_from, config).items()}
    pins = _serials(serials, config)
    app = open_app(state, create=True)
    app.tell = say
    app.fetch_from.update(addresses)
    app.pins.update(pins)
    watcher = TerminalWatcher(app.paths.job_log, follow=follow)
    say(f"state: {app.paths.root}")
    config = prepare_demo(app, config, folder)
    _record(app, config, watcher)
    retry_unfinished(app)
    app.run_until_idle(watcher)
    order_images(app, config)
    app.run_until_idle(watcher)
    _report(app, as_json=as_json)


def _check_programs() -> None:
    missing = missing_programs()
    if missing:
        problems = listed(f"{name} (Debian package {package})" for name, package in sorted(missing.items()))
        packages = " ".join(sorted(set(missing.values())))
        raise ProgramFailed(
            f"programs are missing:\n{problems}", hint=f"make setup, or: sudo apt-get install {packages}"
        )


def prepare_demo(app: App, config: Config, folder: Path) -> Config:
    """Make keys, push the example as far as nobody has gone on from it, apply its configuration; give the one in force then."""
    _make_keys(app, config)
    main_repo = next(iter({image.repo for image in config.images.values()}), None)
    if main_repo is None:
        raise BadUsage("the example has no [image.NAME]", hint="see examples/petrel/distwright.toml")
    bootstrap = config_files(str(folder))
    if not app.paths.repo(main_repo).exists():
        keyrings = keyrings_of_folder(folder, config)
        apply_config(
            bootstrap, keyrings, "0" * 40, database=app.database, objects=app.objects, paths=app.paths, now=app.now()
        )
    pushed = push_folder(
        folder, app.paths.repo(main_repo), config.repos[main_repo].default_branch, without=PACKAGES, tag=False
    )
    commit, files = files_of_commit(app.paths, main_repo, pushed.commit)
    applied = parse_config(sorted(files.items()))
    _make_keys(app, applied)
    keyrings = keyrings_of_commit(app.paths, main_repo, commit, applied)
    changes = apply_config(
        files, keyrings, commit, database=app.database, objects=app.objects, paths=app.paths, now=app.now()
    )
    for change in changes:
        say(f"config: {change.action} {change.table} {change.name}")
    for name, repo in applied.repos.items():
        package = folder / PACKAGES / name
        if repo.package and package.is_dir():
            _say_pushed(push_folder(package, app.paths.repo(name), repo.default_branch, without=None, tag=True))
    _say_pushed(pushed)
    return applied


def _make_keys(app: App, config: Config) -> None:
    for needed in keys_of_config(config):
        credential = needed.credential
        if app.keys.make(credential, f"{config.site.name} demo: {credential} <{credential}@demo.invalid>"):
            say(f"made demo key {credential}")


def _say_pushed(pushed: Pushed) -> None:
    if pushed.is_new:
        say(f"pushed {pushed.repo} {pushed.commit[:12]}")
    elif pushed.has_moved_on:
        say(f"{pushed.repo} has commits that are not the demo's: goes on with {pushed.commit[:12]}, pushes nothing")


def _record(app: App, config: Config, watcher: TerminalWatcher) -> None:
    """Record every upstream archive; without network, go on with what is recorded already."""
    worker = app.worker(watcher, may_wait_to_retry=False)
    worker.clean_up()
    for name, archive in config.archives.items():
        if isinstance(archive, UpstreamArchive):
            app.order_record(name, app.pins.get(name))


def order_images(app: App, config: Config) -> None:
    """Order each image as the present state asks for: nothing new unless distwright's own steps have changed since.

    Not one whose last build a person cancelled: what is pushed later is built by its push.
    """
    cancelled = {row.job.inputs.get("image") for row in line(app.database, app.paths) if _is_cancelled(row, "image")}
    for name in config.images:
        if name in cancelled:
            continue
        try:
            app.order_image(name)
        except NotReadyError as error:
            say(f"image {name} cannot be built yet: {error.message}")


def retry_unfinished(app: App, tell: Callable[[str], None] = say) -> None:
    """Queue again what an earlier run left undone: asking for the demo is asking for another try; what was cancelled stays so."""
    rows = line(app.database, app.paths)
    for row in rows:
        job = row.job
        if _is_cancelled(row):
            tell(f"job {job.id}, {job.title}, was cancelled and stays so: distwright job retry {job.id}")
        elif job.state is JobState.DONE and job.outcome is not Outcome.OK and row.stage != "record":
            app.retry_job(job.id)


def _is_cancelled(row: StageRow, stage: str = "") -> bool:
    return row.job.state is JobState.DONE and row.job.outcome is Outcome.CANCELLED and stage in ("", row.stage)


def _report(app: App, *, as_json: bool) -> None:
    rows = line(app.database, app.paths)
    if as_json:
        print_json([_row_json(row) for row in rows])
    else:
        print_table(("stage", "result", "time", "what", "files"), [_row_text(row) for row in rows], empty="nothing ran")
        click.echo()
        click.echo("next:  make serve            the archives, the image and a status page on loopback")
        click.echo("       distwright job list   every job; distwright job log N shows its log")
    is_booted = any(row.stage == "boot" and row.job.outcome is Outcome.OK for row in rows)
    wrong = [row for row in rows if row.job.outcome is not Outcome.OK and not _is_harmless(row.job)]
    if wrong or not is_booted:
        raise click.exceptions.Exit(1)


def _is_harmless(job: Job) -> bool:
    """A record that did not reach upstream changes nothing: the line runs on the last snapshot."""
    return job.kind == "archive.record" and job.outcome is Outcome.BROKEN


def _row_text(row: StageRow) -> tuple[str, ...]:
    seconds = "" if row.seconds is None else f"{row.seconds:.1f} s"
    return (row.stage, _result(row.job), seconds, row.job.message or row.job.title, row.files)


def _row_json(row: StageRow) -> dict[str, Json]:
    outputs = None if row.job.outputs is None else dict(row.job.outputs)
    seconds = None if row.seconds is None else f"{row.seconds:.3f}"
    return {
        "stage": row.stage,
        "job": row.job.id,
        "result": _result(row.job),
        "seconds": seconds,
        "message": row.job.message,
        "files": row.files,
        "outputs": outputs,
    }


def _result(job: Job) -> str:
    return str(job.outcome or job.state)


def _serials(given: tuple[str, ...], config: Config) -> dict[str, str]:
    """Read --serial: for one archive, or for all upstream archives."""
    upstream = [name for name, archive in config.archives.items() if isinstance(archive, UpstreamArchive)]
    pins: dict[str, str] = {}
    for text in given:
        if "=" in text:
            pins |= _pairs((text,), config)
        else:
            pins |= dict.fromkeys(upstream, text)
    return {name: Serial(serial) for name, serial in pins.items()}


def _pairs(given: tuple[str, ...], config: Config) -> dict[str, str]:
    pairs = {}
    for text in given:
        name, separator, value = text.partition("=")
        if not separator or not isinstance(config.archives.get(name), UpstreamArchive):
            known = ", ".join(name for name, archive in config.archives.items() if isinstance(archive, UpstreamArchive))
            raise BadUsage(
                f"{quoted(name)} names no upstream archive", hint=f"write ARCHIVE=VALUE with one of: {known}"
            )
        pairs[name] = value
    return pairs
