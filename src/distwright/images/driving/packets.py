"""What left the machine, from a capture of its network; pure, but that a capture is read on as it grows.

Source: pcap-savefile(5), RFC 791, 8200, 768, 9293, 1035.
"""

import ipaddress
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .hardware import MAC
from .patience import DrivingError

_OURS = bytes.fromhex(MAC.replace(":", ""))
_LENGTH_LIMIT = 1 << 18
_PIECE_BYTES = 1 << 20
SENT_LIMIT = 10_000
_TCP, _UDP, _ICMP, _ICMP6 = 6, 17, 1, 58
_NAMES = {_TCP: "tcp", _UDP: "udp", _ICMP: "icmp", _ICMP6: "icmp6", 2: "igmp"}
_EXTENSIONS = {0, 43, 60}  # of IPv6: hop-by-hop, routing, destination options


@dataclass(frozen=True, slots=True, order=True)
class Sent:
    """Something that the machine sent. protocol: tcp, udp, icmp, icmp6, igmp, arp, or a number. port: 0 where there are none.

    name: what a DNS question asks for, "" of everything else.
    """

    protocol: str
    destination: str
    port: int
    name: str = ""

    @property
    def shown(self) -> str:
        """Say it in a line."""
        port = f" port {self.port}" if self.port else ""
        return f"{self.protocol} to {self.destination}{port}{f' asking for {self.name}' if self.name else ''}"


def sent(captures: Iterable[bytes]) -> tuple[Sent, ...]:
    """Say what the machine sent, each thing once, in order of first appearance. What a capture was cut within is left out."""
    return tuple(dict.fromkeys(one for capture in captures for one in Capture().sent(capture)))


@dataclass(slots=True)
class Capture:
    """A capture, given piece by piece as it grows. Memory: a piece, and a frame that is not whole yet."""

    _order: str = ""
    _rest: bytes = b""
    _is_broken: bool = False

    def sent(self, piece: bytes) -> Iterator[Sent]:
        """Say what of the next piece the machine has sent. Raises DrivingError if it is no capture."""
        for frame in self._frames(piece):
            if frame[6:12] == _OURS and (one := _read_frame(frame)) is not None:
                yield one

    def _frames(self, piece: bytes) -> Iterator[bytes]:
        known, at = self._rest + piece, 0
        if not self._order:
            self._rest = known
            if len(known) < 24:
                return  # QEMU has not written its header yet
            self._order, at = _order(known), 24
        while not self._is_broken and at + 16 <= len(known):
            (length,) = struct.unpack(f"{self._order}I", known[at + 8 : at + 12])
            self._is_broken = length > _LENGTH_LIMIT
            if self._is_broken or at + 16 + length > len(known):
                break
            yield known[at + 16 : at + 16 + length]
            at += 16 + length
        self._rest = b"" if self._is_broken else known[at:]


def _order(start: bytes) -> str:
    orders = {b"\xd4\xc3\xb2\xa1": "<", b"\xa1\xb2\xc3\xd4": ">"}
    if start[:4] not in orders:
        raise DrivingError("the capture of the network is no pcap file")
    return orders[start[:4]]


@dataclass(slots=True)
class Heard:
    """What was read so far of the captures of a machine, so that each look reads only what is new."""

    _found: dict[Sent, None] = field(default_factory=dict)
    _captures: dict[Path, tuple[Capture, int]] = field(default_factory=dict)

    def read(self, files: Iterable[Path]) -> tuple[Sent, ...]:
        """Read on; say what the machine sent, each thing once. Raises DrivingError for more than SENT_LIMIT different things."""
        for path in files:
            capture, at = self._captures.get(path) or (Capture(), 0)
            with path.open("rb") as file:
                end = file.seek(0, 2)  # what comes while we read is for the next look
                file.seek(at)
                while piece := file.read(min(_PIECE_BYTES, end - at)):
                    at += len(piece)
                    self._captures[path] = (capture, at)
                    self._found |= dict.fromkeys(capture.sent(piece))
                    self._refuse_many()
        self._refuse_many()  # at each look
        return tuple(self._found)

    def _refuse_many(self) -> None:
        if len(self._found) > SENT_LIMIT:
            last = next(reversed(self._found)).shown
            raise DrivingError(f"the machine has sent more than {SENT_LIMIT} different things, the last {last}")


def _read_frame(frame: bytes) -> Sent | None:
    kind, content = frame[12:14], frame[14:]
    if kind == b"\x08\x06" and len(content) >= 28:
        return Sent("arp", str(ipaddress.ip_address(content[24:28])), 0)
    if kind == b"\x08\x00" and len(content) >= 20:
        header = (content[0] & 0x0F) * 4
        is_later_part = int.from_bytes(content[6:8], "big") & 0x1FFF
        rest = b"" if is_later_part else content[header:]
        return _read_rest(content[9], str(ipaddress.ip_address(content[16:20])), rest)
    if kind == b"\x86\xdd" and len(content) >= 40:
        protocol, rest = content[6], content[40:]
        while protocol in _EXTENSIONS and len(rest) >= 8:
            protocol, rest = rest[0], rest[(rest[1] + 1) * 8 :]
        return _read_rest(protocol, str(ipaddress.ip_address(content[24:40])), rest)
    return Sent(f"ether-{kind.hex()}", frame[:6].hex(":"), 0) if len(frame) >= 14 else None


def _read_rest(protocol: int, destination: str, rest: bytes) -> Sent:
    name = _NAMES.get(protocol, str(protocol))
    if protocol not in (_TCP, _UDP) or len(rest) < 8:
        return Sent(name, destination, 0)
    port = int.from_bytes(rest[2:4], "big")
    asked = _question(rest[8:]) if protocol == _UDP and port in (53, 5353, 5355) else ""
    return Sent(name, destination, port, asked)


def _question(message: bytes) -> str:
    """Read the first name that a DNS message asks for; "" if it asks for none."""
    if len(message) < 12 or message[2] & 0x80 or message[4:6] == b"\0\0":
        return ""
    labels: list[str] = []
    at = 12
    while at < len(message) and 0 < message[at] < 64 and len(labels) < 128:
        labels.append(message[at + 1 : at + 1 + message[at]].decode("ascii", "replace"))
        at += 1 + message[at]
    return ".".join(labels)
