"""A shell on the serial line: log in, run a command, and get its output and exit code exactly.

Nothing of ours is in the machine: it needs a login on the serial line, a POSIX shell, base64 and stty. The command goes over
in base64 and so comes back, with its length, because the kernel may print in the midst of it: then it is asked for again.
"""

import base64
import binascii
import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass

from .machine import Machine
from .patience import DrivingError, OutOfPatience, Patience

_CHUNK = 900  # a terminal takes 4095 characters of a line
_ASKED_AGAIN = 4
_LOOKS_OF_QUIET, _LOOKS_UNTIL_AGAIN = 6, 100  # a look takes 0.05 s if nothing is printed
_AUTOMATIC = re.compile(r"(\S+) \(automatic login\)")
_PROMPT = re.compile(r"[$#%>] ?\Z")  # what is typed before it is lost: login throws it away
# No line editor and no prompt may have a part in it: `read` takes a line as the terminal gives it.
_LISTEN = 'stty -echo; while IFS= read -r L; do eval "$L"; done'
_RUN = """E=$({ sh -c "$(printf %s "$C" | base64 -d)" </dev/null 2>&1; printf '\\n%s' "$?"; } | base64)"""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command gave. output: what it wrote to its standard output and error, exactly."""

    exit_code: int
    output: bytes

    @property
    def text(self) -> str:
        """The output as text."""
        return self.output.decode(errors="replace")


class Shell:
    """A shell in which somebody is logged in."""

    def __init__(self, machine: Machine) -> None:
        """Use the serial line of a machine."""
        self._machine = machine
        self._numbers = itertools.count(1)

    def log_in(self, user: str, password: str, patience: Patience) -> None:
        """Log in where a login is asked for, or has been given already. Raises DrivingError if it is refused, OutOfPatience."""
        serial, wait = self._machine.serial, self._machine.wait_for
        # Another step may have read the question already.
        wait("a login on the serial line", lambda: serial.find("login:") or serial.waits_with("login:"), patience)
        began = serial.seen
        serial.send(f"{user}\r")
        wait(
            f"the question for {user}'s password",
            lambda: serial.find("assword:") or _is_in_by_itself(serial.since(began), user),
            patience,
        )
        if "assword:" in serial.since(began):
            began = serial.seen
            serial.send(f"{password}\r")
        wait(
            f"a prompt for {user}",
            _Quiet(lambda: _has_prompt(serial.since(began), user), lambda: serial.length),
            patience,
        )
        self.listen(patience)

    def listen(self, patience: Patience) -> None:
        """Let a shell at its prompt take commands. What it has not heard, because it was just starting, is said again."""
        mark, looks = f"l{next(self._numbers)}", itertools.count()

        def is_listening() -> bool:
            if next(looks) % _LOOKS_UNTIL_AGAIN == 0:
                self._machine.serial.send(f"\x03\r{_LISTEN}\r{self._question(mark)}\r")
            return self._is_answered(mark)

        self._machine.wait_for("a shell that listens", is_listening, patience)

    def run(self, command: str, patience: Patience) -> Answer:
        """Run a command in a shell of its own, without input. Raises OutOfPatience; it is interrupted then."""
        coded = base64.b64encode(command.encode()).decode()
        serial = self._machine.serial
        serial.send("C=\r")
        for at in range(0, len(coded), _CHUNK):
            serial.send(f"C=${{C}}{coded[at : at + _CHUNK]}\r")
            self._acknowledged(patience)
        serial.send(f"{_RUN}\r")
        try:
            self._acknowledged(patience)
        except OutOfPatience as error:
            serial.send("\x03")
            raise OutOfPatience(f"command {command[:200]!r} did not end: {error}") from None
        for _ in range(_ASKED_AGAIN):
            if (answer := self._told(patience)) is not None:
                return answer
        raise DrivingError(f"what {command[:200]!r} printed came broken over the serial line, {_ASKED_AGAIN} times")

    def _told(self, patience: Patience) -> Answer | None:
        mark, serial = f"t{next(self._numbers)}", self._machine.serial
        began = serial.seen
        serial.send(f'printf \'@%s<%s,%s>%s@\\n\' {mark} "${{#E}}" "$E" {mark}\r')
        self._machine.wait_for("the output of a command", lambda: serial.find(f">{mark}@"), patience)
        return parse_told(serial.since(began, serial.seen), mark)

    def _question(self, mark: str) -> str:
        """Ask for a mark, in words that do not hold it: the terminal may show what is typed."""
        return f"printf '@%s@\\n' {mark}"

    def _is_answered(self, mark: str) -> bool:
        return self._machine.serial.find(f"@{mark}@")

    def _acknowledged(self, patience: Patience) -> None:
        mark = f"a{next(self._numbers)}"
        self._machine.serial.send(f"{self._question(mark)}\r")
        self._machine.wait_for("an answer of the shell", lambda: self._is_answered(mark), patience)


class _Quiet:
    """Something that is so while nothing more is printed: a prompt is one only if nothing follows, and `#` stands in many lines."""

    def __init__(self, is_so: Callable[[], bool], printed: Callable[[], int]) -> None:
        self._is_so, self._printed = is_so, printed
        self._looks, self._length = 0, -1

    def __call__(self) -> bool:
        length = self._printed()
        self._looks = self._looks + 1 if length == self._length and self._is_so() else 0
        self._length = length
        return self._looks >= _LOOKS_OF_QUIET


def _is_in_by_itself(said: str, user: str) -> bool:
    """Say whether agetty has logged the user in without asking; what was typed is a word to the shell then."""
    match = _AUTOMATIC.search(said)
    if match is not None and match[1] != user:
        raise DrivingError(f"{match[1]} is logged in on the serial line, and nobody else can")
    return match is not None


def _has_prompt(said: str, user: str) -> bool:
    if "incorrect" in said:
        raise DrivingError(f"the login of {user} was refused")
    return _PROMPT.search(said) is not None


def parse_told(text: str, mark: str) -> Answer | None:
    """Read what a shell told (pure); None if something else was printed in the midst of it."""
    match = re.search(rf"@{mark}<(\d+),([A-Za-z0-9+/=\n]*)>{mark}@", text)
    if match is None or len(match[2]) != int(match[1]):
        return None
    try:
        content = base64.b64decode(match[2].replace("\n", ""), validate=True)
    except binascii.Error:
        return None
    output, separator, code = content.rpartition(b"\n")
    return Answer(int(code), output) if separator and code.isdigit() else None
