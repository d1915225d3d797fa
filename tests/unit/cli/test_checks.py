"""`check list`, `package review` and `package impact`: what is typed wrong, and how an answer is shown."""

import json
from pathlib import Path

import click
import pytest
from tests.worlds.commands import CommandLine, command_line
from tests.worlds.times import NOW

from distwright.app import open_app
from distwright.checks.findings import see
from distwright.cli.package_impact import print_impact
from distwright.errors import WorkFailed
from distwright.model.digests import Json
from distwright.model.records import Inquiry, InquiryState


@pytest.fixture
def line(tmp_path: Path) -> CommandLine:
    return command_line(tmp_path)


def test_findings_are_listed_by_kind_and_subject(line: CommandLine) -> None:
    assert line.run("check", "list").text == "the checks have found nothing\n"
    app = open_app(str(line.state))
    with app.database.write() as tx:
        see(tx, "lintian", "greeter", "no-manual-page greeter", {"severity": "warning"}, NOW)
        see(tx, "hardening-flags", "hello", "CFLAGS without -fPIE", {"times": 2}, NOW)
    app.database.close()
    rows = line.run("check", "list", as_json=True).answer
    assert [(row["kind"], row["about"], row["severity"]) for row in rows] == [
        ("hardening-flags", "hello", ""),
        ("lintian", "greeter", "warning"),
    ]
    assert rows[0]["evidence"] == {"times": 2}
    assert [row["about"] for row in line.run("check", "list", "greeter", as_json=True).answer] == ["greeter"]
    assert line.run("check", "list", "--kind", "lintian", "hello", as_json=True).answer == []
    assert "no-manual-page greeter" in line.run("check", "list").text
    unknown = line.run("check", "list", "greter")
    assert (unknown.exit_code, unknown.said) == (10, "no check was ever asked about 'greter'")


def test_a_review_of_nothing_says_so(line: CommandLine) -> None:
    done = line.run("package", "review", "greeter")
    assert (done.exit_code, done.said) == (10, "repo 'greeter' has built no package")
    assert line.run("package", "review", "17").said == "job 17 does not exist"


def test_an_impact_on_nowhere_says_so(line: CommandLine) -> None:
    done = line.run("package", "impact", "tally", "--candidate", "devel", "--suite", "gone")
    assert (done.exit_code, done.said) == (10, "suite 'gone' is not configured")
    assert line.run("package", "impact", "Tally!", "--candidate", "devel").exit_code == 2
    assert line.run("package", "impact", "tally").exit_code == 2, "no candidate"


ROW: dict[str, Json] = {
    "package": "counter", "version": "1", "question": "builds", "reference": "pass", "candidate": "fail",
    "verdict": "regression", "why": "tally_1 is gone", "job": 7, "reference_job": 6,
}  # fmt: skip
ANSWER: dict[str, Json] = {
    "candidate": "tally 2", "verdict": "breaks", "rows": [ROW], "left_out": 3, "left_out_names": ["big"], "unreadable": ["odd"],
    "not_asked": ["tests"],
}  # fmt: skip


def inquiry(answer: dict[str, Json] | None, state: InquiryState = InquiryState.DONE) -> Inquiry:
    return Inquiry(4, "impact", "tally 2", {}, state, {}, answer, "ada", NOW, NOW, 9)


def test_the_table_is_for_people_and_says_what_is_not_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(click.exceptions.Exit) as stopped:
        print_impact(inquiry(ANSWER), as_json=False)
    assert stopped.value.exit_code == 1
    text = capsys.readouterr().out
    for said in (
        "counter 1",
        "regression",
        "tally_1 is gone",
        "3 more were left out by --limit: big",
        "build dependencies that cannot be read: odd",
        "not asked, for the environment names no checkers: tests",
        "tally 2: the candidate breaks something",
    ):
        assert said in text


def test_nothing_new_ends_well_and_machines_get_all_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    fine = {**ANSWER, "verdict": "fine", "rows": []}
    print_impact(inquiry(fine), as_json=True)
    assert json.loads(capsys.readouterr().out) == {"inquiry": 4, **fine}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (inquiry(None, InquiryState.OPEN), "inquiry 4 has no answer yet"),
        (inquiry({"error": "no", "hint": "dch -i"}, InquiryState.STOPPED), r"inquiry 4 was stopped: no \(dch -i\)"),
    ],
)
def test_a_question_without_an_answer_is_no_good_news(row: Inquiry, said: str) -> None:
    with pytest.raises(WorkFailed, match=said):
        print_impact(row, as_json=False)
