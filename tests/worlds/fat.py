"""FAT file systems of what a test says, written here byte by byte: no program is needed, and each of their bytes can be spoilt."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

SECTOR = 512
_END = {12: 0xFFF, 16: 0xFFFF, 32: 0x0FFFFFFF}
_SHORT = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")
ROOT_RECORDS = 64


@dataclass
class FatWriter:
    """A FAT file system with clusters of one sector. bits: 12 (below 4085 clusters), 16 (from there on) or 32."""

    bits: int = 12
    clusters: int = 300
    chains: dict[int, int] = field(default_factory=dict)
    contents: dict[int, bytes] = field(default_factory=dict)
    free: int = 2

    def put(self, content: bytes) -> int:
        """Write a file or a folder into clusters, one after the other; give the first, 0 for nothing."""
        first = self.free
        for at in range(0, len(content), SECTOR):
            self.contents[self.free] = content[at : at + SECTOR]
            self.chains[self.free] = self.free + 1 if at + SECTOR < len(content) else _END[self.bits]
            self.free += 1
        return first if content else 0

    def image(self, files: Mapping[str, bytes]) -> bytes:
        """Write all of it. files: path -> content."""
        root = self._folder(files)
        return self.around(root if self.bits != 32 else b"", self.put(root) if self.bits == 32 else 0)

    def around(self, root: bytes, root_cluster: int = 0) -> bytes:
        """Write all of it. root: its records (FAT12 and 16); root_cluster: where they are (FAT32)."""
        table = bytearray(-(-((self.clusters + 2) * self.bits) // (8 * SECTOR)) * SECTOR)
        for cluster, following in self.chains.items():
            self._link(table, cluster, following)
        reserved, is_32 = 2, self.bits == 32
        area = b"" if is_32 else root.ljust(ROOT_RECORDS * 32, b"\0")
        sectors = reserved + (len(table) + len(area)) // SECTOR + self.clusters
        head = bytearray(SECTOR)
        struct.pack_into(
            "<3s8sHBHBHHBHHHIII", head, 0, b"\xeb\x58\x90", b"distwrig", SECTOR, 1, reserved, 1, 0 if is_32 else ROOT_RECORDS,
            0, 0xF8, 0 if is_32 else len(table) // SECTOR, 32, 8, 0, sectors, len(table) // SECTOR if is_32 else 0,
        )  # fmt: skip
        if is_32:
            struct.pack_into("<I", head, 44, root_cluster)
        at = 0x52 if is_32 else 0x36
        head[at : at + 8] = f"FAT{self.bits}".ljust(8).encode()
        head[510:512] = b"\x55\xaa"
        data = b"".join(self.contents.get(cluster, b"").ljust(SECTOR, b"\0") for cluster in range(2, self.clusters + 2))
        return bytes(head) + bytes(SECTOR) + bytes(table) + area + data

    def _link(self, table: bytearray, cluster: int, following: int) -> None:
        if self.bits == 12:
            at, shift = cluster * 3 // 2, 4 * (cluster % 2)
            both = int.from_bytes(table[at : at + 2], "little") & ~(0xFFF << shift) | (following & 0xFFF) << shift
            table[at : at + 2] = both.to_bytes(2, "little")
        else:
            size = self.bits // 8
            table[cluster * size : (cluster + 1) * size] = following.to_bytes(size, "little")

    def _folder(self, files: Mapping[str, bytes]) -> bytes:
        records, inside = b"", dict[str, dict[str, bytes]]()
        for number, (path, content) in enumerate(files.items()):
            name, slash, rest = path.partition("/")
            if slash:
                inside.setdefault(name, {})[rest] = content
            else:
                records += record(name, number, 0x20, self.put(content), len(content))
        for number, (name, below) in enumerate(inside.items(), start=len(files)):
            content = record(".", 0, 0x10, 0, 0) + record("..", 0, 0x10, 0, 0) + self._folder(below)
            records += record(name, number, 0x10, self.put(content), 0)
        return records


def record(name: str, number: int, attributes: int, cluster: int, size: int) -> bytes:
    """Write what a folder has of a file: its long name, if it needs one, and the record itself. number: for the short name."""
    base, _, ending = name.partition(".")
    is_short = name in (".", "..") or (
        len(base) <= 8 and len(ending) <= 3 and base != "" and {*base.encode(), *ending.encode()} <= _SHORT
    )
    short = (
        name.encode().ljust(11)
        if name in (".", "..")
        else f"{base:8}{ending:3}".encode()
        if is_short
        else f"N{number:<10}".encode()
    )
    total = 0
    for sign in short:
        total = ((total & 1) << 7 | total >> 1) + sign & 0xFF
    long = b""
    if not is_short:
        units = (name + "\0").encode("utf-16-le")
        count = -(-len(units) // 26)
        units = units.ljust(count * 26, b"\xff")
        for place in range(count, 0, -1):
            piece = units[(place - 1) * 26 : place * 26]
            flag = place | (0x40 if place == count else 0)
            long += bytes([flag]) + piece[:10] + bytes([0x0F, 0, total]) + piece[10:22] + b"\0\0" + piece[22:]
    return long + struct.pack("<11sBB7xH4xHI", short, attributes, 0, cluster >> 16, cluster & 0xFFFF, size)
