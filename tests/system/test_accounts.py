"""Acting as another user: what is made is theirs, and nothing of ours can be reached; a child's errors are ours."""

import os
import pwd
from pathlib import Path

import pytest
from tests.system.line import state_folder
from tests.worlds.hosting import GIT_USER

from distwright.errors import DistwrightError, NotAllowed, NotFound, Refused
from distwright.tools.accounts import Account, account_of, acting_as, give

pytestmark = pytest.mark.system
IS_ROOT = os.geteuid() == 0
OTHER = account_of(GIT_USER, Path("/nonexistent"))


def test_what_is_done_is_done_as_that_user_for_good() -> None:
    def look() -> list[str]:
        return [
            str(os.getuid()),
            str(os.geteuid()),
            str(os.getgid()),
            *map(str, os.getresuid()),
            *map(str, os.getgroups() if IS_ROOT else []),
        ]

    uid, gid = str(OTHER.uid), str(OTHER.gid)
    assert acting_as(OTHER, look) == [uid, uid, gid, uid, uid, uid]


def test_a_link_of_theirs_leads_nowhere_that_is_ours() -> None:
    with state_folder() as folder:
        secret = folder / "secret"
        secret.write_text("ours")
        secret.chmod(0o600)
        theirs = folder / "theirs"
        theirs.mkdir()
        (theirs / "link").symlink_to(secret)
        give(theirs, OTHER)
        if IS_ROOT:
            with pytest.raises(DistwrightError):
                acting_as(OTHER, lambda: [(theirs / "link").read_text()])
            assert secret.stat().st_uid == 0
        assert (theirs / "link").lstat().st_uid == OTHER.uid
        acting_as(OTHER, lambda: [str((theirs / "new").write_text("x"))])
        assert (theirs / "new").stat().st_uid == OTHER.uid


def test_errors_of_ours_pass_as_they_are() -> None:
    def refuse() -> list[str]:
        raise Refused("no", hint="try another")

    with pytest.raises(Refused, match="no") as caught:
        acting_as(OTHER, refuse)
    assert caught.value.hint == "try another"


@pytest.mark.skipif(not IS_ROOT, reason="a user acts as itself, in no child")
def test_a_child_that_dies_is_an_error() -> None:
    with pytest.raises(DistwrightError, match="died"):
        acting_as(OTHER, lambda: os._exit(1))


def test_nobody_acts_as_a_user_that_is_not_there_or_not_theirs() -> None:
    with pytest.raises(NotFound, match="no-such-user"):
        account_of("no-such-user", Path("/home"))
    if IS_ROOT:
        with pytest.raises(NotAllowed):
            acting_as(OTHER, lambda: [account_of("root", Path("/")).name])
    else:
        with pytest.raises(NotAllowed):
            account_of("root", Path("/"))
    assert account_of(pwd.getpwuid(os.geteuid()).pw_name, Path("/")) == Account(
        pwd.getpwuid(os.geteuid()).pw_name, os.geteuid(), os.getegid()
    )
