"""Archives of a real reprepro and aptly move in: a real apt sees the same before and after, and nothing of theirs changes."""

import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from tests.worlds.apt import Apt, make_apt
from tests.worlds.archive import Upstream, make_deb, make_source, signer
from tests.worlds.installation import WorldContext
from tests.worlds.theirs import Aptly, Reprepro, everything_in, moving_world

from distwright.archive.changing import root_of
from distwright.archive.editing import find_stanzas
from distwright.archive.from_aptly import aptly_archive
from distwright.archive.from_reprepro import reprepro_archive
from distwright.archive.from_tree import tree_archive
from distwright.archive.moved_config import configuration
from distwright.archive.moving_in import MovedSuite, MoveRequest, move_in, scratch_folder
from distwright.archive.resolve import publish_request
from distwright.archive.suites import packages_of, publish_suite, set_sealed
from distwright.config.load import parse_config
from distwright.errors import BadInput, BadUsage, NotFound, Refused
from distwright.formats.deb822 import raw_field
from distwright.model.events import EventKind
from distwright.model.records import SuiteState
from distwright.signing.verify import Keyring
from distwright.store.suites import get_suite, list_revisions, list_suites
from distwright.tools.run import ENVIRONMENT

HELLO, WORLD = make_deb("hello", "1.0", depends="world"), make_deb("world", "2:1.0", architecture="all")
ARM, SOURCE = make_deb("hello", "0.9", architecture="arm64"), make_source("hello", "1.0")
EXTRA, TINY = make_deb("extra", "1.0", section="contrib/utils"), make_deb("tiny-udeb", "1.0", source="hello")
FIX = make_deb("hello", "1.0+fix1")
DISTRIBUTIONS = """\
# what we have
Codename: stable
Suite: bird
Origin: Theirs
Label: Their packages
Description: What they keep
Architectures: amd64 arm64 source
Components: main contrib
UDebComponents: main
ValidFor: 1m 2d
Uploaders: uploaders
DebOverride: override

!include: more
"""
MORE = "Codename: stable/updates\nArchitectures: amd64\nComponents: updates/main\nNotAutomatic: yes\n"
UPLOADERS = "# who may\nallow * by key 0123456789ABCDEF0123456789ABCDEF01234567\n"
NAMES = {"stable": "stable", "stable/updates": "stable-updates"}


@pytest.fixture
def context(tmp_path: Path) -> WorldContext:
    return moving_world(tmp_path / "state")


@pytest.fixture
def reprepro(tmp_path: Path) -> Reprepro:
    """Two distributions, three components, two architectures, a source, a udeb, and a section that an override gives."""
    override = "world Section special\nworld Priority important\n"
    made = Reprepro(tmp_path / "reprepro", DISTRIBUTIONS, more=MORE, uploaders=UPLOADERS, override=override)
    made.include("stable", [HELLO, WORLD, ARM, SOURCE])
    made.include("stable", [EXTRA], component="contrib")
    made.include("stable", [TINY], udebs=True)
    made.include("stable/updates", [FIX], component="updates/main")
    return made


@pytest.fixture
def aptly(tmp_path: Path) -> Aptly:
    """A published distribution of two repositories, one with two versions of a name; one repository that is not published."""
    made = Aptly(tmp_path / "aptly")
    made.add("base", [HELLO, FIX, WORLD, ARM, SOURCE])
    made.add("base", [TINY], udebs=True)
    made.add("more", [EXTRA], component="contrib")
    made.add("private", [make_deb("secret")])
    made.run("snapshot", "create", "day-one", "from", "repo", "base")
    made.publish("stable", "base", "more", components="main,contrib")
    return made


