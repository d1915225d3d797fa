"""Other architectures, on the real Debian archive: packages built and tested in our sandbox, or said to be impossible here."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest
from tests.system.line import Line, keep_in_cache, state_folder
from tests.worlds.archive import Upstream, make_deb, signer
from tests.worlds.binfmt import emulating
from tests.worlds.repos import changelog, commit

from distwright.app import open_app
from distwright.signing.signer import make_key
from distwright.store.paths import StatePaths

pytestmark = pytest.mark.system
CONFIG = dedent("""\
    format = 1
    [site]
    name = "Petrel"
    [archive.debian]
    kind = "upstream"
    suites = ["bookworm"]
    architectures = ["amd64", "i386", "arm64"]
    keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
    origin = "Debian"
    label = "Debian"
    sources = false
    translations = []
    [archive.petrel]
    kind = "own"
    origin = "Petrel"
    label = "Petrel"
    architectures = ["amd64", "i386", "arm64"]
    key = { credential = "petrel" }
    [suite.devel]
    archive = "petrel"
    [repo.greeting]
    package = true
    suite = "devel"
    environment = "build"
    """) + "".join(
    f'[environment.{name}]\nfrom = ["debian/bookworm"]\ninclude = ["debhelper", "fakeroot"]\narchitecture = "{architecture}"\n'
    for name, architecture in (("build", "amd64"), ("intel", "i386"), ("arm", "arm64"))
)
PORTS = """\
format = 1
[site]
name = "Petrel"
[archive.ports]
kind = "upstream"
suites = ["stable"]
architectures = ["m68k"]
sources = false
keyring = "{folder}/upstream.asc"
fetch_from = "file://{folder}/upstream"
[archive.petrel]
kind = "own"
origin = "Petrel"
label = "Petrel"
architectures = ["m68k"]
key = {{ credential = "petrel" }}
[suite.devel]
archive = "petrel"
[environment.amiga]
from = ["ports/stable"]
architecture = "m68k"
"""
FILES = {
    "debian/changelog": changelog("greeting"),
    "debian/control": dedent("""\
        Source: greeting
        Section: misc
        Priority: optional
        Maintainer: Ada Example <ada@example.org>
        Build-Depends: debhelper-compat (= 13)
        Standards-Version: 4.6.2
        Rules-Requires-Root: no

        Package: greeting
        Architecture: any
        Depends: ${shlibs:Depends}, ${misc:Depends}
        Description: greets
         It exists to be built.

        Package: greeting-data
        Architecture: all
        Depends: ${misc:Depends}
        Description: what it greets with
         It exists to be built.
        """),
    "debian/rules*": "#!/usr/bin/make -f\n%:\n\tdh $@\n",
    "debian/source/format": "3.0 (native)\n",
    "debian/greeting.install": "greeting usr/bin\n",
    "debian/greeting-data.install": "greeting.c usr/share/greeting\n",
    "Makefile": "all: greeting\n\ngreeting: greeting.c\n\t$(CC) $(CFLAGS) $(CPPFLAGS) $(LDFLAGS) -o $@ $<\n\n"
    "check: all\n\t./greeting\n\ninstall:\n\nclean:\n\trm -f greeting\n",
    "greeting.c": dedent("""\
        #include <stdio.h>
        #include <sys/utsname.h>

        int main(void)
        {
            struct utsname here;
            uname(&here);
            printf("tested on %s with pointers of %zu bytes\\n", here.machine, sizeof(void *));
            return 0;
        }
        """),
}
BINARIES = {"greeting", "greeting-dbgsym"}


@pytest.fixture(scope="module")
def line() -> Iterator[Line]:
    """Record Debian for three architectures, and host a package that runs what it has built."""
    with state_folder() as folder:
        (folder / "distwright.toml").write_text(CONFIG)
        line = Line(folder / "state")
        for words in (("config", "init", str(folder)), ("archive", "record", "debian")):
            done = line.call(*words, "--state", str(line.state), timeout_s=600)
            assert done.returncode == 0, done.stderr
        app = open_app(str(line.state))
        for credential in ("petrel", "builder"):
            make_key(app.paths.key(credential), credential)
        commit(app.paths, "greeting", FILES, tag="1.0")
        app.database.close()
        yield line
        keep_in_cache(line.state)


@pytest.fixture(scope="module")
def checkout(line: Line) -> Path:
    """Give a clone of the package, to try it without what follows from a build."""
    clone = line.state.parent / "greeting"
    subprocess.run(["git", "clone", "--quiet", str(line.state / "repos" / "greeting.git"), str(clone)], check=True)
    return clone


def program_of(packages: Path, architecture: str) -> str:
    """Say what file(1) would of the program: class, and machine of elf(5)."""
    deb = packages / f"greeting_1.0_{architecture}.deb"
    subprocess.run(["dpkg-deb", "--extract", str(deb), str(packages / architecture)], check=True)
    head = (packages / architecture / "usr" / "bin" / "greeting").read_bytes()[:20]
    assert head[:4] == b"\x7fELF"
    return f"{32 * head[4]}-bit, machine {int.from_bytes(head[18:20], 'little')}"


@pytest.mark.full  # 160 s; what decides where a plan can run is tested without
def test_a_package_is_built_and_tested_for_i386_without_an_emulator(line: Line, checkout: Path) -> None:
    out = checkout.parent / "i386"
    words = (
        "package",
        "try",
        str(checkout),
        "--environment",
        "intel",
        "--output",
        str(out),
        "--state",
        str(line.state),
    )
    done = line.call(*words, "--json", timeout_s=900)
    assert done.returncode == 0, done.stderr
    [job] = json.loads(done.stdout)
    assert program_of(out, "i386") == "32-bit, machine 3"
    assert {path.name.partition("_")[0] for path in out.glob("*.deb")} == BINARIES, "not what is for all"
    log = line.call("job", "log", str(job["job"]), "--state", str(line.state)).stdout
    assert "with pointers of 4 bytes" in log
    assert "i386 runs as it is on amd64" in log


@pytest.fixture(scope="module")
def ports() -> Iterator[Line]:
    """Record a small archive for an architecture that no emulator here is known to run."""
    with state_folder() as folder:
        upstream = Upstream(architectures=("m68k",))
        upstream.add(make_deb("hello", architecture="m68k"))
        upstream.publish()
        upstream.write(folder / "upstream")
        (folder / "upstream.asc").write_bytes(signer("upstream").certificate())
        (folder / "distwright.toml").write_text(PORTS.format(folder=folder))
        line = Line(folder / "state")
        for words in (("config", "init", str(folder)), ("archive", "record", "ports")):
            done = line.call(*words, "--state", str(line.state))
            assert done.returncode == 0, done.stderr
        yield line


def test_what_this_machine_cannot_run_is_not_the_packages_fault(ports: Line, tmp_path: Path) -> None:
    paths = StatePaths(tmp_path)
    commit(paths, "greeting", FILES, tag="1.0")
    clone = tmp_path / "greeting"
    subprocess.run(["git", "clone", "--quiet", str(paths.repo("greeting")), str(clone)], check=True)
    words = ("package", "try", str(clone), "--environment", "amiga", "--suite", "devel", "--state", str(ports.state))
    done = ports.call(*words, "--json")
    [job] = json.loads(done.stdout)
    assert (done.returncode, job["result"]) == (1, "broken"), done.stderr
    assert job["message"].startswith("environment: m68k cannot run on amd64: no emulator of it is known")
    assert "mmdebstrap" not in ports.call("job", "log", str(job["job"]), "--state", str(ports.state)).stdout


def test_doctor_names_the_environments_that_this_machine_is_not_able_to_make(ports: Line) -> None:
    done = ports.call("doctor", "--state", str(ports.state), "--json")
    [found] = [row for row in json.loads(done.stdout) if row["check"] == "architectures"]
    assert (done.returncode, found["state"]) == (1, "wrong")
    assert found["what"] == "m68k cannot run on amd64: no emulator of it is known (for environment amiga)"
    assert found["try"]


@pytest.mark.full
def test_a_package_is_built_under_emulation_and_joins_its_suite(line: Line) -> None:
    build = ("package", "build", "greeting", "--tag", "1.0", "--state", str(line.state), "--json")
    done = line.call(*build, timeout_s=900)
    assert done.returncode == 0, done.stderr
    with emulating("qemu-aarch64"):
        done = line.call(*build, "--environment", "arm", timeout_s=3600)
    assert done.returncode == 0, done.stderr
    [job] = json.loads(done.stdout)
    log = line.call("job", "log", str(job["job"]), "--state", str(line.state)).stdout
    assert "tested on aarch64 with pointers of 8 bytes" in log
    assert "arm64 runs under emulation (qemu-aarch64)" in log
    rows = line.answer("suite", "show", "devel")
    assert {(row["list"], row["package"]) for row in rows} == {
        *((f"main/binary-{name}", package) for name in ("amd64", "arm64") for package in BINARIES),
        ("main/binary-all", "greeting-data"),
        ("main/source", "greeting"),
    }
    public = line.state / "public" / "petrel" / "pool" / "main" / "g" / "greeting"
    out = line.state.parent / "arm64"
    out.mkdir()
    for deb in public.glob("*.deb"):
        (out / deb.name).write_bytes(deb.read_bytes())
    assert (program_of(out, "arm64"), program_of(out, "amd64")) == ("64-bit, machine 183", "64-bit, machine 62")
