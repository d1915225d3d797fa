"""Packages that want to harm, built by real sbuild in the example's environment: each ends with its name and leaves nothing."""

import io
import os
import tarfile
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.system.conftest import KilledLine
from tests.worlds.processes import living
from tests.worlds.work import Workshop, workshop

from distwright.builds.judging_builds import judge_build
from distwright.builds.package import PACKAGE_BUILD, plan_build
from distwright.jobs.lease import Ending
from distwright.jobs.step import Conclusion, Earlier, Inputs, JobKind, Plan, Step
from distwright.model import plain
from distwright.model.digests import Json
from distwright.model.events import EventKind
from distwright.model.outcomes import Outcome
from distwright.store.jobs import list_jobs
from distwright.tools.sandbox import sandbox_for
from distwright.worker.execute import execute

pytestmark = pytest.mark.system

CHANGELOG = (
    "bad (1.0) unstable; urgency=medium\n\n  * Bad.\n\n -- A B <a@example.org>  Mon, 28 Sep 2026 09:00:00 +0000\n"
)
CONTROL = """\
Source: bad
Maintainer: A B <a@example.org>
Build-Depends: debhelper-compat (= 13){more}
Standards-Version: 4.6.2

Package: bad
Architecture: any
Description: bad
 Bad.
"""
RULES = "#!/usr/bin/make -f\n%:\n\tdh $@\noverride_dh_auto_test:\n\tbash ./bad.sh\n"


@dataclass
class Builder:
    """An installation with a recorded Debian and an environment, and the inputs of a build in it."""

    shop: Workshop
    inputs: Inputs
    number: int = 9000

    def build(self, script: str, depends: str = "", limits: Mapping[str, Json] | None = None) -> Ending:
        """Build a package whose test runs a script of bash; sign nothing. Any hours of the limits stand for two minutes."""
        self.number += 1
        digest = self.shop.objects.put(_tree({
            "debian/changelog": CHANGELOG, "debian/control": CONTROL.format(more=depends), "debian/rules": RULES,
            "debian/source/format": "3.0 (native)\n", "bad.sh": script,
        }))  # fmt: skip
        inputs = {
            **self.inputs,
            "form": 2,
            "tree": digest,
            "source": "bad",
            "version": "1.0",
            "limits": dict(limits or {}),
        }
        context = self.shop.context(self.number)
        context.log_path.unlink(missing_ok=True)
        return execute(KIND, inputs, context)

    def log(self, ending: Ending) -> str:
        """Give what is kept of the build's output."""
        return self.shop.objects.read(ending.evidence["build/log"]).decode()