def move(
    context: WorldContext, kind: str, place: Path, names: dict[str, str] | None = None, **options: bool
) -> tuple[MovedSuite, ...]:
    request = MoveRequest("petrel", "ada", kind, names or {}, **options)  # type: ignore[arg-type]  # only flags
    with scratch_folder(context) as scratch:
        match kind:
            case "reprepro":
                theirs = reprepro_archive(place, scratch)
            case "aptly":
                theirs = aptly_archive(place, scratch, tuple(request.names))
            case _:
                theirs = tree_archive(place, scratch)
        return move_in(context, theirs, request)


def suite(context: WorldContext, name: str) -> SuiteState:
    with context.database.read() as tx:
        return get_suite(tx, "petrel", name)


def has(context: WorldContext, name: str) -> list[tuple[str, str, str]]:
    return sorted(packages_of(context.objects, suite(context, name)))


def published(context: WorldContext, *names: str) -> Path:
    for name in names:
        publish_suite(context, publish_request(context.config, suite(context, name)))
    return context.paths.public / "petrel"


def seen(
    folder: Path, archive: Path, name: str, components: str, packages: str = "hello hello:arm64 world extra"
) -> list[str]:
    """Let apt read a suite; give name, version, component and architecture of everything of these names."""
    apt: Apt = make_apt(folder, f"copy:{archive}", signer("petrel").certificate())
    options = f"[trusted=yes] copy:{archive} {name} {components}\n"
    kinds = ("deb", "deb-src") if (archive / "dists" / name / "main" / "source").exists() else ("deb",)
    (apt.folder / "etc" / "sources.list").write_text("".join(f"{kind} {options}" for kind in kinds))
    with (apt.folder / "apt.conf").open("a") as conf:
        conf.write('#clear APT::Architectures;\nAPT::Architectures { "amd64"; "arm64"; };\n')
    assert apt.update().exit_code == 0
    rows = [line.split("|") for line in apt.run("apt-cache", "madison", *packages.split()).stdout.splitlines()]
    return sorted({" ".join((row[0].strip(), row[1].strip(), row[2].split(name, 1)[1])) for row in rows})


def test_an_archive_of_reprepro_moves_in_and_apt_sees_the_same(
    context: WorldContext, reprepro: Reprepro, tmp_path: Path
) -> None:
    before = everything_in(reprepro.base)
    moved = move(context, "reprepro", reprepro.base, NAMES)
    assert [(suite.ours, suite.is_new, suite.added, suite.unchanged) for suite in moved] == [
        ("stable", True, 6, 0),
        ("stable-updates", True, 1, 0),
    ]
    assert everything_in(reprepro.base) == before
    assert has(context, "stable") == [
        ("contrib/binary-amd64", "extra", "1.0"),
        ("main/binary-all", "world", "2:1.0"),
        ("main/binary-amd64", "hello", "1.0"),
        ("main/binary-arm64", "hello", "0.9"),
        ("main/debian-installer/binary-amd64", "tiny-udeb", "1.0"),
        ("main/source", "hello", "1.0"),
    ]
    assert has(context, "stable-updates") == [("updates/main/binary-amd64", "hello", "1.0+fix1")]
    assert (suite(context, "stable").follows, suite(context, "stable").kind) == ("devel", "base")
    archive = published(context, "stable", "stable-updates")
    theirs = seen(tmp_path / "before", reprepro.base, "stable", "main contrib")
    assert len(theirs) == 6  # world once for each architecture
    assert seen(tmp_path / "after", archive, "stable", "main contrib") == theirs
    packages = (archive / "dists/stable/main/binary-amd64/Packages.gz").parent
    assert packages.is_dir()
    udeb = archive / "pool/main/h/hello/tiny-udeb_1.0_amd64.udeb"
    assert udeb.read_bytes() == TINY.content


def test_sections_of_overrides_stay(context: WorldContext, reprepro: Reprepro) -> None:
    move(context, "reprepro", reprepro.base, NAMES)
    row = suite(context, "stable")
    root = context.objects.read(row.revision)
    assert b"main/binary-all" in root
    text = b"".join(
        context.objects.read(digest)
        for digest in context.objects.digests()
        if b"Package: world\n" in context.objects.read(digest)
    ).decode()
    assert "Section: special\nPriority: important\n" in text


