"""Builds of packages, against sbuild called by hand: wall and cpu seconds of whole processes, in one run.

    .venv/bin/python benchmarks/builds.py --out results.jsonl [--state STATE] [--only hello,environment,queue,log,bisection]

Needs the machine for itself, Debian's mirror (or a STATE in which Debian is recorded, which is copied and not changed), and what
`make setup` installs. As root sbuild by hand runs as the system user `distwright`, for it refuses root.
"""

import argparse
import json
import os
import pwd
import shlex
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from statistics import median

PROGRAM = os.environ.get("DISTWRIGHT", str(Path(sys.executable).with_name("distwright")))
USER = "distwright"
SOURCE, WARMING = "hello", "tini"
QUEUED, AT_ONCE = 40, 2
CONFIG = """format = 1
[site]
name = "Bench"
[archive.debian]
kind = "upstream"
suites = ["bookworm"]
keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
origin = "Debian"
label = "Debian"
[archive.bench]
kind = "own"
origin = "Bench"
label = "Bench"
key = { credential = "bench" }
[suite.devel]
archive = "bench"
environment = "build"
[environment.build]
from = ["debian/bookworm"]
include = ["debhelper", "fakeroot"]
"""
# A package that builds in no time: what is left is what every build costs.
TINY = {
    "debian/control": "Source: {name}\nSection: misc\nPriority: optional\nMaintainer: Bench <bench@bench.example>\n"
    "Build-Depends: debhelper-compat (= 13)\nRules-Requires-Root: no\nStandards-Version: 4.6.2\n\n"
    "Package: {name}\nArchitecture: all\nDescription: {name}\n It exists to be built.\n",
    "debian/rules": "#!/usr/bin/make -f\n%:\n\tdh $@\n",
    "debian/source/format": "3.0 (native)\n",
    "debian/changelog": "{name} (1.0) devel; urgency=medium\n\n  * New.\n\n"
    " -- Bench <bench@bench.example>  Mon, 05 Jan 2026 10:00:00 +0000\n",
}


class Run:
    """One process and what it took. own_s: cpu of the process itself and of its direct children while they lived."""

    def __init__(self, argv, *, cwd=None, environment=None, check=True, stderr=subprocess.PIPE):
        """Run it to its end."""
        began, before = time.monotonic(), os.times()
        process = subprocess.Popen(
            argv, cwd=cwd, env={**os.environ, **(environment or {})}, stdout=subprocess.PIPE, stderr=stderr, text=True
        )
        self.stdout, self.stderr = process.communicate()
        after = os.times()
        self.wall_s = time.monotonic() - began
        self.cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
        self.exit_code = process.returncode
        if check and process.returncode:
            raise SystemExit(f"{shlex.join(map(str, argv))}: exit {process.returncode}\n{self.stdout}{self.stderr}")


