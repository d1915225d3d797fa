#!/usr/bin/env python3
"""Deterministic generator of small, real, valid Debian packages with real metadata.

  archive_data.py index  --lists DIR --cache FILE        build the (pickled) metadata cache from apt's lists
  archive_data.py make   --cache FILE --out DIR -n N [--seed S] [--sources K] [--changes]
  archive_data.py next   --cache FILE --out DIR --of DIR0 [--frac 0.01] [--seed S]   the "next day": a fraction of versions changed
  archive_data.py big    --cache FILE --out DIR -n 200 --size 5242880                 few larger packages, for throughput

OUT/debs/*.deb, OUT/dsc/*.{dsc,tar.xz}, OUT/changes/*.changes, OUT/manifest.tsv (package version arch source day).
The set for a smaller N is a prefix of the set for a larger N (same seed).  Same arguments give the same bytes.
"""

import argparse, hashlib, lzma, os, pickle, random, subprocess, time
from multiprocessing import Pool

MTIME = 1700000000
DROP = {"Filename", "Size", "MD5sum", "SHA1", "SHA256", "Description-md5", "Tag"}
FILT = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1 << 16}]


# ---------------------------------------------------------------- metadata
def stanzas(text):
    for para in text.split("\n\n"):
        if not para.strip():
            continue
        d, key = {}, None
        for line in para.split("\n"):
            if line[:1] in " \t":
                d[key] += "\n" + line
            elif line:
                key, _, v = line.partition(":")
                d[key] = v.lstrip()
        yield d


def cat(path):
    return subprocess.run(
        ["/usr/lib/apt/apt-helper", "cat-file", path], check=True, stdout=subprocess.PIPE
    ).stdout.decode("utf-8")


def build_index(lists, cache):
    f = {}
    for n in os.listdir(lists):
        for k in ("_Packages", "_Translation-en", "_Sources"):
            if k in n:
                f[k] = os.path.join(lists, n)
    long = {}
    for d in stanzas(cat(f["_Translation-en"])):
        long.setdefault(d["Description-md5"], d["Description-en"])
    bysrc = {}
    for d in stanzas(cat(f["_Packages"])):
        src = d.get("Source", d["Package"]).split(" ")[0]
        d["Description"] = long.get(d.get("Description-md5"), d.get("Description", "none"))
        bysrc.setdefault(src, []).append({k: v for k, v in d.items() if k not in DROP})
    srcs = {}
    for d in stanzas(cat(f["_Sources"])):
        srcs[d["Package"]] = {
            k: v
            for k, v in d.items()
            if k not in ("Files", "Checksums-Sha256", "Checksums-Sha1", "Directory", "Priority")
        }
    with open(cache, "wb") as o:
        pickle.dump((bysrc, srcs), o, 4)
    print(len(bysrc), "sources", sum(map(len, bysrc.values())), "binaries", len(srcs), "Sources stanzas")


def select(bysrc, n, seed):
    names = sorted(bysrc)
    random.Random(seed).shuffle(names)
    out = []
    for s in names:
        for d in bysrc[s]:
            out.append((s, d))
            if len(out) >= n:
                return out
    return out


# ---------------------------------------------------------------- tar / ar
def tarent(name, data=b"", mode=0o644, typ=b"0"):
    nm = name.encode()
    pre = b""
    if len(nm) > 100:
        i = nm.rfind(b"/", 0, 155)
        pre, nm = nm[:i], nm[i + 1 :]
    h = bytearray(
        b"".join(
            (
                nm.ljust(100, b"\0"),
                b"%07o\0" % mode,
                b"0000000\0",
                b"0000000\0",
                b"%011o\0" % len(data),
                b"%011o\0" % MTIME,
                b" " * 8,
                typ,
                b"\0" * 100,
                b"ustar\0" + b"00",
                b"root".ljust(32, b"\0"),
                b"root".ljust(32, b"\0"),
                b"0000000\0",
                b"0000000\0",
                pre.ljust(155, b"\0"),
                b"\0" * 12,
            )
        )
    )
    h[148:156] = b"%06o\0 " % sum(h)
    return bytes(h) + data + b"\0" * (-len(data) % 512)


def tar(entries):
    seen, out = set(), []
    for name, data, mode in entries:
        parts = name.split("/")
        for i in range(1, len(parts)):
            p = "/".join(parts[:i]) + "/"
            if p not in seen:
                seen.add(p)
                out.append(tarent(p, mode=0o755, typ=b"5"))
        out.append(tarent(name, data, mode))
    b = b"".join(out) + b"\0" * 1024
    return b + b"\0" * (-len(b) % 10240)


