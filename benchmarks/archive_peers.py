#!/usr/bin/env python3
"""Measure APT repository managers as whole processes, operation by operation, peers interleaved.

  archive_peers.py --size 1k [--peers reprepro,aptly,apt-ftparchive] [--product FILE.py] [--reps 3] [--snaps 1,10] --out results.jsonl

Each operation is one shell command line; wall, cpu (user+sys of all waited children) and peak RSS of the largest
process come from wait4.  Data come from archive_data.py: data/SIZE, data/SIZE-d1 (next day) and data/SIZE-tK (for --snaps K).
FILE.py defines one more subclass of Peer named Product, with the same operations; see README.md.
"""

import argparse, json, os, shutil, subprocess, sys, time

P = os.path.abspath(os.environ.get("BENCH_DIR", ".bench"))
if not os.path.exists(f"{P}/keyid"):
    sys.exit(f"{P} is not prepared: run archive_setup first")
KEY = open(f"{P}/keyid").read().strip()
ENV = dict(os.environ, GNUPGHOME=f"{P}/gnupg", LC_ALL="C.UTF-8")


def du(path):
    seen, b, n = set(), 0, 0
    for r, ds, fs in os.walk(path):
        for x in ds + fs:
            st = os.lstat(os.path.join(r, x))
            if st.st_ino not in seen:
                seen.add(st.st_ino)
                b += st.st_blocks * 512
                n += 1
    return b, n


def resident_cpu(pid):
    if not pid:
        return 0.0
    f = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()
    return sum(map(int, f[11:15])) / os.sysconf("SC_CLK_TCK")


def timed(cmd, cwd=None, log=None, pid=None):
    os.sync()
    before = resident_cpu(pid)
    with open(log or "/dev/null", "ab") as lf:
        t = time.perf_counter()
        p = subprocess.Popen(["/bin/sh", "-c", cmd], cwd=cwd, env=ENV, stdin=subprocess.DEVNULL, stdout=lf, stderr=lf)
        _, st, ru = os.wait4(p.pid, 0)
        w = time.perf_counter() - t
        p.returncode = os.waitstatus_to_exitcode(st)
    return dict(
        rc=p.returncode,
        wall=round(w, 4),
        cpu=round(ru.ru_utime + ru.ru_stime + resident_cpu(pid) - before, 4),
        rss=ru.ru_maxrss // 1024,
        wb=ru.ru_oublock * 512,
    )


class Peer:
    ops = {}
    keep = False
    resident_pid = None  # of a resident process that does part of the work: its cpu is added to each operation

    def __init__(self, size, rep):
        self.base = f"{P}/run/{self.name}-{size}"
        self.data, self.d1 = f"{P}/data/{size}", f"{P}/data/{size}-d1"
        if not self.keep:
            shutil.rmtree(self.base, ignore_errors=True)
            os.makedirs(self.base)
        self.setup()


class Reprepro(Peer):
    name = "reprepro"

    def setup(self):
        os.makedirs(f"{self.base}/conf", exist_ok=True)
        d = ""
        for c in ("bookworm", "frozen"):
            d += (
                f"Codename: {c}\nArchitectures: amd64 source\nComponents: main\nSignWith: {KEY}\n"
                "DebIndices: Packages Release . .gz .xz\nDscIndices: Sources Release . .gz .xz\n\n"
            )
        open(f"{self.base}/conf/distributions", "w").write(d)
        r = f"reprepro -b {self.base}"
        q = "--export=silent-never"
        xa = f"xargs -0 -s 1900000 -n 100000 {r} {q} includedeb bookworm"
        self.ops = {
            "import": f"find {self.data}/debs -name '*.deb' -print0 | {xa}",
            "publish1": f"{r} export bookworm",
            "import_dsc50": f"ls {self.data}/dsc/*.dsc | head -50 | xargs -n1 {r} {q} -S misc -P optional includedsc bookworm",
            "snap_create+publish": f"{r} gensnapshot bookworm s1",
            "import_1pct": f"find {self.d1}/debs -name '*.deb' -print0 | {xa}",
            "republish_1pct": f"{r} export bookworm",
            "snap2": f"{r} gensnapshot bookworm s2",
            "copy_suite": f"{r} {q} copymatched frozen bookworm '*'",
            "publish_copy": f"{r} export frozen",
            "list": f"{r} list bookworm",
            "diff": f"{r} list bookworm > {self.base}/a; {r} list frozen > {self.base}/b; diff {self.base}/a {self.base}/b; rm {self.base}/[ab]",
            "remove_one+publish": f"{r} remove bookworm 3dchess",
            "one_upload+publish": f"{r} includedeb bookworm {self.data}/debs/3dchess_*.deb",
            "noop_export": f"{r} --export=changed export bookworm",
        }

    def touch(self, g):
        return f"reprepro -b {self.base} includedeb bookworm {g}"

    def snaps(self, a, b):
        return f"for i in $(seq {a} {b}); do reprepro -b {self.base} gensnapshot bookworm n$i || exit 1; done"

    def one_more(self, i):
        return f"reprepro -b {self.base} gensnapshot bookworm n{i}"

    def drops(self, a, b):
        r = f"reprepro -b {self.base}"
        return (
            f"for i in $(seq {a} {b}); do {r} unreferencesnapshot bookworm n$i; rm -r {self.base}/dists/bookworm/snapshots/n$i; done; "
            f"{r} deleteunreferenced"
        )

    def apt_line(self):
        return f"deb [signed-by={P}/key.gpg] file:{self.base} bookworm main"