def test_a_second_import_changes_nothing_and_a_third_takes_what_came_since(
    context: WorldContext, reprepro: Reprepro
) -> None:
    move(context, "reprepro", reprepro.base, NAMES)
    first, events = suite(context, "stable"), len(context.events())
    assert [(moved.added, moved.unchanged) for moved in move(context, "reprepro", reprepro.base, NAMES)] == [
        (0, 6),
        (0, 1),
    ]
    assert (suite(context, "stable"), len(context.events())) == (first, events)
    reprepro.include("stable", [make_deb("hello", "1.1")])
    assert [moved.added for moved in move(context, "reprepro", reprepro.base, NAMES)] == [1, 0]
    assert ("main/binary-amd64", "hello", "1.1") in has(context, "stable")
    assert ("main/binary-amd64", "hello", "1.0") not in has(context, "stable")
    with context.database.read() as tx:
        history = list_revisions(tx, "petrel", "stable")
    assert [(row.action, row.actor) for row in history] == [("import", "ada")] * 2
    assert [event.kind for event in context.events()] == [EventKind.SUITE_CHANGED] * 3


def test_a_stale_lock_and_hooks_of_theirs_are_no_hindrance(context: WorldContext, reprepro: Reprepro) -> None:
    hook = reprepro.base / "conf" / "hook"
    hook.write_text('#!/bin/sh\ntouch "$REPREPRO_BASE_DIR"/hooked\n')
    hook.chmod(0o755)
    (reprepro.base / "conf" / "options").write_text(f"endhook {hook}\n")
    (reprepro.base / "db" / "lockfile").touch()
    before = everything_in(reprepro.base)
    with scratch_folder(context) as scratch:
        theirs = reprepro_archive(reprepro.base, scratch)
        assert theirs.notes == ("reprepro is locked: should it be at work, run this again when it has finished",)
        assert [len(list(suite.packages())) for suite in theirs.suites] == [7, 1]
    assert everything_in(reprepro.base) == before


def test_what_the_archive_lacks_is_named_with_what_to_write(tmp_path: Path, reprepro: Reprepro) -> None:
    context = moving_world(tmp_path / "other", lists="")
    with pytest.raises(Refused) as refused:
        move(context, "reprepro", reprepro.base, NAMES)
    assert refused.value.message == (
        "archive petrel does not have what they have:\n  component contrib\n  component updates/main\n  architecture arm64\n"
        "set in [archive.petrel]:\n"
        'components = ["main", "contrib", "updates/main"]\narchitectures = ["amd64", "arm64"]'
    )
    with context.database.read() as tx:
        assert [row.name for row in list_suites(tx)] == ["devel"]


def test_suites_without_a_place_are_all_named(context: WorldContext, reprepro: Reprepro) -> None:
    with pytest.raises(BadUsage) as refused:
        move(context, "reprepro", reprepro.base, {"old": "old"})
    assert "they have no suite 'old'" in refused.value.message
    assert "name it with --suite stable/updates=NAME" in refused.value.message


def test_the_printed_configuration_is_one(context: WorldContext, reprepro: Reprepro) -> None:
    with scratch_folder(context) as scratch:
        theirs = reprepro_archive(reprepro.base, scratch)
        text = configuration("theirs", None, theirs, NAMES, ("main", "contrib", "updates/main"), ("amd64", "arm64"))
    config = parse_config([("distwright.toml", f'format = 1\n[site]\nname = "Petrel"\n{text}')])
    stable, updates = config.suites["stable"], config.suites["stable-updates"]
    assert (stable.description, stable.valid_days) == ("What they keep", 33)
    assert (updates.archive, updates.not_automatic) == ("theirs", True)
    assert (config.archives["theirs"].origin, config.archives["theirs"].label) == ("Theirs", "Their packages")
    assert "# conf/uploaders: allow * by key 0123456789ABCDEF0123456789ABCDEF01234567\n" in text


