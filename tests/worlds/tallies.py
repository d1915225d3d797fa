"""A library that counts, who uses it, and its next version, which breaks some of them: small enough to be built in seconds.

`tally` 2 says another version, and no longer provides `tally-abi-1`. Of those who use it `counter` builds only with 1, `crooked`
never builds, `keeper` builds with both, `tester` has a test that passes only with 1, and `adder` needs `tally-abi-1` to run.
"""

from email.utils import format_datetime

from tests.worlds.packages import Fields, MadeDeb, MadeSource, make_deb, make_source
from tests.worlds.times import DATE

SUITE = "tallies"
LIBRARY = "libtally-dev"
_VERSION_FILE = "usr/share/tally/version"
_RULES = """#!/usr/bin/make -f
build build-indep build-arch:
\t{check}
binary: build
\tmkdir -p debian/{name}/DEBIAN
\tdpkg-gencontrol -p{name} -Pdebian/{name}
\tdpkg-deb --root-owner-group --build debian/{name} ..
binary-indep: binary
binary-arch clean:
"""


def library(version: str, *, is_held: bool = False) -> MadeDeb:
    """Make the library's package. is_held: its maintainer script refuses to be upgraded to."""
    provides: Fields = {"Provides": "tally-abi-1"} if version == "1" else {}
    content = {_VERSION_FILE: f"{version}\n"}
    held = (
        {"preinst": '#!/bin/sh\n[ "$1" != upgrade ] || { echo "upgrade is refused" >&2; exit 1; }\n'} if is_held else {}
    )
    return make_deb(
        LIBRARY, version, architecture="all", source="tally", content=content, fields=provides, scripts=held
    )


def user(name: str, *, check: str = "true", needs: str = LIBRARY, test: str = "") -> MadeSource:
    """Make a source that uses the library. check: what its build does; needs: Build-Depends, "" for none; test: of autopkgtest."""
    changelog = f"{name} (1) {SUITE}; urgency=medium\n\n  * New.\n\n -- Ada Example <ada@example.org>  {format_datetime(DATE)}\n"
    build_depends = f"Build-Depends: {needs}\n" if needs else ""
    tree = {
        "debian/control": f"Source: {name}\nSection: utils\nPriority: optional\nMaintainer: Ada Example <ada@example.org>\n"
        f"Rules-Requires-Root: no\nStandards-Version: 4.6.2\n{build_depends}\n"
        f"Package: {name}\nArchitecture: all\nDescription: {name} of a small world\n It exists to be built.\n",
        "debian/changelog": changelog,
        "debian/rules": _RULES.format(check=check, name=name),
        "debian/source/format": "3.0 (native)\n",
    }
    if test:
        tree |= {
            "debian/tests/control": f"Tests: asks\nDepends: {LIBRARY}\n",
            "debian/tests/asks": f"#!/bin/sh\nset -e\n{test}\n",
        }
    fields: Fields = {
        "Build-Depends": needs or None,
        "Architecture": "all",
        **({"Testsuite": "autopkgtest", "Testsuite-Triggers": LIBRARY} if test else {}),
    }
    return make_source(name, "1", tree=tree, fields=fields)


def world() -> tuple[list[MadeSource], list[MadeDeb]]:
    """Make everything that the suite has before the candidate comes."""
    only_1 = f"grep -qx 1 /{_VERSION_FILE}"
    sources = [
        user("counter", check=f"{only_1} || {{ echo 'counter.c:3: error: tally_1 is gone' >&2; exit 1; }}"),
        user("crooked", check="echo 'crooked.c:1: error: it never was right' >&2; exit 1"),
        user("keeper", check=f"test -e /{_VERSION_FILE}"),
        user("tester", needs="", test=only_1),
    ]
    adder = make_deb("adder", "1", architecture="all", depends="tally-abi-1")
    return sources, [library("1"), adder, *(make_deb(source.name, "1", architecture="all") for source in sources)]


CONFIG = """
format = 1
[site]
name = "Tallies"
[archive.debian]
kind = "upstream"
suites = ["bookworm"]
components = ["main"]
architectures = ["amd64"]
keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
origin = "Debian"
label = "Debian"
[archive.petrel]
kind = "own"
origin = "Petrel"
label = "Petrel"
key = { credential = "petrel-archive" }
[suite.tallies]
archive = "petrel"
environment = "build"
[environment.build]
from = ["debian/bookworm"]
include = ["fakeroot"]
checkers = "checkers"
[environment.checkers]
from = ["debian/bookworm"]
variant = "minbase"
include = ["dose-distcheck", "dose-builddebcheck", "autopkgtest", "piuparts"]
"""
