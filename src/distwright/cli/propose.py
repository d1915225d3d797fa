"""`distwright propose`."""

from pathlib import Path

import click

from distwright.app import open_app
from distwright.builds.local_checkout import TryRequest
from distwright.cli.options import echo, json_option, print_json, say, state_option
from distwright.cli.watch import TerminalWatcher
from distwright.errors import BadInput, WorkFailed
from distwright.model.digests import Json
from distwright.model.outcomes import Outcome
from distwright.site.config_files import read_config
from distwright.site.proposing import Bundle, make_bundle, what_is_proposed
from distwright.site.views import job_detail


@click.command("propose")
@click.argument("path", default=".", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--onto", default="", help="What it is a change of (default: the default branch of origin).")
@click.option("--repo", default="", help="The [repo.NAME] that it is (default: the name of its source).")
@click.option(
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where the bundle goes (default: NAME-COMMIT.bundle beside the checkout).",
)
@state_option
@click.option("--follow", is_flag=True, help="Print the logs.")
@json_option
def command(
    path: Path, onto: str, repo: str, output: Path | None, state: str | None, follow: bool, as_json: bool
) -> None:
    """Build and check the commits of the checkout PATH as the project would, and make a file of them that anybody can send in.

    A package is built, as by `package try`; a configuration is checked. Nothing is uploaded, and no account is needed.

    Exit codes: 0 it is good, 1 it does not build, 2 the configuration has problems, 3 nothing is new or not all is committed.
    """
    app = open_app(state)
    app.tell = say
    proposed = what_is_proposed(path.absolute(), app.config(), onto, output)
    checked: dict[str, Json] = {}
    if proposed.has_configuration:
        tables = sum(1 for _ in read_config(str(proposed.top)).tables())
        checked["configuration"] = f"good: {tables} tables"
    if proposed.has_package:
        job = app.order_try(TryRequest(path.absolute(), repo))
        app.run_until_done(TerminalWatcher(app.paths.job_log, follow=follow), [job])
        ended = job_detail(app.database, app.paths, job.id).job
        if ended.outcome is not Outcome.OK:
            raise WorkFailed(ended.message or "it does not build", hint=f"distwright job log {job.id}")
        checked["package"] = ended.message
    if not checked:
        raise BadInput("there is neither a package nor a configuration here", hint="distwright propose FOLDER")
    _tell(make_bundle(proposed), checked, app.config().site.contact or "", as_json=as_json)


def _tell(bundle: Bundle, checked: dict[str, Json], contact: str, *, as_json: bool) -> None:
    answer: dict[str, Json] = {
        "bundle": str(bundle.file), "sha256": str(bundle.sha256), "commit": bundle.commit, "onto": bundle.onto, **checked
    }  # fmt: skip
    if as_json:
        print_json(answer)
        return
    for key, value in answer.items():
        echo(f"{key}: {value}")
    to = f" to {contact}" if contact else ""
    say(f"send the bundle{to}; there: distwright package consider REPO FILE")
