"""What stands beside an ISO: manifest, checksums, signature; and how a boot is judged."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from tests.worlds.archive import DATE, MadeDeb, make_deb, signer
from tests.worlds.installation import WorldContext, make_context
from tests.worlds.killing import run_killed_at

from distwright.archive.tag_manifest import parse_manifest
from distwright.builds.environment import EnvironmentRecipe
from distwright.errors import BadInput, NotFound, WorkFailed
from distwright.images.accounting import account
from distwright.images.boot import IMAGE_BOOT, judge_boot, plan_boot
from distwright.images.build import IMAGE_BUILD, conclude
from distwright.images.describing import describe
from distwright.images.manifest import manifest_of, package_list, parse_installed
from distwright.jobs.step import CommandEnd, Fetched, ShelfEntry, StepEnd, StepResult, Verdict
from distwright.model.digests import Json, Sha256, sha256_of
from distwright.model.events import Event, EventKind
from distwright.model.outcomes import Outcome
from distwright.signing.verify import Keyring

HELLO = make_deb("hello", "1:2.0+b1", source="greeting (1:2.0)")
DATA = make_deb("hello-data", "2.0", architecture="all", source="greeting")
STATES: dict[str, Json] = {"debian/stable": "a" * 64, "petrel/devel": "b" * 64}


TOOLS = EnvironmentRecipe(
    (ShelfEntry("debian", "stable", Sha256("c" * 64)),), {"debian/stable": ("main",)}, "minbase", (), "amd64", 1
)
IN_ROOT = b"hello\t1:2.0+b1\tamd64\tinstalled\nhello-data\t2.0\tall\tinstalled\nold\t1\tall\tconfig-files\n"


def fetched(deb: MadeDeb, place: str = "debian/stable", path: str | None = None) -> Fetched:
    archive, _, suite = place.partition("/")
    return Fetched(archive, suite, path or deb.pool_path(), deb.sha256, len(deb.content))


@pytest.fixture
def context(tmp_path: Path) -> WorldContext:
    context = make_context(tmp_path)
    for deb in (HELLO, DATA):
        context.objects.put(deb.content)
    return context


def made_of(context: WorldContext, files: Sequence[Fetched], installed: bytes = IN_ROOT) -> bytes:
    """Give the manifest of what was fetched, for a root in which nothing else is."""
    names = {file.path.rpartition("/")[2].partition("_")[0] for file in files}
    here = b"".join(line for line in installed.splitlines(keepends=True) if line.split(b"\t")[0].decode() in names)
    return manifest_of("petrel-1", files, parse_installed(here), {"states": STATES}, context.objects)


def test_the_manifest_names_every_package_file_with_all_places_that_had_it(context: WorldContext) -> None:
    files = [fetched(DATA), fetched(HELLO, "petrel/devel"), fetched(HELLO)]
    manifest = json.loads(made_of(context, files))
    assert manifest == {
        "format": 1,
        "image": "petrel-1",
        "states": STATES,
        "packages": [
            {
                "name": "hello", "version": "1:2.0+b1", "architecture": "amd64", "source": "greeting",
                "source_version": "1:2.0", "sha256": HELLO.sha256, "size_bytes": len(HELLO.content),
                "from": [
                    "debian/stable/pool/main/g/greeting/hello_2.0+b1_amd64.deb",
                    "petrel/devel/pool/main/g/greeting/hello_2.0+b1_amd64.deb",
                ],
                "installed": True,
            },
            {
                "name": "hello-data", "version": "2.0", "architecture": "all", "source": "greeting",
                "source_version": "2.0", "sha256": DATA.sha256, "size_bytes": len(DATA.content),
                "from": ["debian/stable/pool/main/g/greeting/hello-data_2.0_all.deb"],
                "installed": True,
            },
        ],
        "mentioned": [],
    }  # fmt: skip
    assert package_list(manifest) == b"hello\t1:2.0+b1\nhello-data\t2.0\n"


def test_the_manifest_does_not_depend_on_the_order_of_fetching(context: WorldContext) -> None:
    files = [fetched(HELLO, "petrel/devel"), fetched(DATA), fetched(HELLO)]
    manifests = {made_of(context, order) for order in (files, files[::-1])}
    assert len(manifests) == 1


def test_the_manifest_believes_the_package_and_not_the_path(context: WorldContext) -> None:
    lying = fetched(HELLO, path="pool/main/e/evil/evil_9_amd64.deb")
    [package] = json.loads(made_of(context, [lying]))["packages"]
    assert (package["name"], package["version"]) == ("hello", "1:2.0+b1")


def test_the_manifest_fails_on_what_it_cannot_account_for(context: WorldContext) -> None:
    with pytest.raises(BadInput, match=r"pool/main/x\.tar\.gz went into petrel-1 and is not a package"):
        made_of(context, [fetched(HELLO, path="pool/main/x.tar.gz")])
    with pytest.raises(NotFound):
        made_of(context, [fetched(make_deb("lost"))])


def test_a_package_that_came_from_no_archive_fails_the_image_with_its_name(context: WorldContext) -> None:
    """A hook that installs a .deb which it brought along, or another version or architecture of one that was given."""
    files = [fetched(HELLO), fetched(DATA)]
    strange = (
        b"evil\t6.6-6\tall\tinstalled\nhello\t9\tamd64\tunpacked\nhello\t1:2.0+b1\ti386\tinstalled\n"
        b"gone\t1\tall\tconfig-files\nnever\t\t\tnot-installed\n"
    )
    with pytest.raises(WorkFailed) as caught:
        manifest_of("petrel-1", files, parse_installed(IN_ROOT + strange), {"states": STATES}, context.objects)
    assert caught.value.message.splitlines() == [
        "petrel-1 holds packages that came from no archive of its recipe:",
        "  evil 6.6-6 all",
        "  hello 1:2.0+b1 i386",
        "  hello 9 amd64",
    ]


def test_a_package_that_was_given_and_not_installed_is_listed_as_such(context: WorldContext) -> None:
    only_hello = parse_installed(IN_ROOT.splitlines(keepends=True)[0])
    files = [fetched(HELLO), fetched(DATA)]
    manifest = json.loads(manifest_of("petrel-1", files, only_hello, {"states": STATES}, context.objects))
    assert {package["name"]: package["installed"] for package in manifest["packages"]} == {
        "hello": True, "hello-data": False,
    }  # fmt: skip
    assert package_list(manifest) == b"hello\t1:2.0+b1\n"


def test_a_listing_that_is_none_is_refused() -> None:
    with pytest.raises(BadInput, match="'hello 1' is no line of dpkg-query"):
        parse_installed(b"hello 1\n")


def describe_build(context: WorldContext, iso: bytes, name: str = "petrel-1") -> StepResult:
    root = replace(TOOLS, include=("hello", "mail-transport-agent"))
    inputs: dict[str, Json] = {
        "name": name,
        "states": STATES,
        "tools": TOOLS.to_json(),
        "root": root.to_json(),
        "mentioned": ["hello-data", "nano"],
    }
    earlier = {
        "root": StepResult({}, (fetched(HELLO), fetched(DATA))),
        "installed": StepResult({"installed": context.objects.put(IN_ROOT)}),
        "iso": StepResult({"iso": context.objects.put(iso)}),
    }
    accounted = account(context, inputs, earlier)
    return describe(context, inputs, {**earlier, "account": accounted})


def assert_vouched_for(context: WorldContext, iso: bytes, name: str = "petrel-1") -> None:
    """See an image as somebody who downloads it: sums match, the signature is right, nothing else is there."""
    folder = context.paths.public / "images" / name
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(files) == {f"{name}{ending}" for ending in (".iso", ".manifest.json", ".packages")} | {
        "SHA256SUMS", "SHA256SUMS.asc",
    }  # fmt: skip
    sums = dict(line.split("  ")[::-1] for line in files["SHA256SUMS"].decode().splitlines())
    assert sums == {file: sha256_of(content) for file, content in files.items() if not file.startswith("SHA256SUMS")}
    keyring = Keyring(signer("image").certificate(), "the image key")
    keyring.verify_detached(files["SHA256SUMS"], files["SHA256SUMS.asc"], "SHA256SUMS")
    assert files[f"{name}.iso"] == iso


def test_an_image_is_published_with_sums_and_a_signature(context: WorldContext) -> None:
    result = describe_build(context, b"an iso")
    assert_vouched_for(context, b"an iso")
    assert result.outputs["petrel-1.iso"] == sha256_of(b"an iso")
    assert {file: context.objects.read(digest) for file, digest in result.outputs.items()} == {
        path.name: path.read_bytes() for path in (context.paths.public / "images" / "petrel-1").iterdir()
    }


def test_describing_twice_leaves_the_same_files_and_nothing_half_made(context: WorldContext) -> None:
    for _ in range(3):
        describe_build(context, b"an iso")
    assert_vouched_for(context, b"an iso")


def test_the_manifest_names_the_states_of_the_tools_too(context: WorldContext) -> None:
    describe_build(context, b"an iso")
    manifest = json.loads((context.paths.public / "images" / "petrel-1" / "petrel-1.manifest.json").read_bytes())
    assert (manifest["states"], manifest["tools"]) == (STATES, {"debian/stable": "c" * 64})


def test_the_manifest_names_what_the_recipe_only_speaks_of(context: WorldContext) -> None:
    """A purged package, a pin, a virtual name of a package list; what went in is no mere mention."""
    describe_build(context, b"an iso")
    content = (context.paths.public / "images" / "petrel-1" / "petrel-1.manifest.json").read_bytes()
    assert json.loads(content)["mentioned"] == ["mail-transport-agent", "nano"]
    assert parse_manifest(content).mentioned == ("mail-transport-agent", "nano")


def test_an_image_that_is_described_again_is_replaced_whole_and_the_old_files_go(context: WorldContext) -> None:
    describe_build(context, b"an iso")
    describe_build(context, b"another iso")
    assert_vouched_for(context, b"another iso")
    assert len(list((context.paths.public / "images" / ".complete" / "petrel-1").iterdir())) == 1


def test_a_kill_at_any_moment_leaves_one_image_whole(context: WorldContext) -> None:
    describe_build(context, b"an iso")
    number = 0
    done = None
    while done is None:
        number += 1
        done = run_killed_at(number, lambda: describe_build(context, b"another iso"), since="/images/")
        iso = (context.paths.public / "images" / "petrel-1" / "petrel-1.iso").read_bytes()
        assert_vouched_for(context, iso)
    assert (number > 10, iso) == (True, b"another iso")
    describe_build(context, b"a third iso")
    assert_vouched_for(context, b"a third iso")


def test_a_build_announces_what_the_boot_needs() -> None:
    digest = {letter: Sha256(letter * 64) for letter in "abcd"}
    earlier = {
        "describe": StepResult({"petrel-1.iso": digest["a"], "petrel-1.manifest.json": digest["d"]}),
        "iso": StepResult({"iso": digest["a"]}),
        "initrd": StepResult({"vmlinuz": digest["b"], "initrd": digest["d"]}),
        "tools": StepResult({"root": digest["c"]}),
    }
    inputs: dict[str, Json] = {"image": "petrel", "name": "petrel-1", "commit": "0" * 40, "states": STATES}
    ended = conclude(inputs, earlier, DATE, 7)
    files: dict[str, Json] = {"petrel-1.iso": digest["a"], "petrel-1.manifest.json": digest["d"]}
    body: dict[str, Json] = {
        **inputs, "files": files, "manifest": digest["d"], "vmlinuz": digest["b"], "tools": digest["c"],
    }  # fmt: skip
    assert ended.message == "built petrel-1.iso"
    assert ended.outputs == {"name": "petrel-1", "iso": digest["a"], "files": files}
    assert list(ended.events) == [Event(EventKind.IMAGE_BUILT, DATE, "petrel-1", body, 7)]


BOOT: dict[str, Json] = {
    "image": "petrel", "name": "petrel-1", "iso": "a" * 64, "vmlinuz": "b" * 64, "tools": "c" * 64, "firmware": "bios",
    "expect": "petrel greets you", "timeout_s": 900,
}  # fmt: skip


def judged(exit_code: int, cut: str, *tail: str) -> Verdict:
    return judge_boot(StepEnd(plan_boot(BOOT, {}), (CommandEnd(exit_code, cut, tail),), {}, ()))


def test_a_boot_counts_if_the_console_showed_what_is_expected() -> None:
    assert judged(0, "", "petrel greets you") == Verdict(Outcome.OK, "the console showed what was expected")


@pytest.mark.parametrize(
    ("exit_code", "cut", "outcome", "why"),
    [
        (0, "time limit of 900 s", Outcome.TIMED_OUT, "time limit of 900 s"),
        (0, "the end, without showing 'petrel greets you'", Outcome.FAILED, "the end, without showing 'petrel greets you'"),
        (1, "", Outcome.FAILED, "QEMU ended with exit 1"),
        (0, "'Kernel panic - not syncing'", Outcome.FAILED, "'Kernel panic - not syncing'"),
    ],
)  # fmt: skip
def test_a_boot_that_does_not_count_says_why_and_shows_the_end_of_the_console(
    exit_code: int, cut: str, outcome: Outcome, why: str
) -> None:
    lines = [f"line {number}" for number in range(9)]
    assert judged(exit_code, cut, *lines) == Verdict(
        outcome,
        f"the image did not show 'petrel greets you': {why}; last on the console: line 4 | line 5 | line 6 | line 7 | line 8",
    )
    assert judged(exit_code, cut).message.endswith("last on the console: nothing")


def test_the_boot_has_no_network_and_ends_on_the_text_or_a_panic() -> None:
    [command] = plan_boot(BOOT, {}).commands
    assert (command.until, command.never, command.timeout_s) == ("petrel greets you", "Kernel panic - not syncing", 900)
    assert command.argv[command.argv.index("-nic") + 1] == "none"
    ended = IMAGE_BOOT.conclude(BOOT, {}, DATE, 9)
    body = {key: BOOT[key] for key in ("image", "name", "iso", "firmware")}
    assert list(ended.events) == [Event(EventKind.IMAGE_BOOTED, DATE, "petrel-1", body, 9)]


def test_a_boot_is_never_taken_from_the_cache_and_a_build_step_may_be() -> None:
    steps = {step.name: getattr(step, "repeat", None) for step in (*IMAGE_BUILD.steps, *IMAGE_BOOT.steps)}
    assert steps == {
        "tools": False, "root": False, "customise": False, "installed": False, "account": None, "initrd": False, "squashfs": False,
        "iso": False, "usb": False, "describe": None, "inspect": False, "boot": True,
    }  # fmt: skip


def test_a_manifest_for_the_same_bytes_under_two_names_keeps_one_package(context: WorldContext) -> None:
    twice = [fetched(HELLO), replace(fetched(HELLO), path="pool/main/h/hello/other.deb")]
    [package] = json.loads(made_of(context, twice))["packages"]
    assert len(package["from"]) == 2
