"""The whole line on the real Debian archive, killed in every stage, then verified from outside."""

import hashlib
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from spdx_tools.spdx.parser.json.json_parser import parse_from_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document
from tests.system.conftest import KILLS, KilledLine
from tests.system.line import EXAMPLE, Line, processes_of, state_folder
from tests.unit.formats.test_provenance import read_provenance

pytestmark = pytest.mark.system
GREETING = "Petrel greets you"


def test_line_killed_in_each_stage_ends_with_a_booted_image(killed_line: KilledLine) -> None:
    assert killed_line.exit_code == 0, killed_line.last_output
    assert killed_line.reached == tuple((job, step) for job, step, _ in KILLS)
    rows = {row["stage"]: row["result"] for row in _rows(killed_line.line)}
    assert rows == dict.fromkeys(("record", "build", "accept", "publish", "install", "image", "boot"), "ok")


def test_console_log_shows_the_greeting_from_inside_the_booted_system(killed_line: KilledLine) -> None:
    boot = next(row for row in _rows(killed_line.line) if row["stage"] == "boot")
    console = Path(boot["files"]).read_text(errors="replace")
    assert GREETING in console
    assert "Linux version" in console


def test_nothing_is_left_behind(killed_line: KilledLine) -> None:
    state = killed_line.line.state
    assert processes_of(state) == []
    assert list((state / "run" / "work").iterdir()) == []
    assert list((state / "run" / "spool").glob("*.push")) == []


def test_every_object_still_has_its_name(killed_line: KilledLine) -> None:
    wrong = []
    for file in (killed_line.line.state / "objects" / "sha256").glob("??/*"):
        with file.open("rb") as content:
            if hashlib.file_digest(content, "sha256").hexdigest() != file.parent.name + file.name:
                wrong.append(file.name)
    assert wrong == []


def test_each_job_was_accepted_published_and_built_once(killed_line: KilledLine) -> None:
    uploads = killed_line.line.answer("upload", "list")
    assert [(row["source"], row["version"], row["result"]) for row in uploads] == [
        ("petrel-greeter", "1.0", "accepted")
    ]
    images = killed_line.line.answer("image", "list")
    assert len(images) == 1


def test_the_package_came_out_the_same_when_it_was_built_again_in_other_circumstances(killed_line: KilledLine) -> None:
    answer = killed_line.line.answer("package", "rebuild", "petrel-greeter", "--tag", "1.0")
    assert (answer["verdict"], answer["differences"]) == ("same", [])
    assert len(answer["varied"]) == 9


def test_checksums_and_signature_of_the_image_hold(killed_line: KilledLine) -> None:
    folder = Path(killed_line.line.answer("image", "list")[0]["files"])
    checked = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=folder, capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    manifest = json.loads(next(folder.glob("*.manifest.json")).read_text())
    packages = {package["name"]: package for package in manifest["packages"]}
    assert "petrel-greeter" in packages
    assert packages["petrel-greeter"]["from"][0].startswith("petrel/bookworm/pool/main/p/petrel-greeter/")
    assert 100 < len(packages) < 250


def test_image_holds_exactly_the_packages_of_its_manifest(killed_line: KilledLine, tmp_path: Path) -> None:
    folder = Path(killed_line.line.answer("image", "list")[0]["files"])
    iso = next(folder.glob("*.iso"))
    squashfs = tmp_path / "filesystem.squashfs"
    extract = ["xorriso", "-osirrox", "on", "-indev", str(iso), "-extract", "/live/filesystem.squashfs", str(squashfs)]
    subprocess.run(extract, check=True, capture_output=True)
    status = subprocess.run(
        ["unsquashfs", "-cat", str(squashfs), "var/lib/dpkg/status"], check=True, capture_output=True, text=True
    )
    installed = sorted(
        line.removeprefix("Package: ") for line in status.stdout.splitlines() if line.startswith("Package: ")
    )
    listed = [line.partition("\t")[0] for line in next(folder.glob("*.packages")).read_text().splitlines()]
    assert installed == sorted(listed)


