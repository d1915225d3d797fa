"""What is said about an image of form 2: bills, licences, and all that follows from its order and its packages."""

import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import libtorrent
import pytest
from tests.unit.archive.requests import record_request
from tests.unit.formats.test_provenance import read_provenance
from tests.unit.images.test_build import DATA, HELLO, fetched
from tests.unit.images.test_build import IN_ROOT as HELLO_AND_DATA
from tests.worlds.archive import DATE, Upstream, make_deb, make_source, signer
from tests.worlds.installation import WorldContext, make_context
from tests.worlds.suite import OwnSuite, own_suite
from tests.worlds.times import NOW

from distwright.archive.record import record
from distwright.builds.environment import EnvironmentRecipe
from distwright.errors import BadInput
from distwright.formats.deb822 import parse_stanzas
from distwright.images.accounting import account
from distwright.images.build import KIND
from distwright.images.describing import describe, summed_files
from distwright.images.kit_descriptions import Description, Release, read_description
from distwright.images.made_by import programs_here
from distwright.jobs.lease import claim_next, holder_name
from distwright.jobs.order import JobOrder, place_order
from distwright.jobs.step import Inputs, ShelfEntry, StepResult
from distwright.model.digests import Json, sha256_of
from distwright.signing.verify import Keyring

EPOCH = 1_704_888_000
DEP5 = b"Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\nLicense: GPL-3+\n"
OURS = make_deb("petrel-greeter", "1.0", fields={"Built-Using": "greeting (= 1:2.0), lost (= 3)"})
IN_ROOT = HELLO_AND_DATA + b"petrel-greeter\t1.0\tamd64\tinstalled\n"
KEY = signer("petrel").certificate().decode()


@dataclass
class World:
    """An installation that has recorded debian, with the source of hello, and published ours without its source."""

    context: WorldContext
    shelf: tuple[ShelfEntry, ...]

    @property
    def inputs(self) -> dict[str, Json]:
        """Give an order of now."""
        recipe = EnvironmentRecipe(
            self.shelf, {entry.name: ("main",) for entry in self.shelf}, "minbase", ("hello",), "amd64", 1
        ).to_json()
        return {
            "form": 2, "image": "petrel", "name": "petrel-1", "version": "1", "outputs": ["iso"], "epoch": EPOCH, "repo": "live",
            "branch": "main", "commit": "0" * 40, "url": "https://petrel.example",
            "tools": recipe, "root": recipe, "title": "Petrel 1", "kernel_options": ["quiet"],
            "states": {entry.name: str(entry.document) for entry in self.shelf}, "files": {"petrel.asc": KEY},
            "vendors": {"debian": "debian", "petrel": "petrel"}, "keyrings": {"debian": "/usr/share/keyrings/debian.gpg"},
        }  # fmt: skip

    def earlier(self, files: Mapping[str, bytes]) -> dict[str, StepResult]:
        """Give what the steps before have left; hello was in both archives. files: package -> its copyright file."""
        put = self.context.objects.put
        return {
            "tools": StepResult({"root": put(b"the tool root")}),
            "root": StepResult(
                {}, (fetched(HELLO, "petrel/devel"), fetched(HELLO), fetched(DATA), fetched(OURS, "petrel/devel"))
            ),
            "installed": StepResult({"installed": put(IN_ROOT), "copyrights": put(copyrights(files))}),
            "initrd": StepResult({"vmlinuz": put(b"a kernel"), "initrd": put(b"an initrd")}),
            "squashfs": StepResult({"squashfs": put(b"a squashfs")}),
            "iso": StepResult({"iso": put(b"an iso")}),
            "usb": StepResult({"usb": put(b"a usb image")}),
        }

    def account(self, inputs: Inputs, earlier: Mapping[str, StepResult]) -> dict[str, bytes]:
        """Give the papers by their names."""
        made = account(self.context, inputs, earlier).outputs
        return {name: self.context.objects.read(digest) for name, digest in made.items()}

    def papers(self, more: Inputs | None = None) -> dict[str, bytes]:
        """Account and describe; give the public files by the end of their names."""
        inputs = {**self.inputs, **(more or {})}
        earlier = self.earlier({"hello": DEP5})
        earlier["account"] = account(self.context, inputs, earlier)
        describe(self.context, inputs, earlier)
        folder = self.context.paths.public / "images" / "petrel-1"
        return {path.name.removeprefix("petrel-1."): path.read_bytes() for path in folder.iterdir()}


