"""What `distwright serve` costs while nobody asks: memory of its processes, and how much of a core, in a minute.

    .venv/bin/python benchmarks/idle.py --out idle.jsonl [--state DIR] [--seconds 60]

Without --state a kept state of the tests is used. Memory is Pss: pages that several processes share count once.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DISTWRIGHT = Path(sys.executable).parent / "distwright"


def family(pid):
    """List a process and those below it."""
    below = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(each for child in below for each in family(int(child)))]


def cost(pids):
    """Give Pss in bytes, and seconds of processor, of some processes together."""
    memory = seconds = 0
    for pid in pids:
        [line] = [
            line for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines() if line.startswith("Pss:")
        ]
        memory += int(line.split()[1]) * 1024
        user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[11:13]
        seconds += (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    return memory, seconds


def measure(state, seconds):
    """Serve a state, ask for one page, and watch."""
    with subprocess.Popen(
        [DISTWRIGHT, "serve", "--port", "0", "--state", state], stderr=subprocess.PIPE, text=True
    ) as serve:
        try:
            url = serve.stderr.readline().split()[0]
            with urllib.request.urlopen(url) as page:
                assert page.status == 200
            time.sleep(10)
            pids = family(serve.pid)
            _, before = cost(pids)
            time.sleep(seconds)
            memory, after = cost(pids)
        finally:
            serve.terminate()
    return {"what": "idle serve", "processes": len(pids), "pss_mb": round(memory / 1e6, 1),
            "percent_of_a_core": round((after - before) / seconds * 100, 2)}  # fmt: skip


def main():
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--state", type=Path)
    parser.add_argument("--seconds", type=int, default=60)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="distwright-bench-", dir="/var/tmp") as folder:
        if given.state is None:
            kept = sorted((ROOT / "tests/states").glob("v*.tar.xz"))[-1]
            subprocess.run(["tar", "--extract", "--file", kept, "--directory", folder], check=True)
        row = {"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
               **measure(given.state or Path(folder, "state"), given.seconds)}  # fmt: skip
    print(json.dumps(row))
    with given.out.open("a") as file:
        file.write(json.dumps(row) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
