"""`distwright check`."""

import click

from distwright.app import open_app
from distwright.cli.options import json_option, print_rows, shown_time, state_option
from distwright.model.digests import Json
from distwright.model.records import KnownFinding
from distwright.site.findings import findings, must_be_known


@click.group()
def command() -> None:
    """What the checks found."""


@command.command("list")
@click.argument("subject", required=False)
@click.option("--kind", metavar="KIND", help="Only this kind: lintian, hardening-flags, not-reproducible, ….")
@click.option("--fixed", is_flag=True, help="Those that are no longer so as well.")
@state_option
@json_option
def list_findings(subject: str | None, kind: str | None, fixed: bool, state: str | None, as_json: bool) -> None:
    """List findings by kind; SUBJECT is a source package or whatever else they are about.

    Exit codes: 0 listed, 10 no check was ever asked about SUBJECT.
    """
    app = open_app(state)
    found = findings(app.database, kind=kind, subject=subject, fixed=fixed)
    if subject is not None and not found:
        must_be_known(app.database, subject)
    print_findings(found, as_json=as_json)


def print_findings(found: list[KnownFinding], *, as_json: bool) -> None:
    """Print findings, either way."""
    rows: list[dict[str, Json]] = [
        {
            "kind": one.kind,
            "about": one.subject,
            "finding": one.key,
            "state": one.state.value,
            "severity": one.evidence.get("severity", ""),
            "since": shown_time(one.first_seen),
            "last": shown_time(one.last_seen),
            **({"evidence": dict(one.evidence)} if as_json else {}),
        }
        for one in found
    ]
    headings = ("kind", "about", "severity", "finding", "state", "since")
    print_rows(rows, headings, as_json=as_json, empty="the checks have found nothing")