def test_what_is_said_of_the_image_is_read_by_the_libraries_of_its_formats(killed_line: KilledLine) -> None:
    folder = Path(killed_line.line.answer("image", "list")[0]["files"])
    texts = {path.name.removeprefix(f"{folder.name}."): path for path in folder.iterdir()}
    names = {line.partition("\t")[0] for line in texts["packages"].read_text().splitlines()}
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(texts["cdx.json"].read_text()) is None
    spdx = parse_from_file(str(texts["spdx.json"]))
    assert validate_full_spdx_document(spdx) == []
    assert {package.name for package in spdx.packages} == names | {folder.name}
    licences = json.loads(texts["licences.json"].read_text())["packages"]
    assert licences["petrel-greeter:all" if "petrel-greeter:all" in licences else "petrel-greeter:amd64"]
    assert sum(found is not None for found in licences.values()) > len(licences) // 2
    sources = {line.split("\t")[0]: line.split("\t")[2] for line in texts["source-packages"].read_text().splitlines()}
    assert sources["petrel-greeter"].startswith("petrel/bookworm/pool/main/p/petrel-greeter/petrel-greeter_1.0.dsc")
    assert sources["dpkg"].startswith("debian/bookworm/pool/main/d/dpkg/")
    message, predicate = read_provenance(texts["intoto.json"].read_bytes())
    sums = dict(line.split("  ")[::-1] for line in texts["SHA256SUMS"].read_text().splitlines())
    subjects = {one.name: one.digest["sha256"] for one in message.subject}
    made = {f"{folder.name}.{ending}" for ending in ("iso", "usb.img", "vmlinuz", "initrd.img", "squashfs")}
    assert subjects == {name: sums[name] for name in made}
    assert len(predicate.build_definition.resolved_dependencies) > len(names)
    assert "log" in texts
    assert f"{folder.name}.log" not in sums


def test_the_disk_for_usb_sticks_has_the_same_live_system(killed_line: KilledLine, tmp_path: Path) -> None:
    folder = Path(killed_line.line.answer("image", "list")[0]["files"])
    disk = folder / f"{folder.name}.usb.img"
    listed = json.loads(subprocess.run(["sfdisk", "--json", disk], check=True, capture_output=True).stdout)
    parts = listed["partitiontable"]["partitions"]
    assert [part["name"] for part in parts] == ["GRUB", "live", "persistence"]
    esp = f"{disk}@@{parts[1]['start'] * 512}"
    for ending, name in (("vmlinuz", "vmlinuz"), ("initrd.img", "initrd.img"), ("squashfs", "filesystem.squashfs")):
        subprocess.run(["mcopy", "-i", esp, f"::/live/{name}", tmp_path / name], check=True)
        assert (tmp_path / name).read_bytes() == (folder / f"{folder.name}.{ending}").read_bytes()


def test_image_names_live_mirrors_and_nothing_of_this_machine(killed_line: KilledLine, tmp_path: Path) -> None:
    folder = Path(killed_line.line.answer("image", "list")[0]["files"])
    squashfs = tmp_path / "filesystem.squashfs"
    iso = next(folder.glob("*.iso"))
    extract = ["xorriso", "-osirrox", "on", "-indev", str(iso), "-extract", "/live/filesystem.squashfs", str(squashfs)]
    subprocess.run(extract, check=True, capture_output=True)
    root = tmp_path / "root"
    subprocess.run(
        ["unsquashfs", "-quiet", "-no-progress", "-d", str(root), str(squashfs), "etc", "usr/lib/os-release"],
        check=True,
        capture_output=True,
    )
    texts = {file: file.read_text(errors="replace") for file in (root / "etc" / "apt").rglob("*") if file.is_file()}
    assert any("https://deb.petrel.example/debian" in text for text in texts.values())
    assert not [file for file, text in texts.items() if "127.0.0.1" in text or str(killed_line.line.state) in text]
    release = (root / "usr" / "lib" / "os-release").read_text()
    assert "IMAGE_VERSION=0.1" in release
    assert "DISTWRIGHT_COMMIT=" in release


def test_second_demo_does_no_work_again(killed_line: KilledLine) -> None:
    before = [row["job"] for row in killed_line.line.answer("job", "list") if row["kind"] != "archive.record"]
    done = killed_line.line.demo()
    after = [row["job"] for row in killed_line.line.answer("job", "list") if row["kind"] != "archive.record"]
    assert done.returncode == 0, done.stderr
    assert after == before
    assert "(unchanged)" in done.stderr


def test_real_apt_reads_the_served_archives_without_a_warning(killed_line: KilledLine, tmp_path: Path) -> None:
    with killed_line.line.serving() as url:
        petrel = _answer(f"{url}/archive/petrel.json")["sources"]
        debian = _answer(f"{url}/archive/debian.json")["sources"]
        serial = killed_line.line.answer("snapshot", "list", "debian")[0]["serial"]
        pinned = debian.replace("/debian\n", f"/debian/{serial}\n")
        apt = _private_apt(tmp_path, petrel + "\n" + pinned)
        updated = subprocess.run([*apt, "update"], capture_output=True, text=True)
        assert (updated.returncode, updated.stderr) == (0, ""), updated.stderr
        fetched = subprocess.run(
            [*apt, "download", "petrel-greeter", "hello"], cwd=tmp_path, capture_output=True, text=True
        )
        assert fetched.returncode == 0, fetched.stderr
    assert {file.name.partition("_")[0] for file in tmp_path.glob("*.deb")} == {"petrel-greeter", "hello"}


