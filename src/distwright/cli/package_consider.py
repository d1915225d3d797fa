"""`distwright package consider`."""

from pathlib import Path

import click

from distwright.app import open_app
from distwright.builds.proposals import Proposal, consider
from distwright.cli.options import finish_jobs, json_option, say, state_option
from distwright.cli.package_try import make_folder, output_option, put_files
from distwright.cli.watch import TerminalWatcher


@click.command("consider")
@click.argument("repo")
@click.argument("source", metavar="FILE|URL")
@click.option("--ref", default="", help="Of a URL: the ref there, as refs/pull/5/head of a pull request.")
@click.option("--onto", default="", help="The branch that it is for (default: the repo's default branch).")
@output_option
@state_option
@click.option("--follow", is_flag=True, help="Print the logs.")
@json_option
def consider_proposal(
    repo: str, source: str, ref: str, onto: str, output: Path | None, state: str | None, follow: bool, as_json: bool
) -> None:
    """Build what somebody without an account proposes to REPO, as if it were pushed: sign nothing, upload nothing, keep no commit.

    FILE is a git bundle (distwright propose makes one), or a mailbox of patches, as git format-patch --stdout writes it and mail
    programs save it. A URL with --ref is a branch or pull request of another server.

    Exit codes: 0 it builds, 1 it does not, 3 it does not apply or proposes nothing, 10 no such repo or no package.
    """
    app = open_app(state)
    app.tell = say
    if output is not None:
        make_folder(output)
    if not ref and not Path(source).is_file():
        hint = "give --ref too: refs/heads/BRANCH, or refs/pull/NUMBER/head" if "://" in source else "name a file"
        raise click.UsageError(f"{source!r} is no file; {hint}")
    considered = consider(app.database, app.ground(), Proposal(repo, source, ref, onto))
    for line in considered.commits:
        say(line)
    job = app.place(considered.order, app.applied()[1])
    app.run_until_done(TerminalWatcher(app.paths.job_log, follow=follow), [job])
    if output is not None:
        put_files(app, job.id, output)
    finish_jobs(app, [job], as_json=as_json)
