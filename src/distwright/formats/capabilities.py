"""File capabilities as the attribute `security.capability` has them, in the words of setcap(8)."""

import struct

# In the order of linux/capability.h.
_NAMES = (
    "chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap", "linux_immutable",
    "net_bind_service", "net_broadcast", "net_admin", "net_raw", "ipc_lock", "ipc_owner", "sys_module", "sys_rawio", "sys_chroot",
    "sys_ptrace", "sys_pacct", "sys_admin", "sys_boot", "sys_nice", "sys_resource", "sys_time", "sys_tty_config", "mknod", "lease",
    "audit_write", "audit_control", "setfcap", "mac_override", "mac_admin", "syslog", "wake_alarm", "block_suspend", "audit_read",
    "perfmon", "bpf", "checkpoint_restore",
)  # fmt: skip
_HEAD, _PAIR, _ROOT = struct.Struct("<I"), struct.Struct("<2I"), struct.Struct("<I")
_EFFECTIVE, _PAIRS = 1, {0x01000000: 1, 0x02000000: 2, 0x03000000: 2}
_WITH_ROOT = 0x03000000


def shown_capabilities(value: bytes) -> str:
    """Say what a program gets: `cap_net_raw=ep`; the bytes in hexadecimal if they are not as Linux writes them."""
    if len(value) < _HEAD.size:
        return value.hex()
    [magic] = _HEAD.unpack_from(value)
    revision = magic & 0xFF000000
    pairs = _PAIRS.get(revision, 0)
    length = _HEAD.size + pairs * _PAIR.size + (_ROOT.size if revision == _WITH_ROOT else 0)
    if not pairs or len(value) != length:
        return value.hex()
    permitted = inheritable = 0
    for number in range(pairs):
        one, other = _PAIR.unpack_from(value, _HEAD.size + number * _PAIR.size)
        permitted |= one << 32 * number
        inheritable |= other << 32 * number
    effective = "e" if magic & _EFFECTIVE else ""
    parts = (
        (permitted & inheritable, f"{effective}ip"),
        (permitted & ~inheritable, f"{effective}p"),
        (inheritable & ~permitted, "i"),
    )
    texts = [f"{','.join(_names(bits))}={flags}" for bits, flags in parts if bits]
    root = f" of {_ROOT.unpack_from(value, length - _ROOT.size)[0]}" if revision == _WITH_ROOT else ""
    return f"{' '.join(texts) or '='}{root}"


def _names(bits: int) -> list[str]:
    return [
        f"cap_{_NAMES[number]}" if number < len(_NAMES) else f"cap_{number}"
        for number in range(64)
        if bits >> number & 1
    ]
