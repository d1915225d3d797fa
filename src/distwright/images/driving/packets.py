"""What left the machine, from a capture of its network (pure). Source: pcap-savefile(5), RFC 791, 8200, 768, 9293, 1035."""

import ipaddress
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .hardware import MAC
from .patience import DrivingError

_OURS = bytes.fromhex(MAC.replace(":", ""))
_LENGTH_LIMIT = 1 << 18
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
    found: dict[Sent, None] = {}
    for capture in captures:
        for frame in frames(capture):
            if frame[6:12] == _OURS and (one := _read_frame(frame)) is not None:
                found[one] = None
    return tuple(found)


def frames(capture: bytes) -> Iterator[bytes]:
    """Give the Ethernet frames of a capture. Raises DrivingError if it is none."""
    if len(capture) < 24:
        return  # QEMU has not written its header yet
    orders = {b"\xd4\xc3\xb2\xa1": "<", b"\xa1\xb2\xc3\xd4": ">"}
    order = orders.get(capture[:4])
    if order is None:
        raise DrivingError("the capture of the network is no pcap file")
    at = 24
    while at + 16 <= len(capture):
        (length,) = struct.unpack(f"{order}I", capture[at + 8 : at + 12])
        at += 16
        if length > _LENGTH_LIMIT or at + length > len(capture):
            return
        yield capture[at : at + length]
        at += length


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
