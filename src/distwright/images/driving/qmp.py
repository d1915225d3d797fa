"""QMP: what QEMU is asked to do, over a socket. Source: QEMU's docs/interop/qmp-spec.txt."""

import json
import socket
from collections.abc import Mapping

from .patience import DrivingError

_LINE_LIMIT_BYTES = 16 << 20


class Qmp:
    """A connection to QEMU. events: names of what QEMU told by itself, oldest first."""

    def __init__(self, connection: socket.socket) -> None:
        """Take over a connected socket; `greet` must come first."""
        self._connection = connection
        self._left = b""
        self.events: list[str] = []

    def greet(self, timeout_s: float = 30) -> None:
        """Read the greeting and leave the mode of negotiation. Raises DrivingError."""
        self._connection.settimeout(timeout_s)
        if "QMP" not in self._message():
            raise DrivingError("QEMU did not greet on its control socket")
        self.execute("qmp_capabilities")

    def execute(self, command: str, *, timeout_s: float = 120, **arguments: object) -> object:
        """Execute a command (`_` in names of arguments is `-`) and give what it returned. Raises DrivingError."""
        named = {name.replace("_", "-"): value for name, value in arguments.items()}
        self._connection.settimeout(timeout_s)
        try:
            self._connection.sendall(json.dumps({"execute": command, "arguments": named}).encode() + b"\n")
            while True:
                message = self._message()
                if "return" in message:
                    return message["return"]
                if isinstance(error := message.get("error"), dict):
                    raise DrivingError(f"QEMU refused {command}: {error.get('desc')}")
        except OSError as error:
            raise DrivingError(f"QEMU did not answer {command}: {error}") from error

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _message(self) -> Mapping[str, object]:
        """Read the next message that is no event; events are noted."""
        while True:
            while b"\n" not in self._left:
                got = self._connection.recv(65536)
                if not got:
                    raise DrivingError("QEMU has ended")
                self._left += got
                if len(self._left) > _LINE_LIMIT_BYTES:
                    raise DrivingError("QEMU said more than anybody can read")
            line, _, self._left = self._left.partition(b"\n")
            message: dict[str, object] = json.loads(line)
            if "event" not in message:
                return message
            self.events.append(str(message["event"]))