def copyrights(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"usr/share/doc/{name}/copyright")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


@pytest.fixture
def world(tmp_path: Path) -> World:
    upstream = Upstream()
    upstream.add(HELLO, DATA, make_source("greeting", "1:2.0"))
    upstream.publish(DATE)
    context = make_context(tmp_path, upstream)
    document = record(record_request(), context, context.paths.cache / "pool").row.digest
    ours = own_suite(tmp_path, context=context)
    revision = ours.hold(OURS, HELLO)
    for deb in (HELLO, DATA):
        context.objects.put(deb.content)
    return World(
        context, (ShelfEntry("debian", "stable", document), ShelfEntry("petrel", "devel", revision, is_own=True))
    )


def test_every_paper_is_public_and_its_sum_is_signed(world: World) -> None:
    found = world.papers()
    sums = {line[66:].removeprefix("petrel-1."): line[:64] for line in found["SHA256SUMS"].decode().splitlines()}
    assert {"iso", "manifest.json", "packages", "cdx.json", "spdx.json", "licences.json", "sources"} <= set(sums)
    assert sums == {name: sha256_of(content) for name, content in found.items() if not name.startswith("SHA256SUMS")}
    Keyring(signer("image").certificate(), "the image key").verify_detached(
        found["SHA256SUMS"], found["SHA256SUMS.asc"], "SHA256SUMS"
    )


def test_with_the_image_it_is_public_and_signed_that_there_is_no_upgrade(world: World) -> None:
    world.papers()
    folder = world.context.paths.public / "images" / "upgrades" / "petrel-1"
    content = (folder / "upgrades.json").read_bytes()
    assert read_description(content) == Description("petrel", "main", Release("petrel-1", "1"))
    Keyring(signer("image").certificate(), "the image key").verify_detached(
        content, (folder / "upgrades.json.asc").read_bytes(), "upgrades.json"
    )


def test_the_bills_have_what_is_installed_with_its_licences_and_whose_archive_it_is_from(world: World) -> None:
    found = world.papers()
    assert json.loads(found["licences.json"])["packages"] == {
        "hello:amd64": ["GPL-3+"], "hello-data:all": None, "petrel-greeter:amd64": None,
    }  # fmt: skip
    cdx = json.loads(found["cdx.json"])
    assert {one["name"]: one["purl"].partition("?")[0] for one in cdx["components"]} == {
        "hello": "pkg:deb/debian/hello@1%3A2.0%2Bb1", "hello-data": "pkg:deb/debian/hello-data@2.0",
        "petrel-greeter": "pkg:deb/petrel/petrel-greeter@1.0",
    }  # fmt: skip
    assert cdx["metadata"]["timestamp"] == "2024-01-10T12:00:00Z"
    spdx = json.loads(found["spdx.json"])
    assert spdx["documentNamespace"].startswith("https://petrel.example/images/petrel-1/sbom/petrel-1/")
    places = [one.get("packageFileName") for one in spdx["packages"]]
    assert places == [None, HELLO.pool_path(), DATA.pool_path(), OURS.pool_path()]
    nameless = json.loads(world.papers({"url": ""})["spdx.json"])
    assert nameless["documentNamespace"].startswith("urn:distwright:images:")


def test_what_is_not_installed_is_in_no_bill_and_its_source_in_no_list(world: World) -> None:
    earlier = world.earlier({})
    only_ours = b"petrel-greeter\t1.0\tamd64\tinstalled\nhello\t1:2.0+b1\tamd64\tconfig-files\n"
    outputs = {**earlier["installed"].outputs, "installed": world.context.objects.put(only_ours)}
    made = world.account(world.inputs, {**earlier, "installed": StepResult(outputs)})
    assert set(json.loads(made["licences"])["packages"]) == {"petrel-greeter:amd64"}
    assert made["source-packages"].count(b"\n") == 3


def test_each_source_is_found_where_it_is_recorded_and_named_where_it_is_not(world: World) -> None:
    """Also that of what was built into a package."""
    source = make_source("greeting", "1:2.0")
    dsc = source.files["greeting_2.0.dsc"]
    rows = world.account(world.inputs, world.earlier({}))["source-packages"].decode().splitlines()
    assert rows == [
        f"greeting\t1:2.0\tdebian/stable/pool/main/g/greeting/greeting_2.0.dsc\t{sha256_of(dsc)}",
        "greeting\t2.0\t-\tno source is recorded",
        "lost\t3\t-\tno source is recorded",
        "petrel-greeter\t1.0\t-\tno source is recorded",
    ]