def test_broken_packages_of_reprepro_are_all_named_and_other_suites_move_in(
    context: WorldContext, reprepro: Reprepro
) -> None:
    pool = reprepro.base / "pool"
    (pool / "main/h/hello/hello_1.0_amd64.deb").unlink()
    world = pool / "main/w/world/world_1.0_all.deb"
    world.chmod(0o644)
    world.write_bytes(make_deb("world", "2:1.0", architecture="all", depends="other").content)
    with pytest.raises(Refused) as refused:
        move(context, "reprepro", reprepro.base, NAMES)
    said = refused.value.message.splitlines()
    assert said[0] == "moved in: stable-updates; not these:"
    assert sorted(re.sub(r"'.*/", "'", line) for line in said[1:]) == [
        "  stable: hello 1.0: 'hello_1.0_amd64.deb' cannot be read: No such file or directory",
        "  stable: world 2:1.0: 'world_1.0_all.deb' is not the file that their index says, or the index says no SHA-256",
    ]
    with context.database.read() as tx:
        assert [row.name for row in list_suites(tx)] == ["devel", "stable-updates"]


def test_a_dry_run_says_what_is_missing_and_changes_nothing(context: WorldContext, reprepro: Reprepro) -> None:
    [stable, _] = move(context, "reprepro", reprepro.base, NAMES, dry_run=True)
    assert (stable.is_new, stable.added) == (True, 6)
    (reprepro.base / "pool/main/h/hello/hello_1.0_amd64.deb").unlink()
    with pytest.raises(Refused, match="cannot be read"):
        move(context, "reprepro", reprepro.base, NAMES, dry_run=True)
    with context.database.read() as tx:
        assert [row.name for row in list_suites(tx)] == ["devel"]
    assert context.events() == []


def test_linked_files_are_shared(context: WorldContext, reprepro: Reprepro) -> None:
    move(context, "reprepro", reprepro.base, NAMES, link=True)
    theirs = reprepro.base / "pool/main/h/hello/hello_1.0_amd64.deb"
    assert context.objects.is_placed(HELLO.sha256, theirs)
    assert theirs.stat().st_nlink == 2


def test_the_exported_tree_of_reprepro_is_the_same_archive(
    context: WorldContext, reprepro: Reprepro, tmp_path: Path
) -> None:
    reprepro.run("createsymlinks")
    move(context, "reprepro", reprepro.base, NAMES)
    other = moving_world(tmp_path / "other")
    before = everything_in(reprepro.base)
    assert [moved.ours for moved in move(other, "tree", reprepro.base, NAMES)] == ["stable", "stable-updates"]
    assert everything_in(reprepro.base) == before
    assert [suite(other, name).revision for name in NAMES.values()] == [
        suite(context, name).revision for name in NAMES.values()
    ]


def test_a_stale_index_is_refused_by_name(context: WorldContext, reprepro: Reprepro) -> None:
    index = reprepro.base / "dists/stable/main/binary-amd64/Packages.gz"
    index.unlink()
    plain = reprepro.base / "dists/stable/main/binary-amd64/Packages"
    plain.write_text(plain.read_text() + "\n")
    with pytest.raises(Refused, match=r"main/binary-amd64/Packages' is not what Release says"):
        move(context, "tree", reprepro.base, NAMES)
    plain.unlink()
    with pytest.raises(Refused, match=r"main/binary-amd64/Packages is in no compression here"):
        move(context, "tree", reprepro.base, NAMES)


