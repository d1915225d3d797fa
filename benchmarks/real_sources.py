"""Build real sources of Debian, build each again in other circumstances, and hold the packages against Debian's own.

    .venv/bin/python -m benchmarks.real_sources --out real_sources.md [--state STATE] [--sources hello,sed] [--at-once 2]

Writes a table in Markdown. STATE: an installation with archive debian recorded and an environment called build; else one is made.
"""

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path

from tests.system.building import Builder, builder_of_debian
from tests.system.line import Line
from tests.worlds.real_sources import DIFFERS, REBUILT, SAME, SOURCES, UNEXPLAINED, against_debian

from distwright.model import plain


def row_of(builder, source):
    """Build a source and give its row of the table."""
    code, answer, said = builder.call("package", "build", source, "--from", "debian/bookworm", "--environment", "build")
    if code:
        return [source, "does not build", "", "", said.strip().splitlines()[-1]], []
    [build] = answer
    _, again, _ = builder.call("package", "rebuild", str(build["job"]))
    app = builder.app()
    files = plain.digest_map(build["outputs"], "files")
    packages = against_debian(app, "debian", "bookworm", builder.serial, files)
    app.database.close()
    reasons = dict.fromkeys(reason for one in packages if one.verdict == DIFFERS for reason in one.reasons)
    rebuilt = [f"Debian built it again as {', '.join(one.reasons)}" for one in packages if one.verdict == REBUILT][:1]
    same = sum(one.verdict == SAME for one in packages)
    compared = sum(one.verdict in (SAME, DIFFERS) for one in packages)
    told = "; ".join([*rebuilt, *reasons])
    return [source, build["message"].split()[1], again["verdict"], f"{same} of {compared}", told], packages


def main():
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("real_sources.md"))
    parser.add_argument("--state", type=Path)
    parser.add_argument("--sources", default=",".join(SOURCES))
    parser.add_argument("--at-once", type=int, default=2)
    given = parser.parse_args()
    sources = given.sources.split(",")
    if given.state is None:
        place = builder_of_debian()
    else:
        line = Line(given.state)
        place = nullcontext(Builder(line, line.answer("snapshot", "list", "debian")[0]["serial"]))
    with place as builder, ThreadPoolExecutor(given.at_once) as pool:
        first = row_of(builder, sources[0])  # alone: it makes the environment of all
        found = [first, *pool.map(lambda source: row_of(builder, source), sources[1:])]
        rows = [row for row, _ in found]
        packages = [one for _, some in found for one in some]
    same, differing = (sum(one.verdict == verdict for one in packages) for verdict in (SAME, DIFFERS))
    open_ones = sum(any(reason.startswith(UNEXPLAINED) for reason in one.reasons) for one in packages)
    headings = ["source", "version", "built again", "the same as Debian's", "what a newer toolchain explains"]
    table = "\n".join(f"| {' | '.join(row)} |" for row in [headings, ["---"] * len(headings), *rows])
    summary = (
        f"{datetime.now(UTC):%Y-%m-%d}, serial {builder.serial}: of {same + differing} packages that Debian has in this version, "
        f"{same} are the same, byte for byte; of the others {differing - open_ones} are explained."
    )
    given.out.write_text(f"{summary}\n\n{table}\n")
    sys.stdout.write(given.out.read_text())


if __name__ == "__main__":
    main()
