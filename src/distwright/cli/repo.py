"""`distwright repo`."""

import click

from distwright.app import open_app
from distwright.cli.options import json_option, print_rows, state_option
from distwright.model.digests import Json
from distwright.site.views import repo_refs, unreadable_refs_of


@click.group()
def command() -> None:
    """Hosted git repositories."""


@command.command("list")
@state_option
@json_option
def list_repos(state: str | None, as_json: bool) -> None:
    """List repos with their branches and tags, and where to push; refs whose names are not UTF-8 are passed over."""
    app = open_app(state)
    rows: list[dict[str, Json]] = [
        {
            "repo": name,
            "holds": "package" if repo.package else "distribution",
            "refs": [ref.removeprefix("refs/heads/").removeprefix("refs/") for ref in repo_refs(app.paths, name)],
            "passed over": unreadable_refs_of(app.paths, name),
            "address": str(app.paths.repo(name)),
        }
        for name, repo in app.config().repos.items()
    ]
    headings = ["repo", "holds", "refs", "address"]
    if any(row["passed over"] for row in rows):
        headings.insert(3, "passed over")
    print_rows(rows, headings, as_json=as_json, empty="no repo is configured; see docs/reference/settings.md")
