"""`distwright repo`."""

import click

from distwright.app import open_app
from distwright.cli.options import json_option, print_rows, state_option
from distwright.model.digests import Json
from distwright.site.views import repo_refs


@click.group()
def command() -> None:
    """Hosted git repositories."""


@command.command("list")
@state_option
@json_option
def list_repos(state: str | None, as_json: bool) -> None:
    """List repos with their branches and tags, and where to push."""
    app = open_app(state)
    rows: list[dict[str, Json]] = [
        {
            "repo": name,
            "holds": "package" if repo.package else "distribution",
            "refs": [ref.removeprefix("refs/heads/").removeprefix("refs/") for ref in repo_refs(app.paths, name)],
            "address": str(app.paths.repo(name)),
        }
        for name, repo in app.config().repos.items()
    ]
    headings = ("repo", "holds", "refs", "address")
    print_rows(rows, headings, as_json=as_json, empty="no repo is configured; see docs/reference/settings.md")
