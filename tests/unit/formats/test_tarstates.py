"""States of paths come back from the tar that a layer is written as; what is no whole tar is refused."""

import hashlib
import io
import tarfile
from collections.abc import Mapping

import pytest
from tests.worlds.debs import Member, tar_of

from distwright.errors import BadInput
from distwright.formats.tarstates import EXTENDED_LIMIT_BYTES, PathState, read_states, write_layer

NET_RAW = "\x01\0\0\x02\0\x20" + "\0" * 14
CAPABLE = (("SCHILY.xattr.security.capability", NET_RAW), ("SCHILY.xattr.user.odd", "\udcff\0a"))
CONTENTS: Mapping[str, bytes] = {"bin/a": b"a" * 700, "bin/empty": b"", "na\udcffme \n" + "x" * 120: b"odd"}


def folder(mode: int = 0o755) -> PathState:
    return PathState(tarfile.DIRTYPE, mode, 0, 0, 1, 0, "")


def file(path: str, **more: object) -> PathState:
    content = CONTENTS[path]
    values: dict[str, object] = {"mode": 0o644, "uid": 0, "gid": 0, "mtime": 2, "xattrs": (), **more}
    return PathState(tarfile.REGTYPE, size=len(content), what=hashlib.sha256(content).hexdigest(), **values)  # type: ignore[arg-type]  # as a test says


STATES: Mapping[str, PathState | None] = {
    "": folder(), "bin": folder(0o1777), "bin/a": file("bin/a", mode=0o4750, uid=1000, gid=3_000_000, xattrs=CAPABLE),
    "bin/empty": file("bin/empty"), "bin/gone": None, "link": PathState(tarfile.SYMTYPE, 0o777, 0, 0, 3, 0, "bin/" + "y" * 150),
    "null": PathState(tarfile.CHRTYPE, 0o666, 0, 6, 4, 0, "1:3"), "pipe": PathState(tarfile.FIFOTYPE, 0o600, 0, 0, 5, 0, ""),
    list(CONTENTS)[2]: file(list(CONTENTS)[2]),
}  # fmt: skip


def written(states: Mapping[str, PathState | None], epoch: int = 9) -> bytes:
    out = io.BytesIO()
    write_layer(out, states, lambda path: io.BytesIO(CONTENTS[path]), epoch)
    return out.getvalue()


def test_states_come_back_and_what_is_gone_is_a_whiteout() -> None:
    tar = read_states(io.BytesIO(written(STATES)))
    gone = PathState(tarfile.CHRTYPE, 0, 0, 0, 9, 0, "0:0")
    assert tar.states == {path: gone if state is None else state for path, state in STATES.items()}
    assert {path: tar.content(path).read() for path in CONTENTS} == CONTENTS
    for path in ("bin", "null", "no"):
        with pytest.raises(BadInput):
            tar.content(path)


def test_the_same_states_give_the_same_bytes_in_whatever_order_they_come() -> None:
    assert written(STATES) == written(dict(reversed(list(STATES.items()))))
    assert written(STATES) != written(STATES, epoch=10)


def test_gnu_tars_names_are_those_of_ours() -> None:
    rows = [Member("", None), Member("etc", None), Member("etc/x", b"x"), Member(".hidden", b"y")]
    assert list(read_states(io.BytesIO(tar_of(rows))).states) == ["", "etc", "etc/x", ".hidden"]


def test_a_tar_that_is_cut_off_is_refused_at_each_byte() -> None:
    whole = written({"": folder(), "bin/a": file("bin/a")})
    ends = len(whole) - 2 * tarfile.BLOCKSIZE
    for length in range(ends):
        if length % tarfile.BLOCKSIZE or length == tarfile.BLOCKSIZE * 2:
            try:
                found = read_states(io.BytesIO(whole[:length])).states
            except BadInput:
                continue
            assert "bin/a" not in found, length


def hard_link() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("./a"))
        link = tarfile.TarInfo("./b")
        link.type, link.linkname = tarfile.LNKTYPE, "./a"
        tar.addfile(link)
    return out.getvalue()


@pytest.mark.parametrize(
    "content",
    [b"no tar" * 200, b"x", hard_link(), tar_of([Member("a"), Member("a")]), tar_of([Member("a"), Member("/a")])],
    ids=["no tar", "short", "hard link", "twice", "twice by another name"],
)
def test_hostile_tars_are_bad_input(content: bytes) -> None:
    with pytest.raises(BadInput):
        read_states(io.BytesIO(content))


def with_pax(count: int = 1, **headers: str) -> bytes:
    rows = []
    for number in range(count):
        row = tarfile.TarInfo(f"./a{number}")
        row.pax_headers = {key.replace("__", "."): value for key, value in headers.items()}
        rows.append(row.tobuf(tarfile.PAX_FORMAT))
    return b"".join(rows) + bytes(1024)


@pytest.mark.parametrize(
    "content",
    [
        with_pax(mtime="inf"), with_pax(mtime="nan"), with_pax(mtime="1" + "0" * 39 + "e999"), with_pax(GNU__sparse__map="abc"),
        with_pax(size="-5"), with_pax(SCHILY__xattr__user__x="x" * 300_000),
    ],
    ids=["no time", "no number", "a long time", "sparse", "size", "attribute"],
)  # fmt: skip
def test_hostile_extended_headers_are_bad_input(content: bytes) -> None:
    with pytest.raises(BadInput) as refused:
        read_states(io.BytesIO(content))
    assert refused.value.hint == "build the image again, in full"


def test_attributes_of_a_tar_have_a_bound_together() -> None:
    with pytest.raises(BadInput, match="more than 64 MiB of attributes"):
        read_states(io.BytesIO(with_pax(EXTENDED_LIMIT_BYTES // 200_000 + 1, SCHILY__xattr__user__x="x" * 200_000)))


def test_a_file_that_claims_to_be_mostly_holes_is_not_read() -> None:
    row = tarfile.TarInfo("./holes")
    row.pax_headers = {"GNU.sparse.map": "0,1", "GNU.sparse.size": str(1 << 60), "GNU.sparse.numblocks": "1"}
    row.size = 1
    content = row.tobuf(tarfile.PAX_FORMAT) + b"x".ljust(512, b"\0") + bytes(1024)
    with pytest.raises(BadInput):
        read_states(io.BytesIO(content))