def test_a_source_of_ours_is_found_in_the_state_that_was_used(world: World) -> None:
    source = make_source("petrel-greeter", "1.0")
    suite = OwnSuite(world.context)
    world.shelf = (world.shelf[0], replace(world.shelf[1], document=suite.hold(OURS, HELLO, source)))
    suite.hold(OURS)
    rows = world.account(world.inputs, world.earlier({}))["source-packages"].decode().splitlines()
    dsc = sha256_of(source.files["petrel-greeter_1.0.dsc"])
    assert rows[-1] == (f"petrel-greeter\t1.0\tpetrel/devel/pool/main/p/petrel-greeter/petrel-greeter_1.0.dsc\t{dsc}")


def test_the_sources_name_the_snapshot_of_each_recorded_archive_and_the_key_that_the_image_trusts(world: World) -> None:
    made = world.account(world.inputs, world.earlier({}))["sources"].decode()
    debian, petrel = world.shelf
    stanzas = list(parse_stanzas(made.encode(), hand_written=True))
    assert [dict(stanza.items()) for stanza in stanzas] == [
        {
            "Types": "deb deb-src", "URIs": "https://petrel.example/debian/2024011001", "Suites": "stable",
            "Components": "main", "Signed-By": "/usr/share/keyrings/debian.gpg",
        },
        {
            "Types": "deb deb-src", "URIs": "https://petrel.example/petrel", "Suites": "devel", "Components": "main",
            "Signed-By": "\n" + "\n".join(f" {line or '.'}" for line in KEY.strip().splitlines()),
        },
    ]  # fmt: skip
    assert [line for line in made.splitlines() if line.startswith("#")] == [
        f"# debian/stable: snapshot 2024011001, document sha256:{debian.document}",
        f"# petrel/devel: revision sha256:{petrel.document}",
    ]


def test_without_an_address_the_sources_say_so_and_without_a_key_they_name_none(world: World) -> None:
    made = world.account({**world.inputs, "url": "", "files": {}, "keyrings": {}}, world.earlier({}))[
        "sources"
    ].decode()
    assert made.startswith("# [site] has no url: put the address of the installation before each path.\n\n# debian")
    assert "URIs: /debian/2024011001\n" in made
    assert "Signed-By" not in made


def test_the_torrent_is_of_the_iso_and_names_who_has_it(world: World) -> None:
    found = world.papers({"trackers": ["udp://t.example:1/a"], "web_seeds": ["https://petrel.example/images"]})
    read = libtorrent.load_torrent_buffer(found["torrent"])
    assert read.ti is not None
    assert (read.ti.name(), read.ti.total_size()) == ("petrel-1.iso", len(b"an iso"))
    assert (read.trackers, read.url_seeds) == (
        ["udp://t.example:1/a"], ["https://petrel.example/images/petrel-1/petrel-1.iso"],
    )  # fmt: skip
    alone = libtorrent.load_torrent_buffer(world.papers()["torrent"])
    assert (alone.trackers, alone.url_seeds, alone.info_hashes.v2) == ([], [], read.info_hashes.v2)


def test_the_provenance_names_what_was_made_and_everything_that_it_was_made_of(world: World) -> None:
    found = world.papers()
    message, predicate = read_provenance(found["intoto.json"])
    assert {one.name: one.digest["sha256"] for one in message.subject} == {"petrel-1.iso": sha256_of(b"an iso")}
    definition = predicate.build_definition
    assert definition.build_type == "https://petrel.example/build-types/image.build/form-2"
    assert dict(definition.external_parameters) == {
        "image": "petrel", "repo": "live", "branch": "main", "commit": "0" * 40,
    }  # fmt: skip
    named = {one.name: (one.uri.partition("?")[0], *one.digest.values()) for one in definition.resolved_dependencies}
    debian, petrel = (str(entry.document) for entry in world.shelf)
    assert named == {
        "live": ("git+https://petrel.example/repo/live@main", "0" * 40),
        "manifest": (
            "https://petrel.example/images/petrel-1/petrel-1.manifest.json",
            sha256_of(found["manifest.json"]),
        ),
        "root of the tools": ("https://petrel.example/environment/tools", sha256_of(b"the tool root")),
        "snapshot of debian/stable, for root": ("https://petrel.example/debian/dists/stable", debian),
        "snapshot of debian/stable, for tools": ("https://petrel.example/debian/dists/stable", debian),
        "revision of petrel/devel, for root": ("https://petrel.example/petrel/dists/devel", petrel),
        "revision of petrel/devel, for tools": ("https://petrel.example/petrel/dists/devel", petrel),
        "hello 1:2.0+b1": ("pkg:deb/debian/hello@1%3A2.0%2Bb1", HELLO.sha256),
        "hello-data 2.0": ("pkg:deb/debian/hello-data@2.0", DATA.sha256),
        "petrel-greeter 1.0": ("pkg:deb/petrel/petrel-greeter@1.0", OURS.sha256),
    }


