"""`distwright image verify`."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import click

from distwright.app import App, open_app
from distwright.archive.resolve import machine_keyring
from distwright.cli.archive_take import record_served
from distwright.cli.options import json_option, print_json, say
from distwright.cli.watch import TerminalWatcher
from distwright.config.load import checked_fetch_url
from distwright.errors import BadUsage, NotFound
from distwright.images.bundle import Bundle, read_bundle
from distwright.images.made_by import other_programs, programs_here
from distwright.model.digests import Json, Sha256
from distwright.model.outcomes import JobState, Outcome
from distwright.signing.signer import Signer
from distwright.signing.verify import Keyring
from distwright.site import verifying
from distwright.site.applied import apply_config
from distwright.site.comparing import show_rebuild
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

    Exit codes: 0 it came out the same, 1 it differs or could not be built, 3 refused (signature, other states), 10 not there.
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
    verifying.claim_folder(place)
    app = open_app(str(place), create=True)
    app.tell = say
    is_same = _verify(app, found, asked, TerminalWatcher(app.paths.job_log, follow=follow), as_json=as_json)
    if is_same and not keep:
        app.database.close()
        app.sandbox.remove(app.paths.root)
    else:
        say(f"what it was built in is kept: {app.paths.root}")
    if not is_same:
        raise click.exceptions.Exit(1)


def _verify(app: App, found: Bundle, asked: _Asked, watcher: TerminalWatcher, *, as_json: bool) -> bool:
    """Do it, print what came of it, and say whether it is the same."""
    files, keyrings = verifying.config_of(found)
    apply_config(
        files, keyrings, _BUNDLE_COMMIT, database=app.database, objects=app.objects, paths=app.paths, now=app.now()
    )
    read_bundle(asked.path, app.objects)
    context = app.command_context()
    for one in verifying.served_states(found, asked.base):
        record_served(app, [one], watcher)
        check_same(context, one)
    verifying.take_ours(found, asked.base, context)
    if asked.explain:
        verifying.take_first_build(found, asked.base, context)
    job = app.place(verifying.verify_order(found, is_here=asked.explain), app.applied()[1])
    if job.state is JobState.DONE and job.outcome is not Outcome.OK:
        job = app.retry_job(job.id)
    app.run_until_idle(watcher, [job])
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
        return shown.is_same
    click.echo(f"{shown.verdict}: {shown.message}")
    for text in shown.differences[1:_SHOWN_DIFFERENCES]:
        click.echo(f"  {text}")
    for path in written:
        click.echo(f"wrote {path}")
    return shown.is_same


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