def test_an_archive_of_aptly_moves_in_with_all_versions_and_apt_sees_the_same(
    context: WorldContext, aptly: Aptly, tmp_path: Path
) -> None:
    before = everything_in(aptly.root)
    moved = move(context, "aptly", aptly.root, {"snapshot:day-one": "day-one"})
    assert everything_in(aptly.root) == before
    assert [(suite.ours, suite.added) for suite in moved] == [("stable", 7), ("private", 1), ("day-one", 6)]
    assert [row for row in has(context, "stable") if row[1] == "hello"] == [
        ("main/binary-amd64", "hello", "1.0"),
        ("main/binary-amd64", "hello", "1.0+fix1"),
        ("main/binary-arm64", "hello", "0.9"),
        ("main/source", "hello", "1.0"),
    ]
    assert ("main/debian-installer/binary-amd64", "tiny-udeb", "1.0") in has(context, "stable")
    theirs = seen(tmp_path / "before", aptly.root / "public", "stable", "main contrib")
    assert len(theirs) == 7
    assert seen(tmp_path / "after", published(context, "stable"), "stable", "main contrib") == theirs
    again = move(context, "aptly", aptly.config, {"snapshot:day-one": "day-one"})
    assert [(suite.added, suite.unchanged) for suite in again] == [(0, 7), (0, 1), (0, 6)]


def test_a_suite_can_be_left_out_and_one_of_ours_be_filled(context: WorldContext, aptly: Aptly) -> None:
    moved = move(context, "aptly", aptly.root, {"stable": "devel", "private": ""})
    assert [(suite.ours, suite.is_new) for suite in moved] == [("devel", False)]
    assert len(has(context, "devel")) == 7


def test_a_file_that_aptly_lost_is_named(context: WorldContext, aptly: Aptly) -> None:
    [lost] = aptly.root.glob("pool/*/*/*extra_1.0_amd64.deb")
    lost.unlink()
    with pytest.raises(
        Refused, match=r"moved in: private; not these:\n  stable: extra 1\.0: '.*extra_1\.0_amd64\.deb' cannot be read"
    ):
        move(context, "aptly", aptly.root)


def test_newer_packages_of_ours_stay_and_other_content_of_a_version_is_refused(
    context: WorldContext, aptly: Aptly
) -> None:
    move(context, "aptly", aptly.root, {"private": ""})
    ours = Aptly(aptly.root.parent / "ours" / "aptly")
    ours.add("later", [make_deb("hello", "3.0"), make_deb("extra", "0.5")])
    move(context, "aptly", ours.root, {"later": "stable"})
    versions = [row[2] for row in has(context, "stable") if row[:2] == ("main/binary-amd64", "hello")]
    assert versions == ["3.0"]  # it replaced what was older
    move(context, "aptly", aptly.root, {"private": ""})
    versions = [row[2] for row in has(context, "stable") if row[:2] == ("main/binary-amd64", "hello")]
    assert versions == ["1.0", "1.0+fix1", "3.0"]
    ours.add("other", [make_deb("hello", "3.0", depends="other")])
    with pytest.raises(Refused, match=r"stable: hello 3\.0 \(main/binary-amd64\) is here already, with other content"):
        move(context, "aptly", ours.root, {"other": "stable", "later": ""})


def test_a_signed_tree_is_believed_by_its_keyring_only(context: WorldContext, tmp_path: Path) -> None:
    upstream = Upstream(suites=("stable",))
    upstream.add(HELLO, WORLD, SOURCE)
    upstream.publish()
    upstream.write(tmp_path / "tree")
    shutil.rmtree(tmp_path / "tree/dists/stable/main/source")
    trusted, stranger = (Keyring(signer(name).certificate(), name) for name in ("upstream", "stranger"))
    with scratch_folder(context) as scratch:
        theirs = tree_archive(tmp_path / "tree", scratch, keyring=trusted)
        assert theirs.notes == ("stable: main/source is not here",)
        assert [moved.added for moved in move_in(context, theirs, MoveRequest("petrel", "ada", "tree", {}))] == [2]
        with pytest.raises(Refused, match="stable"):
            tree_archive(tmp_path / "tree", scratch, keyring=stranger)


