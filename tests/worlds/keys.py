"""Signing keys of the worlds: made once per run, used through the real signer."""

import atexit
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from distwright.signing.command import CommandSigner
from distwright.signing.gpg import GpgSigner
from distwright.signing.joint import JointSigner
from distwright.signing.signer import SequoiaSigner, make_key

PASSPHRASE = b"not so secret"


@cache
def key_file(name: str) -> bytes:
    """Give the secret key of a name, as the file that a credential is."""
    with tempfile.TemporaryDirectory(prefix="distwright-keys-") as folder:
        path = Path(folder) / "key.pgp"
        make_key(path, f"{name} <{name}@example.org>")
        return path.read_bytes()


@cache
def signer(name: str) -> SequoiaSigner:
    """Give the signer of a name; the same name has the same key for the whole run."""
    with tempfile.NamedTemporaryFile(suffix=".pgp") as file:
        file.write(key_file(name))
        file.flush()
        return SequoiaSigner(Path(file.name))


@cache
def gpg_home() -> Path:
    """Give a GNUPGHOME for the whole run; its agent ends with us. A short path: sockets have no long ones."""
    home = Path(tempfile.mkdtemp(prefix="dwgpg-", dir="/tmp"))
    # Our passphrase is no secret, so guessing it need not be slow; but it is asked for each time.
    (home / "gpg-agent.conf").write_text("s2k-count 65536\ndefault-cache-ttl 0\nmax-cache-ttl 0\n")

    def leave() -> None:
        subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False, capture_output=True)
        shutil.rmtree(home, ignore_errors=True)

    atexit.register(leave)
    return home


def gpg(*arguments: str, stdin: bytes = b"") -> bytes:
    """Run gpg on that home as a person would, with the passphrase of the worlds."""
    argv = ("gpg", "--homedir", str(gpg_home()), "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase")
    return subprocess.run([*argv, PASSPHRASE.decode(), *arguments], input=stdin, check=True, capture_output=True).stdout


@cache
def gpg_key(name: str, algorithm: str = "ed25519", expires: str = "never", *options: str) -> str:
    """Make a key with gpg, protected by the passphrase; give its fingerprint."""
    gpg(*options, "--quick-generate-key", f"{name} <{name}@example.org>", algorithm, "sign", expires)
    listing = gpg("--with-colons", "--list-keys", f"={name} <{name}@example.org>").decode().splitlines()
    return next(line.split(":")[9] for line in listing if line.startswith("fpr:")).lower()


def gpg_certificate(fingerprint: str) -> bytes:
    """Give the armoured certificate of a key of that home."""
    return gpg("--armor", "--export", fingerprint)


@cache
def gpg_signer(name: str) -> GpgSigner:
    """Give a signer that uses gpg, with the passphrase."""
    return GpgSigner(gpg_key(name), gpg_home(), PASSPHRASE)


@cache
def command_signer(name: str) -> CommandSigner:
    """Give a signer that runs a script, as somebody with a machine for signing has one."""
    fingerprint = gpg_key(name)
    script, secret = gpg_home() / f"sign-{name}", gpg_home() / "passphrase"
    secret.write_bytes(PASSPHRASE)
    words = f"gpg --homedir {gpg_home()} --batch --quiet --pinentry-mode loopback --passphrase-file {secret}"
    script.write_text(
        "#!/bin/sh\nset -eu\ncase $1 in\nclear) verb=--clearsign ;;\ndetached) verb=--detach-sign ;;\nesac\n"
        f"exec {words} --digest-algo SHA512 --armor --local-user {fingerprint} $verb\n"
    )
    script.chmod(0o700)
    return CommandSigner((str(script),), gpg_certificate(fingerprint))


@cache
def joint_signer(name: str) -> JointSigner:
    """Give a signer with two keys: one of our own process, one of gpg."""
    return JointSigner((signer(name), gpg_signer(f"{name}-next")))
