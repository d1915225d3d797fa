"""`distwright package`: the questions that take many builds: sweep, bisect, history, inquiries, inquiry."""

import getpass
from collections.abc import Mapping, Sequence
from functools import partial

import click

from distwright.app import App, open_app
from distwright.checks.asking import Wanted, ask_culprit
from distwright.checks.inquiries import again_at, tries_of, waits_for
from distwright.checks.sweep import ask_sweep
from distwright.cli.options import json_option, print_json, print_rows, say, shown_time, state_option
from distwright.cli.watch import TerminalWatcher
from distwright.errors import BadUsage, Busy, NotFound, quoted
from distwright.model import plain
from distwright.model.digests import Json
from distwright.model.records import InquiryState, KnownFinding
from distwright.site.checking import (
    ShownInquiry,
    findings_about,
    inquiries,
    inquiry_named,
    left_jobs,
    stop_inquiry,
    trials,
)

_follow_option = click.option("--follow", is_flag=True, help="Print the logs.")
_wait_option = click.option(
    "--wait/--no-wait", default=True, show_default=True, help="Run what it takes here and now, or leave it to workers."
)


@click.command()
@click.option(
    "--serial", "serials", multiple=True, metavar="ARCHIVE=SERIAL", help="Try with this snapshot instead of the newest."
)
@_wait_option
@_follow_option
@state_option
@json_option
def sweep(serials: tuple[str, ...], wait: bool, follow: bool, state: str | None, as_json: bool) -> None:
    """Try whether all our packages still build, the cheapest first. What was tried before is not built again.

    Exit codes: 0 all do, 1 one does not, or could not be tried, 10 no such snapshot.
    """
    app = open_app(state)
    app.tell = say
    row = _run(app, ask_sweep(app.database, app.ground(), _pairs(serials), _actor()), wait=wait, follow=follow)
    _show_sweep(row, as_json=as_json)
    answer = row.inquiry.answer
    bad = ("failed", "unknown", "not_asked")
    if row.inquiry.state is InquiryState.STOPPED or (answer is not None and any(answer.get(key) for key in bad)):
        raise click.exceptions.Exit(1)