class Bench:
    """A folder with states, and what was found."""

    def __init__(self, folder, out, repetitions, queued):
        self.folder, self.out, self.repetitions, self.queued = folder, out, repetitions, queued
        self.base = folder / "base"
        self.copies = 0

    def say(self, row):
        """Tell and keep a result."""
        row = {"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **row}
        print(json.dumps(row), flush=True)
        with self.out.open("a") as file:
            file.write(json.dumps(row) + "\n")

    def copy(self):
        """Give a copy of the base state in which nothing of the last measurement is known."""
        self.copies += 1
        state = self.folder / f"state-{self.copies}"
        subprocess.run(["cp", "-a", "--reflink=auto", str(self.base), str(state)], check=True)
        return state

    def prepare(self, given):
        """Record Debian, fetch what the builds need, and make the environment: all that a warm build finds.

        Twice, so that the environment is made of packages that are on this machine: a download is no part of the comparison.
        """
        if given:
            subprocess.run(["cp", "-a", "--reflink=auto", given, str(self.base)], check=True)
        else:
            (self.folder / "distwright.toml").write_text(CONFIG)
            fetched = self.folder / "fetched"
            for state in (fetched, self.base):
                self.distwright("config", "init", str(self.folder), state=state)
                self.distwright("archive", "key", "bench", "--make", state=state)
                self.distwright("archive", "record", "debian", state=state)
                self.build(WARMING, state)
                os.environ["DISTWRIGHT_ALTERNATES"] = str(fetched / "objects")
            self.build(SOURCE, fetched)
        rows = json.loads(self.distwright("snapshot", "list", "debian", "--json", state=self.base).stdout)
        self.serial = rows[0]["serial"]

    def distwright(self, *words, state):
        """Run a command."""
        return Run([PROGRAM, *words, "--state", str(state)])

    def build(self, source, state, *more):
        """Build a source of Debian; whole process."""
        words = ("package", "build", source, "--from", "debian/bookworm", "--environment", "build", *more)
        return self.distwright(*words, state=state)

    def step_seconds(self, state, job):
        """Say how long each step of a job took, by the times in its log."""
        text = self.distwright("job", "log", str(job), state=state).stdout
        marks = []
        for line in text.splitlines():
            clock, _, rest = line.partition(" ")
            if len(clock) == 8 and clock.count(":") == 2 and rest.startswith(("== ", "ok:")):
                hours, minutes, seconds = map(int, clock.split(":"))
                marks.append((hours * 3600 + minutes * 60 + seconds, rest.removeprefix("== ").split(" ")[0]))
        return {name: (later - at) % 86400 for (at, name), (later, _) in zip(marks, marks[1:], strict=False)}

    def by_hand(self, state):
        """Give what calls sbuild as its manual says: a ready tarball whose sources.list names a served snapshot."""
        job = json.loads(self.distwright("job", "list", "--json", state=state).stdout)
        built = next(row for row in job if row["kind"] in ("package.build", "package.try") and row["state"] == "ok")
        inside = self.folder / "hand"
        inside.mkdir(exist_ok=True)
        script = (
            "import sys\nfrom distwright.app import open_app\nfrom distwright.builds.environment import EnvironmentRecipe, environment_plan\n"
            "from distwright.builds.archive_source import read_recorded\nfrom distwright.model import plain\n"
            "from distwright.store.jobs import find_job, find_step_result\nfrom distwright.worker.runner import LocalRunner\n"
            "from distwright.tools.dpkg import installed_versions\nfrom distwright.model.digests import Sha256, digest_of\nimport json\nimport shutil\n"
            "state, number, folder, source = sys.argv[1:]\napp = open_app(state)\n"
            "with app.database.read() as tx:\n    job = find_job(tx, int(number))\n"
            "plan = environment_plan(EnvironmentRecipe.from_json(plain.mapping(job.inputs, 'environment')))\n"
            "key = digest_of({'plan': plan.to_json(), 'host': dict(installed_versions(plan.programs))})\n"
            "with app.database.read() as tx:\n    result = find_step_result(tx, key)\nroot = json.loads(app.objects.read(result))['outputs']['root']\n"
            "shutil.copy(app.objects.path(Sha256(root)), folder + '/root.tar')\n"
            "given = read_recorded(app.command_context(), 'debian/bookworm', source, None)\n"
            "for name, digest in given.files.items():\n    shutil.copy(app.objects.path(digest), folder + '/' + name)\n"
        )
        Run([sys.executable, "-c", script, str(state), str(built["job"]), str(inside), SOURCE])
        return inside

    @contextmanager
    def served(self, state):
        """Serve a state on loopback."""
        argv = [PROGRAM, "serve", "--port", "0", "--state", str(state)]
        with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as process:
            url = process.stderr.readline().split()[0].rstrip("/")
            try:
                yield url
            finally:
                process.send_signal(signal.SIGINT)
                process.wait(30)


def add_sources(tar, url, serial):
    """Put a sources.list into a root."""
    lines = f"deb [trusted=yes check-valid-until=no] {url}/debian/{serial} bookworm main\n".encode()
    with tarfile.open(tar, "a") as archive:
        member = tarfile.TarInfo("./etc/apt/sources.list")
        member.size = len(lines)
        archive.addfile(member, BytesIO(lines))


def measure_hello(bench):
    """A build with a warm environment against sbuild with a ready tarball; alternately, each as often."""
    hand = bench.by_hand(bench.base)
    become = []
    if os.geteuid() == 0:
        become = ["setpriv", "--reuid", USER, "--regid", USER, "--init-groups", "--reset-env", "--"]
        entry = pwd.getpwnam(USER)
        for path in (bench.folder, hand, *hand.iterdir()):
            os.chown(path, entry.pw_uid, entry.pw_gid)
    ours, theirs = [], []
    with bench.served(bench.base) as url:
        add_sources(hand / "root.tar", url, bench.serial)
        dsc = next(hand.glob("*.dsc")).name
        for number in range(bench.repetitions):
            state = bench.copy()
            ours.append(bench.build(SOURCE, state))
            shutil.rmtree(state)
            (out := hand / f"out-{number}").mkdir()
            (home := hand / f"home-{number}").mkdir()
            for path in (out, home) if become else ():
                os.chown(path, entry.pw_uid, entry.pw_gid)
            # What we do besides, lintian and the like, it does not do; what it does, the log, to a file as ours.
            argv = [*become, "env", f"HOME={home}", f"TMPDIR={home}", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8",
                    "sbuild", "--chroot-mode=unshare", f"--chroot={hand}/root.tar", "--dist=bookworm", "--no-run-lintian",
                    "--no-run-piuparts", "--no-run-autopkgtest", "--arch-all", f"--build-dir={out}", "--nolog", f"{hand}/{dsc}"]  # fmt: skip
            theirs.append(Run(argv, cwd=out))
    for name, runs in (("distwright", ours), ("sbuild", theirs)):
        walls = [round(run.wall_s, 1) for run in runs]
        bench.say({"what": "hello", "who": name, "wall_s": walls, "cpu_s": [round(run.cpu_s, 1) for run in runs]})
    ratio = median(run.wall_s for run in ours) / median(run.wall_s for run in theirs)
    cpu = median(run.cpu_s for run in ours) / median(run.cpu_s for run in theirs)
    bench.say({"what": "hello", "ratio_wall": round(ratio, 2), "ratio_cpu": round(cpu, 2), "goal": 1.15})


def measure_environment(bench):
    """An environment made anew against one that is there: the step, by the times of the job's log (whole seconds)."""
    jobs = json.loads(bench.distwright("job", "list", "--json", state=bench.base).stdout)
    numbers = sorted(row["job"] for row in jobs if row["kind"] in ("package.build", "package.try"))
    anew = bench.step_seconds(bench.base, numbers[0])
    state = bench.copy()
    bench.build(SOURCE, state)
    jobs = json.loads(bench.distwright("job", "list", "--json", state=state).stdout)
    reused = bench.step_seconds(state, max(row["job"] for row in jobs))
    shutil.rmtree(state)
    ratio = anew["environment"] / max(reused["environment"], 1)
    bench.say({"what": "environment", "anew_s": anew, "reused_s": reused, "ratio_at_least": round(ratio, 1), "goal": 5})


def tiny_source(folder, name):
    """Make a source package; give its .dsc."""
    tree = folder / f"{name}-1.0"
    for path, text in TINY.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(text.format(name=name))
    (tree / "debian" / "rules").chmod(0o755)
    subprocess.run(["dpkg-source", "--build", tree.name], cwd=folder, check=True, capture_output=True)
    return folder / f"{name}_1.0.dsc"


def measure_queue(bench):
    """Many builds that were queued: how busy the processors are until the last has ended."""
    state = bench.copy()
    sources = bench.folder / "tiny"
    sources.mkdir()
    files = [str(tiny_source(sources, f"tiny{number}")) for number in range(bench.queued)]
    script = (
        "import sys\nfrom distwright.app import open_app\nfrom distwright.builds.dsc_source import read_dsc\n"
        "app = open_app(sys.argv[1])\n"
        "for file in sys.argv[2:]:\n"
        "    app.order_given(read_dsc(app.command_context(), file, None).source, suite=None, environment='build')\n"
    )
    Run([sys.executable, "-c", script, str(state), *files])
    for at_once in (1, AT_ONCE):
        copy = bench.folder / f"queue-{at_once}"
        subprocess.run(["cp", "-a", "--reflink=auto", str(state), str(copy)], check=True)
        before = idle_and_all()
        run = Run([PROGRAM, "worker", "--count", str(at_once), "--until-idle", "--state", str(copy)])
        idle, whole = (after - was for after, was in zip(idle_and_all(), before, strict=True))
        jobs = json.loads(bench.distwright("job", "list", "--limit", "200", "--json", state=copy).stdout)
        done = sum(row["kind"] == "package.try" and row["state"] == "ok" for row in jobs)
        bench.say(
            {
                "what": "queue", "at_once": at_once, "built": done, "wall_s": round(run.wall_s, 1), "cpu_s": round(run.cpu_s, 1),
                "busy_percent": round(100 - 100 * idle / whole, 1), "goal": 90,
            }
        )  # fmt: skip
        shutil.rmtree(copy)


def idle_and_all():
    """Read the time that all processors were idle or waited for the disk, and all of their time (proc(5), /proc/stat)."""
    with Path("/proc/stat").open() as file:
        times = [int(word) for word in file.readline().split()[1:9]]
    return times[3] + times[4], sum(times)


def measure_log(bench):
    """What following a log costs: the process that prints it, against all that the build takes."""
    runs = {}
    for how in ((), ("--follow",)):
        state = bench.copy()
        argv = [
            PROGRAM,
            "package",
            "build",
            SOURCE,
            "--from",
            "debian/bookworm",
            "--environment",
            "build",
            *how,
            "--state",
            str(state),
        ]
        began = os.times()
        process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        own = 0.0
        while process.poll() is None:
            own = own_seconds(process.pid) or own
            time.sleep(0.05)
        after = os.times()
        whole = after.children_user + after.children_system - began.children_user - began.children_system
        runs[bool(how)] = (own, whole)
        shutil.rmtree(state)
    (without, _), (following, whole) = runs[False], runs[True]
    bench.say(
        {
            "what": "log", "cpu_without_s": round(without, 2), "cpu_following_s": round(following, 2), "build_cpu_s": round(whole, 1),
            "percent": round(100 * (following - without) / whole, 2), "goal": 3,
        }
    )  # fmt: skip


def own_seconds(pid):
    """Read the cpu seconds of a process without its children (proc(5), /proc/PID/stat)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure_bisection(bench):
    """How many builds a search over 64 serials takes at most, wherever it breaks; both ends are built too."""
    from distwright.checks.bisection import Answer, Probe, next_step

    most = 0
    for first_bad in range(1, 64):
        answers = {}
        while isinstance(step := next_step(63, answers), Probe):
            answers[step.state] = Answer.BAD if step.state >= first_bad else Answer.GOOD
        assert step.bad == first_bad
        most = max(most, len(answers) - 2)
    bench.say(
        {"what": "bisection", "serials": 64, "builds_between_the_ends": most, "with_both_ends": most + 2, "goal": 7}
    )


MEASURES = {
    "environment": measure_environment,
    "hello": measure_hello,
    "log": measure_log,
    "queue": measure_queue,
    "bisection": measure_bisection,
}


def main():
    """Measure what is wanted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("builds.jsonl"))
    parser.add_argument("--state", help="a state with Debian recorded and an environment called build")
    parser.add_argument("--only", default=",".join(MEASURES))
    parser.add_argument("--reps", type=int, default=3)
    parser.add_argument("--queued", type=int, default=QUEUED)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="distwright-bench-", dir="/var/tmp"))
    folder.chmod(0o755)
    bench = Bench(folder, given.out, given.reps, given.queued)
    try:
        chosen = given.only.split(",")
        if chosen != ["bisection"]:
            bench.prepare(given.state)
        for name in chosen:
            MEASURES[name](bench)
    finally:
        subprocess.run(["rm", "-rf", "--one-file-system", str(folder)], check=False)


if __name__ == "__main__":
    main()
