"""What a job costs beside its work, on both databases: from the order to the written end, and with 10,000 others in the queue.

    .venv/bin/python -m benchmarks.dispatch --out dispatch.jsonl [--jobs 100] [--queued 10000]

Jobs of a kind that does nothing, each in a process of its own as always; a worker that runs them one after another; and how long
one that waits takes to be woken. PostgreSQL is a server of Debian's package that syncs each commit, with its data on the same disk.
"""

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median

from tests.worlds.postgres import postgres_cluster
from tests.worlds.state import count_order, placed
from tests.worlds.times import NOW
from tests.worlds.work import ended, kind_of, nothing, start_worker, workshop

from distwright.flow.engines.chosen import engine_of
from distwright.jobs.lease import claim_next
from distwright.jobs.order import place_order
from distwright.jobs.step import Action
from distwright.tools.sandbox import Sandbox


SHARES = 50  # people and branches whose jobs wait, each in four classes


def say(out, **row):
    """Tell and keep a result."""
    row = {"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **row}
    print(json.dumps(row), flush=True)
    with out.open("a") as file:
        file.write(json.dumps(row) + "\n")


def measure(database, folder, url, given):
    """Measure one database. url: "" for the file."""
    shop = workshop(folder / "state", Sandbox(None), url)
    shop.context()  # a worker has read the configuration before it forks
    placing = []
    for number in range(given.jobs):
        began = time.monotonic()
        placed(shop.database, count_order(number))
        placing.append(time.monotonic() - began)
    began = time.monotonic()
    assert ended(start_worker(shop, kind_of(Action("act", nothing)), jobs=given.jobs)) == 0
    took = time.monotonic() - began
    say(given.out, what="dispatch", database=database, jobs=given.jobs, place_ms=round(median(placing) * 1000, 2),
        run_ms_each=round(took / given.jobs * 1000, 2))  # fmt: skip
    for queued in (100, given.queued):
        began = time.monotonic()
        with shop.database.write() as tx:
            for number in range(given.jobs, queued + given.jobs):
                place_order(tx, count_order(number, share=f"person {number % SHARES}", priority=10 * (number % 4)), NOW)
        queuing = time.monotonic() - began
        claims = []
        for _ in range(20):
            began = time.monotonic()
            assert claim_next(shop.database, ["local"], "bench", shop.database.now()) is not None
            claims.append(time.monotonic() - began)
        say(given.out, what="claim", database=database, queued=queued, claim_ms=round(median(claims) * 1000, 2),
            queue_ms_each=round(queuing / queued * 1000, 2))  # fmt: skip
    waiter, hinter, woken = engine_of(shop.database, shop.paths), engine_of(shop.database.reopen(), shop.paths), []
    for _ in range(10):
        thread = threading.Thread(target=lambda: (waiter.wait(("other",), 10), woken.append(time.monotonic())))
        thread.start()
        time.sleep(1)
        began = time.monotonic()
        hinter.hint("other")
        thread.join()
        woken[-1] -= began
    say(given.out, what="wake", database=database, wake_ms=round(median(woken) * 1000, 2))
    shop.database.close()


def main():
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--queued", type=int, default=10_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="distwright-bench-", dir="/var/tmp") as folder:
        os.chmod(folder, 0o755)
        measure("sqlite", Path(folder) / "one", "", given)
        with postgres_cluster(is_durable=True) as cluster:
            measure("postgresql", Path(folder) / "many", cluster.new_database(), given)
    return 0


if __name__ == "__main__":
    sys.exit(main())