@click.command()
@click.argument("source")
@click.option(
    "--good", multiple=True, metavar="SERIAL|COMMIT", help="Where it built; default: the last time that it did."
)
@click.option("--bad", multiple=True, metavar="SERIAL|COMMIT", help="Where it does not; default: since when it fails.")
@click.option("--archive", help="Whose serials these are, if several archives have them.")
@click.option("--environment", help="Where it is built, if that is in several environments.")
@_wait_option
@_follow_option
@state_option
@json_option
def bisect(
    source: str, good: tuple[str, ...], bad: tuple[str, ...], archive: str | None, environment: str | None, wait: bool,
    follow: bool, state: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Find what made a package of ours stop building: a source package in one of upstream's snapshots, or a commit of ours.

    --good and --bad may be given twice: a serial, and a tag, branch or commit. Exit codes: 0 found, 1 there is nothing to find,
    2 no such end, 10 no such package, or nothing is known to have built.
    """
    app = open_app(state)
    app.tell = say
    ends = (Wanted(good, archive), Wanted(bad, archive))
    number = ask_culprit(app.database, app.ground(), source, *ends, _actor(), environment)
    row = _run(app, number, wait=wait, follow=follow)
    _show(row, as_json=as_json)
    if row.inquiry.state is InquiryState.STOPPED:
        raise click.exceptions.Exit(1)


@click.command()
@click.argument("source", required=False)
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10000), help="How many, newest first.")
@state_option
@json_option
def history(source: str | None, limit: int, state: str | None, as_json: bool) -> None:
    """List what builds were tried, newest first: with which snapshots, and how they ended; before that, since when one fails.

    Exit codes: 0 listed, 10 nothing was ever tried of this source.
    """
    app = open_app(state)
    rows: list[dict[str, Json]] = [
        {
            "source": row.trial.subject,
            "version": row.trial.version,
            "commit": row.trial.commit[:12],
            "architecture": row.architecture,
            "outcome": row.trial.outcome.value,
            "with": ", ".join(f"{name} {serial}" for name, serial in row.serials.items()),
            "at": shown_time(row.trial.at),
            "seconds": row.trial.took_s,
            "job": row.trial.job,
            "message": row.trial.message,
        }
        for row in trials(app.database, source, limit)
    ]
    found = findings_about(app.database, source)
    if source is not None and not rows and not found:
        raise NotFound(
            f"no build of a source package {quoted(source)} was ever tried", hint="distwright package history"
        )
    if as_json:
        return print_json({"trials": list(rows), "failing": [_failing(one) for one in found]})
    for one in found:
        click.echo(_failing_text(one))
    headings = ("source", "version", "commit", "architecture", "outcome", "with", "at", "seconds", "job", "message")
    print_rows(rows, headings, as_json=False, empty="nothing was built yet: distwright package build REPO --tag TAG")
    return None


@click.command("inquiries")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10000), help="How many, newest first.")
@state_option
@json_option
def list_asked(limit: int, state: str | None, as_json: bool) -> None:
    """List questions that take many jobs, newest first: sweeps, searches for a culprit, impacts."""
    app = open_app(state)
    rows: list[dict[str, Json]] = [
        {
            "inquiry": row.id,
            "kind": row.kind,
            "about": row.subject,
            "state": row.state.value,
            "began": shown_time(row.began_at),
            "ended": shown_time(row.ended_at),
            "answer": _short(row.answer),
        }
        for row in inquiries(app.database, limit)
    ]
    headings = ("inquiry", "kind", "about", "state", "began", "ended", "answer")
    print_rows(rows, headings, as_json=as_json, empty="nothing was asked yet")


@click.command()
@click.argument("number", type=click.IntRange(min=1))
@click.option("--stop", is_flag=True, help="End it without an answer, with the jobs that nobody else wants.")
@state_option
@json_option
def inquiry(number: int, stop: bool, state: str | None, as_json: bool) -> None:
    """Show a question that takes many jobs: how far it is, and its answer.

    Exit codes: 0 shown or stopped, 3 it is over already and cannot be stopped, 10 no such inquiry.
    """
    app = open_app(state)
    if stop:
        stop_inquiry(app.database, number, _actor(), app.now())
    _show(inquiry_named(app.database, number), as_json=as_json)


def _run(app: App, number: int, *, wait: bool, follow: bool) -> ShownInquiry:
    """Run jobs until an inquiry is over, or nothing is left that could bring it further."""
    if wait:
        watcher = TerminalWatcher(app.paths.job_log, follow=follow)
        app.run_until_done(watcher, partial(left_jobs, app.database, number))
    row = inquiry_named(app.database, number)
    if wait and row.inquiry.state is InquiryState.OPEN:
        raise Busy(
            f"inquiry {number} is not over: {waits_for(row.inquiry) or 'this machine could not go on with it'}",
            hint=f"distwright package inquiry {number}",
        )
    return row


def _show(row: ShownInquiry, *, as_json: bool) -> None:
    inquiry = row.inquiry
    if as_json:
        return print_json(_inquiry(row))
    if inquiry.kind == "sweep":
        return _show_sweep(row, as_json=False)
    click.echo(f"inquiry {inquiry.id}: {inquiry.kind} of {inquiry.subject}, {inquiry.state}")
    told = _told(inquiry.progress if inquiry.answer is None else inquiry.answer)
    if told:
        print_rows(told, ("state", "answer", "job", "message"), as_json=False, empty="")
    click.echo(_outcome(row))
    return None


def _show_sweep(row: ShownInquiry, *, as_json: bool) -> None:
    if as_json:
        return print_json(_inquiry(row))
    inquiry = row.inquiry
    click.echo(f"inquiry {inquiry.id}: {inquiry.kind} of {inquiry.subject}, {inquiry.state}")
    document = inquiry.progress if inquiry.answer is None else inquiry.answer
    members = plain.members(document, "targets") if "targets" in document else ()
    rows = [
        {
            "source": one["source"],
            "in": one["key"],
            "state": one["state"],
            "job": one.get("job"),
            "message": one.get("message"),
        }
        for one in members
        if isinstance(one, Mapping)
    ]
    if rows:
        print_rows(rows, ("source", "in", "state", "job", "message"), as_json=False, empty="")
    click.echo(_outcome(row))
    return None


def _outcome(row: ShownInquiry) -> str:
    """Say in a line how an inquiry stands."""
    answer = row.inquiry.answer
    if answer is None:
        waits = waits_for(row.inquiry)
        left = sum(1 for job in row.jobs if job.outcome is None)
        if again := again_at(row.inquiry):
            tries = tries_of(row.inquiry)
            return f"cannot go on: {waits}; tried {tries} times, and again from {shown_time(again)} on"
        return f"waits for {waits}" if waits else f"{left} of {len(row.jobs)} jobs are left"
    if "error" in answer:
        return f"{answer['error']} ({answer['hint']})"
    known = f", {answer['known']} known" if "known" in answer else ""
    return f"{answer['text']} ({answer['builds']} built{known})"


def _inquiry(row: ShownInquiry) -> dict[str, Json]:
    inquiry = row.inquiry
    return {
        "inquiry": inquiry.id,
        "kind": inquiry.kind,
        "about": inquiry.subject,
        "asked": dict(inquiry.asked),
        "by": inquiry.actor,
        "state": inquiry.state.value,
        "began": shown_time(inquiry.began_at),
        "ended": shown_time(inquiry.ended_at),
        "waits for": waits_for(inquiry),
        "tries": tries_of(inquiry),
        "again": shown_time(again_at(inquiry)),
        "jobs": [{"job": job.id, "title": job.title, "result": str(job.outcome or job.state)} for job in row.jobs],
        "answer": None if inquiry.answer is None else dict(inquiry.answer),
    }


def _told(document: Mapping[str, Json]) -> list[dict[str, Json]]:
    """List what is answered, in the order in which it was asked."""
    told = plain.mapping(document, "told") if "told" in document else {}
    rows: list[dict[str, Json]] = [{"state": name, **one} for name, one in told.items() if isinstance(one, Mapping)]
    return sorted(rows, key=lambda row: row["job"] if isinstance(row["job"], int) else 0)


def _failing(one: KnownFinding) -> dict[str, Json]:
    return {
        "finding": one.kind,
        "source": one.subject,
        "in": one.key,
        "state": one.state.value,
        "first seen": shown_time(one.first_seen),
        **one.evidence,
    }


def _failing_text(one: KnownFinding) -> str:
    """Say since when a package fails, in a line or two."""
    known = one.evidence
    since = _serials(known.get("since", known.get("serials")))
    last = f", built last with {_serials(known['last_good'])}" if "last_good" in known else ""
    culprit = known.get("culprit")
    named = f"; {culprit['text']}" if isinstance(culprit, Mapping) and "text" in culprit else ""
    return f"{one.subject} {known.get('version')} ({one.key}) does not build since {since}{last}{named}"


def _serials(value: Json) -> str:
    return ", ".join(f"{name} {serial}" for name, serial in value.items()) if isinstance(value, Mapping) else "?"


def _short(answer: Mapping[str, Json] | None) -> Json:
    return None if answer is None else answer.get("text", answer.get("error"))


def _pairs(words: Sequence[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for word in words:
        archive, sign, serial = word.partition("=")
        if not sign or archive in pairs:
            raise BadUsage(
                f"{quoted(word)} is not ARCHIVE=SERIAL, or its archive is there twice",
                hint="write --serial debian=2026112301",
            )
        pairs[archive] = serial
    return pairs


def _actor() -> str:
    return f"user {getpass.getuser()}"
