"""A command of the operator's signs: a script that asks another machine, a security module, a person."""

from collections.abc import Sequence

from distwright.errors import BadInput, ProgramFailed
from distwright.signing.answers import checked_clear, checked_detached
from distwright.signing.verify import Keyring
from distwright.tools.run import Command, run

TIMEOUT_S = 300.0


class CommandSigner:
    """Runs a command with one more word, `clear` or `detached`: bytes on its stdin, the armoured answer on its stdout.

    What it answers is verified with the certificate before it is used; so it may be any program, on any machine.
    """

    def __init__(self, command: Sequence[str], certificate: bytes, *, timeout_s: float = TIMEOUT_S) -> None:
        """Use a command. certificate: ASCII-armoured; raises BadInput if it is not exactly one, or has a secret part."""
        keyring = Keyring(certificate, "the certificate of the command")
        if len(keyring.fingerprints) != 1 or keyring.has_secrets:
            raise BadInput(
                f"the certificate of {command[0]} must be one public certificate",
                hint="gpg --armor --export FINGERPRINT",
            )
        self._command = tuple(command)
        self._certificate = certificate
        self._timeout_s = timeout_s
        self._fingerprints = keyring.fingerprints

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """The certificate's fingerprint."""
        return self._fingerprints

    def certificate(self) -> bytes:
        """Give the public certificate."""
        return self._certificate

    def sign_clear(self, text: bytes) -> bytes:
        """Sign text with the cleartext framework."""
        # One line end more, for who signs so does not sign the last one (RFC 9580, section 7.2).
        return checked_clear(self._ask("clear", text + b"\n"), text, self._certificate, self._command[0])

    def sign_detached(self, content: bytes) -> bytes:
        """Sign bytes, armoured."""
        return checked_detached(self._ask("detached", content), content, self._certificate, self._command[0])

    def _ask(self, how: str, content: bytes) -> bytes:
        limit = len(content) * 2 + (1 << 20)
        command = Command((*self._command, how), timeout_s=self._timeout_s, stdin=content, output_limit_bytes=limit)
        done = run(command).checked()
        if not done.stdout:
            raise ProgramFailed(f"{self._command[0]} {how} gave no signature", hint=f"try by hand: {command.shown}")
        return done.stdout