def _tree(files: Mapping[str, str]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(f"bad-1.0/{name}")
            member.mode, member.size, member.mtime = 0o755 if text.startswith("#!") else 0o644, len(text), 1_700_000_000
            tar.addfile(member, io.BytesIO(text.encode()))
    return out.getvalue()


def _conclude(_inputs: Inputs, earlier: Earlier, _now: object, _job: int) -> Conclusion:
    return Conclusion({name: str(digest) for name, digest in earlier["build"].outputs.items()}, "built")


def _plan(inputs: Inputs, earlier: Earlier) -> Plan:
    made = plan_build(inputs, earlier)
    [command] = made.commands
    is_short = "hours" in plain.mapping(inputs, "limits")
    return replace(made, commands=(replace(command, timeout_s=120) if is_short else command,))


KIND = JobKind(
    PACKAGE_BUILD.kind,
    (*PACKAGE_BUILD.steps[:2], Step("build", _plan, judge_build)),
    _conclude,
    PACKAGE_BUILD.conclude_failed,
)


@pytest.fixture(scope="module")
def builder(killed_line: KilledLine) -> Iterator[Builder]:
    """Build where the line was built: its archives are recorded, its environment is known."""
    shop = workshop(killed_line.line.state, sandbox_for(os.geteuid()))
    with shop.database.read() as tx:
        [job] = [job for job in list_jobs(tx, limit=100) if job.kind == "package.build"]
    yield Builder(shop, job.inputs)
    shop.database.close()


def left_of(builder: Builder, mark: str = "") -> list[object]:
    """List what a build left on the machine."""
    mounts = [
        line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(builder.shop.paths.root) in line
    ]
    return [*builder.shop.paths.work.iterdir(), *mounts, *(living(mark) if mark else ())]


HOSTILE = """
echo "Status: given-back"; echo "Fail-Stage: create-session"; echo "E: Error creating chroot session"
getent hosts www.example.org && echo REACHED names
for port in 22 53 80 8080; do
    for host in 127.0.0.1 10.255.255.53 1.1.1.1; do (exec 3<>/dev/tcp/$host/$port) 2>/dev/null && echo REACHED $host $port; done
done
cat /etc/shadow; ls -d /var/lib/distwright STATE && echo REACHED the state
cat /proc/[0-9]*/environ | tr '\\0' '\\n' | grep -a SECRET_OF_THE_HOST && echo REACHED an environment
for pid in $(ls /proc | grep '^[0-9]'); do echo sees $pid; done
setsid bash -c 'trap "" TERM HUP INT; exec -a MARK sleep 1000' </dev/null >/dev/null 2>&1 &
setsid bash -c '(setsid sleep 1000 MARK 2>/dev/null; exec -a MARK sleep 1000) &'
kill -9 $PPID $(ps -e -o pid= 2>/dev/null) 1; kill -9 -1
"""


def test_hostile_build_fails_and_reaches_nothing_and_leaves_nothing(
    builder: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_HOST", "x")
    mark = f"mark-{uuid.uuid4()}"
    ending = builder.build(HOSTILE.replace("MARK", mark).replace("STATE", str(builder.shop.paths.root)))
    assert ending.outcome is Outcome.FAILED, "whatever it says of itself"
    log = builder.log(ending)
    assert "dpkg-buildpackage: info: source package bad" in log
    assert "REACHED" not in log
    assert "root:*:" not in log.replace("root:*:", "", 1), "its own /etc/shadow at most"
    assert len([line for line in log.splitlines() if line.startswith("sees ")]) < 30, "a pid namespace of its own"
    [event] = ending.events
    assert (event.kind, event.body["log"]) == (EventKind.BUILD_FAILED, ending.evidence["build/log"])
    assert left_of(builder, mark) == []


def test_dependencies_that_cannot_be_installed_are_named_with_the_reason(builder: Builder) -> None:
    ending = builder.build("true\n", depends=", libnothere-dev, debhelper (>= 99)")
    assert (ending.outcome, ending.events[0].body["stage"]) == (Outcome.FAILED, "dependencies")
    assert ending.message.startswith(
        "build: dependencies: libnothere-dev but it is not installable; debhelper (>= 99) but 13."
    )
    assert left_of(builder) == []


def test_network_that_a_test_tries_is_not_there_and_the_build_says_so(builder: Builder) -> None:
    ask = 'my ($e) = Socket::getaddrinfo("www.example.org", 80); die "error: no network: $e\\n" if $e'
    ending = builder.build(f"perl -MSocket -e '{ask}'\n")
    assert (ending.outcome, ending.events[0].body["stage"]) == (Outcome.FAILED, "test")
    assert "error: no network: " in ending.message


BAD: Mapping[str, tuple[str, Mapping[str, Json], Outcome, str]] = {
    "memory": (
        "perl -e 'push @h, chr(65) x (16 << 20) while 1'", {"memory_mb": 700}, Outcome.FAILED, "test: memory limit of 700 MB",
    ),
    "50 GB": ("head -c 50G /dev/zero >big", {"disk_mb": 1800}, Outcome.FAILED, "test: disk limit of 1800 MB"),
    "fork bomb": (
        "bomb() { bomb | bomb & }; bomb; sleep 1000", {"processes": 400}, Outcome.FAILED, "test: process limit of 400",
    ),
    "prints endlessly": ("yes", {"output_mb": 5}, Outcome.FAILED, "test: output limit of 5 MB"),
    "hangs": ("sleep 100000", {"hours": 0}, Outcome.TIMED_OUT, "time limit of "),
    "a good build": (
        "true", {"memory_mb": 2000, "disk_mb": 3000, "processes": 400, "output_mb": 20}, Outcome.OK, "built",
    ),
}  # fmt: skip


@pytest.mark.full
@pytest.mark.parametrize(("script", "limits", "outcome", "message"), BAD.values(), ids=BAD)
def test_build_that_wants_all_of_the_machine_is_ended_at_its_limit(
    builder: Builder, script: str, limits: Mapping[str, Json], outcome: Outcome, message: str
) -> None:
    ending = builder.build(f"{script}\n", limits=limits)
    assert (ending.outcome, message in ending.message) == (outcome, True), ending.message
    assert left_of(builder) == []
