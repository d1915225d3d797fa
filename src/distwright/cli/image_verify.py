"""`distwright image verify`."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import click

from distwright.app import App, open_app
from distwright.archive.resolve import machine_keyring
from distwright.checks.rebuild import DIFFERS
from distwright.cli.archive_take import record_served
from distwright.cli.options import echo, json_option, print_json, say
from distwright.cli.watch import TerminalWatcher
from distwright.config.load import checked_fetch_url
from distwright.errors import BadConfig, BadInput, BadUsage, NotFound, ProgramFailed, Refused, WorkFailed
from distwright.images.bundle import Bundle, read_bundle
from distwright.images.bundle_order import no_bundle
from distwright.images.made_by import other_programs, programs_here
from distwright.model.digests import Json, Sha256, digest_of
from distwright.model.outcomes import JobState, Outcome
from distwright.signing.signer import Signer
from distwright.signing.verify import Keyring
from distwright.site import verifying
from distwright.site.applied import apply_config
from distwright.site.comparing import ShownRebuild, show_rebuild
from distwright.site.elsewhere import check_same
from distwright.site.views import job_detail

_BUNDLE_COMMIT = "0" * 40
_SHOWN_DIFFERENCES = 8


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a person asked for. content: the digest of the bundle. here: programs that make roots -> version."""

    path: Path
    content: Sha256
    base: str
    explain: bool
    output: Path
    signer: Signer | None
    here: Mapping[str, str]


@click.command("verify")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--from", "base", metavar="URL", help="Where its archives are served (default: as the bundle says).")
@click.option("--keyring", metavar="FILE", help="Certificates: one of them must have signed the sums.")
@click.option(
    "--sign-with", metavar="KEY", help="Sign the statement: a fingerprint that gpg knows, or a file with a secret key."
)
@click.option(
    "--output",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    default=".",
    help="Where the statement goes. [default: .]",
)
@click.option("--explain", is_flag=True, help="Fetch the published files, too, and say where they differ.")
@click.option("--keep", is_flag=True, help="Keep the folder that it works in.")
@click.option("--state", metavar="DIR", help="The folder that it works in (default: in the cache of the user).")
@click.option("--follow", is_flag=True, help="Print the logs.")
@json_option
def verify(
    bundle: Path, base: str | None, keyring: str | None, sign_with: str | None, output: Path, explain: bool, keep: bool,
    state: str | None, follow: bool, as_json: bool,
) -> None:  # fmt: skip
    """Build the image of a BUNDLE again, in other circumstances, and compare it with the sums that were published.

    Takes the recipe from the bundle and the recorded archives from where they are served, into a state of its own that is removed
    when the image is the same; no account, configuration or key of the publisher is needed. Writes an in-toto statement.

    Exit codes: 0 it came out the same, 1 it differs, 2 no bundle, 3 refused (signature, other states), 10 not there, 11 the same
    bundle is being verified already, 20 nobody can say: an archive was not reached, or it could not be built here.
    """
    found = read_bundle(bundle)
    content = Sha256(_sha256(bundle))
    if keyring is not None:
        verifying.check_signature(found, Keyring(machine_keyring(str(Path(keyring).absolute())), keyring))
    else:
        say("note: nobody said whose signature of the sums counts: --keyring FILE")
    served = checked_fetch_url(verifying.base_of(found, base))
    signer = None if sign_with is None else verifying.person_signer(sign_with, os.environ)
    here = programs_here()
    asked = _Asked(bundle, content, served, explain, output, signer, here)
    place = Path(state) if state is not None else verifying.verify_folder(os.environ, os.geteuid(), content)
    for sentence in other_programs(found.made_by, here):
        say(f"note: {sentence}")
    with verifying.claimed_folder(place):
        app = open_app(str(place), create=True)
        app.tell = say
        shown = _verify(app, found, asked, TerminalWatcher(app.paths.job_log, follow=follow), as_json=as_json)
        if shown.is_same and not keep:
            app.database.close()
            verifying.remove_folder(app.paths.root, app.sandbox.remove)
        else:
            say(f"what it was built in is kept: {app.paths.root}")
    if shown.verdict == DIFFERS:
        raise click.exceptions.Exit(WorkFailed.exit_code)
    if not shown.is_same:
        raise click.exceptions.Exit(ProgramFailed.exit_code)


def _configure(app: App, found: Bundle) -> None:
    """Make the state one that records what the bundle names, as it says; what no configuration may say is wrong in the bundle."""
    files, keyrings = verifying.config_of(found)
    try:
        apply_config(
            files, keyrings, _BUNDLE_COMMIT, database=app.database, objects=app.objects, paths=app.paths, now=app.now()
        )
    except BadConfig as error:
        raise no_bundle(f"what the bundle says of its archives cannot be:\n{error.message}") from error


def _verify(app: App, found: Bundle, asked: _Asked, watcher: TerminalWatcher, *, as_json: bool) -> ShownRebuild:
    """Do it, print what came of it, and give it."""
    _configure(app, found)
    if digest_of(read_bundle(asked.path, app.objects).order) != digest_of(found.order):
        raise BadInput(f"{asked.path} is another file than a moment ago", hint="run the same command again")
    verifying.check_objects(found, app.objects)
    context = app.command_context()
    verifying.check_answers(found, asked.base, context.fetcher)
    for one in verifying.served_states(found, asked.base):
        try:
            record_served(app, [one], watcher)
        except WorkFailed as error:
            raise Refused(error.message, hint=f"distwright job list --state {app.paths.root}") from error
        check_same(context, one)
    verifying.take_ours(found, asked.base, context)
    if asked.explain:
        verifying.take_first_build(found, asked.base, context)
    job = app.place(verifying.verify_order(found, is_here=asked.explain), app.applied()[1])
    if job.state is JobState.DONE and job.outcome is not Outcome.OK:
        job = app.retry_job(job.id)
    app.run_until_done(watcher, [job])
    ended = job_detail(app.database, app.paths, job.id).job
    shown = show_rebuild(app.database, app.objects, app.config(), job.id)
    try:
        statement = verifying.statement_of(found, asked.content, ended, asked.signer, asked.here)
    except NotFound as error:
        say(error.message)
        written: list[Path] = []
    else:
        written = _write(asked.output, found.name, statement)
    if as_json:
        answer: dict[str, Json] = {
            "image": found.name, "verdict": shown.verdict, "message": shown.message, "differences": list(shown.differences),
            "varied": dict(shown.varied), "files": len(found.sums), "statement": [str(path) for path in written],
            "other_programs": list(other_programs(found.made_by, asked.here)),
        }  # fmt: skip
        print_json(answer)
        return shown
    echo(f"{shown.verdict}: {shown.message}")
    for text in shown.differences[1:_SHOWN_DIFFERENCES]:
        echo(f"  {text}")
    for path in written:
        echo(f"wrote {path}")
    return shown


def _write(folder: Path, name: str, statement: verifying.Statement) -> list[Path]:
    paths = {f"{name}.verified.json": statement.content}
    if statement.signature is not None:
        paths[f"{name}.verified.json.asc"] = statement.signature
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, content in paths.items():
            (folder / file).write_bytes(content)
    except OSError as error:
        raise BadUsage(
            f"{folder} cannot be written to: {error.strerror}", hint="name a folder: --output DIR"
        ) from error
    return [folder / file for file in paths]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
