"""`distwright suite retire`: end a suite, or take that back."""

import getpass

import click

from distwright.app import open_app
from distwright.archive.needs import PERSON
from distwright.archive.retiring_suite import UNDO_TIME, retire_suite, take_back_suite
from distwright.archive.suites import Who
from distwright.cli.options import json_option, print_json, state_option
from distwright.errors import BadUsage
from distwright.model.digests import Json
from distwright.site.views import suite_named


@click.command()
@click.argument("name")
@click.option("--apply", "really", is_flag=True, help="Do it; without, only say whether it can be done.")
@click.option("--undo", is_flag=True, help="Take it back: NAME is ARCHIVE/SUITE.")
@click.option("--reason", default="", help="Why; kept with the revision.")
@state_option
@json_option
def retire(name: str, really: bool, undo: bool, reason: str, state: str | None, as_json: bool) -> None:
    """End a suite: it is served no more. For 30 days --undo takes that back.

    Exit codes: 3 something still needs it (it is named), 10 no such suite.
    """
    app = open_app(state)
    context = app.command_context()
    who = Who(f"{PERSON}{getpass.getuser()}", reason)
    if undo:
        archive, slash, suite = name.partition("/")
        if not slash:
            raise BadUsage(f"{name} does not say the archive", hint="write ARCHIVE/SUITE")
        row = take_back_suite(context, archive, suite, who)
        said = f"is back at {row.revision.short}"
    else:
        present = suite_named(app.database, name)
        row = retire_suite(context, present.archive, present.name, who, dry_run=not really)
        said = f"is retired; --undo takes it back for {UNDO_TIME.days} days" if really else "can be retired (--apply)"
    if as_json:
        answer: dict[str, Json] = {"suite": f"{row.archive}/{row.name}", "revision": str(row.revision)}
        print_json({**answer, "retired": really and not undo})
    else:
        click.echo(f"{row.archive}/{row.name} {said}")
