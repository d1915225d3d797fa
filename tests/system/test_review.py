"""The review of what was built: real lintian and blhc, from the recorded archive, after the rest of the line."""

import pytest
from tests.system.conftest import KilledLine

pytestmark = pytest.mark.system


def test_what_the_line_built_was_reviewed(killed_line: KilledLine) -> None:
    line = killed_line.line
    (review,) = [job for job in line.answer("job", "list") if job["kind"] == "package.review"]
    assert review["state"] == "ok", review
    assert review["title"] == "review petrel-greeter 1.0"
    findings = line.answer("check", "list", "petrel-greeter")
    assert [one for one in findings if one["severity"] in ("error", "warning")] == [], "the example has none"


def test_a_review_is_shown_again_without_work(killed_line: KilledLine) -> None:
    line = killed_line.line
    before = line.answer("job", "list")
    shown = line.answer("package", "review", "petrel-greeter")
    assert shown == line.answer("check", "list", "petrel-greeter")
    assert line.answer("job", "list") == before


def test_what_was_not_built_is_not_reviewed(killed_line: KilledLine) -> None:
    done = killed_line.line.call("package", "review", "nothing", "--state", str(killed_line.line.state))
    assert (done.returncode, done.stdout) == (10, "")
    assert "repo 'nothing' has built no package" in done.stderr
