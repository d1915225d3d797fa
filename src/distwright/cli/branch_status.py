"""`distwright branch status`, `active` and `ready`."""

import getpass

import click

from distwright.app import App, open_app
from distwright.cli.options import echo, json_option, print_json, print_rows, shown_time, state_option
from distwright.model.digests import Json
from distwright.repos.ready import say_ready
from distwright.site.branch_pages import BranchStanding, active_branches_of, branch_rows, branch_standing, row_to_json


@click.command()
@click.argument("repo")
@click.argument("branch", required=False)
@state_option
@json_option
def status(repo: str, branch: str | None, state: str | None, as_json: bool) -> None:
    """Show how the newest commit of a branch stands: build, rebuild, tests, checks; without BRANCH how all of REPO do.

    Exit codes: 0, whatever the state is; 10 no such repo or branch.
    """
    app = open_app(state)
    if branch is None:
        rows = [row_to_json(row) for row in branch_rows(app.database, app.config(), repo)]
        headings = ("branch", "state", "since", "commit", "pusher", "job")
        print_rows(rows, headings, as_json=as_json, empty=f"nothing was pushed to {repo} yet: distwright repo list")
        return
    detail = branch_standing(app.database, app.config(), repo, branch)
    if as_json:
        print_json(detail.to_json())
    else:
        _print(detail)


@click.command()
@click.argument("repo")
@click.option(
    "--days", type=click.IntRange(0, 3650), help="Count topics with a commit of so many days.  [default: active_days]"
)
@state_option
@json_option
def active(repo: str, days: int | None, state: str | None, as_json: bool) -> None:
    """List the branches that are built: bases, and topics that are new and not merged into one. Exit code 10: no such repo."""
    app = open_app(state)
    rows: list[dict[str, Json]] = [
        {
            "branch": branch.name,
            "base": branch.is_base,
            "commit": branch.commit,
            "committed": shown_time(branch.committed),
        }
        for branch in active_branches_of(app.config(), app.paths, repo, app.now(), days)
    ]
    headings = ("branch", "base", "commit", "committed")
    print_rows(rows, headings, as_json=as_json, empty=f"no branch of {repo} is active: git push")


@click.command()
@click.argument("repo")
@click.argument("branch")
@click.option("--withdraw", is_flag=True, help="It is not ready any more.")
@state_option
@json_option
def ready(repo: str, branch: str, withdraw: bool, state: str | None, as_json: bool) -> None:
    """Say that a topic is ready for review: what is built of it comes before other topics, until it is withdrawn or deleted.

    Exit codes: 3 for a base branch and for wip/, 10 no such repo or branch.
    """
    app = open_app(state)
    app.take_in()
    is_new = _say(app, repo, branch, is_ready=not withdraw)
    if as_json:
        print_json({"repo": repo, "branch": branch, "ready": not withdraw, "changed": is_new})
        return
    said = "is not ready for review" if withdraw else "is ready for review"
    echo(f"{repo} {branch} {said}{'' if is_new else ', as it was before'}")


def _say(app: App, repo: str, branch: str, *, is_ready: bool) -> bool:
    actor = f"user {getpass.getuser()}"
    return say_ready(app.database, app.config(), repo, branch, is_ready=is_ready, actor=actor, now=app.now())


def _print(detail: BranchStanding) -> None:
    row, shown = detail.row, detail.status
    because = f": {shown.reason}" if shown.reason else ""
    echo(f"{row.repo} {row.branch}: {shown.state} since {shown_time(detail.since)}{because}")
    echo(f"commit: {row.commit}, pushed {shown_time(row.pushed_at)} by {row.pusher or 'somebody'}")
    if not detail.is_base:
        echo(f"base: {detail.base} {detail.base_commit}".rstrip())
    if detail.serials:
        echo(f"made of: {', '.join(detail.serials)}")
    if detail.ready is not None:
        echo(f"ready for review since {shown_time(detail.ready.at)}, says {detail.ready.actor}")
    for stage in shown.stages:
        about = "" if stage.job is None else f" since {shown_time(stage.since)}, job {stage.job.id}: {stage.job.title}"
        echo(f"{stage.stage}: {stage.state}{about}")