class Aptly(Peer):
    name = "aptly"

    def setup(self):
        json.dump(
            dict(
                rootDir=self.base,
                architectures=["amd64"],
                skipContentsPublishing=True,
                gpgProvider="gpg",
                dependencyFollowSource=False,
            ),
            open(f"{self.base}/c.json", "w"),
        )
        a = f"aptly -config={self.base}/c.json"
        pub = f"-batch -gpg-key={KEY} -skip-bz2 -skip-contents"
        if not self.keep:
            subprocess.run(
                f"{a} repo create -distribution=bookworm -component=main repo",
                shell=True,
                check=True,
                stdout=subprocess.DEVNULL,
            )
        self.a, self.pub = a, pub
        self.ops = {
            "import": f"{a} repo add repo {self.data}/debs",
            "publish1": f"{a} publish repo {pub} -architectures=amd64 repo",
            "import_dsc50": f"{a} repo add repo $(ls {self.data}/dsc/*.dsc | head -50)",
            "snap_create": f"{a} snapshot create s1 from repo repo",
            "snap_publish": f"{a} publish snapshot {pub} -architectures=amd64 -distribution=s1 s1",
            "import_1pct": f"{a} repo add repo {self.d1}/debs",
            "republish_1pct": f"{a} publish update {pub} bookworm",
            "snap2": f"{a} snapshot create s2 from repo repo",
            "list": f"{a} snapshot show -with-packages s1",
            "diff": f"{a} snapshot diff s1 s2",
            "remove_one": f"{a} repo remove repo 3dchess",
            "remove_one_publish": f"{a} publish update {pub} bookworm",
            "one_upload+publish": f"{a} repo add repo {self.data}/debs/3dchess_*.deb && {a} publish update {pub} bookworm",
        }

    def one_more(self, i):
        return (
            f"{self.a} snapshot create n{i} from repo repo && "
            f"{self.a} publish snapshot {self.pub} -architectures=amd64 -distribution=n{i} n{i}"
        )

    def touch(self, g):
        return f"{self.a} repo add repo {g} && {self.a} publish update {self.pub} bookworm"

    def snaps(self, x, y):
        return (
            f"for i in $(seq {x} {y}); do {self.a} snapshot create n$i from repo repo && "
            f"{self.a} publish snapshot {self.pub} -architectures=amd64 -distribution=n$i n$i || exit 1; done"
        )

    def drops(self, x, y):
        return f"for i in $(seq {x} {y}); do {self.a} publish drop -skip-cleanup n$i; {self.a} snapshot drop n$i; done; {self.a} db cleanup"

    def apt_line(self):
        return f"deb [signed-by={P}/key.gpg] file:{self.base}/public bookworm main"


class Ftp(Peer):
    name = "apt-ftparchive"

    def setup(self):
        f = f"apt-ftparchive --db {self.base}/cache.db -o APT::FTPArchive::SHA1=false -o APT::FTPArchive::SHA512=false"
        pub = (
            f"mkdir -p dists/bookworm/main/binary-amd64 && cd {self.base} && cat P > dists/bookworm/main/binary-amd64/Packages && "
            "gzip -9kf dists/bookworm/main/binary-amd64/Packages && xz -kf dists/bookworm/main/binary-amd64/Packages && "
            f"apt-ftparchive -o APT::FTPArchive::Release::Codename=bookworm release dists/bookworm > R && mv R dists/bookworm/Release && gpg --batch --yes -u {KEY} --clearsign -o dists/bookworm/InRelease dists/bookworm/Release"
        )
        self.ops = {
            "import": f"cp -al {self.data}/debs {self.base}/pool && cd {self.base} && {f} packages pool > P",
            "publish1": f"cd {self.base} && {pub}",
            "import_1pct": f"cp -al {self.d1}/debs {self.base}/pool/d1 && cd {self.base} && {f} packages pool > P",
            "republish_1pct": f"cd {self.base} && {pub}",
        }

    def apt_line(self):
        return f"deb [signed-by={P}/key.gpg] file:{self.base} bookworm main"


ALL = {c.name: c for c in (Reprepro, Aptly, Ftp)}
ORDER = [
    "import",
    "publish1",
    "import_dsc50",
    "snap_create",
    "snap_publish",
    "snap_create+publish",
    "import_1pct",
    "republish_1pct",
    "snap2",
    "copy_suite",
    "publish_copy",
    "list",
    "diff",
    "remove_one",
    "remove_one_publish",
    "remove_one+publish",
    "one_upload+publish",
    "noop_export",
]


