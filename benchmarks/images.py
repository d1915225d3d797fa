"""Images, against live-build with the same packages: wall seconds on one machine, in one run, with all packages on it already.

    .venv/bin/python -m benchmarks.images --out images.jsonl [--only distwright,live-build]

Wants the machine for itself, root for live-build (which is installed from Debian if it is not there) and an hour. The example is
carried to its image, then built again after one change each time; what an image's own job took counts, its boot does not. One
own package is changed twice more for layers: the first one on an image unpacks its root.
live-build gets the same packages, zstd for its squashfs, no documentation, and packages that it has fetched in a build before.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from benchmarks.builds import PROGRAM, Run

EXAMPLE = Path(__file__).parents[1] / "examples" / "petrel"
_TOOK = """
import json, sys
from distwright.app import open_app
from distwright.store.jobs import attempts_of, list_jobs
app = open_app(sys.argv[1])
with app.database.read() as tx:
    job = next(job for job in list_jobs(tx, limit=200) if job.kind == "image.build" and job.outcome == "ok")
    attempts = attempts_of(tx, job.id)
print(json.dumps({"job": job.id, "took_s": sum((one.finished_at - one.started_at).total_seconds() for one in attempts)}))
"""
# The package as the example has it now is pushed, built and published; then the layer.
_LAYER = """
import json, sys
from pathlib import Path
from distwright.app import open_app
from distwright.cli.image_layer import build_layer
from distwright.cli.watch import TerminalWatcher
from distwright.model.outcomes import JobState
from distwright.site.example import push_folder
from distwright.store.jobs import attempts_of, list_jobs
app = open_app(sys.argv[1])
push_folder(Path(sys.argv[2]), app.paths.repo(Path(sys.argv[2]).name), "main", without=None, tag=True)
job = build_layer(app, "petrel", TerminalWatcher(app.paths.job_log, follow=False))
with app.database.read() as tx:
    attempts, waiting = attempts_of(tx, job.id), list_jobs(tx, states=[JobState.QUEUED])
for other in waiting:
    app.cancel_job(other.id)
took_s = sum((one.finished_at - one.started_at).total_seconds() for one in attempts)
print(json.dumps({"job": job.id, "message": job.message, "took_s": took_s}))
"""
_LB = (
    "--distribution", "bookworm", "--architectures", "amd64", "--archive-areas", "main", "--apt-recommends", "false", "--apt-indices",
    "false", "--binary-images", "iso-hybrid", "--debian-installer", "none", "--memtest", "none", "--security", "false", "--updates", "false",
    "--chroot-squashfs-compression-type", "zstd", "--bootloaders", "grub-pc,grub-efi", "--firmware-chroot", "false", "--win32-loader",
    "false", "--cache-packages", "true", "--apt-options", "--yes -o Acquire::Retries=0", "--zsync", "false", "--checksums", "none",
)  # fmt: skip


class Disk:
    """How much more of the disk was taken at most, looked at ten times a second."""

    def __init__(self, place):
        """Begin to look."""
        self._place, self._end = place, threading.Event()
        self._first, self.most = self._used(), 0
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _used(self):
        status = os.statvfs(self._place)
        return (status.f_blocks - status.f_bfree) * status.f_frsize

    def _look(self):
        while not self._end.wait(0.1):
            self.most = max(self.most, self._used() - self._first)

    def stop(self):
        """Stop; give MB."""
        self._end.set()
        self._thread.join()
        return round(self.most / 1e6)


class Bench:
    """A folder with the example and its states, and what was found."""

    def __init__(self, folder, out):
        self.folder, self.out = folder, out
        self.example, self.state = folder / "petrel", folder / "state"
        self.seconds = {}

    def say(self, **row):
        """Tell and keep a result."""
        row = {"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **row}
        print(json.dumps(row), flush=True)
        with self.out.open("a") as file:
            file.write(json.dumps(row) + "\n")

    def demo(self, state):
        """Carry the example to its image; give what the newest image's job took, and the steps of its log that did something."""
        Run([PROGRAM, "demo", str(self.example), "--state", str(state)])
        took = json.loads(Run([sys.executable, "-c", _TOOK, str(state)]).stdout)
        return took["took_s"], self.steps(state, took["job"])

    def layer(self, state):
        """Publish the example's package as it is, and build the image as a layer; as `demo`."""
        argv = [sys.executable, "-c", _LAYER, str(state), str(self.example / "packages" / "petrel-greeter")]
        took = json.loads(Run(argv).stdout.splitlines()[-1])
        assert "a layer on" in took["message"], took
        return took["took_s"], self.steps(state, took["job"])

    def steps(self, state, job):
        """List the steps of a job that were not known."""
        log = Run([PROGRAM, "job", "log", str(job), "--state", str(state)]).stdout
        steps = re.findall(r"^\S+ == (\S+)", log, re.MULTILINE)
        known = re.findall(r"^\S+ (\S+) is known already", log, re.MULTILINE)
        beside = re.findall(r"^\S+ (\S+) was made beside", log, re.MULTILINE)
        return [step for step in steps if step not in known or step in beside]

    def change(self, path, pattern, words):
        """Replace something in a file of the example."""
        file = self.example / path
        text, count = re.subn(pattern, words, file.read_text(), count=1, flags=re.MULTILINE)
        assert count == 1, (path, pattern)
        file.write_text(text)


