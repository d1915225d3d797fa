"""What scenarios gave, and what that says of an image; results and evidence come from programs that nobody trusts."""

import io
import json
import tarfile
from dataclasses import replace
from typing import Any

import pytest
from tests.worlds.times import NOW

from distwright.errors import BadInput
from distwright.images.driving.results import Scenario
from distwright.images.outcomes import ARCHIVE_LIMIT_BYTES, ScenarioEnd, evidence_of, parse_results, verdict_of
from distwright.images.report import report
from distwright.model.outcomes import Outcome

ROW: dict[str, Any] = {
    "feature": "Boot", "scenario": "it greets", "at": "boot.feature:3", "outcome": "passed", "is_quarantined": False,
    "start_s": 0.4, "seconds": 2.5, "step": "", "message": "", "evidence": [],
}  # fmt: skip


def results(*rows: dict[str, Any]) -> bytes:
    return json.dumps({"scenarios": [{**ROW, **row} for row in rows]}).encode()


def ends(*rows: dict[str, Any]) -> tuple[ScenarioEnd, ...]:
    return parse_results([results(*rows)])


def test_results_of_all_workers_are_read_in_the_order_of_the_files() -> None:
    found = parse_results([results({"at": "b.feature:10"}, {"at": "b.feature:9"}), results({"at": "a.feature:30"})])
    assert [end.at for end in found] == ["a.feature:30", "b.feature:9", "b.feature:10"]


def test_what_the_driver_writes_is_what_is_read() -> None:
    one = Scenario(
        "Boot", "it greets", "boot -- menü.feature:3", "failed", is_quarantined=True, start_s=1.0, seconds=2.0, step="Then x",
        message="why", evidence=["screen.png"],
    )  # fmt: skip
    row = {name: getattr(one, name) for name in Scenario.__slots__}
    [end] = ends(row)
    assert end == ScenarioEnd(
        "Boot", "it greets", "boot -- menü.feature:3", "failed", is_quarantined=True, start_s=1.0, seconds=2.0, step="Then x",
        message="why", folder=one.folder, evidence=("screen.png",),
    )  # fmt: skip


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b"{}", b'{"scenarios": 1}', b'{"scenarios": [1]}', b'{"scenarios": [{}]}', b"[" * 100_000,
        results({"outcome": "fine"}), results({"evidence": 3}), b'{"scenarios": [null]}', b"\xff",
        results(*({"at": f"a.feature:{line}"} for line in range(2001))),
    ],
)  # fmt: skip
def test_results_that_no_worker_of_ours_writes_are_refused(content: bytes) -> None:
    with pytest.raises(BadInput):
        parse_results([content])


def test_text_of_results_is_cut_and_harmless() -> None:
    [end] = ends({"message": "\x1b[31mred\n" + "x" * 9000, "seconds": "long", "start_s": -4, "at": "../../x.feature:2"})
    assert end.message.startswith("�[31mred\nxxx")
    assert len(end.message) == 4000
    assert (end.seconds, end.start_s, end.folder) == (0.0, 0.0, "x-2")


@pytest.mark.parametrize(
    ("rows", "outcome", "message"),
    [
        ([{}], Outcome.OK, "scenarios: 1 passed"),
        ([{}, {"outcome": "skipped"}], Outcome.OK, "scenarios: 1 passed, 1 skipped"),
        ([{}, {"outcome": "failed", "is_quarantined": True}], Outcome.OK, "scenarios: 1 passed, 1 failed"),
        ([{"outcome": "failed", "is_quarantined": True}], Outcome.FAILED, "no scenario has passed; scenarios: 1 failed"),
        ([{"outcome": "skipped"}] * 2, Outcome.FAILED, "no scenario has passed; scenarios: 2 skipped"),
        ([{}, {"outcome": "failed"}], Outcome.FAILED, "scenarios: 1 passed, 1 failed; Boot: it greets (failed)"),
        ([{"outcome": "timed-out"}], Outcome.FAILED, "scenarios: 1 timed-out; Boot: it greets (timed-out)"),
        ([{"outcome": "not-run"}], Outcome.FAILED, "scenarios: 1 not-run; Boot: it greets (not-run)"),
        ([], Outcome.FAILED, "no scenario was run"),
    ],
)  # fmt: skip
def test_the_image_is_good_if_no_scenario_outside_of_quarantine_says_no(
    rows: list[dict[str, Any]], outcome: Outcome, message: str
) -> None:
    assert verdict_of(ends(*rows)) == (outcome, message)


