"""A shell on the serial line: log in, run a command, and get its output and exit code exactly.

Nothing of ours is in the machine: it needs a login on the serial line, a POSIX shell, base64 and stty. The command goes over
in base64 and so comes back, with its length, because the kernel may print in the midst of it: then it is asked for again.
"""

import base64
import binascii
import itertools
import re
from dataclasses import dataclass

from .machine import Machine
from .patience import DrivingError, OutOfPatience, Patience

_CHUNK = 900  # a terminal takes 4095 characters of a line
_ASKED_AGAIN = 4
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
        """Log in where a login is asked for. Raises DrivingError if it is refused, OutOfPatience."""
        serial, wait = self._machine.serial, self._machine.wait_for
        # Another step may have read the question already.
        wait("a login on the serial line", lambda: serial.find("login:") or serial.waits_with("login:"), patience)
        serial.send(f"{user}\r")
        wait(f"the question for {user}'s password", lambda: serial.find("assword:"), patience)
        serial.send(f"{password}\r")
        began = serial.seen

        def is_in() -> bool:
            said = serial.text[began:]
            if "incorrect" in said:
                raise DrivingError(f"the login of {user} was refused")
            return _PROMPT.search(said) is not None

        wait(f"a prompt for {user}", is_in, patience)
        self.listen(patience)

    def listen(self, patience: Patience) -> None:
        """Let a shell that waits at its prompt take commands."""
        self._machine.serial.send(f"{_LISTEN}\r")
        self._acknowledged(patience)

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
        return parse_told(serial.text[began : serial.seen], mark)

    def _question(self, mark: str) -> str:
        """Ask for a mark, in words that do not hold it: the terminal may show what is typed."""
        return f"printf '@%s@\\n' {mark}"

    def _is_answered(self, mark: str) -> bool:
        return self._machine.serial.find(f"@{mark}@")

    def _acknowledged(self, patience: Patience) -> None:
        mark = f"a{next(self._numbers)}"
        self._machine.serial.send(f"{self._question(mark)}\r")
        self._machine.wait_for("an answer of the shell", lambda: self._is_answered(mark), patience)


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
