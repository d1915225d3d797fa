"""Control groups of version 2, in a small machine of our own: this one may have version 1, and is not ours to change."""

from pathlib import Path

import pytest
from tests.system.conftest import KilledLine
from tests.worlds.guests import run_in_guest

pytestmark = [pytest.mark.system, pytest.mark.full]

SCRIPT = r"""
import os, sys, time
from pathlib import Path
from distwright.jobs.limits import Limits
from distwright.tools.run import Command, run
from distwright.tools.sandbox import Sandbox
from distwright.worker.cgroups import base_of, look_for_groups
from distwright.worker.guard import guarding

top = Path("/sys/fs/cgroup")

def ended(name, limits, *argv):
    with guarding(limits, Path("/tmp"), Sandbox("root"), name) as guard:
        assert (guard.group is None, guard.watchdog) == (False, None)
        done = run(Command(guard.wrapped(argv), timeout_s=120), watch=guard.look)
        cut = done.cut or guard.last_look()
        robbed = not cut and guard.was_robbed(done.exit_code)
    left = (base_of(look_for_groups()).folder / name).exists()
    code = "robbed" if robbed else "" if cut else done.exit_code
    print(name, "|", cut, "|", code, "|", left, *done.stdout.decode().split(), flush=True)

HOG = "held = []\nwhile True: held.append(bytearray(b'1') * (8 << 20))"
LIFT = '''
mkdir -p /tmp/seen; mount -t cgroup2 none /tmp/seen; cat /proc/self/cgroup
ls /tmp/seen | grep -E '^(memory|pids).max'; mkdir /tmp/seen/more 2>/dev/null || echo refused
'''
def tell():
    ended("well", Limits(memory_mb=300, processes=50), "python3", "-c", "x = bytearray(b'1') * (100 << 20)")
    ended("memory", Limits(memory_mb=100), "python3", "-c", HOG)
    ended("tmpfs", Limits(memory_mb=100), "sh", "-c", "head -c 200000000 /dev/zero >/tmp/x; sleep 100")
    ended("forks", Limits(processes=30), "sh", "-c", "for i in $(seq 100); do sleep 100 & done; wait")
    ended("machine", Limits(memory_mb=9000), "python3", "-c", HOG)
    ended("inside", Limits(memory_mb=100, processes=30), "unshare", "--cgroup", "--mount", "sh", "-c", LIFT)
    ended("daemon", Limits(processes=30), "sh", "-c", "setsid sleep 1000 & exit 3")
    print("daemons:", sum(b"sleep\x001000" in (p / "cmdline").read_bytes() for p in Path("/proc").glob("[0-9]*")), flush=True)

print("top", base_of(look_for_groups()), flush=True)
tell()
# What systemd does with Delegate=yes.
(top / "cgroup.subtree_control").write_text("+memory +pids")
service = top / "service"
service.mkdir()
(service / "cgroup.procs").write_text("0")
print("service", base_of(look_for_groups()).reason, flush=True)
os.setxattr(service, "trusted.delegate", b"1")
print("delegated", base_of(look_for_groups()), flush=True)
tell()
print("leaf", Path("/proc/self/cgroup").read_text().strip(), base_of(look_for_groups()), flush=True)
print("left", sorted(p.name for p in service.iterdir() if p.is_dir()), flush=True)
"""
TOLD = """\
well |  | 0 | False
memory | memory limit of 100 MB |  | False
tmpfs | memory limit of 100 MB |  | False
forks | process limit of 30 |  | False
machine |  | robbed | False
inside |  | 0 | False 0::/ refused
daemon |  | 3 | False
daemons: 0
"""
FOLDER = "PosixPath('/sys/fs/cgroup/service')"
WANT = f"""\
top Base(folder=PosixPath('/sys/fs/cgroup'), reason='', moves=False)
{TOLD}\
service the cgroup /sys/fs/cgroup/service is not delegated to us (systemd: Delegate=yes)
delegated Base(folder={FOLDER}, reason='', moves=True)
{TOLD}\
leaf 0::/service/distwright Base(folder={FOLDER}, reason='', moves=True)
left ['distwright']
"""


def test_kernel_keeps_the_limits_where_groups_are_delegated(killed_line: KilledLine, tmp_path: Path) -> None:
    line = killed_line.line
    [boot] = [job for job in line.answer("job", "list") if job["kind"] == "image.boot"]
    digest = line.answer("job", "show", str(boot["job"]))["inputs"]["vmlinuz"]
    kernel = line.state / "objects" / "sha256" / digest[:2] / digest[2:]
    said = run_in_guest(kernel, SCRIPT, tmp_path, ("choom", "prlimit", "setpriv", "unshare"))
    assert said == WANT
