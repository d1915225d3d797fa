"""The network of sandboxed programs: nothing, or a door to the shelf; as root and as a plain user start them."""

import os
import pwd
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

import pytest
from tests.worlds.cells import IS_ROOT, Cell
from tests.worlds.processes import wait_until

from distwright.net.listen import LoopbackServer
from distwright.tools.sandbox import SANDBOX_USER

pytestmark = pytest.mark.system


@contextmanager
def host_listener() -> Iterator[int]:
    """Listen on loopback as any service of this machine might; give the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


@pytest.fixture
def shelf() -> Iterator[LoopbackServer]:
    """Give a shelf that has one file."""
    with LoopbackServer(lambda _path: (BytesIO(b"from the shelf"), 14)) as server:
        yield server


def test_rooted_program_has_no_network_unless_it_reads_the_shelf(cell: Cell, shelf: LoopbackServer) -> None:
    ask = f"wget -q -O - {shelf.url}/debian/dists/stable/Release"
    alone = cell.run("sh", "-c", ask)
    assert (alone.exit_code, alone.stdout, b"Network is unreachable" in alone.stderr) == (1, b"", True)
    assert cell.shell(ask, shelf=shelf) == "from the shelf"
    for door in (None, shelf):
        interfaces = cell.shell("cat /proc/net/dev", shelf=door).splitlines()[2:]
        assert [line.partition(":")[0].strip() for line in interfaces] == ["lo"]


def test_rooted_program_that_reads_the_shelf_reaches_nothing_else(cell: Cell, shelf: LoopbackServer) -> None:
    with host_listener() as port:
        for address in (f"127.0.0.1 {port}", "192.0.2.1 80", "1.1.1.1 53", "::1 22"):
            ended = cell.run("sh", "-c", f"nc -w 3 {address} </dev/null", shelf=shelf)
            assert (ended.exit_code, ended.stdout) == (1, b""), address
            assert b"refused" in ended.stderr or b"unreachable" in ended.stderr, (address, ended.stderr)


def test_host_program_reaches_the_shelf_and_nothing_else(cell: Cell, shelf: LoopbackServer) -> None:
    curl = ("curl", "--silent", "--show-error", "--max-time", "5")
    seen = cell.run_host_program(*curl, f"{shelf.url}/x", shelf=shelf).checked()
    assert seen.stdout == b"from the shelf"
    with host_listener() as port:
        for address in (f"http://127.0.0.1:{port}/", "http://1.1.1.1/"):
            for door in (shelf, None):
                assert cell.run_host_program(*curl, address, shelf=door).exit_code == 7, "curl: failed to connect"


def test_host_program_can_still_make_user_namespaces_with_many_ids(cell: Cell, shelf: LoopbackServer) -> None:
    """mmdebstrap and sbuild do: by newuidmap, which is set-uid root on this machine."""
    script = "id -u; id -g; unshare --map-root-user --map-auto sh -c 'id -u; wc -l </proc/self/uid_map; touch x; chown 7:8 x'"
    seen = cell.run_host_program("sh", "-euc", script, shelf=shelf).checked().stdout.decode().split()
    group = pwd.getpwnam(SANDBOX_USER).pw_gid if IS_ROOT else os.getgid()
    assert seen == [str(cell.owner), str(group), "0", "2"]
    assert (cell.folders.work / "x").stat().st_uid not in (0, 7, cell.owner)


def test_host_program_of_a_user_has_no_more_rights_than_it_needs(cell: Cell, shelf: LoopbackServer) -> None:
    status = cell.run_host_program("cat", "/proc/self/status", shelf=shelf).checked().stdout.decode()
    effective = next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff"))
    assert int(effective, 16) == (0 if cell.sandbox.user else 1 << 6 | 1 << 7), "CAP_SETGID, CAP_SETUID"


def test_each_command_has_a_door_of_its_own_and_none_stays_open(cell: Cell, shelf: LoopbackServer) -> None:
    before = threading.active_count()
    for _ in range(3):
        assert cell.shell(f"wget -q -O - {shelf.url}/x", shelf=shelf) == "from the shelf"
    cell.run("true", shelf=shelf)
    cell.run("sleep", "1000", shelf=shelf, timeout_s=0)
    wait_until(lambda: threading.active_count() == before, "the end of the threads")