def xz(b, store=False):
    if store:
        return lzma.compress(
            b,
            check=lzma.CHECK_CRC32,
            filters=[
                {
                    "id": lzma.FILTER_LZMA2,
                    "preset": 0,
                    "dict_size": 4096,
                    "mode": lzma.MODE_FAST,
                    "nice_len": 8,
                    "mf": lzma.MF_HC3,
                    "depth": 1,
                }
            ],
        )
    return lzma.compress(b, check=lzma.CHECK_CRC32, filters=FILT)


def ar(members):
    out = [b"!<arch>\n"]
    for name, data in members:
        out.append(b"%-16s%-12d%-6d%-6d%-8s%-10d`\n" % (name, MTIME, 0, 0, b"100644", len(data)))
        out.append(data)
        if len(data) & 1:
            out.append(b"\n")
    return b"".join(out)


def deb(d, rnd, size=None):
    pkg = d["Package"]
    n = size if size else int(min(60000, rnd.lognormvariate(7, 1)))
    payload = rnd.randbytes(n)
    files = [
        (
            f"./usr/share/doc/{pkg}/changelog.Debian",
            f"{pkg} ({d['Version']}) bookworm; urgency=medium\n\n  * Generated.\n\n -- {d['Maintainer']}  Tue, 14 Nov 2023 22:13:20 +0000\n".encode(),
            0o644,
        ),
        (f"./usr/share/doc/{pkg}/copyright", f"{pkg}: generated test package, public domain\n".encode(), 0o644),
        (f"./usr/share/{pkg}/payload", payload, 0o644),
    ]
    control = "".join(f"{k}: {v}\n" for k, v in d.items()).encode()
    sums = "".join(f"{hashlib.md5(b).hexdigest()}  {p[2:]}\n" for p, b, _ in files).encode()
    ct = xz(tar([("./control", control, 0o644), ("./md5sums", sums, 0o644)]))
    data = tar(files)
    if size:  # random payload does not compress: one stored-like fast pass
        dt = xz(data, store=True)
    else:
        dt = xz(data)
    return ar([(b"debian-binary", b"2.0\n"), (b"control.tar.xz", ct), (b"data.tar.xz", dt)])


def fname(d):
    v = d["Version"].partition(":")[2] or d["Version"]
    return f"{d['Package']}_{v}_{d['Architecture']}.deb"


def one(job):
    out, src, d, seed, size = job
    rnd = random.Random(f"{seed}/{d['Package']}/{d['Version']}/{d['Architecture']}")
    b = deb(d, rnd, size)
    with open(f"{out}/debs/{fname(d)}", "wb") as f:
        f.write(b)
    return len(b)


# ---------------------------------------------------------------- sources
def sums(fields, files):
    s = {"Checksums-Sha1": hashlib.sha1, "Checksums-Sha256": hashlib.sha256, "Files": hashlib.md5}
    t = ""
    for k in fields:
        t += k + ":\n" + "".join(f" {s[k](b).hexdigest()} {len(b)} {n}\n" for n, b in files)
    return t


def dsc(job):
    out, src, d, seed = job
    rnd = random.Random(f"{seed}/{src}/{d['Version']}")
    v = d["Version"].partition(":")[2] or d["Version"]
    up, dash, _ = v.rpartition("-")
    head = tar([(f"{src}-{up or v}/README", rnd.randbytes(int(min(60000, rnd.lognormvariate(7, 1)))), 0o644)])
    debn = tar(
        [
            ("debian/control", f"Source: {src}\nMaintainer: {d['Maintainer']}\n".encode(), 0o644),
            ("debian/source/format", b"3.0 (quilt)\n", 0o644),
        ]
    )
    if dash:
        fmt, files = "3.0 (quilt)", [(f"{src}_{up}.orig.tar.xz", xz(head)), (f"{src}_{v}.debian.tar.xz", xz(debn))]
    else:
        fmt, files = "3.0 (native)", [(f"{src}_{v}.tar.xz", xz(head))]
    t = f"Format: {fmt}\nSource: {src}\n"
    for k, val in d.items():
        if k not in ("Package", "Format", "Section"):
            t += f"{k}: {val}\n"
    t += sums(("Checksums-Sha1", "Checksums-Sha256", "Files"), files)
    name = f"{src}_{v}.dsc"
    for n, b in files + [(name, t.encode())]:
        with open(f"{out}/dsc/{n}", "wb") as f:
            f.write(b)
    return sum(len(b) for _, b in files) + len(t)


