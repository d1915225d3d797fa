"""A machine that is a builder of somebody's: it lets in one key, for one command, and vouches once for who it is."""

import json
import shlex
import shutil
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from distwright import __version__
from distwright.errors import BadInput, BadUsage, NotFound, Refused, quoted
from distwright.formats.enrolment import host_key, parse_enrolment, voucher
from distwright.formats.frames import Note
from distwright.model import plain
from distwright.model.digests import Json, canonical_json
from distwright.store.paths import StatePaths, half_made
from distwright.tools.architectures import look_at_machine, own_architecture, way_to_run
from distwright.tools.dpkg import installed_versions
from distwright.tools.link import Link, refused_note
from distwright.tools.sandbox import Sandbox
from distwright.worker.builder import carry_out, make_folders

HOST_KEYS = Path("/etc/ssh")
_WITHIN = timedelta(hours=1)
_FIRST_S = 30.0


def join(
    paths: StatePaths,
    line: str,
    host_keys: Sequence[Path],
    program: Sequence[str],
    authorized_keys: Path,
    now: datetime,
) -> str:
    """Make this machine a builder, with the line that its server printed; give the line that authorized_keys has from then on.

    host_keys: .pub files of this machine's sshd; none: those of /etc/ssh. program: what the server may start. authorized_keys: of
    the user whom it comes as. Raises BadInput, NotFound, Refused for an installation, BadUsage for what cannot stand there.
    """
    if paths.has_database:
        raise Refused(f"{paths.root} is an installation of its own", hint="use another place with --state DIR")
    enrolment = parse_enrolment(line)
    keys = _host_keys(host_keys)
    command = shlex.join(program)
    if not command.isprintable() or '"' in command or "\\" in command:
        raise BadUsage(f"{quoted(command)} cannot stand in authorized_keys", hint="use another place with --state DIR")
    entry = f'restrict,command="{command}" {enrolment.server_key} distwright'
    make_folders(paths)
    document: Json = {"sum": enrolment.sum, "until": (now + _WITHIN).isoformat(), "keys": list(keys)}
    _write(_enrolment(paths), canonical_json(document))
    authorized_keys.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    before = authorized_keys.read_text().splitlines() if authorized_keys.exists() else []
    others = [each for each in before if enrolment.server_key not in each]
    _write(authorized_keys, "\n".join([*others, entry, ""]).encode())
    return entry


def serve(paths: StatePaths, sandbox: Sandbox, now: datetime, *, hears: int = 0, speaks: int = 1) -> None:
    """Do what the server wants: a step, a voucher of who this is, or words of what it is. Raises Unreachable, BadInput."""
    make_folders(paths)
    with Link(hears, speaks) as link:
        note = link.hear(_FIRST_S)
        if isinstance(note, Note) and note.says == "step":
            carry_out(link, note, paths, sandbox)
        elif isinstance(note, Note) and note.says == "meet":
            _vouch(link, note, paths, now)
        elif isinstance(note, Note) and note.says == "look":
            _look(link, note, paths)
        else:
            raise refused_note(note, "a step")


def _vouch(link: Link, note: Note, paths: StatePaths, now: datetime) -> None:
    place = _enrolment(paths)
    try:
        values = plain.mapping({"enrolment": json.loads(place.read_bytes())}, "enrolment")
    except FileNotFoundError:
        link.say("refused", why="this machine has no line of the server, or used it already")
        return
    if now >= datetime.fromisoformat(plain.text(values, "until")):
        link.say("refused", why="the line that this machine has is older than an hour")
        return
    nonce, secret_sum = plain.text(note.values, "nonce"), plain.digest(values, "sum")
    vouchers = [voucher(secret_sum, nonce, key) for key in plain.texts(values, "keys")]
    link.say("vouched", vouchers=list(vouchers), version=__version__)
    answer = link.hear(_FIRST_S)
    if isinstance(answer, Note) and answer.says == "met":
        place.unlink(missing_ok=True)


def _look(link: Link, note: Note, paths: StatePaths) -> None:
    """Say what this machine is, and what of that which it was asked for it cannot do."""
    seen = look_at_machine()
    ways = [way_to_run(seen, name) for name in plain.texts(note.values, "architectures")]
    link.say(
        "looked",
        version=__version__,
        architecture=own_architecture(seen.machine),
        programs=dict(installed_versions(plain.texts(note.values, "programs"))),
        cannot=[way.what for way in ways if not way.is_there],
        free_bytes=shutil.disk_usage(paths.root).free,
    )


def _host_keys(given: Iterable[Path]) -> list[str]:
    files = list(given) or sorted(HOST_KEYS.glob("ssh_host_*_key.pub"))
    if not files:
        raise NotFound(f"no public host key is in {HOST_KEYS}", hint="name one: --host-key FILE")
    keys = []
    for file in files:
        try:
            keys.append(host_key(file.read_text()))
        except (OSError, ValueError) as error:
            raise BadUsage(f"{file} cannot be read: {error}", hint="name a .pub file: --host-key FILE") from error
        except BadInput as error:
            raise BadInput(f"{file}: {error.message}", hint="name a .pub file: --host-key FILE") from error
    return keys


def _enrolment(paths: StatePaths) -> Path:
    return paths.root / "enrolment.json"


def _write(place: Path, content: bytes) -> None:
    fresh = half_made(place)
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    fresh.write_bytes(content)
    fresh.rename(place)