def apt_check(line):
    d = f"{P}/run/aptcheck{os.getpid()}"
    shutil.rmtree(d, ignore_errors=True)
    os.makedirs(d + "/lists/partial")
    open(d + "/s.list", "w").write(line + "\n")
    p = subprocess.run(
        [
            "apt-get",
            "update",
            "-o",
            f"Dir::State::lists={d}/lists",
            "-o",
            f"Dir::Etc::sourcelist={d}/s.list",
            "-o",
            "Dir::Etc::sourceparts=/dev/null",
            "-o",
            "APT::Sandbox::User=root",
            "-o",
            f"Dir::Cache={d}",
        ],
        capture_output=True,
        text=True,
        env=ENV,
    )
    n = subprocess.run(
        f"cat {d}/lists/*Packages* 2>/dev/null | (lz4 -dc 2>/dev/null || cat) | grep -c ^Package:",
        shell=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    return p.returncode == 0 and "W:" not in p.stderr and "E:" not in p.stderr, n, p.stderr[-300:]


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--size", default="1k")
    ap.add_argument("--peers", default="reprepro,aptly,apt-ftparchive")
    ap.add_argument("--reps", type=int, default=3)
    ap.add_argument("--snaps", default="")
    ap.add_argument("--out", default=f"{P}/results.jsonl")
    ap.add_argument("--ops", default="")
    ap.add_argument("--keep", action="store_true", help="go on with the bases of the last run")
    ap.add_argument("--product", help="a Python file that defines class Product(Peer)")
    a = ap.parse_args()
    os.makedirs(f"{P}/run", exist_ok=True)
    if a.product:
        scope = dict(Peer=Peer, P=P, KEY=KEY, ENV=ENV)
        exec(compile(open(a.product).read(), a.product, "exec"), scope)
        ALL["product"] = scope["Product"]
        a.peers = (a.peers + ",product").strip(",")
    Peer.keep = a.keep
    out = open(a.out, "a")
    failed = []
    for k in [x for x in a.snaps.split(",") if x]:
        if not os.path.isdir(f"{P}/data/{a.size}-t{k}"):
            sys.exit(
                f"data/{a.size}-t{k} is missing: archive_data.py next --of data/{a.size} --out data/{a.size}-t{k} --day {1000 + int(k)}"
            )

    def emit(**k):
        if k.get("rc") or k["op"] == "apt_check" and not k["res"][0]:
            failed.append((k["peer"], k["op"]))
        out.write(json.dumps(k) + "\n")
        out.flush()
        print(k, flush=True)

    for rep in range(a.reps):
        peers = [ALL[n](a.size, rep) for n in a.peers.split(",")]
        for op in ORDER:
            if a.ops and op not in a.ops.split(","):
                continue
            for p in peers:
                if op in p.ops:
                    r = timed(p.ops[op], p.base, f"{P}/run/{p.name}.log", p.resident_pid)
                    emit(size=a.size, rep=rep, peer=p.name, op=op, **r)
        for p in peers:
            emit(size=a.size, rep=rep, peer=p.name, op="apt_check", res=apt_check(p.apt_line()), du=du(p.base))
        if rep == a.reps - 1:
            prev = 0
            for k in [int(x) for x in a.snaps.split(",") if x]:
                for p in peers:
                    if not hasattr(p, "snaps"):
                        continue
                    b0 = du(p.base)
                    r = timed(p.snaps(prev + 1, k), p.base, f"{P}/run/{p.name}.log", p.resident_pid)
                    b1 = du(p.base)
                    n = k - prev
                    emit(
                        size=a.size,
                        peer=p.name,
                        op=f"snaps_{prev + 1}..{k}",
                        per=round(r["wall"] / n, 4),
                        bytes_per=(b1[0] - b0[0]) // n,
                        inodes_per=round((b1[1] - b0[1]) / n, 1),
                        **r,
                    )
                prev = k
                for p in peers:
                    if not hasattr(p, "snaps"):
                        continue
                    emit(
                        size=a.size,
                        peer=p.name,
                        op=f"publish_with_{k}_snaps",
                        **timed(
                            p.touch(f"{P}/data/{a.size}-t{k}/debs/*.deb"),
                            p.base,
                            f"{P}/run/{p.name}.log",
                            p.resident_pid,
                        ),
                    )
            if prev:
                for p in peers:
                    if hasattr(p, "snaps"):
                        r = timed(p.drops(1, prev), p.base, f"{P}/run/{p.name}.log", p.resident_pid)
                        emit(size=a.size, peer=p.name, op=f"drop_{prev}+gc", du=du(p.base), **r)
    if failed:
        sys.exit(f"these failed, their times count for nothing (logs in {P}/run): {failed}")


if __name__ == "__main__":
    main()
