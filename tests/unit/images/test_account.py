"""What is said about an image of form 2: bills, licences, and all that follows from its order and its packages."""

import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.images.test_build import DATA, HELLO, IN_ROOT, STATES, TOOLS, fetched
from tests.worlds.archive import signer
from tests.worlds.installation import WorldContext, make_context

from distwright.errors import BadInput
from distwright.images.build import account, describe
from distwright.jobs.step import Inputs, StepResult
from distwright.model.digests import sha256_of
from distwright.signing.verify import Keyring

DEP5 = b"Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\nLicense: GPL-3+\n"
INPUTS: Inputs = {
    "form": 2, "image": "petrel", "name": "petrel-1", "version": "1", "epoch": 1_704_888_000, "states": STATES, "repo": "live",
    "branch": "main", "commit": "0" * 40, "url": "https://petrel.example", "tools": TOOLS.to_json(),
    "root": replace(TOOLS, include=("hello",)).to_json(), "vendors": {"debian": "debian", "petrel": "petrel"},
}  # fmt: skip


def copyrights(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"usr/share/doc/{name}/copyright")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


@pytest.fixture
def context(tmp_path: Path) -> WorldContext:
    context = make_context(tmp_path)
    for deb in (HELLO, DATA):
        context.objects.put(deb.content)
    return context


def earlier_of(context: WorldContext, files: Mapping[str, bytes]) -> dict[str, StepResult]:
    """Give what the steps before have left: both packages fetched, hello from two archives."""
    put = context.objects.put
    return {
        "tools": StepResult({"root": put(b"the tool root")}),
        "root": StepResult({}, (fetched(HELLO, "petrel/devel"), fetched(HELLO), fetched(DATA))),
        "installed": StepResult({"installed": put(IN_ROOT), "copyrights": put(copyrights(files))}),
        "initrd": StepResult({"vmlinuz": put(b"a kernel"), "initrd": put(b"an initrd")}),
        "squashfs": StepResult({"squashfs": put(b"a squashfs")}),
        "iso": StepResult({"iso": put(b"an iso")}),
    }


def papers(
    context: WorldContext, more: Inputs | None = None, files: Mapping[str, bytes] | None = None
) -> dict[str, bytes]:
    """Account and describe; give the public files by the end of their names."""
    inputs = {**INPUTS, **(more or {})}
    earlier = earlier_of(context, {"hello": DEP5} if files is None else files)
    earlier["account"] = account(context, inputs, earlier)
    describe(context, inputs, earlier)
    folder = context.paths.public / "images" / "petrel-1"
    return {path.name.removeprefix("petrel-1."): path.read_bytes() for path in folder.iterdir()}


def test_every_paper_is_public_and_its_sum_is_signed(context: WorldContext) -> None:
    found = papers(context)
    sums = {line[66:].removeprefix("petrel-1."): line[:64] for line in found["SHA256SUMS"].decode().splitlines()}
    assert {"iso", "manifest.json", "packages", "cdx.json", "spdx.json", "licences.json"} <= set(sums)
    assert sums == {name: sha256_of(content) for name, content in found.items() if not name.startswith("SHA256SUMS")}
    Keyring(signer("image").certificate(), "the image key").verify_detached(
        found["SHA256SUMS"], found["SHA256SUMS.asc"], "SHA256SUMS"
    )


def test_the_bills_have_what_is_installed_with_its_licences_and_whose_archive_it_is_from(context: WorldContext) -> None:
    found = papers(context)
    assert json.loads(found["licences.json"])["packages"] == {"hello:amd64": ["GPL-3+"], "hello-data:all": None}
    cdx = json.loads(found["cdx.json"])
    assert {one["name"]: one["purl"].partition("?")[0] for one in cdx["components"]} == {
        "hello": "pkg:deb/debian/hello@1%3A2.0%2Bb1", "hello-data": "pkg:deb/debian/hello-data@2.0",
    }  # fmt: skip
    assert cdx["metadata"]["timestamp"] == "2024-01-10T12:00:00Z"
    spdx = json.loads(found["spdx.json"])
    assert spdx["documentNamespace"].startswith("https://petrel.example/images/petrel-1/sbom/petrel-1/")
    assert [one.get("packageFileName") for one in spdx["packages"]] == [None, HELLO.pool_path(), DATA.pool_path()]
    only_hello = {**INPUTS, "url": ""}
    assert json.loads(papers(context, only_hello)["spdx.json"])["documentNamespace"].startswith(
        "urn:distwright:images:"
    )


def test_what_is_not_installed_is_in_no_bill(context: WorldContext) -> None:
    earlier = earlier_of(context, {})
    gone = IN_ROOT.replace(b"hello-data\t2.0\tall\tinstalled", b"hello-data\t2.0\tall\tconfig-files")
    earlier["installed"] = StepResult({**earlier["installed"].outputs, "installed": context.objects.put(gone)})
    made = account(context, INPUTS, earlier).outputs
    assert set(json.loads(context.objects.read(made["licences"]))["packages"]) == {"hello:amd64"}


def test_an_image_that_leaves_something_else_than_copyright_files_fails(context: WorldContext) -> None:
    earlier = earlier_of(context, {})
    hostile = StepResult(
        {**earlier["installed"].outputs, "copyrights": context.objects.put(copyrights({"../../etc": b""}))}
    )
    with pytest.raises(BadInput, match="is no copyright file of a package"):
        account(context, INPUTS, {**earlier, "installed": hostile})


def test_an_order_of_before_has_the_papers_of_before(context: WorldContext) -> None:
    earlier = earlier_of(context, {})
    first = {key: value for key, value in INPUTS.items() if key not in ("form", "vendors", "url", "version")}
    assert set(account(context, first, earlier).outputs) == {"manifest", "packages"}
