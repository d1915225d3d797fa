"""Debian versions: their parts, and dpkg's order."""

import shutil
import subprocess
from random import Random

import pytest
from debian.debian_support import NativeVersion
from hypothesis import given, settings
from hypothesis import strategies as st

from distwright.errors import BadInput
from distwright.model.versions import DebVersion, compare

SHORT = ("~", "~~", ".", "+", "0", "00", "1", "9", "10", "a", "A", "z", "Z", "rc", "~rc1", ".0", "a0")
PIECES = (*SHORT, "1" * 40, "2" * 300)
EPOCHS = ("", "", "", "0:", "1:", "01:", "2147483647:")
EDITS = ("", "~", "0", "00", "a", "+", "-", ".")


def is_version(text: str) -> bool:
    try:
        DebVersion(text)
    except BadInput:
        return False
    return True


def nasty_version(chance: Random) -> str:
    """Make a version of pieces at which orders differ."""
    pieces = chance.choices(PIECES, k=chance.randint(0, 4))
    hyphen = chance.choice(("", "", "-", "-1-", "-0"))
    revision = chance.choice(PIECES) if hyphen in ("-", "-1-") else ""
    return chance.choice(EPOCHS) + chance.choice(("0", "1", "01", "10", "a")) + "".join(pieces) + hyphen + revision


def close_relative(chance: Random, version: str) -> str:
    """Change a version in one place, where an order is most easily wrong."""
    place = chance.randint(1, len(version))
    return version[:place] + chance.choice(EDITS) + version[place + chance.randint(0, 1) :]


def nasty_pairs(seed: int, count: int) -> list[tuple[DebVersion, DebVersion]]:
    chance = Random(seed)  # noqa: S311
    pairs: list[tuple[DebVersion, DebVersion]] = []
    while len(pairs) < count:
        a = nasty_version(chance)
        b = close_relative(chance, a) if chance.random() < 0.7 else nasty_version(chance)
        if is_version(a) and is_version(b):
            pairs.append((DebVersion(a), DebVersion(b)))
    return pairs


def sign(number: int) -> int:
    return (number > 0) - (number < 0)


def test_order_is_that_of_python_debian() -> None:
    for a, b in nasty_pairs(seed=1, count=4000):
        oracle = sign(NativeVersion(str(a))._compare(NativeVersion(str(b))))
        assert (compare(a, b), compare(b, a)) == (oracle, -oracle), (a, b)


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="01:-~.+aZ", max_size=12))
def test_whatever_is_a_version_is_put_together_from_its_parts(text: str) -> None:
    if is_version(text):
        version = DebVersion(text)
        hyphen = "-" if version.revision else ""
        assert f"{version.upstream}{hyphen}{version.revision}" == version.without_epoch
        assert compare(version, DebVersion(f"{version.epoch}:{version.without_epoch}")) == 0


@pytest.mark.system
@pytest.mark.skipif(shutil.which("dpkg") is None, reason="needs dpkg")
def test_order_is_that_of_dpkg() -> None:
    pairs = nasty_pairs(seed=2, count=300)
    script = """while read a b; do
        dpkg --compare-versions "$a" lt "$b" && echo -1 || { dpkg --compare-versions "$a" eq "$b" && echo 0 || echo 1; }
    done"""
    lines = "".join(f"{a} {b}\n" for a, b in pairs)
    answer = subprocess.run(["sh", "-c", script], input=lines, capture_output=True, text=True, check=False, timeout=60)
    assert [str(compare(a, b)) for a, b in pairs] == answer.stdout.split()


def test_versions_sort_by_key_from_tilde_to_plus() -> None:
    ordered = ["0~~", "0~~a", "0~", "0", "0a", "0+", "1~rc1-1", "1-1", "1-1+b1", "1-1.1", "1-2", "1.9", "1.10", "1:0"]
    assert sorted(map(DebVersion, reversed(ordered)), key=DebVersion.sort_key) == ordered


def test_dpkg_tells_apart_fewer_versions_than_text_does() -> None:
    same = [DebVersion(text) for text in ("1.0", "1.0-0", "1.00", "0:1.0")]
    assert len({version.sort_key() for version in same}) == 1
    assert len(set(same)) == 4


def test_a_version_falls_into_its_parts() -> None:
    version = DebVersion("2:1.0-rc1-3+b1")
    assert (version.epoch, version.upstream, version.revision) == (2, "1.0-rc1", "3+b1")
    assert version.without_epoch == "1.0-rc1-3+b1"
    native = DebVersion("20260711")
    assert (native.epoch, native.upstream, native.revision) == (0, "20260711", "")


def test_colons_are_upstream_signs_after_an_epoch_only() -> None:
    assert DebVersion("1:2:3-4").upstream == "2:3"
    assert not is_version("a:1")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-1",
        "1-",
        "1:",
        ":1",
        "1_2",
        "1 ",
        " 1",
        "1\n",
        "~1",
        "1:1-1:1",
        "é1",
        "١",
        "2147483648:1",
        "1/2",
        "00000000001:1",
    ],
)
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="is not a Debian version"):
        DebVersion(text)


def test_ordering_by_text_is_refused() -> None:
    with pytest.raises(TypeError, match="sort_key"):
        sorted([DebVersion("1"), DebVersion("2")])
    for operation in (DebVersion.__lt__, DebVersion.__le__, DebVersion.__gt__, DebVersion.__ge__):
        with pytest.raises(TypeError, match="sort_key"):
            operation(DebVersion("1"), "2")
