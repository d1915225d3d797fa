"""Small squashfs and ISO files of what a test says, made by the real programs from a tar: owners, devices and capabilities too."""

import io
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

NET_RAW = bytes.fromhex("0100000200200000000000000000000000000000")  # cap_net_raw=ep, as setcap writes it


@dataclass(frozen=True)
class Node:
    """A file of a root. content: None for a folder. link, hardlink: of what. device: type letter, major and minor."""

    path: str
    content: bytes | None = b""
    mode: int = 0o644
    owner: tuple[int, int] = (0, 0)
    link: str = ""
    hardlink: str = ""
    device: tuple[str, int, int] = ("", 0, 0)
    xattrs: Mapping[str, bytes] = field(default_factory=dict)
    mtime: int = 1_704_888_000


def root_of(nodes: Sequence[Node]) -> bytes:
    """Write nodes as a tar, folders that are not named before as 0755 of root."""
    out, known = io.BytesIO(), {""}
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT, errors="surrogateescape") as tar:
        for node in nodes:
            parents = node.path.split("/")[:-1]
            for depth in range(1, len(parents) + 1):
                folder = "/".join(parents[:depth])
                if folder not in known:
                    known.add(folder)
                    _add(tar, Node(folder, None, 0o755))
            known.add(node.path)
            _add(tar, node)
    return out.getvalue()


def _add(tar: tarfile.TarFile, node: Node) -> None:
    row = tarfile.TarInfo(node.path)
    row.mode, row.mtime, (row.uid, row.gid) = node.mode, node.mtime, node.owner
    content = node.content or b""
    kinds = {"c": tarfile.CHRTYPE, "b": tarfile.BLKTYPE, "p": tarfile.FIFOTYPE}
    if node.link:
        row.type, row.linkname, content = tarfile.SYMTYPE, node.link, b""
    elif node.hardlink:
        row.type, row.linkname, content = tarfile.LNKTYPE, node.hardlink, b""
    elif node.device[0]:
        row.type, (row.devmajor, row.devminor) = kinds[node.device[0]], node.device[1:]
    elif node.content is None:
        row.type = tarfile.DIRTYPE
    row.size = len(content)
    row.pax_headers = {
        f"SCHILY.xattr.{name}": value.decode("utf-8", "surrogateescape") for name, value in node.xattrs.items()
    }
    tar.addfile(row, io.BytesIO(content))


def make_squashfs(target: Path, nodes: Sequence[Node], *options: str) -> Path:
    """Pack nodes as the step of an image does. options: more of mksquashfs."""
    argv = (
        "mksquashfs",
        "-",
        str(target),
        "-tar",
        "-root-mode",
        "0755",
        "-noappend",
        "-no-progress",
        "-quiet",
        *options,
    )
    subprocess.run(argv, input=root_of(nodes), check=True, capture_output=True, env=_environment())
    return target


def make_iso(target: Path, files: Mapping[str, Path], *options: str) -> Path:
    """Put files onto a medium under the paths that are given."""
    tree = target.with_name(f"{target.name}.tree")
    for path, file in files.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).hardlink_to(file)
    argv = (
        "xorriso",
        "-as",
        "mkisofs",
        "-quiet",
        "-o",
        str(target),
        "-iso-level",
        "3",
        "-r",
        "-J",
        *options,
        str(tree),
    )
    subprocess.run(argv, check=True, capture_output=True, env=_environment())
    return target


def _environment() -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "SOURCE_DATE_EPOCH": "1704888000", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
