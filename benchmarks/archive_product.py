"""distwright as one more peer of the archive benchmark: every operation is a whole process, as a person would type it.

Read by archive_peers.py, which defines Peer, P (the folder of the data), KEY and ENV before this is run.
"""

import atexit
import json
import os
import subprocess
import sys
import time
from pathlib import Path

# A serial is a date and two digits, so 560 snapshots take a week: the clock is moved on by libfaketime, whose file says how far.
FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"
A_DAY = 90  # snapshots
PROGRAM = os.environ.get("DISTWRIGHT", str(Path(sys.executable).with_name("distwright")))
CONFIG = """format = 1

[site]
name = "Bench"
url = "https://bench.example"

[archive.bench]
kind = "own"
origin = "Bench"
label = "Bench"
key = { credential = "bench" }

[suite.bookworm]
archive = "bench"

[suite.frozen]
archive = "bench"
"""


class Product(Peer):  # noqa: F821  # given by the one that reads this file
    """An own archive with the suites bookworm and frozen."""

    name = "distwright"
    program = PROGRAM

    def setup(self):
        """Make the installation and its key; the state is everything below self.base."""
        state = f"{self.base}/state"
        if not self.keep:
            Path(self.base, "distwright.toml").write_text(CONFIG)
            for words in (["config", "init", self.base], ["archive", "key", "bench", "--make"]):
                done = subprocess.run([PROGRAM, *words, "--state", state], check=True, capture_output=True)
            Path(self.base, "bench.asc").write_bytes(done.stdout)
        if os.environ.get("SNAPSHOT_DAYS"):
            self.clock = Path(self.base, "clock")
            self.clock.write_text("+0d\n")
            ENV.update(FAKETIME_TIMESTAMP_FILE=str(self.clock), FAKETIME_CACHE_DURATION="1")  # noqa: F821
            self.program = f"env LD_PRELOAD={FAKETIME} {PROGRAM}"
        d = lambda words: f"{self.program} {words} --state {state}"  # noqa: E731
        self.d = d
        if os.environ.get("RESIDENT"):
            self.resident_pid = self.start_server(state)
        one = f"{self.data}/debs/3dchess_*.deb"
        self.ops = {
            "import": d(f"suite add bookworm --link {self.data}/debs"),
            "publish1": d("suite publish bookworm"),
            "import_dsc50": d(f"suite add bookworm $(ls {self.data}/dsc/*.dsc | head -50)"),
            "snap_create+publish": d("snapshot take bench bookworm --publish"),
            "import_1pct": d(f"suite add bookworm --link {self.d1}/debs"),
            "republish_1pct": d("suite publish bookworm"),
            "snap2": d("snapshot take bench bookworm --publish"),
            "copy_suite": d("suite reset frozen bookworm"),
            "publish_copy": d("suite publish frozen"),
            "list": d("suite show bookworm"),
            "diff": d("suite diff bookworm frozen"),
            "remove_one+publish": d("suite remove bookworm 3dchess --publish"),
            "one_upload+publish": d(f"suite add bookworm --link --publish {one}"),
            "noop_export": d("suite publish bookworm"),
        }

    def start_server(self, state):
        """Start `distwright serve`, and give the process that answers commands: it is the server's child."""
        log = Path(self.base, "serve.log").open("wb")
        words = [*self.program.split(), "serve", "--port", "8399", "--state", state]
        self.server = subprocess.Popen(words, stdout=log, stderr=log, env=ENV)  # noqa: F821
        atexit.register(self.server.terminate)
        while not Path(state, "run/command.sock").exists():
            time.sleep(0.1)
        return int(Path(f"/proc/{self.server.pid}/task/{self.server.pid}/children").read_text().split()[0])

    def touch(self, files):
        """Add some packages and publish."""
        return self.d(f"suite add bookworm --link --publish {files}")

    def snaps(self, first, last):
        """Take and publish snapshots, one by one."""
        one = self.d("snapshot take bench bookworm --publish")
        next_day = f"if [ $((i % {A_DAY})) = 0 ]; then echo +$((i / {A_DAY}))d >{self.base}/clock; sleep 1.2; fi; "
        return f"for i in $(seq {first} {last}); do {next_day if last > A_DAY else ''}{one} || exit 1; done"

    def drops(self, first, last):
        """Drop the oldest hundred of them (all, if there are fewer), and collect."""
        listed = json.loads(
            subprocess.run([PROGRAM, "snapshot", "list", "bench", "--json", "--state", f"{self.base}/state"],
                           check=True, capture_output=True).stdout
        )  # fmt: skip
        serials = sorted(row["serial"] for row in listed)[: min(last - first + 1, 100)]
        return f"{self.d('snapshot drop bench --apply ' + ' '.join(serials))} && {self.d('archive collect --apply')}"

    def apt_line(self):
        """Say how apt reads it."""
        return f"deb [signed-by={self.base}/bench.asc] file:{self.base}/state/public/bench bookworm main"
