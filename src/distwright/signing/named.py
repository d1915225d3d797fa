"""From the name of a credential to its signer: what the configuration names, and only this machine knows.

For the credential NAME there is one of, in the credentials folder of systemd or in the state's `keys/`:

- `NAME.pgp` (systemd: `NAME`): the secret key itself, used in this process;
- `NAME.toml`: how to reach the key. It has no secret in it:

      signer = "gpg"                  # with its agent: smart cards, keys with a passphrase
      fingerprint = "0123…"           # 40 hexadecimal digits
      home = "/srv/release/gnupg"     # its GNUPGHOME; a passphrase or PIN, if any, in `NAME.passphrase` beside this file

      signer = "command"              # anything else: another machine, a security module
      command = ["/usr/local/bin/sign-release", "--slot", "3"]
      certificate = "/srv/release/archive.asc"
      timeout_s = 300
"""

import os
import re
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path

from distwright.errors import BadInput, NotFound, Refused, quoted
from distwright.signing.command import TIMEOUT_S, CommandSigner
from distwright.signing.gpg import GpgSigner
from distwright.signing.signer import SequoiaSigner, Signer

_SETTINGS = {"gpg": {"signer", "fingerprint", "home"}, "command": {"signer", "command", "certificate", "timeout_s"}}
_FINGERPRINT = re.compile(r"[0-9A-Fa-f]{40}")


def named_signer(name: str, keys: Path, guarded: Path | None = None) -> Signer:
    """Give the signer of a credential; raise NotFound, Refused, BadInput.

    guarded: the credentials folder of systemd, if there is one: it keeps others away, whatever the modes of its files say.
    """
    if guarded is not None and (guarded / name).exists():
        return SequoiaSigner(guarded / name, is_guarded=True)
    for folder in (guarded, keys):
        if folder is not None and (folder / f"{name}.toml").exists():
            return _described(folder / f"{name}.toml", folder / f"{name}.passphrase", is_guarded=folder == guarded)
    return SequoiaSigner(keys / f"{name}.pgp")


def is_named(name: str, keys: Path, guarded: Path | None = None) -> bool:
    """Say whether there is anything by which `named_signer` would find the key of a credential; it is not looked into."""
    places = [keys / f"{name}.pgp", keys / f"{name}.toml"]
    if guarded is not None:
        places += [guarded / name, guarded / f"{name}.toml"]
    return any(os.path.lexists(place) for place in places)


def _described(path: Path, passphrase: Path, *, is_guarded: bool) -> Signer:
    _refuse_mode(path, 0o022, "changed", "go-w", is_guarded=is_guarded)  # it says which program is run
    try:
        table = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read: {quoted(str(error))}", hint=f"edit {path}") from error
    known = _SETTINGS.get(str(table.get("signer")))
    if known is None:
        raise BadInput(f'{path} must say signer = "gpg" or signer = "command"', hint=f"edit {path}")
    unknown = sorted(set(table) - known)
    if unknown:
        raise BadInput(f"{path} has {quoted(unknown[0])}; known are {', '.join(sorted(known))}", hint=f"edit {path}")
    return _gpg(path, table, passphrase, is_guarded=is_guarded) if table["signer"] == "gpg" else _command(path, table)


def _gpg(path: Path, table: Mapping[str, object], passphrase: Path, *, is_guarded: bool) -> Signer:
    fingerprint, home = _text(path, table, "fingerprint"), Path(_text(path, table, "home"))
    if not _FINGERPRINT.fullmatch(fingerprint):
        raise BadInput(f"{path}: fingerprint must have 40 hexadecimal digits", hint="gpg --list-secret-keys")
    if not home.is_dir():
        raise NotFound(f"{path}: home {home} is not a folder", hint=f"mkdir -m 700 {home}")
    if not passphrase.exists():
        return GpgSigner(fingerprint, home)
    _refuse_mode(passphrase, 0o077, "read", "go=", is_guarded=is_guarded)
    return GpgSigner(fingerprint, home, passphrase.read_bytes().rstrip(b"\n"))


def _command(path: Path, table: Mapping[str, object]) -> Signer:
    command, timeout_s = table.get("command"), table.get("timeout_s", TIMEOUT_S)
    if not isinstance(command, list) or not command or not all(isinstance(word, str) for word in command):
        raise BadInput(f"{path}: command must be a list of words", hint=f"edit {path}")
    if not isinstance(timeout_s, int | float) or not 0 < timeout_s <= 86400:
        raise BadInput(f"{path}: timeout_s must be a number of seconds, at most a day", hint=f"edit {path}")
    certificate = Path(_text(path, table, "certificate"))
    if not certificate.is_file():
        raise NotFound(f"{path}: certificate {certificate} is not a file", hint="gpg --armor --export FINGERPRINT")
    return CommandSigner(command, certificate.read_bytes(), timeout_s=float(timeout_s))


def _text(path: Path, table: Mapping[str, object], key: str) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not value:
        raise BadInput(f"{path}: {key} is missing", hint=f"edit {path}")
    return value


def _refuse_mode(path: Path, others: int, done: str, change: str, *, is_guarded: bool) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & others and not is_guarded:
        raise Refused(f"{path} can be {done} by others (mode {mode:04o})", hint=f"chmod {change} {path}")
