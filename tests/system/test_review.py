"""The review of what was built: real lintian and blhc, from the recorded archive, after the rest of the line."""

from dataclasses import replace

import pytest
from tests.system.conftest import KilledLine

from distwright.app import open_app
from distwright.builds.environment import EnvironmentRecipe
from distwright.checks.review import built_of, review_order
from distwright.model import plain
from distwright.site.findings import build_named, review_of_build

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


LOG = b"""\
dpkg-buildpackage: info: source package petrel-greeter
dpkg-buildpackage: info: host architecture amd64
gcc -g -O2 -c -o greeter.o greeter.c
"""


def test_a_log_is_read_by_blhc(killed_line: KilledLine) -> None:
    line = killed_line.line
    app = open_app(str(line.state))
    built = build_named(app.database, "petrel-greeter")
    reviewed = review_of_build(app.database, app.ground(), built)
    with_log = replace(built_of(built.inputs, built.outputs or {}), log=app.objects.put(LOG))
    recipe = EnvironmentRecipe.from_json(plain.mapping(reviewed.inputs, "environment"))
    app.place(review_order(with_log, recipe))
    app.database.close()
    done = line.call("worker", "--until-idle", "--state", str(line.state), timeout_s=600)
    assert done.returncode == 0, done.stderr
    found = [one["finding"] for one in line.answer("check", "list", "--kind", "hardening-flags")]
    assert [one.partition(" without ")[0] for one in found] == ["CFLAGS", "CPPFLAGS"], found


def test_what_was_not_built_is_not_reviewed(killed_line: KilledLine) -> None:
    done = killed_line.line.call("package", "review", "nothing", "--state", str(killed_line.line.state))
    assert (done.returncode, done.stdout) == (10, "")
    assert "repo 'nothing' has built no package" in done.stderr
