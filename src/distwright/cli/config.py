"""`distwright config`."""

import click

from distwright.app import App, open_app
from distwright.cli.options import json_option, print_json, print_rows, say, state_option
from distwright.config.difference import Change
from distwright.config.load import parse_config
from distwright.config.model import FORMAT, Config
from distwright.config.problems import dotted
from distwright.config.words import toml_value
from distwright.errors import BadConfig
from distwright.flow.keys import NeededKey
from distwright.model.digests import Json, digest_of
from distwright.site.applied import (
    apply_config,
    files_of_commit,
    keyrings_of_commit,
    keyrings_of_folder,
    load_applied,
    plan_changes,
)
from distwright.site.config_files import config_files, config_folder, read_config
from distwright.site.keys import Keys, said_missing
from distwright.site.places import state_paths

config_option = click.option(
    "--config", "path", metavar="PATH", help="File or folder (default: $DISTWRIGHT_CONFIG, this folder)."
)


@click.group()
def command() -> None:
    """The configuration: tables in git."""


@command.command()
@config_option
@state_option
@json_option
def check(path: str | None, state: str | None, as_json: bool) -> None:
    """Check configuration files; list every problem with its file and line, and the keys that this machine has not made yet.

    Exit codes: 0 good, 2 problems.
    """
    try:
        config = read_config(path)
    except BadConfig as error:
        if not as_json:
            raise
        print_json({"ok": False, "problems": list(error.problems)})
        raise click.exceptions.Exit(error.exit_code) from error
    tables = sum(1 for _ in config.tables())
    keys = Keys(state_paths(state))
    missing = keys.missing(config) if keys.may_look and keys.paths.has_database and not keys.paths.home.exists() else []
    if as_json:
        names: list[Json] = [one.credential for one in missing]
        answer: dict[str, Json] = {"ok": True, "tables": tables, "digest": str(digest_of(config.canonical()))}
        print_json({**answer, "missing_keys": names})
    else:
        click.echo(f"good: {tables} tables")
        _say_missing_keys(missing)


@command.command()
@config_option
@click.option("--origin", is_flag=True, help="Say where each setting is written.")
@json_option
def show(path: str | None, origin: bool, as_json: bool) -> None:
    """Show the configuration with all defaults, as TOML."""
    config = read_config(path)
    canonical = config.canonical()
    if as_json:
        print_json({"config": canonical, "origins": dict(config.origins) if origin else {}})
        return
    click.echo(f"format = {FORMAT}{_origin(config.origins.get('format'), wanted=origin)}")
    for table, name, value in config.tables():
        header = dotted((table, name) if name else (table,))
        click.echo(f"\n[{header}]{_origin(config.origins.get(header), wanted=origin)}")
        for key, setting in value.model_dump(mode="json", by_alias=True, exclude_none=True).items():
            place = _origin(config.origins.get(f"{header}.{key}"), wanted=origin)
            click.echo(f"{key} = {toml_value(setting)}{place}")


@command.command()
@config_option
@state_option
@json_option
def plan(path: str | None, state: str | None, as_json: bool) -> None:
    """Say what applying the files would add, change and remove, and what somebody changed by hand and would be mended."""
    new = read_config(path)
    app = open_app(state)
    _print_changes(plan_changes(_in_force(app), new, app.paths), as_json=as_json)
    _say_missing_keys(app.keys.missing(new))


@command.command()
@click.argument("commit")
@click.option("--repo", required=True, help="The hosted repo that has the configuration.")
@state_option
@json_option
def apply(commit: str, repo: str, state: str | None, as_json: bool) -> None:
    """Apply the configuration of a commit: what is configured exists afterwards. Nothing is deleted."""
    app = open_app(state)
    found, files = files_of_commit(app.paths, repo, commit)
    keyrings = keyrings_of_commit(app.paths, repo, found, parse_config(sorted(files.items())))
    _in_force(app)
    changes = apply_config(
        files, keyrings, found, database=app.database, objects=app.objects, paths=app.paths, now=app.now()
    )
    _print_changes(changes, as_json=as_json)
    _say_missing_keys(app.keys.missing(app.config()))


@command.command()
@click.argument("path", required=False)
@state_option
@json_option
def init(path: str | None, state: str | None, as_json: bool) -> None:
    """Make a new installation from configuration files that are in no hosted repo yet.

    Push the same files to a hosted repo afterwards, and apply that commit.
    """
    files = config_files(path)
    config = parse_config(sorted(files.items()))
    keyrings = keyrings_of_folder(config_folder(path), config)
    app = open_app(state, create=True)
    changes = apply_config(
        files, keyrings, "0" * 40, database=app.database, objects=app.objects, paths=app.paths, now=app.now()
    )
    _print_changes(changes, as_json=as_json)
    _say_missing_keys(app.keys.missing(config))


def _in_force(app: App) -> Config | None:
    """Give the configuration in force; None, with a note, if there is none that this version reads."""
    try:
        found = load_applied(app.database, app.objects)
    except BadConfig as error:
        click.echo(f"note: {error.message}", err=True)
        click.echo("note: every table is applied anew", err=True)
        return None
    return None if found is None else found[0]


def _print_changes(changes: list[Change], *, as_json: bool) -> None:
    rows: list[dict[str, Json]] = [
        {"action": change.action, "table": change.table, "name": change.name, "detail": change.detail}
        for change in changes
    ]
    print_rows(rows, ("action", "table", "name", "detail"), as_json=as_json, empty="nothing to do")


def _say_missing_keys(missing: list[NeededKey]) -> None:
    if missing:
        say(f"note: {said_missing(missing)}: distwright key make {' '.join(one.credential for one in missing)}")


def _origin(place: str | None, *, wanted: bool) -> str:
    return f"    # {place or 'default'}" if wanted else ""
