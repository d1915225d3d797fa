"""`distwright doctor`."""

from datetime import UTC, datetime

import click

from distwright.cli.options import json_option, print_rows, state_option
from distwright.model.digests import Json
from distwright.site.doctor import examine_machine
from distwright.site.places import state_paths


@click.command()
@state_option
@json_option
def command(state: str | None, as_json: bool) -> None:
    """Say what is missing or broken on this machine, and what to type. Exit codes: 0 well, 1 something is wrong."""
    findings = examine_machine(state_paths(state), datetime.now(UTC))
    rows: list[dict[str, Json]] = [
        {"check": finding.check, "state": finding.state, "what": finding.what, "try": finding.hint}
        for finding in findings
    ]
    print_rows(rows, ("check", "state", "what", "try"), as_json=as_json, empty="nothing was examined")
    if any(finding.state == "wrong" for finding in findings):
        raise click.exceptions.Exit(1)
