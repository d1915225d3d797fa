"""Upstream changes a library amid other changes, and our package stops building: the sweep finds it, the search names it.

The upstream is a small archive beside the recorded Debian; sbuild, mmdebstrap and apt are real.
"""

import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from tests.system.line import DISTWRIGHT, Line, keep_in_cache, state_folder, wait_until_gone
from tests.worlds.archive import DATE, MadeDeb, Upstream, make_deb, signer
from tests.worlds.mirror import serving_upstream
from tests.worlds.repos import commit

from distwright.app import App, open_app
from distwright.archive.judging import RecordRequest
from distwright.archive.record import record
from distwright.signing.signer import make_key
from distwright.signing.verify import Keyring
from distwright.site.applied import apply_config

pytestmark = pytest.mark.system
CONFIG = """\
format = 1
[site]
name = "Petrel"
[archive.debian]
kind = "upstream"
suites = ["bookworm"]
sources = false
translations = []
keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
origin = "Debian"
label = "Debian"
[archive.small]
kind = "upstream"
suites = ["stable"]
keyring = "small.asc"
fetch_from = "{url}"
[archive.petrel]
kind = "own"
origin = "Petrel"
label = "Petrel"
key = {{ credential = "petrel" }}
[suite.devel]
archive = "petrel"
[repo.greeter]
package = true
suite = "devel"
environment = "build"
rebuild = false
[environment.build]
from = ["debian/bookworm", "small/stable"]
variant = "apt"
include = ["build-essential", "fakeroot"]
"""
CONTROL = """\
Source: greeter
Section: misc
Priority: optional
Maintainer: Ada Example <ada@example.org>
Build-Depends: libfoo-dev, bar
Standards-Version: 4.6.2
Rules-Requires-Root: no

Package: greeter
Architecture: all
Description: greets
 It exists to be built.
"""
RULES = """\
#!/usr/bin/make -f
build build-indep build-arch:
	grep -q '^int greet(void)' /usr/include/foo.h
	{check}
clean:
	rm -rf debian/greeter debian/files debian/substvars
binary binary-indep: build
	mkdir -p debian/greeter/DEBIAN
	dpkg-gencontrol -pgreeter -Pdebian/greeter
	dpkg-deb --root-owner-group --build debian/greeter ..
binary-arch:
"""
OLD, NEW = "int greet(void);\n", "int greet(const char *whom);\n"


def library(version: str, header: str) -> list[MadeDeb]:
    """Give the library: two packages of one source that need each other in the same version."""
    return [
        make_deb("libfoo1", version, source="libfoo"),
        make_deb(
            "libfoo-dev",
            version,
            source="libfoo",
            depends=f"libfoo1 (= {version})",
            content={"usr/include/foo.h": header},
        ),
    ]


@dataclass
class Story:
    """An installation, and the upstream that moves. serials: of the small archive."""

    line: Line
    app: App
    upstream: Upstream
    url: str
    serials: list[str] = field(default_factory=list)
    commits: list[str] = field(default_factory=list)

    def record(self, *packages: MadeDeb) -> None:
        """Let upstream move, and record it; nothing follows yet."""
        self.upstream.add(*packages)
        self.upstream.publish(DATE + len(self.serials) * timedelta(hours=1))
        request = RecordRequest(
            archive="small", suites=("stable",), components=("main",), architectures=("amd64",), has_sources=True,
            translations=("en",), origin="", label="", accept_expired=False, url=self.url,
            keyring=Keyring(signer("upstream").certificate(), "small"),
        )  # fmt: skip
        row = record(request, self.app.command_context(), self.app.paths.cache / "pool").row
        self.serials.append(str(row.serial))

    def commit(self, check: str, tag: str | None = None) -> None:
        """Commit a state of the package."""
        by = f"Ada Example <ada@example.org>  {format_datetime(datetime(2024, 1, 10, tzinfo=UTC))}"
        files = {
            "debian/changelog": f"greeter (1.0) devel; urgency=medium\n\n  * New.\n\n -- {by}\n",
            "debian/control": CONTROL,
            "debian/rules*": RULES.format(check=check),
            "debian/source/format": "3.0 (native)\n",
            "greeting": f"{len(self.commits)}\n",
        }
        self.commits.append(commit(self.app.paths, "greeter", files, tag=tag))

    def run(self, *words: str, exit_code: int = 0) -> str:
        """Run a command to its end."""
        done = self.line.call(*words, "--state", str(self.line.state), timeout_s=1200)
        assert done.returncode == exit_code, done.stdout + done.stderr
        return done.stdout

    def killed(self, *words: str, when: str, after_s: float) -> None:
        """Run a command, and kill it some time after it says something."""
        argv = [str(DISTWRIGHT), *words, "--state", str(self.line.state)]
        with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            for said in process.stderr:
                if when in said:
                    time.sleep(after_s)
                    break
            process.kill()
        wait_until_gone(self.line.state)


@pytest.fixture(scope="module")
def story() -> Iterator[Story]:
    """Make the installation, with greeter 1.0 built, before anything breaks."""
    upstream = Upstream(origin="", label="")
    upstream.add(
        make_deb("build-essential", "99", depends="dpkg-dev, make"), make_deb("fakeroot", "99"), make_deb("bar", "1.0"),
        *library("1.0", OLD),
    )  # fmt: skip
    with state_folder() as folder, serving_upstream(upstream) as mirror:
        app = open_app(str(folder / "state"), create=True)
        for credential in ("petrel", "builder"):
            make_key(app.paths.key(credential), credential)
        url = f"{mirror.url}/debian"
        apply_config(
            {"distwright.toml": CONFIG.format(url=url)}, {"small.asc": signer("upstream").certificate()}, "0" * 40,
            database=app.database, objects=app.objects, paths=app.paths, now=datetime.now(UTC),
        )  # fmt: skip
        story = Story(Line(folder / "state"), app, upstream, url)
        story.run("archive", "record", "debian")
        story.record()
        story.commit("true", tag="1.0")
        story.run("package", "build", "greeter", "--tag", "1.0")
        story.run("worker", "--until-idle")
        yield story
        app.database.close()
        keep_in_cache(folder / "state")


def test_upstreams_change_is_found_by_the_sweep_and_named(story: Story) -> None:
    story.record(make_deb("bar", "2.0"))
    story.record(make_deb("bar", "3.0"), *library("2.0", NEW))
    story.killed("worker", "--until-idle", when="build (", after_s=2)
    story.run("worker", "--until-idle")
    shown = story.line.answer("package", "history", "greeter")
    [failing] = shown["failing"]
    first, last = story.serials[2], story.serials[1]
    debian = failing["serials"]["debian"]
    assert failing["since"] == {"debian": debian, "small": first}
    assert (
        failing["last_good"] == {"debian": debian, "small": last} or failing["last_good"]["small"] == story.serials[0]
    )
    assert failing["culprit"]["text"] == f"libfoo 2.0 from serial {first} of archive small breaks it"
    assert failing["culprit"]["builds"] == 2, "the serial between, and one mixture"


def test_a_commit_of_ours_is_named(story: Story) -> None:
    story.commit("true")
    story.commit("test ! -e greeting")
    story.commit("test ! -e greeting || false")
    good = story.serials[1] if len(story.serials) > 1 else story.serials[0]
    said = story.run("package", "bisect", "greeter", "--good", "1.0", "--good", good, "--bad", "main", "--bad", good)
    assert f"commit {story.commits[2][:12]} (Ada, files) breaks it" in said