def changes(out, picked):
    bysrc = {}
    for s, d in picked:
        bysrc.setdefault(s, []).append(d)
    for s, ds in bysrc.items():
        files = []
        for d in ds:
            with open(f"{out}/debs/{fname(d)}", "rb") as f:
                files.append((fname(d), f.read(), d.get("Section", "misc"), d.get("Priority", "optional")))
        fl = [(n, b) for n, b, _, _ in files]
        v = ds[0]["Version"]
        t = (
            f"Format: 1.8\nDate: Tue, 14 Nov 2023 22:13:20 +0000\nSource: {s}\nBinary: {' '.join(d['Package'] for d in ds)}\n"
            f"Architecture: {' '.join(sorted({d['Architecture'] for d in ds}))}\nVersion: {v}\nDistribution: bookworm\nUrgency: medium\n"
            f"Maintainer: {ds[0]['Maintainer']}\nChanged-By: {ds[0]['Maintainer']}\nDescription:\n"
            + "".join(f" {d['Package']} - x\n" for d in ds)
            + f"Changes:\n {s} ({v}) bookworm; urgency=medium\n .\n   * Generated.\n"
            + sums(("Checksums-Sha1", "Checksums-Sha256"), fl)
            + "Files:\n"
            + "".join(f" {hashlib.md5(b).hexdigest()} {len(b)} {se} {pr} {n}\n" for n, b, se, pr in files)
        )
        nv = v.partition(":")[2] or v
        with open(f"{out}/changes/{s}_{nv}_amd64.changes", "w") as f:
            f.write(t)


def write_manifest(out, picked, day):
    with open(f"{out}/manifest.tsv", "w") as f:
        for s, d in picked:
            f.write(f"{d['Package']}\t{d['Version']}\t{d['Architecture']}\t{s}\t{day}\n")


def run(out, picked, seed, size=None, jobs=2):
    os.makedirs(f"{out}/debs", exist_ok=True)
    t = time.time()
    with Pool(jobs) as p:
        tot = sum(p.imap_unordered(one, ((out, s, d, seed, size) for s, d in picked), chunksize=100))
    print(f"{len(picked)} debs, {tot / 1e6:.1f} MB, {time.time() - t:.1f} s -> {out}")


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("mode", choices=["index", "make", "next", "big"])
    ap.add_argument("--lists")
    ap.add_argument("--cache", default=os.path.join(os.environ.get("BENCH_DIR", ".bench"), "cache.pickle"))
    ap.add_argument("--out")
    ap.add_argument("--of")
    ap.add_argument("-n", type=int, default=1000)
    ap.add_argument("--seed", default="1")
    ap.add_argument("--sources", type=int, default=0)
    ap.add_argument("--frac", type=float, default=0.01)
    ap.add_argument("--size", type=int, default=5 << 20)
    ap.add_argument("--day", type=int, default=1)
    ap.add_argument("--changes", action="store_true")
    a = ap.parse_args()
    if a.mode == "index":
        return build_index(a.lists, a.cache)
    with open(a.cache, "rb") as f:
        bysrc, srcs = pickle.load(f)
    if a.mode == "make":
        picked = select(bysrc, a.n, a.seed)
        run(a.out, picked, a.seed)
        write_manifest(a.out, picked, 0)
        if a.sources:
            os.makedirs(f"{a.out}/dsc", exist_ok=True)
            names = list(dict.fromkeys(s for s, _ in picked if s in srcs))[: a.sources]
            with Pool(2) as p:
                tot = sum(p.imap_unordered(dsc, ((a.out, s, srcs[s], a.seed) for s in names), chunksize=50))
            print(f"{len(names)} dsc, {tot / 1e6:.1f} MB")
        if a.changes:
            os.makedirs(f"{a.out}/changes", exist_ok=True)
            changes(a.out, picked)
    elif a.mode == "next":
        have = [l.split("\t") for l in open(f"{a.of}/manifest.tsv")]
        want = {(p, ar_) for p, _, ar_, _, _ in have}
        order = list(dict.fromkeys(r[3] for r in have))
        random.Random(f"{a.seed}/day{a.day}").shuffle(order)
        picked, k = [], max(1, int(len(have) * a.frac))
        for s in order:  # whole sources change, as in life
            if len(picked) >= k:
                break
            for d in bysrc[s]:
                if (d["Package"], d["Architecture"]) in want and len(picked) < k:
                    picked.append((s, dict(d, Version=f"{d['Version']}+deb12u{a.day}")))
        run(a.out, picked, a.seed)
        write_manifest(a.out, picked, a.day)
    else:
        run(a.out, select(bysrc, a.n, a.seed + "/big"), a.seed, size=a.size)


if __name__ == "__main__":
    main()