def measure_distwright(bench):
    """The example's image: cold, and after one change each time."""
    shutil.copytree(EXAMPLE, bench.example, symlinks=True)
    bench.change("distwright.toml", r"^outputs = .*$", 'outputs = ["iso"]')
    bench.change("distwright.toml", r"^persistence_mb = .*\n", "")
    fetched = bench.folder / "fetched"
    bench.demo(fetched)
    os.environ["DISTWRIGHT_ALTERNATES"] = str(fetched / "objects")
    disk = Disk(bench.folder)
    changes = (
        ("cold", None),
        ("hook", ("images/petrel/hooks/0100-petrel.hook.chroot", r"\Z", "\n# changed\n")),
        ("include", ("images/petrel/includes.chroot/etc/motd", r"\Z", "changed\n")),
        ("own package", ("packages/petrel-greeter/debian/changelog", r"\A[^\n]*\n", "petrel-greeter (1.0.1) bookworm; urgency=medium\n")),
        ("menu", ("distwright.toml", r"^kernel_options = \[", 'kernel_options = ["quiet", ')),
    )  # fmt: skip
    for what, change in changes:
        if change is not None:
            bench.change(*change)
        took_s, steps = bench.demo(bench.state)
        bench.seconds[what] = took_s
        more = {"peak_disk_mb": disk.stop()} if what == "cold" else {}
        bench.say(what=what, who="distwright", wall_s=round(took_s, 1), steps=steps, **more)
    run = Run([PROGRAM, "image", "build", "petrel", "--state", str(bench.state)])
    bench.seconds["nothing"] = run.wall_s
    bench.say(what="nothing", who="distwright", wall_s=round(run.wall_s, 2), goal_s=0.5)
    for number, what in ((2, "first layer"), (3, "layer")):
        bench.change(
            "packages/petrel-greeter/debian/changelog",
            r"\A[^\n]*\n",
            f"petrel-greeter (1.0.{number}) bookworm; urgency=medium\n",
        )
        took_s, steps = bench.layer(bench.state)
        bench.seconds[what] = took_s
        bench.say(what=what, who="distwright", wall_s=round(took_s, 1), steps=steps)


def measure_live_build(bench):
    """The same packages: a build that fetches, then one that is timed."""
    if shutil.which("lb") is None:
        subprocess.run(["apt-get", "install", "-y", "-qq", "live-build"], check=True, stdout=subprocess.DEVNULL)
    tree = bench.folder / "live-build"
    tree.mkdir()
    mirror = Run(
        ["apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages", "Codename: bookworm"]
    ).stdout.split()[0]
    mirrors = [word for name in ("bootstrap", "chroot", "binary") for word in (f"--mirror-{name}", mirror)]
    Run(["lb", "config", *_LB, *mirrors], cwd=tree)
    packages = [
        line for line in (EXAMPLE / "images/petrel/package-lists/base.list.chroot").read_text().splitlines()
        if line and not line.startswith("#") and line != "petrel-greeter" and not line.startswith("linux-image")
    ]  # fmt: skip
    (tree / "config/package-lists/petrel.list.chroot").write_text("\n".join(packages) + "\n")
    dpkg = tree / "config/includes.chroot_before_packages/etc/dpkg/dpkg.cfg.d/no-documentation"
    dpkg.parent.mkdir(parents=True)
    dpkg.write_text(
        "path-exclude=/usr/share/doc/*\npath-include=/usr/share/doc/*/copyright\npath-exclude=/usr/share/man/*\n"
    )
    bench.say(
        what="cold, with what it fetches", who="live-build", wall_s=round(Run(["lb", "build"], cwd=tree).wall_s, 1)
    )
    Run(["lb", "clean"], cwd=tree)  # keeps the packages, and the stage of debootstrap, which is to be made again
    subprocess.run(["rm", "-rf", "--one-file-system", "cache/bootstrap"], cwd=tree, check=True)
    Run(["lb", "config", *_LB, *mirrors], cwd=tree)
    disk = Disk(bench.folder)
    run = Run(["lb", "build"], cwd=tree)
    bench.seconds["live-build"] = run.wall_s
    root_mb = int(Run(["du", "-sm", "chroot"], cwd=tree).stdout.split()[0]) if (tree / "chroot").exists() else 0
    bench.say(
        what="cold",
        who="live-build",
        wall_s=round(run.wall_s, 1),
        cpu_s=round(run.cpu_s, 1),
        root_mb=root_mb,
        peak_disk_mb=disk.stop(),
    )


GOALS = {"cold": 5, "hook": 20, "include": 20, "own package": 60, "menu": 90, "layer": 60}
MEASURES = {"distwright": measure_distwright, "live-build": measure_live_build}


def main():
    """Measure what is wanted, and say the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("images.jsonl"))
    parser.add_argument("--only", default=",".join(MEASURES))
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="distwright-bench-", dir="/var/tmp"))
    folder.chmod(0o755)
    bench = Bench(folder, given.out.absolute())
    try:
        for name in given.only.split(","):
            MEASURES[name](bench)
        theirs = bench.seconds.get("live-build")
        for what, goal in GOALS.items() if theirs else ():
            if what in bench.seconds:
                bench.say(what=what, ratio=round(theirs / bench.seconds[what], 1), goal=goal)
    finally:
        subprocess.run(["rm", "-rf", "--one-file-system", str(folder)], check=False)


if __name__ == "__main__":
    main()
