"""`distwright repo`."""

import click

from distwright.app import open_app
from distwright.cli.options import finish_jobs, json_option, print_rows, state_option
from distwright.cli.watch import TerminalWatcher
from distwright.errors import NotFound, quoted
from distwright.model.digests import Json
from distwright.repos.configured import begin_hosting, ssh_address
from distwright.site.tokens import new_token
from distwright.site.views import repo_refs, unreadable_refs_of


@click.group()
def command() -> None:
    """Hosted git repositories."""


@command.command("list")
@state_option
@json_option
def list_repos(state: str | None, as_json: bool) -> None:
    """List repos: branches and tags, where to push, where all may read; refs whose names are not UTF-8 are passed over."""
    app = open_app(state)
    config = app.config()
    served = config.site.git_user if app.paths.hosting.exists() else None
    by_ssh = served and (ssh_address(config) or f"{served}@HOST")
    rows: list[dict[str, Json]] = [
        {
            "repo": name,
            "holds": "package" if repo.package else "distribution",
            "refs": [ref.removeprefix("refs/heads/").removeprefix("refs/") for ref in repo_refs(app.paths, name)],
            "passed over": unreadable_refs_of(app.paths, name),
            "address": f"ssh://{by_ssh}/{name}" if by_ssh else str(app.paths.repo(name)),
            "public": f"{config.site.url or 'URL'}/repo/{name}.git" if repo.public else None,
        }
        for name, repo in config.repos.items()
    ]
    headings = ["repo", "holds", "refs", "address"]
    if any(row["public"] for row in rows):
        headings.append("public")
    if any(row["passed over"] for row in rows):
        headings.insert(3, "passed over")
    print_rows(rows, headings, as_json=as_json, empty="no repo is configured; see docs/reference/settings.md")


@command.command()
@click.argument("name")
@state_option
@json_option
def fetch(name: str, state: str | None, as_json: bool) -> None:
    """Fetch a repo that is kept at another forge now, and do what follows. Exit code 3 for one that is hosted here."""
    app = open_app(state)
    watcher = TerminalWatcher(app.paths.job_log, follow=not as_json)
    job = app.order_fetch(name)
    app.run_until_idle(watcher, [job])
    finish_jobs(app, [job], as_json=as_json)


@command.command()
@click.argument("name")
@state_option
def secret(name: str, state: str | None) -> None:
    """Make a new secret for the webhooks of a repo, and print it; an earlier one counts no longer."""
    app = open_app(state)
    table = app.config().repos.get(name)
    if table is None or table.webhook is None:
        raise NotFound(
            f"[repo.{quoted(name)[1:-1]}] has no webhook",
            hint=f'write webhook = {{ credential = "webhook-{name}" }} into [repo.{name}]',
        )
    click.echo(new_token(app.paths, table.webhook.credential))


@command.command()
@state_option
def host(state: str | None) -> None:
    """Let Gitolite serve the repos by ssh from now on, as the configuration says. `config apply` then tells it of each change."""
    app = open_app(state)
    config = app.config()
    begin_hosting(config, app.paths, app.now())
    click.echo(f"Gitolite serves {len(config.repos)} repos at the login of {config.site.git_user}")
