"""What left the machine, read from captures that are written by hand."""

import ipaddress
import struct
from pathlib import Path

import pytest

from distwright.images.driving.packets import SENT_LIMIT, Heard, Sent, sent
from distwright.images.driving.patience import DrivingError

OURS, THEIRS = bytes.fromhex("525400647701"), bytes.fromhex("52550a000202")


def capture(*frames: bytes, order: str = "<") -> bytes:
    header = struct.pack(f"{order}IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65536, 1)
    return header + b"".join(struct.pack(f"{order}IIII", 1, 2, len(frame), len(frame)) + frame for frame in frames)


def frame(kind: int, content: bytes, source: bytes = OURS) -> bytes:
    return THEIRS + source + kind.to_bytes(2, "big") + content


def ip4(protocol: int, destination: str, content: bytes, *, offset: int = 0, source: bytes = OURS) -> bytes:
    header = struct.pack(">BBHHHBBH", 0x46, 0, 24 + len(content), 1, offset, 64, protocol, 0)  # 0x46: with one option
    addresses = ipaddress.ip_address("10.0.2.15").packed + ipaddress.ip_address(destination).packed
    return frame(0x0800, header + addresses + b"\x01\x01\x01\x00" + content, source)


def ip6(protocol: int, destination: str, content: bytes) -> bytes:
    header = struct.pack(">IHBB", 6 << 28, len(content), protocol, 64)
    return frame(
        0x86DD, header + ipaddress.ip_address("fe80::1").packed + ipaddress.ip_address(destination).packed + content
    )


def udp(port: int, content: bytes) -> bytes:
    return struct.pack(">HHHH", 40000, port, 8 + len(content), 0) + content


def question(name: str, flags: int = 0x0100) -> bytes:
    labels = b"".join(bytes((len(label),)) + label.encode() for label in name.split("."))
    return struct.pack(">HHHHHH", 7, flags, 1, 0, 0, 0) + labels + b"\0\0\1\0\1"


def test_destinations_protocols_ports_and_names_are_read() -> None:
    arp = frame(
        0x0806,
        struct.pack(">HHBBH", 1, 0x0800, 6, 4, 1) + OURS + bytes((10, 0, 2, 15)) + bytes(6) + bytes((10, 0, 2, 2)),
    )
    found = sent([
        capture(
            arp,
            ip4(17, "10.0.2.3", udp(53, question("deb.petrel.example"))),
            ip4(17, "10.0.2.3", udp(53, question("deb.petrel.example"))),
            ip4(6, "198.51.100.7", struct.pack(">HH", 40000, 443) + bytes(16)),
            ip4(1, "10.0.2.2", bytes(8)),
            ip6(0, "ff02::16", bytes((58, 0)) + bytes(6) + bytes(8)),
            ip6(17, "2001:db8::1", udp(123, bytes(48))),
            frame(0x88CC, b"lldp"),
        ),
    ])  # fmt: skip
    assert found == (
        Sent("arp", "10.0.2.2", 0),
        Sent("udp", "10.0.2.3", 53, "deb.petrel.example"),
        Sent("tcp", "198.51.100.7", 443),
        Sent("icmp", "10.0.2.2", 0),
        Sent("icmp6", "ff02::16", 0),
        Sent("udp", "2001:db8::1", 123),
        Sent("ether-88cc", "52:55:0a:00:02:02", 0),
    )
    assert found[1].shown == "udp to 10.0.2.3 port 53 asking for deb.petrel.example"


def test_what_others_sent_is_not_what_left_the_machine() -> None:
    assert sent([capture(ip4(17, "10.0.2.15", udp(68, bytes(300)), source=THEIRS))]) == ()


def test_captures_of_both_byte_orders_are_read_in_a_row() -> None:
    first, second = ip4(1, "10.0.2.2", bytes(8)), ip4(1, "10.0.2.9", bytes(8))
    found = sent([capture(first), capture(second, order=">")])
    assert [one.destination for one in found] == ["10.0.2.2", "10.0.2.9"]


def test_a_later_part_of_a_packet_has_no_port() -> None:
    assert sent([capture(ip4(17, "10.0.2.3", bytes(64), offset=20))]) == (Sent("udp", "10.0.2.3", 0),)


def test_an_answer_of_dns_asks_for_nothing() -> None:
    assert sent([capture(ip4(17, "10.0.2.3", udp(53, question("a.b", flags=0x8180))))]) == (
        Sent("udp", "10.0.2.3", 53),
    )


def test_a_capture_that_is_cut_anywhere_gives_what_was_whole() -> None:
    whole = capture(ip4(1, "10.0.2.2", bytes(8)), ip4(17, "10.0.2.3", udp(53, question("deb.petrel.example"))))
    results = [sent([whole[:end]]) for end in range(24, len(whole) + 1)]
    assert [len(found) for found in results] == sorted(len(found) for found in results)
    assert {len(found) for found in results} == {0, 1, 2}
    for end in range(len(whole)):  # no length makes it fall over, whatever the frame says of itself
        sent([capture(whole[24 + 16 : 24 + 16 + end])])


def test_a_capture_is_read_on_as_it_grows_wherever_it_ends(tmp_path: Path) -> None:
    whole = capture(ip4(1, "10.0.2.2", bytes(8)), ip4(17, "10.0.2.3", udp(53, question("deb.petrel.example"))))
    file, heard, found = tmp_path / "packets.pcap", Heard(), []
    for end in range(len(whole) + 1):
        file.write_bytes(whole[:end])
        found.append(heard.read([file]))
        assert found[-1] == sent([whole[:end]])
    assert found[-1] == sent([whole])
    file.write_bytes(b"\0" * len(whole))
    assert heard.read([file]) == sent([whole]), "what was read is not read again"


def test_who_sends_too_many_different_things_is_refused_at_each_look(tmp_path: Path) -> None:
    frames = (ip4(17, "10.0.2.3", udp(port, b"")) for port in range(1, SENT_LIMIT + 2))
    file, heard = tmp_path / "packets.pcap", Heard()
    file.write_bytes(capture(*frames))
    for _ in range(2):
        with pytest.raises(
            DrivingError, match=r"more than 10000 different things, the last udp to 10\.0\.2\.3 port 10001"
        ):
            heard.read([file])


def test_what_is_no_capture_is_refused() -> None:
    with pytest.raises(DrivingError):
        sent([b"<html>" * 10])
