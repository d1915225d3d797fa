"""lintian's JSON: what is kept of it, what is not counted, and that nothing in it is believed."""

import json
from typing import Any

import pytest

from distwright.checks.lintian import HINTS_LIMIT, REPORT_LIMIT_BYTES, Hint, parse_lintian
from distwright.errors import BadInput


def report(*files: tuple[str, list[dict[str, Any]]]) -> bytes:
    """Write a report as lintian 2.116 does."""
    inputs = [{"path": path, "hints": hints} for path, hints in files]
    group = {"group_id": "greeter_1.0", "input_files": inputs, "source_name": "greeter", "source_version": "1.0"}
    return json.dumps({"groups": [group], "lintian_version": "2.116.3+deb12u1"}).encode()


def hint(tag: str = "no-manual-page", **more: Any) -> dict[str, Any]:
    """Write one hint."""
    pointer = {"item": {"index": "greeter_1.0_amd64.deb (installed)", "name": "usr/bin/greeter"}, "line_position": 0}
    return {"tag": tag, "visibility": "warning", "note": "", "pointer": pointer, "experimental": False, **more}


def test_a_hint_says_where_and_how_bad() -> None:
    found = parse_lintian(report(("./greeter_1.0_amd64.deb", [hint()])))
    assert found.hints == (
        Hint("no-manual-page", "warning", "greeter", "usr/bin/greeter", 0, "", is_experimental=False),
    )
    assert (found.overridden, found.more, found.version) == (0, 0, "2.116.3+deb12u1")


@pytest.mark.parametrize(
    ("path", "where"),
    [
        ("./greeter_1.0.dsc", "source"),
        ("greeter_1.0_amd64.changes", "changes"),
        ("./greeter_1.0_amd64.buildinfo", "buildinfo"),
        ("./libgreeter-dev_1:1.0-2_all.deb", "libgreeter-dev"),
    ],
)
def test_a_key_has_no_version_in_it(path: str, where: str) -> None:
    (one,) = parse_lintian(report((path, [hint(pointer={"line_position": 7})]))).hints
    assert (one.where, one.key, one.line) == (where, f"no-manual-page {where}", 7)


def test_what_the_package_overrides_and_what_is_masked_is_counted_only() -> None:
    hints = [
        hint("overridden", override={"justification": "we know"}),
        hint("masked", masks=[{"screen": "x"}]),
        hint("a-class", visibility="classification"),
        hint("kept"),
    ]
    found = parse_lintian(report(("./greeter_1.0.dsc", hints)))
    assert [one.tag for one in found.hints] == ["kept"]
    assert found.overridden == 3


def test_the_same_hint_on_many_lines_is_one_finding() -> None:
    lines = [hint(pointer={"item": {"name": "debian/rules"}, "line_position": line}) for line in (3, 9)]
    (one,) = parse_lintian(report(("./greeter_1.0.dsc", lines))).hints
    assert (one.line, one.times) == (3, 2)


def test_a_package_with_endless_hints_is_cut() -> None:
    hints = [hint(f"tag-{number:05}") for number in range(HINTS_LIMIT + 5)]
    found = parse_lintian(report(("./greeter_1.0.dsc", hints)))
    assert (len(found.hints), found.more) == (HINTS_LIMIT, 5)


def test_what_packages_say_is_bounded_and_printable() -> None:
    evil = "\x1b[31m" + "a" * 5000 + "\n"
    pointer = {"item": {"name": evil}, "line_position": 1 << 80}
    (one,) = parse_lintian(report((f"./{evil}_1_all.deb", [hint(evil, note=evil, pointer=pointer)]))).hints
    assert len(one.key) < 300
    assert all(len(text) <= 310 and text.isprintable() for text in (one.tag, one.where, one.item, one.note, one.key))
    assert one.line == 0


@pytest.mark.parametrize(
    "content",
    [
        b"", b"nothing", b"[]", b"{}", b'{"groups": 1}', b'{"groups": [{"input_files": [{"path": "a", "hints": [{}]}]}]}',
        b'{"groups": [{"input_files": [{"path": "a", "hints": ["tag"]}]}]}', b"[" * 100_000, b"\xff\xfe",
    ],
)  # fmt: skip
def test_what_is_no_report_is_refused(content: bytes) -> None:
    with pytest.raises(BadInput, match="lintian"):
        parse_lintian(content)


def test_a_report_of_any_size_is_not_read() -> None:
    with pytest.raises(BadInput, match="bytes"):
        parse_lintian(b" " * (REPORT_LIMIT_BYTES + 1))
