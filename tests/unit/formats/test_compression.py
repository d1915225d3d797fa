"""Unpacking: all streams, within bounds of size and of work, whatever somebody wrote."""

import bz2
import gzip
import lzma
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import distwright.formats.compression as compression
from distwright.errors import BadInput
from distwright.formats.compression import MAX_STREAMS, decompress

PACK: dict[str, Callable[[bytes], bytes]] = {".xz": lzma.compress, ".gz": gzip.compress, ".bz2": bz2.compress}
EACH = pytest.mark.parametrize("ending", PACK)


@dataclass
class Work:
    """What the decompressors were given and left over: bytes that are copied."""

    given: int = 0
    left: int = 0
    made: list[Any] = field(default_factory=list)


class Watched:
    """A decompressor that counts what it is asked to do."""

    def __init__(self, real: Any, work: Work) -> None:
        self._real, self._work = real, work
        work.made.append(self)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def decompress(self, data: memoryview, limit: int) -> bytes:
        self._work.given += len(data)
        part: bytes = self._real.decompress(data, limit)
        self._work.left += len(self._real.unused_data)
        return part


@EACH
@given(parts=st.lists(st.binary(max_size=3000), max_size=6))
def test_all_streams_are_unpacked_in_their_order(ending: str, parts: list[bytes]) -> None:
    packed = b"".join(map(PACK[ending], parts))
    assert decompress(packed, ending, limit_bytes=1 << 20) == b"".join(parts)


@EACH
def test_long_streams_are_unpacked_to_the_limit_and_no_further(ending: str) -> None:
    text = bytes(range(256)) * 2000
    packed = PACK[ending](text) * 2
    assert decompress(packed, ending, limit_bytes=2 * len(text)) == text * 2
    with pytest.raises(BadInput, match=f"unpacks to more than {2 * len(text) - 1} bytes"):
        decompress(packed, ending, limit_bytes=2 * len(text) - 1)


@EACH
@given(streams=st.integers(1, 5), cut=st.integers(1, 15))
def test_a_cut_or_foreign_end_is_refused(ending: str, streams: int, cut: int) -> None:
    packed = PACK[ending](b"x") * streams
    for wrong in (packed[:-cut], packed + b"!" * cut):
        with pytest.raises(BadInput, match=r"cut off|damaged"):
            decompress(wrong, ending, limit_bytes=100)


@EACH
def test_work_grows_with_the_bytes_however_many_streams_they_are(ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real, work = compression._NEW[ending], Work()
    monkeypatch.setitem(compression._NEW, ending, lambda: Watched(real(), work))
    empty = PACK[ending](b"")
    packed = empty * (9_600_000 // len(empty))
    with pytest.raises(BadInput, match=f"has more than {MAX_STREAMS} streams"):
        decompress(packed, ending, limit_bytes=1 << 20)
    assert len(work.made) == MAX_STREAMS
    assert work.given + work.left <= 2 * (len(packed) + MAX_STREAMS * (1 << 16))


@EACH
def test_as_many_streams_as_are_allowed_are_unpacked(ending: str) -> None:
    packed = PACK[ending](b"x") * MAX_STREAMS
    assert decompress(packed, ending, limit_bytes=MAX_STREAMS) == b"x" * MAX_STREAMS
    with pytest.raises(BadInput):
        decompress(packed + PACK[ending](b""), ending, limit_bytes=1 << 20)
