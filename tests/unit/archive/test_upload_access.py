"""Who may upload what: grants of keys, and what a key without one may not do."""

from pathlib import Path
from typing import Any

import pytest
from tests.worlds.archive import make_deb, make_source, make_upload, signer
from tests.worlds.installation import make_context
from tests.worlds.times import DAY
from tests.worlds.uploads import Suite, add_suite

from distwright.archive.access import Grant

SOURCE, DEB = make_source("greeter", "1.0"), make_deb("greeter", "1.0")
GREETER = make_upload(SOURCE, DEB)


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    context = make_context(tmp_path)
    add_suite(context, "devel")
    return Suite(context)


def grant(suite: Suite, **fields: Any) -> Grant:
    return Grant("ada", suite.context.objects.put(signer("uploader").certificate()), **fields)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"suites": ("stable", "topic-*")}, "may-upload: key {key} may not upload to devel"),
        ({"sources": ("lib*",)}, "may-upload: key {key} may not upload source greeter"),
        ({"new": False}, "may-upload: greeter is new here, and key {key} may not bring new sources"),
        ({"binaries": False}, "source-only: key {key} may upload sources only, and 1 binary packages came along"),
        ({"architectures": ("i386",)}, "may-upload: key {key} may not upload for amd64"),
    ],
)
def test_what_a_grant_does_not_cover_is_refused_by_name(suite: Suite, fields: dict[str, Any], problem: str) -> None:
    key = signer("uploader").fingerprints[0]
    assert suite.problems(GREETER, grants=[grant(suite, **fields)]) == [problem.format(key=key)]


def test_one_grant_must_cover_all_of_an_upload_and_the_nearest_one_speaks(suite: Suite) -> None:
    far, near = grant(suite, suites=("x",), sources=("y",)), grant(suite, sources=("lib*",))
    key = signer("uploader").fingerprints[0]
    assert suite.problems(GREETER, grants=[far, near]) == [f"may-upload: key {key} may not upload source greeter"]
    suite.accept(GREETER, grants=[far, grant(suite, suites=("dev*",), sources=("greet?r",), max_age_days=10_000)])


def test_grants_name_keys_of_a_common_keyring(suite: Suite) -> None:
    both = suite.context.objects.put(signer("uploader").certificate() + signer("stranger").certificate())
    theirs = Grant("eve", both, keys=(signer("stranger").fingerprints[0].upper(),))
    [problem] = suite.problems(GREETER, grants=[theirs])
    assert problem.startswith("signature: .changes has no valid signature by a key of the uploaders")
    suite.accept(GREETER, grants=[theirs, Grant("ada", both, keys=(signer("uploader").fingerprints[0].upper(),))])


def test_a_source_that_the_archive_had_once_is_not_new(suite: Suite) -> None:
    suite.accept(GREETER)
    newer = make_upload(make_source("greeter", "1.1"), make_deb("greeter", "1.1"))
    suite.accept(newer, grants=[grant(suite, new=False)])


def test_the_package_of_another_source_is_not_taken_over(suite: Suite) -> None:
    suite.accept(GREETER)
    evil = make_upload(make_source("evilb", "99"), make_deb("greeter", "99", source="evilb"))
    wanted = ["binary-belongs-to-source: greeter belongs to source greeter in devel, not to evilb"]
    assert suite.problems(evil) == wanted
    assert suite.problems(evil, grants=[grant(suite)]) == wanted
    elsewhere = make_deb("greeter", "99", source="evilb", architecture="all")
    assert suite.problems(make_upload(make_source("evilb", "99"), elsewhere)) == wanted


def test_a_grant_may_allow_a_takeover_and_then_one_package_is_left(suite: Suite) -> None:
    suite.accept(GREETER)
    heir = make_upload(make_source("heir", "2.0"), make_deb("greeter", "2.0", source="heir", architecture="all"))
    suite.accept(heir, grants=[grant(suite, take_over=True)])
    assert suite.names() == [
        ("main/binary-all", "greeter", "2.0"),
        ("main/source", "greeter", "1.0"),
        ("main/source", "heir", "2.0"),
    ]


def test_an_upload_that_is_too_old_is_refused(suite: Suite) -> None:
    suite.context.clock += 1000 * DAY
    problems = suite.problems(GREETER, grants=[grant(suite, max_age_days=90)])
    assert problems[0] == "is-recent: the Date of .changes is 2024-01-10, and more than 90 days ago"
    suite.context.clock += 10_000 * DAY
    assert len(suite.problems(GREETER, grants=[grant(suite, max_age_days=90)])) == 2  # the signature is old as well
    suite.accept(GREETER)  # our own builder signs what was tagged long ago


def test_a_grant_is_the_same_after_it_was_written_into_an_order(suite: Suite) -> None:
    whole = grant(suite, keys=("A" * 40,), suites=("a",), sources=("b",), new=False, binaries=False,
                  architectures=("amd64",), take_over=True, max_age_days=3)  # fmt: skip
    assert Grant.from_json(whole.to_json()) == whole
