"""Decisions about two states of suites that random histories (tests/fuzz) do not put into words."""

from pathlib import Path

import pytest
from tests.worlds.archive import make_deb, make_source
from tests.worlds.suite import own_suite

from distwright.archive.suites import Who, pull_packages
from distwright.errors import Refused

WHO = Who("user ada")


def test_pull_refuses_other_content_under_the_version_that_is_here(tmp_path: Path) -> None:
    """Clients that have the one would never get the other: same name means same content, as in a merge."""
    devel = own_suite(tmp_path)
    stable = own_suite(tmp_path, "stable", devel.context)
    devel.hold(make_deb("hello", content={"usr/share/hello": "one"}), make_source("hello"))
    before = stable.hold(make_deb("hello", content={"usr/share/hello": "another"}), make_source("hello"))
    with pytest.raises(Refused) as refused:
        pull_packages(devel.context, "petrel", "stable", "devel", ["hello"], WHO, dry_run=False)
    assert refused.value.message.splitlines()[1:] == ["  hello (main/binary-amd64): 1.0 has other content there"]
    assert stable.state().revision == before


def test_pull_of_what_is_here_already_is_no_change(tmp_path: Path) -> None:
    devel = own_suite(tmp_path)
    stable = own_suite(tmp_path, "stable", devel.context)
    devel.hold(make_deb("hello"), make_source("hello"), make_deb("world"))
    before = stable.hold(make_deb("hello"), make_source("hello"))
    done = pull_packages(devel.context, "petrel", "stable", "devel", ["hello"], WHO, dry_run=False)
    assert (done.after, done.changes) == (before, ())
