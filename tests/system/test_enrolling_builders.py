"""How a machine becomes a builder: by one line that a person carries over, and by nothing else."""

import os
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.worlds.builders import NAME, Yard, lone_yard
from tests.worlds.times import NOW
from tests.worlds.work import Workshop, workshop

from distwright.errors import BadInput, BadUsage, NotAllowed, NotFound, Refused, Unreachable
from distwright.formats.enrolment import EnrolmentLine
from distwright.site.builders import enrol_builder, meet
from distwright.site.building import join
from distwright.site.hosts import authenticated, enrol, exchange
from distwright.store.hosts import find_host
from distwright.store.paths import StatePaths
from distwright.tools.sandbox import sandbox_for

pytestmark = pytest.mark.system


@pytest.fixture
def mason() -> Iterator[Yard]:
    with lone_yard() as made:
        yield made


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Workshop]:
    shop = workshop(tmp_path / "state", sandbox_for(os.geteuid()))
    yield shop
    shop.database.close()


def renewed(mason: Yard) -> EnrolmentLine:
    shop = mason.shop
    return enrol_builder(shop.database, shop.paths, mason.config, NAME, shop.database.now())


def met(mason: Yard) -> str:
    shop = mason.shop
    return meet(shop.database, shop.objects, shop.paths, mason.config, NAME, shop.database.now)


def test_line_counts_once_and_for_an_hour(mason: Yard) -> None:
    with pytest.raises(Refused, match="no line is waiting"):
        met(mason)
    shop = mason.shop
    old = enrol_builder(
        shop.database, shop.paths, mason.config, NAME, shop.database.now() - timedelta(hours=1, seconds=1)
    )
    mason.join(old.text)
    with pytest.raises(Refused, match="no line is waiting"):
        met(mason)
    mason.join(renewed(mason).text)
    assert met(mason) == " ".join((mason.folder / "host_key.pub").read_text().split()[:2])
    renewed(mason)
    with pytest.raises(Unreachable, match="used it already"):
        met(mason)


def test_who_does_not_know_the_line_is_no_builder(mason: Yard) -> None:
    """Somebody in between has another host key, and cannot vouch for it: also not one who lets our key in, as anybody can."""
    mason.join(renewed(mason).text)
    renewed(mason)
    with pytest.raises(NotAllowed, match="does not know the line, or has another host key"):
        met(mason)
    assert [builder.name for builder in mason.builders()] == [NAME], "what it was it still is"


def test_who_knows_the_line_and_has_another_host_key_is_no_builder(mason: Yard) -> None:
    """As one that passes everything on to the true builder would."""
    other = mason.folder / "other_key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(other)], check=True)
    (mason.folder / "true.pub").write_bytes((mason.folder / "host_key.pub").read_bytes())
    mason.join(renewed(mason).text)
    mason.stop()
    settings = mason.folder / "sshd_config"
    other.chmod(0o600)
    if os.geteuid() == 0:
        status = (mason.folder / "host_key").stat()
        os.chown(other, status.st_uid, status.st_gid)
    settings.write_text(settings.read_text().replace("/host_key", "/other_key"))
    mason.start()
    with pytest.raises(NotAllowed, match="another host key"):
        met(mason)


def test_key_of_the_server_opens_nothing_but_the_one_command(mason: Yard) -> None:
    (builder,) = mason.builders()
    done = subprocess.run(
        [*builder.argv, "cat", "/etc/passwd"], input=b"", capture_output=True, timeout=60, check=False
    )
    assert (b"root:" in done.stdout, done.returncode != 0) == (False, True)
    forward = [*builder.argv[:-2], "-o", "ClearAllForwardings=no", "-W", f"127.0.0.1:{mason.port}", *builder.argv[-2:]]
    done = subprocess.run(forward, input=b"", capture_output=True, timeout=60, check=False)
    assert b"SSH-2.0" not in done.stdout
    assert b"forwarding" in done.stderr or b"prohibited" in done.stderr


def test_joining_again_leaves_one_line_and_those_of_others(mason: Yard) -> None:
    keys = mason.home / ".ssh" / "authorized_keys"
    before = keys.read_text()
    keys.write_text(f"ssh-ed25519 AAAA somebody else\n{before}")
    mason.join(renewed(mason).text)
    assert keys.read_text() == f"ssh-ed25519 AAAA somebody else\n{before}"
    assert keys.stat().st_mode & 0o777 == 0o600


def test_host_key_of_a_builder_is_nobodys_token(mason: Yard) -> None:
    """It stands in the row where a runner has the sum of its token, and anybody may know it."""
    shop, now = mason.shop, mason.shop.database.now()
    with shop.database.read() as tx:
        row = find_host(tx, NAME)
    assert row is not None
    assert row.token_hash is not None
    text = shop.objects.read(row.token_hash).decode()
    assert text.startswith("ssh-ed25519 ")
    as_runner = mason.as_runner()
    for config in (mason.config, as_runner):
        with pytest.raises(NotAllowed):
            authenticated(shop.database, config, NAME, text)
    line = renewed(mason)
    with pytest.raises(NotAllowed):
        exchange(shop.database, mason.config, NAME, line.secret, "1", now)
    with pytest.raises(Refused, match="is a builder"):
        enrol(shop.database, mason.config, NAME, now)
    with pytest.raises(NotFound):
        enrol_builder(shop.database, shop.paths, as_runner, NAME, now)


@pytest.mark.parametrize(
    ("line", "error"), [("", BadInput), ("distwright-builder-1:short:ssh-ed25519:AAAA", BadInput), (None, BadUsage)]
)
def test_join_with_something_else_changes_nothing(tmp_path: Path, line: str | None, error: type[Exception]) -> None:
    good = EnrolmentLine("x" * 43, "ssh-ed25519 " + "A" * 68).text
    place = tmp_path / "keys"
    program = ("distwright",) if line is not None else ('with"quote',)
    key = tmp_path / "key.pub"
    key.write_text("ssh-ed25519 " + "A" * 68)
    with pytest.raises(error):
        join(StatePaths(tmp_path / "state"), line if line is not None else good, [key], program, place, NOW)
    assert not place.exists()
    assert not (tmp_path / "state" / "enrolment.json").exists()


def test_installation_does_not_become_a_builder(here: Workshop, tmp_path: Path) -> None:
    good = EnrolmentLine("x" * 43, "ssh-ed25519 " + "A" * 68).text
    with pytest.raises(Refused, match="an installation of its own"):
        join(here.paths, good, [], ("distwright",), tmp_path / "keys", here.database.now())