def test_from_form_5_on_it_names_the_programs_of_the_machine_that_made_the_root(world: World) -> None:
    """A second build says what the first one was made by, or its papers would be others."""
    inputs: dict[str, Json] = {**world.inputs, "form": 5}
    earlier = world.earlier({"hello": DEP5})
    earlier["customise"] = earlier["installed"]
    earlier["account"] = account(world.context, inputs, earlier)
    told = describe(world.context, inputs, earlier)
    assert told.values == {"made_by": programs_here()}
    assert programs_here().keys() >= {"apt", "dpkg", "mmdebstrap"}
    statement = json.loads(world.context.objects.read(told.outputs["petrel-1.intoto.json"]))
    assert statement["predicate"]["buildDefinition"]["internalParameters"]["made_by"] == programs_here()
    other = {"apt": "9.9"}
    again = summed_files(world.context, {**inputs, "made_by": other}, earlier)
    statement = json.loads(world.context.objects.read(again["petrel-1.intoto.json"]))
    assert statement["predicate"]["buildDefinition"]["internalParameters"]["made_by"] == other
    as_first = summed_files(world.context, {**inputs, **told.values}, earlier)
    assert as_first.items() <= told.outputs.items()
    assert describe(world.context, world.inputs, earlier).values == {}, "orders of form 2 say what they said"


def test_what_a_table_asks_for_is_public_and_among_the_sums_and_subjects(world: World) -> None:
    plain, whole = world.papers(), world.papers({"outputs": ["iso", "netboot", "usb"]})
    more = {"usb.img", "vmlinuz", "initrd.img", "squashfs", "ipxe", "grub.cfg"}
    assert whole.keys() - plain.keys() == more
    assert all(f"  petrel-1.{name}\n" in whole["SHA256SUMS"].decode() for name in more)
    message, _ = read_provenance(whole["intoto.json"])
    assert {one.name: one.digest["sha256"] for one in message.subject} == {
        f"petrel-1.{name}": sha256_of(whole[name]) for name in ("iso", "usb.img", "vmlinuz", "initrd.img", "squashfs")
    }
    assert (whole["usb.img"], whole["squashfs"]) == (b"a usb image", b"a squashfs")


def test_the_log_is_public_as_harmless_text_and_no_sum_or_paper_depends_on_it(world: World) -> None:
    without = world.papers()
    with world.context.database.write() as tx:
        job = place_order(tx, JobOrder(KIND, world.inputs, "build petrel"), NOW)
    claimed = claim_next(world.context.database, ["local"], holder_name(), NOW)
    assert claimed is not None
    world.context.job, world.context.fence = job.id, claimed.fence
    log = world.context.paths.job_log(job.id, claimed.fence)
    log.parent.mkdir(parents=True)
    for said in (b"one\x1b[2J\n", b"two\n"):
        log.write_bytes(said)
        found = world.papers()
        assert found.pop("log") == said.replace(b"\x1b[2J", b"")
        assert {name for name in found if found[name] != without[name]} <= {"SHA256SUMS.asc"}


def test_described_at_another_time_an_image_has_the_same_papers(world: World) -> None:
    first = world.papers()
    world.context.clock += timedelta(days=3)
    second = world.papers()
    assert {name for name, content in first.items() if second[name] != content} <= {"SHA256SUMS.asc"}


def test_an_image_that_leaves_something_else_than_copyright_files_fails(world: World) -> None:
    earlier = world.earlier({"../../etc": b""})
    with pytest.raises(BadInput, match="is no copyright file of a package"):
        world.account(world.inputs, earlier)


def test_an_order_of_before_has_the_papers_of_before(world: World) -> None:
    first = {key: value for key, value in world.inputs.items() if key not in ("form", "vendors", "url", "version")}
    made = world.account(first, world.earlier({}))
    assert set(made) == {"manifest", "packages"}
    assert b"built_using" not in made["manifest"]
