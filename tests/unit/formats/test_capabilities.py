"""Capabilities in the words of getcap(8), from the bytes that setcap(8) writes."""

import pytest

from distwright.formats.capabilities import shown_capabilities


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("0100000200200000000000000000000000000000", "cap_net_raw=ep"),
        ("0000000200240000000000000000000000000000", "cap_net_bind_service,cap_net_raw=p"),
        ("0100000200300000003000000000000000000000", "cap_net_admin,cap_net_raw=eip"),
        ("0000000200000000002000000000000000000000", "cap_net_raw=i"),
        ("010000020000000000000000c000000000000000", "cap_perfmon,cap_bpf=ep"),
        ("0100000000000000", "0100000000000000"),
        ("010000010020000000000000", "cap_net_raw=ep"),
        ("0100000300200000000000000000000000000000e8030000", "cap_net_raw=ep of 1000"),
        ("0100000200000000000000000000000000000000", "="),
        ("01000002002000000000000000000000000000", "01000002002000000000000000000000000000"),
        ("", ""),
        ("0100000200000000000000000000008000000000", "cap_63=ep"),
    ],
)  # fmt: skip
def test_capabilities_are_said_in_words(written: str, shown: str) -> None:
    assert shown_capabilities(bytes.fromhex(written)) == shown
