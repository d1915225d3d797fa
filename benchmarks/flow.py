"""What hosting adds to a push: wall seconds of whole pushes, in one run, each way in turn.

    .venv/bin/python benchmarks/flow.py --out flow.jsonl [--reps 40] [--only push,hook,apply,branches]

Needs gitolite3 and git, no network and no sshd: pushes go to a folder, and to Gitolite's shell in the place of ssh, so that what
is measured is the server's part. Nothing listens to the spool.
"""

import argparse
import base64
import json
import os
import pwd
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

from distwright.app import open_app
from distwright.config.tables import Repo
from distwright.repos.active import active_branches
from distwright.repos.configured import begin_hosting
from distwright.repos.hosting import make_repo
from distwright.site.applied import apply_config
from distwright.store.paths import StatePaths

GIT = {
    "PATH": "/usr/bin:/bin",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_SYSTEM": "/dev/null",
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@b",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@b",
    "LC_ALL": "C.UTF-8",
}
USER = "games" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
SHELL = "/usr/share/gitolite3/gitolite-shell"
BRANCHES, COMMITS, OF_A_TOPIC = 350, 165_000, 40
NOW = datetime(2026, 11, 30, tzinfo=UTC)


def run(*argv, cwd=None, stdin=None, environment=None):
    """Run it; give the wall seconds."""
    began = time.monotonic()
    done = subprocess.run(
        argv, cwd=cwd, input=stdin, env={**GIT, **(environment or {})}, capture_output=True, text=True
    )
    took = time.monotonic() - began
    if done.returncode:
        raise SystemExit(f"{argv}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return took


def clone(folder, branches=0):
    """Make a repository with a commit, and many branches."""
    run("git", "init", "--quiet", "--initial-branch=main", str(folder))
    run("git", "commit", "--quiet", "--allow-empty", "-m", "first", cwd=folder)
    if branches:
        refs = "".join(f"create refs/heads/topic/{number} HEAD\n" for number in range(branches))
        run("git", "update-ref", "--stdin", cwd=folder, stdin=refs)
    return folder


def push(work, remote, environment=None):
    """Push one more commit to main."""
    run("git", "commit", "--quiet", "--allow-empty", "-m", "next", cwd=work)
    return run("git", "push", "--quiet", remote, "HEAD:main", cwd=work, environment=environment)


def say(out, row):
    """Tell and keep a result."""
    row = {"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **row}
    print(json.dumps(row), flush=True)
    with out.open("a") as file:
        file.write(json.dumps(row) + "\n")


def rows(times):
    """Sum up some times."""
    times = sorted(times)
    return {"median_ms": round(median(times) * 1000, 2), "worst_ms": round(times[-1] * 1000, 2), "reps": len(times)}


def measure_push(folder, out, reps):
    """A push without any hook, and with ours: to a folder, in turn."""
    paths = StatePaths(folder / "state")
    paths.make()
    hooked = make_repo(paths, "hooked", "main")
    bare = make_repo(paths, "bare", "main")
    (bare / "hooks" / "post-receive").unlink()
    work = clone(folder / "work")
    times = {"bare": [], "hooked": []}
    for number in range(reps + 2):
        for name, remote in (("bare", bare), ("hooked", hooked)):
            took = push(work, str(remote))
            if number >= 2:
                times[name].append(took)
    without, with_hook = (rows(times[name]) for name in ("bare", "hooked"))
    ratio = round(with_hook["median_ms"] / without["median_ms"], 3)
    say(out, {"what": "push", "without_hook": without, "with_hook": with_hook, "ratio": ratio})


def measure_hook(folder, out, reps):
    """The hook by itself, of a push of one ref and of 1000; nothing listens."""
    paths = StatePaths(folder / "state")
    paths.make()
    hook = make_repo(paths, "hooked", "main") / "hooks" / "post-receive"
    for refs in (1, 1000):
        text = "".join(f"{'0' * 40} {'a' * 40} refs/heads/topic/{number}\n" for number in range(refs))
        times = [run(str(hook), stdin=text) for _ in range(reps)]
        nothing = [run("/bin/true") for _ in range(reps)]
        say(out, {"what": "hook", "refs": refs, "hook": rows(times), "true": rows(nothing)})


def key(name):
    """Give a public key that nobody has."""
    blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + name.encode().ljust(32, b"x")
    return f"ssh-ed25519 {base64.b64encode(blob).decode()}"


def measure_apply(folder, out, reps):
    """What Gitolite adds: apply of 30 persons and 20 repos, the first, none and one change; a push with 350 branches through it."""

    def config(more):
        persons = "".join(
            f'[person.p{n}]\nname = "p"\nemail = "p@example.org"\nkeys = []\nroles = ["all"]\nssh_keys = ["{key(f"p{n}{more}")}"]\n'
            for n in range(30)
        )
        repos = "".join(f'[repo.r{n}]\nmaintain = ["@all"]\n' for n in range(20))
        return f'format = 1\n[site]\nname = "Bench"\ngit_user = "{USER}"\n{repos}{persons}'

    folder.chmod(0o755)
    state = folder / "state"

    def apply(more):
        app = open_app(str(state), create=True)
        began = time.monotonic()
        apply_config(
            {"distwright.toml": config(more)},
            {},
            "0" * 40,
            database=app.database,
            objects=app.objects,
            paths=app.paths,
            now=datetime.now(UTC),
        )
        begin_hosting(app.config(), app.paths, app.now())
        app.database.close()
        return time.monotonic() - began

    first = apply("")
    none = [apply("") for _ in range(5)]
    one = [apply(str(number)) for number in range(3)]
    say(
        out, {"what": "apply", "first_ms": round(first * 1000), "unchanged": rows(none), "every_key_changed": rows(one)}
    )
    become = ["setpriv", "--reuid", USER, "--regid", USER, "--clear-groups", "--"] if os.geteuid() == 0 else []
    ssh = folder / "ssh"
    home = state / "hosting"
    ssh.write_text(
        f'#!/bin/sh\nshift $(($# - 1))\nexec {" ".join(become)} env HOME={home} SSH_CONNECTION="127.0.0.1 1 127.0.0.1 22" '
        f'SSH_ORIGINAL_COMMAND="$1" {SHELL} p1\n'
    )
    ssh.chmod(0o755)
    work = clone(folder / "work", BRANCHES)
    environment = {"GIT_SSH": str(ssh), "GIT_SSH_VARIANT": "simple"}
    run("git", "push", "--quiet", "ssh://git@host/r1", "--all", cwd=work, environment=environment)
    run("git", "init", "--quiet", "--bare", str(folder / "plain.git"))
    run("git", "push", "--quiet", str(folder / "plain.git"), "--all", cwd=work)
    times = {"plain": [], "gitolite": [], "new branch": []}
    for number in range(reps):
        times["plain"].append(push(work, str(folder / "plain.git")))
        times["gitolite"].append(push(work, "ssh://git@host/r1", environment))
        words = ("git", "push", "--quiet", "ssh://git@host/r1", f"HEAD:refs/heads/new/{number}")
        times["new branch"].append(run(*words, cwd=work, environment=environment))
    say(out, {"what": "push with 350 branches", **{name: rows(found) for name, found in times.items()}})


def history():
    """Give what makes a repository as `git fast-import` reads it: a base, and topics that left it one after another."""
    base = COMMITS - BRANCHES * OF_A_TOPIC
    ends = int(NOW.timestamp())
    step = 3600 * 24 * 365 * 10 // base

    def one(branch, number, seconds, before):
        begun = f"from {before}\n" if before else ""
        text = f"{branch} {number}"
        return (
            f"commit refs/heads/{branch}\nmark :{number}\ncommitter a <a@b> {seconds} +0000\n"
            f"data {len(text)}\n{text}\n{begun}M 100644 inline file{number % 50}\ndata {len(text)}\n{text}\n"
        )

    for number in range(1, base + 1):
        yield one("main", number, ends - (base - number) * step, "")
    mark = base
    for topic in range(BRANCHES):
        left = base - topic * 20 - 1
        before = f":{left}"
        for _ in range(OF_A_TOPIC):
            mark += 1
            yield one(f"topic/{topic}", mark, ends - (base - left) * step + mark % OF_A_TOPIC, before)
            before = ""


def measure_branches(folder, out, reps):
    """Which of 350 branches in 165,000 commits are active: one look, and one rev-list per branch."""
    paths = StatePaths(folder / "state")
    paths.make()
    repo = make_repo(paths, "many", "main")
    run("git", "-C", str(repo), "fast-import", "--quiet", stdin="".join(history()))
    table = Repo()
    for kind, prepare in (("as pushed", ()), ("with a commit graph", ("commit-graph", "write", "--reachable"))):
        if prepare:
            run("git", "-C", str(repo), *prepare)
        found, looks = (), []
        for _ in range(max(3, reps // 8)):
            began = time.monotonic()
            found = active_branches(repo, table, NOW)
            looks.append(time.monotonic() - began)
        since = f"--since={int((NOW - timedelta(days=table.active_days)).timestamp())}"
        each, counted = 0.0, 0
        for topic in range(BRANCHES):
            words = ("git", "-C", str(repo), "rev-list", "--count", since, f"topic/{topic}", "^main")
            began = time.monotonic()
            counted += subprocess.run(words, env=GIT, capture_output=True, check=True).stdout.strip() != b"0"
            each += time.monotonic() - began
        if counted != len(found) - 1:
            raise SystemExit(f"one look finds {len(found) - 1} topics, one rev-list per branch {counted}")
        ratio = round(each / median(looks), 1)
        say(out, {"what": "active branches", "repo": kind, "branches": BRANCHES, "commits": COMMITS, "active": len(found),
            "one look": rows(looks), "one rev-list each_ms": round(each * 1000), "ratio": ratio})  # fmt: skip


def main():
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--reps", type=int, default=40)
    parser.add_argument("--only", default="push,hook,apply,branches")
    given = parser.parse_args()
    measures = {"push": measure_push, "hook": measure_hook, "apply": measure_apply, "branches": measure_branches}
    for name in given.only.split(","):
        with tempfile.TemporaryDirectory(prefix="distwright-bench-", dir="/var/tmp") as folder:
            measures[name](Path(folder), given.out, given.reps)
    return 0


if __name__ == "__main__":
    sys.exit(main())
