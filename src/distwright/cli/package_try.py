"""`distwright package try`."""

import shutil
import tempfile
from pathlib import Path

import click

from distwright.app import App, open_app
from distwright.builds.local_checkout import TryRequest
from distwright.cli.options import finish_jobs, json_option, say, state_option
from distwright.cli.watch import TerminalWatcher
from distwright.errors import BadUsage, quoted
from distwright.model import plain
from distwright.site.views import job_detail

output_option = click.option(
    "--output",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Put what was built into this folder.",
)


@click.command("try")
@click.argument("path", default=".", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--repo", default="", help="The [repo.NAME] that it is (default: the name of its source).")
@click.option("--environment", default="", help="The [environment.NAME] to build in (default: that of its repo).")
@click.option("--suite", default="", help="The [suite.NAME] to build for (default: that of its repo).")
@output_option
@state_option
@click.option("--follow", is_flag=True, help="Print the logs.")
@json_option
def try_checkout(
    path: Path,
    repo: str,
    environment: str,
    suite: str,
    output: Path | None,
    state: str | None,
    follow: bool,
    as_json: bool,
) -> None:
    """Build the commit that the git checkout PATH (default: this folder) is at, as if it were hosted here; upload nothing.

    With the configuration and the states of another installation (archive take), this gives what that one builds of the commit.

    Exit codes: 0 it builds, 1 it does not, 2 nothing says where, 3 not committed, 10 no package, 11 an archive has no snapshot yet.
    """
    app = open_app(state)
    app.tell = say
    if output is not None:
        make_folder(output)  # before hours of building, not after
    job = app.order_try(TryRequest(path.absolute(), repo, environment, suite))
    app.run_until_done(TerminalWatcher(app.paths.job_log, follow=follow), [job])
    if output is not None:
        put_files(app, job.id, output)
    finish_jobs(app, [job], as_json=as_json)


def make_folder(folder: Path) -> None:
    """Make the folder for what will be built; raise BadUsage."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadUsage(
            f"{quoted(str(folder))} cannot be made: {error.strerror}",
            hint="name a folder that you may write to with --output",
        ) from error


def put_files(app: App, job: int, folder: Path) -> None:
    """Write what a job built into a folder; what has such a name already is replaced, and no symlink of somebody else followed."""
    outputs = job_detail(app.database, app.paths, job).job.outputs or {}
    files = plain.digest_map({"files": {}, **outputs}, "files")
    for name, digest in sorted(files.items()):
        with app.objects.open(digest) as source, tempfile.NamedTemporaryFile(dir=folder, delete=False) as target:
            shutil.copyfileobj(source, target)
        Path(target.name).chmod(0o644)
        Path(target.name).replace(folder / Path(name).name)
