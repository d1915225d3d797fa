"""`distwright branch`: branches of hosted repos, their suites, and how they stand."""

import click

from distwright.app import open_app
from distwright.cli.branch_status import active, ready, status
from distwright.cli.options import echo, json_option, print_json, print_rows, shown_time, state_option
from distwright.model.digests import Json
from distwright.site.branches import BranchDetail, BranchLine, branch_detail, branch_lines


@click.group()
def command() -> None:
    """Branches of hosted repos: their suites, which are built, and how they stand."""


@command.command("list")
@click.argument("repo", required=False)
@state_option
@json_option
def list_branches(repo: str | None, state: str | None, as_json: bool) -> None:
    """List branches with their suites; those that are gone and left packages behind, too. Exit code 10 if there is no such repo."""
    app = open_app(state)
    rows = [_row(line, as_json=as_json) for line in branch_lines(app.database, app.paths, app.config(), repo)]
    headings = ["repo", "branch", "kind", "commit", "suite", "packages", "note"]
    print_rows(rows, headings, as_json=as_json, empty="no branch was pushed yet: distwright repo list")


@command.command()
@click.argument("repo")
@click.argument("branch")
@state_option
@json_option
def show(repo: str, branch: str, state: str | None, as_json: bool) -> None:
    """Show a branch: commit, base, suite and what is in it, pins, overlays, its last jobs. Exit code 10 if there is none."""
    app = open_app(state)
    detail = branch_detail(app.database, app.objects, app.paths, app.config(), repo, branch)
    if as_json:
        print_json(_whole(detail))
        return
    first = detail.lines[0]
    named = {
        "commit": first.commit or "gone",
        "kind": first.kind or "no topic: it has no suite, and nothing is built of it",
        "base": detail.base,
        "suites": ", ".join(line.suite for line in detail.lines if line.suite),
        "overlays": ", ".join(detail.overlays),
        "pins": ", ".join(f"{archive} {pin}" for archive, pin in detail.pins.items()),
    }
    for name, text in named.items():
        if text:
            echo(f"{name + ':':<10}{text}")
    for problem in (*(line.note for line in detail.lines if line.note), *detail.problems):
        echo(f"{'note:':<10}{problem}")
    for list_name, package, version in detail.packages:
        echo(f"{'has:':<10}{package} {version} ({list_name})")
    for job in detail.jobs:
        echo(f"{'job:':<10}{job.id} {job.title}: {job.outcome or job.state}, {shown_time(job.created_at)}")


for _verb in (active, ready, status):
    command.add_command(_verb)


def _row(line: BranchLine, *, as_json: bool) -> dict[str, Json]:
    packages = "" if line.revision is None else "none" if line.is_empty else line.revision.short
    revision = None if line.revision is None else str(line.revision)
    return {
        "repo": line.repo,
        "branch": line.branch,
        "kind": line.kind,
        "commit": line.commit if as_json else line.commit[:12],
        "suite": line.suite,
        **({"revision": revision, "empty": line.is_empty} if as_json else {"packages": packages}),
        "note": line.note,
    }


def _whole(detail: BranchDetail) -> dict[str, Json]:
    first = detail.lines[0]
    return {
        "repo": first.repo,
        "branch": first.branch,
        "commit": first.commit,
        "kind": first.kind,
        "base": detail.base,
        "suites": [
            {"suite": line.suite, "revision": None if line.revision is None else str(line.revision), "note": line.note}
            for line in detail.lines
        ],
        "overlays": list(detail.overlays),
        "pins": dict(detail.pins),
        "packages": [
            {"list": list_name, "package": package, "version": version}
            for list_name, package, version in detail.packages
        ],
        "problems": list(detail.problems),
        "jobs": [
            {
                "job": job.id,
                "title": job.title,
                "state": str(job.state),
                "outcome": None if job.outcome is None else str(job.outcome),
                "created": shown_time(job.created_at),
            }
            for job in detail.jobs
        ],
    }