def test_a_verdict_about_a_chosen_part_says_so() -> None:
    assert verdict_of(ends({}), is_part=True) == (Outcome.OK, "a chosen part of the scenarios: 1 passed")
    text = report("petrel-1", "uefi", ends({}), {}, {}, job=7, at=NOW, is_part=True).decode()
    assert "a chosen part of the scenarios: 1 passed" in text


def test_of_many_red_scenarios_ten_are_named() -> None:
    _, message = verdict_of(
        ends(*({"outcome": "failed", "scenario": f"s{n}", "at": f"a.feature:{n}"} for n in range(1, 13)))
    )
    assert message.count("(failed)") == 10
    assert message.endswith("Boot: s10 (failed) and 2 more")


def archive(**files: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    return out.getvalue()


def test_evidence_is_plain_files_and_as_much_of_it_as_there_is() -> None:
    whole = archive(first=b"1" * 3000, second=b"2" * 3000)
    assert evidence_of([io.BytesIO(whole)]) == {"first": b"1" * 3000, "second": b"2" * 3000}
    found = [evidence_of([io.BytesIO(whole[:end])]) for end in range(0, len(whole), 100)]
    assert all(
        set(one) <= {"first", "second"} and all(len(content) == 3000 for content in one.values()) for one in found
    )
    assert {len(one) for one in found} == {0, 1, 2}
    assert evidence_of([io.BytesIO(b"no tar at all"), io.BytesIO(whole)]) == evidence_of([io.BytesIO(whole)])


class Zeros(io.RawIOBase):
    """A file that begins as it is said, and has no end."""

    def __init__(self, start: bytes) -> None:
        super().__init__()
        self.start, self.given = start, 0

    def read(self, size: int = -1, /) -> bytes:
        assert size > 0, "nobody has room for all of it"
        piece, self.start = self.start[:size].ljust(size, b"\0"), self.start[size:]
        self.given += size
        return piece


def test_of_evidence_without_an_end_the_beginning_is_read() -> None:
    endless = Zeros(archive(first=b"1" * 3000))
    assert evidence_of([endless, io.BytesIO(archive(second=b"2"))]) == {"first": b"1" * 3000, "second": b"2"}  # type: ignore[list-item]  # it is only read
    assert endless.given == ARCHIVE_LIMIT_BYTES


def test_extended_headers_of_evidence_are_not_read_whole() -> None:
    row = tarfile.TarInfo("first")
    row.pax_headers = {"comment": "x" * 1_000_000}
    assert evidence_of([io.BytesIO(row.tobuf(tarfile.PAX_FORMAT) + bytes(1024))]) == {}


def test_the_report_has_everything_in_one_file_and_nothing_of_it_is_markup() -> None:
    bad = {
        "outcome": "failed", "scenario": "<script>alert(1)</script>", "message": "a < b & c", "step": "Then \"x\"",
        "evidence": ["screen.png", "serial.txt", "packets-1.pcap", "fake.png"],
    }  # fmt: skip
    evidence = {
        "boot-3/screen.png": b"\x89PNG\r\n\x1a\nabc", "boot-3/serial.txt": b"Linux \x1b[1mversion", "boot-3/packets-1.pcap": b"x",
        "boot-3/fake.png": b"<svg onload=alert(1)>",
    }  # fmt: skip
    [end] = ends(bad)
    history = {end.name: "red in 3 of the last 10 runs"}
    good = replace(end, scenario="other", at="c.feature:1", outcome="passed")
    text = report("petrel-1", "uefi", [end, good], evidence, history, job=7, at=NOW).decode()
    assert "<script>" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "a &lt; b &amp; c" in text
    assert 'src="data:image/png;base64,iVBORw0KGgphYmM="' in text
    assert "Linux version" in text
    assert "red in 3 of the last 10 runs" in text
    assert "onload" not in text
    assert "http" not in text  # it needs nothing from anywhere
