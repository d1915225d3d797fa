"""The apt of this machine reads what a frozen branch names, while upstream moves on, and installs what was let in."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.worlds.apt import Apt, Ran
from tests.worlds.archive import DATE, DAY, Upstream, make_deb, make_source, signer
from tests.worlds.recorded import RecordedArchive, apt_of, recorded_archive
from tests.worlds.suite import OwnSuite, own_suite

from distwright.archive.exception_rules import preferences_text
from distwright.archive.exceptions import ExceptionRequest, let_in
from distwright.archive.garbage import collect
from distwright.archive.pin_files import read_pins, save_pins
from distwright.archive.pinning import needs_of_pins
from distwright.archive.pins import freeze, thaw
from distwright.archive.resolve import publish_request
from distwright.archive.retiring import Policy, retire_snapshots
from distwright.archive.suites import publish_suite
from distwright.archive.tidying import packages_of_exceptions, tidy_suite
from distwright.errors import NotFound
from distwright.model.serials import Serial
from distwright.repos.hosting import make_repo
from distwright.repos.pushes import take_in_pushes
from distwright.store.exceptions import list_exceptions
from distwright.tools.git import git, work_tree

HELLO, LIBRARY = make_deb("hello", "2.0", depends="libhello (= 2.0)"), make_deb("libhello", "2.0", source="hello")
SOURCE = make_source("hello", "2.0", binaries=("hello", "libhello"))


@pytest.fixture
def archive(tmp_path: Path) -> RecordedArchive:
    upstream = Upstream()
    upstream.add(make_deb("hello"), make_source("hello"), make_deb("world"), make_source("world"))
    upstream.publish(DATE)
    return recorded_archive(tmp_path / "state", upstream)


def move_on(archive: RecordedArchive, days: int) -> Serial:
    archive.upstream.add(HELLO, LIBRARY, SOURCE, make_deb("world", f"1.{days}"))
    archive.upstream.publish(DATE + days * DAY)
    archive.context.clock = DATE + days * DAY
    return archive.record().row.serial


class Branch:
    """The branch `stable` of the hosted repo `live`, in a work tree of a person."""

    def __init__(self, archive: RecordedArchive, folder: Path) -> None:
        self.context = archive.context
        self.hosted = make_repo(self.context.paths, "live", "stable")
        folder.mkdir()
        git(folder, "init", "-q", "--initial-branch=stable")
        self.top = work_tree(folder)[0]

    def push(self) -> None:
        git(self.top, "add", "-A")
        git(self.top, "-c", "user.name=Ada", "-c", "user.email=ada@example.org", "commit", "-qm", "pins")
        git(self.top, "push", "-q", str(self.hosted), "HEAD:refs/heads/stable")
        needs = needs_of_pins(self.context.database, self.context.config)
        take_in_pushes(self.context.database, self.context.paths, ["live"], self.context.clock, needs)

    def pinned(self) -> Serial | None:
        return read_pins(self.top, ["debian"])["debian"]


def updated(apt: Apt) -> list[str]:
    ran = apt.update()
    assert (ran.exit_code, ran.complaints) == (0, [])
    return apt.candidates()


def test_a_frozen_branch_is_read_for_as_long_as_it_pins_and_goes_after_it_is_thawed(
    archive: RecordedArchive, tmp_path: Path
) -> None:
    frozen_at = archive.record().row.serial
    branch = Branch(archive, tmp_path / "clone")
    save_pins(branch.top, freeze({}, {"debian": frozen_at}))
    branch.push()
    newest = [move_on(archive, days) for days in (1, 2, 3)][-1]
    context = archive.context
    judged = retire_snapshots(context, "debian", Policy(keep=1), really=True)
    assert [one.row.serial for one in judged if one.stays] == [newest, frozen_at]
    collect(context, [], really=True)
    assert branch.pinned() == frozen_at
    with archive.served() as url:
        apt = apt_of(tmp_path / "frozen", f"{url}/{branch.pinned()}", "upstream")
        assert updated(apt) == ["hello 1.0", "world 1.0"]
        assert apt.download("hello").complaints == []
        assert updated(apt_of(tmp_path / "latest", url, "upstream")) == ["hello 2.0", "libhello 2.0", "world 1.3"]
    save_pins(branch.top, thaw(read_pins(branch.top, ["debian"])))
    branch.push()
    assert branch.pinned() is None
    retire_snapshots(context, "debian", Policy(keep=1), really=True)
    with pytest.raises(NotFound):
        archive.read(f"{frozen_at}/dists/stable/InRelease")


def test_apt_takes_what_was_let_in_as_the_preferences_say_and_the_frozen_version_again_when_it_ends(
    archive: RecordedArchive, tmp_path: Path
) -> None:
    """The suite is not automatic, so nothing of it is installed unasked."""
    frozen_at = archive.record().row.serial
    branch = Branch(archive, tmp_path / "clone")
    save_pins(branch.top, freeze({}, {"debian": frozen_at}))
    branch.push()
    newest = move_on(archive, 1)
    ours = own_suite(archive.context.paths.root, "frozen", archive.context)
    table = archive.context.config.suites["devel"].model_copy(update={"not_automatic": True})
    archive.context.config = replace(archive.context.config, suites={"frozen": table})
    request = ExceptionRequest(
        "petrel", "frozen", "hello", "2.0", f"debian@{newest}", "a crash", "user ada", "debian/stable", "live/stable"
    )
    let_in(request, archive.context, dry_run=False)
    publish(ours)
    with archive.served() as url:
        apt = apt_of(tmp_path / "apt", f"{url}/{frozen_at}", "upstream")
        add_source(apt, f"{url.rpartition('/')[0]}/petrel")
        updated(apt)
        assert would_install(apt) == {"hello": "1.0"}
        preferences = apt.folder / "etc" / "preferences.d" / "exceptions"
        preferences.write_text(preferences_of(ours))
        assert would_install(apt) == {"hello": "2.0", "libhello": "2.0"}
        assert apt.run("apt-get", "source", "--download-only", "hello=2.0").complaints == []
        assert apt.download("libhello").complaints == []
        save_pins(branch.top, {"debian": None})
        branch.push()
        assert [one.why for one in tidy_suite(archive.context, "petrel", "frozen", "user ada")] == [
            f"debian/stable@{newest} has 2.0"
        ]
        publish(ours)
        assert preferences_of(ours) == ""
        thawed = apt_of(tmp_path / "thawed", url, "upstream")
        add_source(thawed, f"{url.rpartition('/')[0]}/petrel")
        updated(thawed)
        assert would_install(thawed) == {"hello": "2.0", "libhello": "2.0"}
        assert "/petrel" not in thawed.run("apt-cache", "policy", "hello").stdout


def publish(suite: OwnSuite) -> None:
    publish_suite(suite.context, publish_request(suite.context.config, suite.state()))


def preferences_of(suite: OwnSuite) -> str:
    with suite.context.database.read() as tx:
        rows = list_exceptions(tx, "petrel", suite.name)
    return preferences_text(rows, packages_of_exceptions(suite.context, rows), f"o=Petrel,n={suite.name}")


def add_source(apt: Apt, url: str) -> None:
    (apt.folder / "ours.asc").write_bytes(signer("petrel").certificate())
    sources = apt.folder / "etc" / "sources.list"
    lines = [f"{kind} [signed-by={apt.folder}/ours.asc] {url} frozen main\n" for kind in ("deb", "deb-src")]
    sources.write_text(sources.read_text() + "".join(lines))


def would_install(apt: Apt) -> dict[str, str]:
    ran: Ran = apt.run("apt-get", "-qq", "--simulate", "install", "hello")
    words = [line.split() for line in ran.stdout.splitlines() if line.startswith("Inst ")]
    return {line[1]: line[2].lstrip("(") for line in words}
