"""An installation with a public repo, its private twin and a word that stands in everything of the twin: the canary.

The line is the real one from `git push` to what apt reads, but for the program that compiles: packages are made here.
"""

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.system.line import state_folder
from tests.worlds.archive import Upstream, make_deb, make_source, make_upload, signer
from tests.worlds.commands import CommandLine, command_line
from tests.worlds.repos import changelog
from tests.worlds.work import Onlooker

from distwright.app import App, open_app
from distwright.builds.destinations import BUILD_KIND
from distwright.builds.judging_builds import conclude_failed_build
from distwright.builds.package import PACKAGE_BUILD, conclude, sign_changes
from distwright.errors import WorkFailed
from distwright.jobs.step import Action, Context, Earlier, Inputs, JobKind, StepResult
from distwright.model import plain
from distwright.signing.signer import Signer
from distwright.worker.kinds import KINDS

CANARY = "zzcanary"
TOPIC = f"fix/{CANARY}"
CONFIG = """\
format = 1
[site]
name = "Petrel"
[archive.debian]
kind = "upstream"
suites = ["stable"]
keyring = "{folder}/upstream.asc"
origin = "Debian"
label = "Debian"
fetch_from = "file://{folder}/upstream"
[archive.petrel]
kind = "own"
origin = "Petrel"
label = "Petrel"
key = {{ credential = "petrel" }}
[archive.vault]
kind = "own"
private = true
origin = "Petrel, embargoed"
label = "Petrel"
key = {{ credential = "vault" }}
[suite.next]
archive = "petrel"
[suite.fixes]
archive = "vault"
[environment.build]
from = ["debian/stable"]
[repo.greeter]
public = true
package = true
suite = "next"
environment = "build"
rebuild = false
[repo.greeter-twin]
private = true
private_twin_of = "greeter"
package = true
suite = "fixes"
environment = "build"
rebuild = false
write = ["ada"]
[repo.notes]
private = true
read = ["bob"]
{persons}"""
_PERSON = """\
[person.{name}]
name = "{name}"
email = "{name}@petrel.example"
keys = []
"""
PERSONS = "".join(_PERSON.format(name=name) for name in ("ada", "bob"))
_WHO = {
    "PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1",
    **{f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER") for what, value in (
        ("NAME", "Ada"), ("EMAIL", "ada@petrel.example"), ("DATE", "1704888000 +0000"))},
}  # fmt: skip


class _Unsigned:
    """Signs nothing: what a build leaves is signed by its next step."""

    def sign_clear(self, text: bytes) -> bytes:
        return text


def _compile(context: Context, inputs: Inputs, _earlier: Earlier) -> StepResult:
    """Make the package that was ordered, without a compiler."""
    source, version, suite = (plain.text(inputs, key) for key in ("source", "version", "suite"))
    context.log(f"compiling {source} {version} of {inputs['repo']}")
    if "broken" in plain.text({"branch": "", **inputs}, "branch"):
        raise WorkFailed(f"{source}.c:1: error: nothing of {source} works", hint="look at its log")
    deb = make_deb(source, version, content={f"usr/share/{source}": source})
    by: Signer = _Unsigned()  # type: ignore[assignment]  # of the protocol only what a .changes needs
    made = make_upload(make_source(source, version), deb, by=by, distribution=suite)
    files = {f"files/{name}": context.objects.put(content) for name, content in made.files.items()}
    return StepResult({**files, f"changes/{made.changes_name}": context.objects.put(made.changes)})


_SIGN = next(step for step in PACKAGE_BUILD.steps if step.name == "sign")
assert isinstance(_SIGN, Action)
_BUILD = JobKind(BUILD_KIND, (Action("build", _compile), Action("sign", sign_changes)), conclude, conclude_failed_build)


@dataclass
class Embargoed:
    """The installation, clones of its repos, and tokens of its persons. serial: of a snapshot of the private archive."""

    folder: Path
    line: CommandLine
    serial: str = ""
    tokens: dict[str, str] = field(default_factory=dict)

    def open(self) -> App:
        """Open it."""
        return open_app(str(self.line.state))

    def push(self, repo: str, branch: str, files: Mapping[str, str], subject: str, *, tag: str = "") -> str:
        """Commit files in a clone and push them, by git and its hook; give the commit."""
        place = self.folder / "clones" / repo
        if not place.exists():
            source = f"file://{self.line.state / 'repos' / repo}.git"
            _git(self.folder, "-c", "safe.directory=*", "clone", "--quiet", source, str(place))
        _git(place, "checkout", "--quiet", "-B", branch)
        for name, content in files.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_text(content)
        _git(place, "add", "--all")
        _git(place, "commit", "--quiet", "-m", subject)
        if tag:
            _git(place, "tag", tag)
        _git(place, "push", "--quiet", "origin", branch, *([tag] if tag else []))
        return _git(place, "rev-parse", "HEAD")

    def push_package(self, repo: str, branch: str, source: str, version: str = "1.0", *, tag: str = "") -> str:
        """Push a source package; all that it says is its name."""
        files = {
            "debian/changelog": changelog(source, version),
            "debian/source/format": "3.0 (native)\n",
            source: source,
        }
        return self.push(repo, branch, files, f"Mend {source}", tag=tag)

    def work(self) -> None:
        """Do all that follows, as a worker would."""
        app = self.open()
        worker = app.worker(Onlooker(), may_wait_to_retry=False)
        worker.kinds = {**KINDS, BUILD_KIND.name: _BUILD}
        worker.clean_up()
        app.take_in()
        while worker.run_one():
            app.take_in()
        app.database.close()

    def token(self, person: str) -> str:
        """Give a person's token, made once."""
        if person not in self.tokens:
            done = self.line.run("reader", "token", person, as_json=True)
            assert done.exit_code == 0, done.said
            self.tokens[person] = done.answer["token"]
        return self.tokens[person]


@contextmanager
def embargoed() -> Iterator[Embargoed]:
    """Make it: both upstream and the public package are there, and the twin has been worked on in every way that leaves a trace."""
    with state_folder() as folder:
        (folder / "upstream.asc").write_bytes(signer("upstream").certificate())
        upstream = Upstream()
        upstream.add(make_deb("base-files", "1.0"))
        upstream.publish()
        upstream.write(folder / "upstream")
        text = CONFIG.format(folder=folder, persons=PERSONS)
        world = Embargoed(folder, command_line(folder, text, ("petrel", "vault", "builder")))
        app = world.open()
        app.order_record("debian", None)
        app.database.close()
        world.push_package("greeter", "main", "greeter", tag="1.0")
        world.work()
        world.push_package("greeter-twin", "main", CANARY, tag="1.0")
        world.push_package("greeter-twin", TOPIC, CANARY, "1.1")
        world.push_package("greeter-twin", f"{TOPIC}-broken", CANARY, "1.2")
        world.push("greeter-twin", f"{TOPIC}-refused", {"debian/changelog": f"{CANARY}\n"}, f"Forget {CANARY}")
        world.work()
        taken = world.line.run("snapshot", "take", "vault", "--publish", as_json=True)
        assert taken.exit_code == 0, taken.said
        world.serial = taken.answer["serial"]
        yield world


def _git(place: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=place, env=_WHO, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, (words, done.stderr)
    return done.stdout.strip()