def test_what_is_recorded_is_served_without_network(killed_line: KilledLine) -> None:
    line = Line(
        killed_line.line.state, environment={"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    )
    with line.serving() as url:
        page = subprocess.run(["curl", "--silent", "--fail", f"{url}/"], capture_output=True, text=True)
        assert "The line" in page.stdout
        inrelease = subprocess.run(
            ["curl", "--silent", "--fail", f"{url}/debian/dists/bookworm/InRelease"], capture_output=True
        )
        assert inrelease.stdout.startswith(b"-----BEGIN PGP SIGNED MESSAGE-----")


def test_upstream_out_of_reach_leaves_the_line_on_its_last_snapshot(killed_line: KilledLine) -> None:
    dead = ("--fetch-from", "debian=http://127.0.0.1:9/debian")
    done = killed_line.line.demo(*dead)
    assert done.returncode == 0, done.stderr
    assert "cannot be fetched" in done.stdout


@pytest.mark.full
def test_same_serial_elsewhere_gives_the_same_deb_and_iso(killed_line: KilledLine) -> None:
    """Another state folder, started while the first one serves its snapshots: and killed at ten random moments."""
    import random

    serials = {row["archive"]: row["serial"] for row in reversed(killed_line.line.answer("snapshot", "list"))}
    seed = int(os.environ.get("DISTWRIGHT_SEED", time.time()))
    chance = random.Random(seed)  # noqa: S311  # DISTWRIGHT_SEED repeats a failure
    with killed_line.line.serving() as url, state_folder() as folder:
        pins = [word for name, serial in serials.items() for word in ("--serial", f"{name}={serial}")]
        mirrors = [
            word for name, serial in serials.items() for word in ("--fetch-from", f"{name}={url}/{name}/{serial}")
        ]
        other = Line(folder / "elsewhere" / "state", (*pins, *mirrors))
        for _ in range(10):
            other.demo_killed_after(chance.uniform(0.2, 45))
        done = other.demo()
        assert done.returncode == 0, f"DISTWRIGHT_SEED={seed}: {done.stdout}{done.stderr}"
        assert _results(other) == _results(killed_line.line), f"DISTWRIGHT_SEED={seed}"


def _results(line: Line) -> dict[str, object]:
    rows = {row["stage"]: row["outputs"] for row in _rows(line)}
    debs = {
        name: digest for name, digest in rows["build"]["files"].items() if name.endswith((".deb", ".dsc", ".tar.xz"))
    }
    return {"debs": debs, "iso": rows["image"]["iso"], "name": rows["image"]["name"]}


def _rows(line: Line) -> list[dict[str, Any]]:
    done = line.call("demo", str(EXAMPLE), "--state", str(line.state), *line.arguments, "--json", timeout_s=300)
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


def _answer(url: str) -> dict[str, str]:
    found: dict[str, str] = json.loads(
        subprocess.run(["curl", "--silent", "--fail", url], check=True, capture_output=True).stdout
    )
    return found


def _private_apt(folder: Path, sources: str) -> list[str]:
    for name in (
        "lists/partial",
        "cache/archives/partial",
        "etc/apt.conf.d",
        "etc/preferences.d",
        "etc/sources.list.d",
    ):
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()
    (folder / "etc" / "sources.list.d" / "line.sources").write_text(sources)
    options = {
        "Dir::State": folder, "Dir::State::lists": folder / "lists", "Dir::State::status": folder / "status",
        "Dir::Cache": folder / "cache", "Dir::Etc": folder / "etc", "Dir::Etc::sourceparts": folder / "etc" / "sources.list.d",
        "APT::Sandbox::User": "root", "Acquire::Languages": "en",
    }  # fmt: skip
    # Read before all else: what the machine's own apt is told (apt-file has it fetch Contents) is no matter of this one.
    (folder / "apt.conf").write_text(f'Dir::Etc::main "/dev/null";\nDir::Etc::parts "{folder}/etc/apt.conf.d";\n')
    argv = ["apt-get", *(word for name, value in options.items() for word in ("-o", f"{name}={value}"))]
    return ["env", f"APT_CONFIG={folder / 'apt.conf'}", *argv]
