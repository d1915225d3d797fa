"""`distwright embargo`."""

import click

from distwright.app import open_app
from distwright.cli.options import json_option, print_json, print_rows, say, state_option
from distwright.model.digests import Json
from distwright.repos.lifting import lift as lift_branch
from distwright.site.applied import open_repo
from distwright.site.readers import private_rows


@click.group()
def command() -> None:
    """What is private, and its end."""


@command.command("list")
@state_option
@json_option
def list_private(state: str | None, as_json: bool) -> None:
    """List the private repos and archives, whose twin each is, and who sees what is made of them."""
    app = open_app(state)
    rows = private_rows(app.config())
    print_rows(rows, ("kind", "name", "twin of", "readers"), as_json=as_json, empty="nothing is private here")


@command.command("open")
@click.argument("repo")
@state_option
def open_private(repo: str, state: str | None) -> None:
    """Let the next `config apply` take private away from REPO, whose branches and tags all its readers see then.

    What was made of it until then stays hidden, from everybody. Exit code 10 for a repo that was never private.
    """
    app = open_app(state)
    open_repo(app.database, repo)
    click.echo(f"repo {repo} may be public; write that into [repo.{repo}], then: distwright config apply COMMIT")


@command.command()
@click.argument("repo")
@click.argument("branch")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="Bring this tag along; may be repeated.")
@click.option("--dry-run", is_flag=True, help="Only say which commits everybody would see.")
@state_option
@json_option
def lift(repo: str, branch: str, tags: tuple[str, ...], dry_run: bool, state: str | None, as_json: bool) -> None:
    """Bring a branch of the private twin REPO to its public repo, where it is built as any other push.

    All of its history comes along, and what was made of it in secret stays so. Exit codes: 3 the public branch has other commits,
    or a tag is another one there; 10 no such repo, branch or tag.
    """
    app = open_app(state)
    lifted = lift_branch(app.config(), app.paths, repo, branch, tags, dry_run=dry_run)
    if not dry_run:
        app.take_in()
    if as_json:
        answer: dict[str, Json] = {
            "repo": lifted.repo,
            "branch": lifted.branch,
            "commit": lifted.commit,
            "before": lifted.before,
            "commits": list(lifted.commits),
            "tags": list(lifted.tags),
            "lifted": not dry_run,
        }
        return print_json(answer)
    for line in lifted.commits:
        click.echo(line)
    what = "would be public" if dry_run else "is public"
    say(f"{lifted.commit[:12]} {what} as {lifted.branch} of {lifted.repo}: distwright branch status {lifted.repo}")
    return None
