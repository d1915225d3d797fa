"""gpg signs, with its agent: keys with a passphrase, smart cards, security modules behind scdaemon."""

import os
from contextlib import ExitStack
from pathlib import Path

from distwright.errors import NotFound, ProgramFailed, Refused, quoted
from distwright.signing.answers import checked_clear, checked_detached
from distwright.tools.run import Command, Finished, last_lines, run

TIMEOUT_S = 120.0  # a card may want to be touched
_STATUS = b"[GNUPG:] "
# libgpg-error, gpg-error(1): the codes that a person can do something about.
_REASONS = {
    "11": "the passphrase is wrong, or there is none",
    "17": "it has no secret key",
    "31": "the PIN is wrong",
    "99": "nobody entered a passphrase",
    "112": "the card is not there",
    "113": "the card was removed",
    "119": "the PIN is blocked",
    "125": "the card is not initialised",
    "177": "the passphrase is missing, and nobody can be asked",
}


class GpgSigner:
    """One secret key that a gpg can use."""

    def __init__(self, fingerprint: str, home: Path, passphrase: bytes | None = None) -> None:
        """Use the key of a GNUPGHOME; raise NotFound without its certificate. passphrase: None asks the agent (pinentry)."""
        self._fingerprint = fingerprint.lower()
        self._home = home
        self._passphrase = passphrase
        self._certificate: bytes | None = None

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """The certificate's fingerprint."""
        return (self._fingerprint,)

    def certificate(self) -> bytes:
        """Give the public certificate, without what others have signed on it."""
        if self._certificate is None:
            done = self._run(("--export-options", "export-minimal", "--armor", "--export", self._fingerprint), b"")
            if done.exit_code != 0 or not done.stdout.startswith(b"-----BEGIN PGP PUBLIC KEY BLOCK-----"):
                raise NotFound(
                    f"gpg has no certificate {self._fingerprint} in {self._home}",
                    hint=f"gpg --homedir {self._home} --list-secret-keys",
                )
            self._certificate = done.stdout
        return self._certificate

    def sign_clear(self, text: bytes) -> bytes:
        """Sign text with the cleartext framework."""
        signed = self._sign(
            ("--clearsign",), text + b"\n"
        )  # gpg does not sign the end of the last line: give it one more
        return checked_clear(signed, text, self.certificate(), self._name)

    def sign_detached(self, content: bytes) -> bytes:
        """Sign bytes, armoured."""
        return checked_detached(self._sign(("--detach-sign",), content), content, self.certificate(), self._name)

    @property
    def _name(self) -> str:
        return f"key {self._fingerprint} of gpg"

    def _sign(self, verb: tuple[str, ...], content: bytes) -> bytes:
        with ExitStack() as stack:
            status = stack.enter_context(os.fdopen(os.memfd_create("status"), "rb"))
            words: tuple[str, ...] = ("--status-fd", str(status.fileno()))
            keep = [status.fileno()]
            if self._passphrase is not None:
                secret = stack.enter_context(os.fdopen(os.memfd_create("passphrase"), "r+b", buffering=0))
                secret.write(self._passphrase)
                secret.seek(0)
                words += ("--pinentry-mode", "loopback", "--passphrase-fd", str(secret.fileno()))
                keep.append(secret.fileno())
            chosen = ("--digest-algo", "SHA512", "--local-user", self._fingerprint, "--armor")
            done = self._run((*words, *chosen, *verb), content, tuple(keep))
            status.seek(0)
            self._refuse_unless_signed(status.read(), done)
        return done.stdout

    def _run(self, words: tuple[str, ...], content: bytes, keep_fds: tuple[int, ...] = ()) -> Finished:
        # No configuration of the user's: it could sign with a second key, or with a weaker hash.
        argv = ("gpg", "--no-options", "--homedir", str(self._home), "--batch", "--no-tty", "--quiet", *words)
        environment = {"GNUPGHOME": str(self._home)}
        return run(Command(argv, timeout_s=TIMEOUT_S, environment=environment, stdin=content, keep_fds=keep_fds))

    def _refuse_unless_signed(self, status: bytes, done: Finished) -> None:
        lines = [line.removeprefix(_STATUS).decode("ascii", "replace").split() for line in status.splitlines()]
        made = [line for line in lines if line and line[0] == "SIG_CREATED"]
        if done.exit_code == 0 and not done.cut and len(made) == 1:
            return
        if done.cut:
            raise ProgramFailed(f"{self._name} did not sign: {done.cut}", hint="gpg --card-status")
        failures = [line[2] for line in lines if line[:2] == ["FAILURE", "sign"] and len(line) > 2]
        unusable = any(line[:1] == ["INV_SGNR"] for line in lines)
        code = str(int(failures[0]) & 0xFFFF) if failures and failures[0].isdigit() else ""
        said = quoted(last_lines(done.stderr, 1)[0]) if done.stderr.strip() else f"exit {done.exit_code}"
        reason = _REASONS.get(code, "it has no secret key that can sign" if unusable else said)
        raise Refused(
            f"{self._name} did not sign: {reason}",
            hint=f"gpg --homedir {self._home} --local-user {self._fingerprint} --clearsign",
        )