def test_share_of_machines_that_their_index_says_comes_along(context: WorldContext, tmp_path: Path) -> None:
    """As Ubuntu's does: it stands in the index, not in the package."""
    upstream = Upstream(suites=("stable",))
    upstream.add(replace(HELLO, control=f"{HELLO.control}Phased-Update-Percentage: 20\n"), WORLD)
    upstream.publish()
    upstream.write(tmp_path / "tree")
    move(context, "tree", tmp_path / "tree")
    root = root_of(context, suite(context, "stable"))
    found = {name: find_stanzas(root, place, [name], context.objects.read)[name]
             for place, name in (("main/binary-amd64", "hello"), ("main/binary-all", "world"))}  # fmt: skip
    assert [raw_field(stanza, b"Phased-Update-Percentage") for (stanza,) in found.values()] == [b"20", None]


def test_without_their_program_what_was_published_last_moves_in(
    context: WorldContext, reprepro: Reprepro, aptly: Aptly, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ENVIRONMENT, "PATH", "/nowhere")
    with scratch_folder(context) as scratch:
        exported = reprepro_archive(reprepro.base, scratch)
        assert exported.notes == (
            "reprepro is not installed here, so this is what it exported last: apt install reprepro",
        )
        assert [len({str(package) for package in suite.packages()}) for suite in exported.suites] == [6, 1]
        assert exported.uploaders["stable"] == ("allow * by key 0123456789ABCDEF0123456789ABCDEF01234567",)
        public = aptly_archive(aptly.root, scratch)
        assert public.notes == ("aptly is not installed here, so this is what it published last: apt install aptly",)
        assert [(suite.name, len({str(package) for package in suite.packages()})) for suite in public.suites] == [
            ("stable", 7)
        ]


def test_a_database_that_lost_its_files_is_no_empty_archive(context: WorldContext, aptly: Aptly) -> None:
    """aptly makes a new database where files of the old one are missing, and says that it has nothing."""
    for file in (aptly.root / "db").iterdir():
        file.unlink()
    with pytest.raises(
        NotFound, match=r"the database of aptly in '.*/aptly/db' has no repository and nothing published"
    ):
        move(context, "aptly", aptly.root, dry_run=True)


def test_distributions_without_any_package_are_not_moved_in(context: WorldContext, tmp_path: Path) -> None:
    reprepro = Reprepro(tmp_path / "reprepro", DISTRIBUTIONS.partition("!include")[0])
    reprepro.run("export")
    for kind in ("reprepro", "tree"):
        with pytest.raises(NotFound, match=r"stable in .* have no package, so there is nothing to move in"):
            move(context, kind, reprepro.base)
    (reprepro.base / "conf" / "distributions").write_text("")
    with pytest.raises(NotFound, match=r"distributions' names no distribution"):
        move(context, "reprepro", reprepro.base)


def test_pipes_and_links_are_no_database_of_aptly(tmp_path: Path, aptly: Aptly) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadUsage, match="is no configuration of aptly"):
        aptly_archive(tmp_path / "pipe", tmp_path)
    os.mkfifo(aptly.root / "db" / "more")
    with pytest.raises(BadInput, match="/db/more' is no part of a database"):
        aptly_archive(aptly.root, tmp_path)
    (aptly.root / "db").rename(tmp_path / "elsewhere")
    (aptly.root / "db").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BadInput, match="/aptly/db' is a link"):
        aptly_archive(aptly.root, tmp_path)
    (aptly.root / "db").unlink()
    os.mkfifo(aptly.root / "db")
    with pytest.raises(BadInput, match="/aptly/db' is no part of a database"):
        aptly_archive(aptly.root, tmp_path)


def test_a_suite_that_is_read_only_stays_so(context: WorldContext, aptly: Aptly) -> None:
    set_sealed(context, "petrel", "devel", is_sealed=True)
    with pytest.raises(Refused, match=r"moved in: private; not these:\n  devel: it is read-only"):
        move(context, "aptly", aptly.root, {"stable": "devel"})
    assert has(context, "devel") == []
