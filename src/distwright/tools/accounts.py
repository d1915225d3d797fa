"""Users of this machine: act as one of them on what is theirs, so that no link of theirs leads root anywhere."""

import json
import os
import pwd
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import distwright.errors
from distwright.errors import DistwrightError, NotAllowed, NotFound, quoted


@dataclass(frozen=True, slots=True)
class Account:
    """A user of this machine."""

    name: str
    uid: int
    gid: int


def account_of(name: str, home: Path) -> Account:
    """Give a user whom we may act as; raise NotFound, or NotAllowed unless we are root or that user. home: where one would live."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise NotFound(
            f"this machine has no user {quoted(name)}",
            hint=f"sudo useradd --system --home-dir {home} --shell /bin/sh {name}",
        ) from None
    if os.geteuid() not in (0, entry.pw_uid):
        raise NotAllowed(f"only root and {name} may look into what is {name}'s", hint="run this as root")
    return Account(name, entry.pw_uid, entry.pw_gid)


def give(place: Path, account: Account) -> None:
    """Make a folder and all in it the user's, unless it is already; links are not followed. For what was ours until now."""
    if os.geteuid() != 0 or place.lstat().st_uid == account.uid:
        return
    for folder, _, files in os.walk(place):
        for name in files:
            os.lchown(Path(folder, name), account.uid, account.gid)
    for folder, *_ in os.walk(place, topdown=False):  # the top last: once it is theirs, all of it is
        os.lchown(folder, account.uid, account.gid)


def acting_as(account: Account, action: Callable[[], list[str]]) -> list[str]:
    """Call an action as a user, and give what it gives: in a child that cannot become root again, unless we are that user.

    The action must use no database and no thread of ours. Its DistwrightErrors are raised here; any other exception is shown and
    fails.
    """
    if os.geteuid() == account.uid:
        return action()
    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _be_the_user(account, action, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        said = answer.read()
    os.waitpid(child, 0)
    return _answer_of(said)


def _be_the_user(account: Account, action: Callable[[], list[str]], writing: int) -> None:
    try:
        os.setgroups([])
        os.setresgid(account.gid, account.gid, account.gid)
        os.setresuid(account.uid, account.uid, account.uid)
        os.chdir("/")
        answer: object
        try:
            answer = {"gave": action()}
        except DistwrightError as error:
            answer = {"error": type(error).__name__, "message": error.message, "hint": error.hint}
        with os.fdopen(writing, "wb") as out:
            out.write(json.dumps(answer).encode())
        os._exit(0)
    except BaseException:
        os.write(2, traceback.format_exc().encode(errors="replace"))
    finally:
        os._exit(70)


def _answer_of(said: bytes) -> list[str]:
    try:
        answer = json.loads(said)
    except ValueError:
        raise DistwrightError("a child that acted as another user died", hint="see what it said above") from None
    if "gave" in answer:
        return [str(line) for line in answer["gave"]]
    kind = getattr(distwright.errors, answer["error"], DistwrightError)
    raise kind(answer["message"], hint=answer["hint"])
