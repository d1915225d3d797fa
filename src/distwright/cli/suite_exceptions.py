"""`distwright suite`: freeze exceptions: let one in, list them, end those that nobody needs, tell apt about them."""

import getpass

import click

from distwright.app import open_app
from distwright.archive.exception_rules import preferences_text
from distwright.archive.exceptions import ExceptionRequest, let_in
from distwright.archive.needs import PERSON
from distwright.archive.resolve import publish_request
from distwright.archive.suites import publish_suite
from distwright.archive.tidying import judge_suite, packages_of_exceptions, tidy_suite
from distwright.cli.options import json_option, print_json, print_rows, shown_time, state_option
from distwright.errors import BadUsage
from distwright.model.digests import Json
from distwright.site.keys import own_archive
from distwright.site.views import freeze_exceptions, suite_named


@click.command()
@click.argument("name", metavar="SUITE")
@click.argument("source")
@click.argument("version")
@click.option(
    "--from", "origin", required=True, metavar="WHERE",
    help="SUITE or ARCHIVE/SUITE of ours; ARCHIVE or ARCHIVE/SUITE of upstream, perhaps with @SERIAL.",
)  # fmt: skip
@click.option("--reason", required=True, help="Why; kept for good.")
@click.option(
    "--base", default="", metavar="ARCHIVE/SUITE",
    help="Read below SUITE: what ends the exception. Unset: with --branch, where it comes from; else the parent of an overlay.",
)  # fmt: skip
@click.option(
    "--branch", default="", metavar="REPO/BRANCH", help="Whose pins say which serial of an upstream base counts."
)
@click.option("--dry-run", is_flag=True, help="Say what would happen, change nothing.")
@click.option("--publish", "then_publish", is_flag=True, help="Serve the new state at once.")
@state_option
@json_option
def exception(
    name: str,
    source: str,
    version: str,
    origin: str,
    reason: str,
    base: str,
    branch: str,
    dry_run: bool,
    then_publish: bool,
    state: str | None,
    as_json: bool,
) -> None:
    """Let VERSION of SOURCE into a frozen suite, with everything that was built from it. It can be taken back with `undo`.

    Exit codes: 0 let in, 3 refused (the origin has not that version, or it is not newer), 10 no such suite or serial.
    """
    app = open_app(state)
    row = suite_named(app.database, name)
    context = app.command_context()
    request = ExceptionRequest(
        row.archive, row.name, source, version, origin, reason, f"{PERSON}{getpass.getuser()}", base, branch
    )
    done = let_in(request, context, context.mirrors, dry_run=dry_run)
    if then_publish and not dry_run:
        present = suite_named(app.database, f"{row.archive}/{row.name}")
        publish_suite(context, publish_request(app.config(), present))
    changes: list[dict[str, Json]] = [
        {"list": change.list_name, "package": change.name, "old": change.old or None, "new": change.new or None}
        for change in done.changes
    ]
    if as_json:
        print_json(
            {
                "suite": f"{row.archive}/{row.name}",
                "source": source,
                "version": version,
                "origin": done.row.origin,
                "base": done.row.base,
                "branch": done.row.branch,
                "changes": list(changes),
                "missing": list(done.missing),
            }
        )
        return
    print_rows(changes, ("list", "package", "old", "new"), as_json=False, empty="nothing changes")
    click.echo(f"from {done.row.origin}{f', until {done.row.base} has it' if done.row.base else ''}")
    if done.missing:
        click.echo(f"not there: {', '.join(done.missing)}")
    if dry_run:
        click.echo("nothing was changed (--dry-run)")


@click.command()
@click.argument("name", metavar="SUITE")
@click.option("--all", "everything", is_flag=True, help="Those that are over as well.")
@click.option("--tidy", is_flag=True, help="Say which end now: what is below has them, or they are gone.")
@click.option("--apply", "really", is_flag=True, help="With --tidy: end them, and take out their packages.")
@state_option
@json_option
def exceptions(name: str, everything: bool, tidy: bool, really: bool, state: str | None, as_json: bool) -> None:
    """List the freeze exceptions of a suite, and whether each is still needed.

    They end by themselves when what is below the suite moves; --tidy --apply does not wait for that.
    """
    if really and not tidy:
        raise BadUsage("--apply says to do it, but not what", hint="add --tidy")
    app = open_app(state)
    row = suite_named(app.database, name)
    context = app.command_context()
    if tidy:
        actor = f"{PERSON}{getpass.getuser()}"
        verdicts = tidy_suite(context, row.archive, row.name, actor, dry_run=not really)
        word = "ended" if really else "would end (--apply)"
        shown = {one.row.id: (word, one.why) for one in verdicts}
        found = [one.row for one in verdicts]
    else:
        judged = judge_suite(context, row.archive, row.name)
        shown = {one.row.id: ("needed" if one.is_needed else "not needed", one.why) for one in judged}
        found = freeze_exceptions(app.database, row, ended=everything)
    rows: list[dict[str, Json]] = [
        {
            "source": one.source,
            "version": one.version,
            "from": one.origin,
            "base": one.base,
            "branch": one.branch,
            "by": one.actor,
            "at": shown_time(one.at),
            "reason": one.reason,
            "state": shown.get(one.id, ("over", ""))[0],
            "why": shown.get(one.id, ("", one.ended_why or ""))[1],
            "ended": shown_time(one.ended_at),
        }
        for one in found
    ]
    headings = ("source", "version", "from", "by", "reason", "state", "why")
    empty = "none ends" if tidy else f"{row.archive}/{row.name} has no exceptions"
    print_rows(rows, headings, as_json=as_json, empty=empty)


@click.command()
@click.argument("name", metavar="SUITE")
@state_option
def preferences(name: str, state: str | None) -> None:
    """Print what apt must prefer so that the exceptions of a suite are installed, for /etc/apt/preferences.d.

    It matters where the suite is not automatic, or others are preferred. Newer versions of other archives still win.
    """
    app = open_app(state)
    row = suite_named(app.database, name)
    rows = freeze_exceptions(app.database, row, ended=False)
    packages = packages_of_exceptions(app.command_context(), rows)
    origin = own_archive(app.config(), row.archive).origin
    click.echo(preferences_text(rows, packages, f"o={origin},n={row.name}"), nl=False)


EXCEPTIONS = (exception, exceptions, preferences)
