"""Orders of images: names and times follow from git, states from digests, and nothing says where this machine fetched."""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from functools import cache
from pathlib import Path

import pytest
from tests.unit.archive.requests import record_request
from tests.worlds.archive import DATE, DAY, MIRROR, NOW, Upstream, UpstreamFetcher, make_deb, signer
from tests.worlds.installation import WorldContext, make_context
from tests.worlds.repos import Files, changelog, commit
from tests.worlds.suite import own_suite

from distwright.archive.pins import pin_path
from distwright.archive.record import record
from distwright.archive.resolve import NotReadyError
from distwright.errors import BadInput, NotFound, Refused
from distwright.images.recipe import includes_tar, parse_recipe
from distwright.images.recipe_files import ImageFile
from distwright.images.resolve import _image_file, boot_order, image_order, live_sources
from distwright.jobs.order import JobOrder
from distwright.model import plain
from distwright.model.digests import Json, canonical_json, sha256_of
from distwright.store.holds import serial_hold
from distwright.tools.git import Blob

KEY = signer("petrel").certificate()
FILES: Files = {
    "debian/changelog": changelog("live", "2.0~rc1"),
    "debian/petrel.asc": KEY,
    "images/petrel/package-lists/base.list.chroot": "live-boot sudo\n",
    "images/petrel/includes.chroot/etc/motd": "hello\n",
    "images/petrel/includes.chroot/etc/link@": "motd",
    "images/petrel/hooks/0100-a.hook.chroot*": "#!/bin/sh\ntrue\n",
}


@cache
def upstreams() -> Mapping[str, Upstream]:
    """Two archives; made once, for a second signature of the same text has other bytes."""
    made = {
        "debian": Upstream(suites=("stable",), label="Debian"),
        "security": Upstream(suites=("stable-security",), label="Debian-Security"),
    }
    for name, upstream in made.items():
        upstream.add(make_deb(f"of-{name}"))
        upstream.publish(DATE)
    return made


def installation(folder: Path, mirror: str = MIRROR) -> WorldContext:
    """Both upstreams are recorded, devel is published; the repo of the image is still empty."""
    context = make_context(folder)
    for archive, upstream in upstreams().items():
        url = f"{mirror}/{archive}"
        context.fetcher = UpstreamFetcher({url: upstream})
        request = replace(record_request(url, suites=upstream.suites), archive=archive, label=upstream.label)
        record(request, context, context.paths.cache / "pool")
    suite_of_ours = own_suite(folder, context=context)
    suite_of_ours.publish(suite_of_ours.version("1.0"))
    return context


@pytest.fixture
def context(tmp_path: Path) -> WorldContext:
    return installation(tmp_path)


def order(context: WorldContext, *, pins: dict[str, str] | None = None) -> JobOrder:
    return image_order(context.database, context.ground(pins), "petrel")


def test_an_order_names_everything_by_digest_and_by_what_git_says(context: WorldContext) -> None:
    head = commit(context.paths, "live", FILES)
    made = order(context)
    inputs = made.inputs
    name = str(inputs["name"])
    assert re.fullmatch(f"petrel-amd64-2.0~rc1-main-{head[:12]}-20240110T120000Z-[0-9a-f]{{8}}", name)
    assert (inputs["name"], inputs["commit"], inputs["epoch"]) == (name, head, int(DATE.timestamp()))
    assert (inputs["title"], inputs["label"], inputs["disk_info"]) == ("Petrel 2.0~rc1", "PETREL 2.0~RC1", name)
    assert inputs["hooks"] == {"0100-a.hook.chroot": sha256_of(b"#!/bin/sh\ntrue\n")}
    assert context.objects.has(sha256_of(b"#!/bin/sh\ntrue\n"))
    assert inputs["kernel_options"] == ["quiet"]
    files = inputs["files"]
    assert isinstance(files, dict)
    assert set(files) == {"hostname", "hosts", "os-release-more", "live.sources", "petrel.asc"}
    assert (files["hostname"], files["petrel.asc"]) == ("live\n", KEY.decode())
    assert files["os-release-more"] == (
        f"IMAGE_ID='{name}'\nIMAGE_VERSION='2.0~rc1'\nDISTWRIGHT_BRANCH=main\nDISTWRIGHT_COMMIT={head}\n"
    )
    root = inputs["root"]
    assert isinstance(root, dict)
    assert (root["include"], root["variant"], root["epoch"]) == (["live-boot", "sudo"], "minbase", inputs["epoch"])
    assert made.title == f"build image {name}"


def test_an_order_has_the_names_that_its_recipe_speaks_of(context: WorldContext) -> None:
    commit(context.paths, "live", FILES)
    assert "mentioned" not in order(context).inputs
    more: Files = {
        **FILES,
        "images/petrel/hooks/0200-b.hook.chroot*": "#!/bin/sh\napt-get purge nano\n",
        "images/petrel/includes.chroot/etc/apt/preferences.d/pins": "Package: tor\nPin: version *\nPin-Priority: 1\n",
    }
    commit(context.paths, "live", more)
    assert order(context).inputs["mentioned"] == ["nano", "tor"]


def test_states_and_holds_are_those_that_were_resolved(context: WorldContext) -> None:
    commit(context.paths, "live", FILES)
    made = order(context)
    states = made.inputs["states"]
    assert isinstance(states, dict)
    assert list(states) == ["debian/stable", "security/stable-security", "petrel/devel"]
    assert made.holds == (
        serial_hold("", "debian", "2024011001", "debian/stable"),
        serial_hold("", "security", "2024011001", "security/stable-security"),
        serial_hold("", "debian", "2024011001", "debian/stable"),
    ), "of the image, and of its tools"


def test_an_order_with_a_bundle_says_how_its_states_are_recorded(context: WorldContext, tmp_path: Path) -> None:
    head = commit(context.paths, "live", FILES)
    assert "recorded" not in order(context).inputs
    files, archives = {name: tmp_path / f"{name}.asc" for name in ("debian", "security")}, dict(context.config.archives)
    for name, file in files.items():
        file.write_bytes(signer(name).certificate())
        archives[name] = archives[name].model_copy(update={"keyring": str(file)})
    image = context.config.images["petrel"].model_copy(update={"outputs": ("iso", "bundle")})
    context.config = replace(context.config, archives=archives, images={**context.config.images, "petrel": image})
    made = order(context)
    recorded = plain.mapping(made.inputs, "recorded")
    assert {name: plain.digest(plain.mapping(recorded, name), "keyring") for name in recorded} == {
        name: sha256_of(signer(name).certificate()) for name in files
    }
    assert plain.mapping(plain.mapping(recorded, "debian"), "settings")["suites"] == ["stable"]
    assert "fetch_from" not in plain.mapping(plain.mapping(recorded, "debian"), "settings")
    assert order(context).digest == made.digest
    files["security"].write_bytes(KEY)
    other = order(context)
    assert other.inputs["name"] != made.inputs["name"], "another order has another name"
    assert (other.inputs["commit"], other.inputs["states"]) == (head, made.inputs["states"])


def test_the_same_commit_on_the_same_states_is_the_same_job_wherever_it_was_fetched_from(tmp_path: Path) -> None:
    orders = []
    for number, mirror in enumerate((MIRROR, "https://other.example/mirrors")):
        context = installation(tmp_path / str(number), mirror)
        commit(context.paths, "live", FILES)
        orders.append(order(context))
    assert orders[0].inputs == orders[1].inputs
    assert orders[0].digest == orders[1].digest
    text = canonical_json(orders[0].inputs).decode()
    assert not [word for word in ("mirror.example", "other.example", "2024011001", str(tmp_path)) if word in text]


def test_a_newer_snapshot_is_another_job_and_a_pin_goes_back_to_the_first(context: WorldContext) -> None:
    commit(context.paths, "live", FILES)
    first = order(context)
    upstream = Upstream()
    upstream.add(make_deb("of-debian", "2.0"))
    upstream.publish(DATE + DAY)
    context.fetcher = UpstreamFetcher({MIRROR: upstream})
    context.clock += DAY
    record(record_request(), context, context.paths.cache / "pool")
    second = order(context)
    assert second.digest != first.digest
    assert str(second.inputs["name"])[:-8] == str(first.inputs["name"])[:-8]
    assert order(context, pins={"debian": "2024011001"}).digest == first.digest


def test_a_frozen_branch_is_made_of_the_serial_that_it_pins_and_its_tools_move_on(context: WorldContext) -> None:
    pinned: Files = {**FILES, pin_path("debian"): "2024011001\n", pin_path("security"): "latest\n"}
    commit(context.paths, "live", pinned)
    first = order(context)
    upstream = Upstream()
    upstream.add(make_deb("of-debian", "2.0"))
    upstream.publish(DATE + DAY)
    context.fetcher = UpstreamFetcher({MIRROR: upstream})
    context.clock += DAY
    record(record_request(), context, context.paths.cache / "pool")
    second = order(context)
    assert first.inputs["states"] == second.inputs["states"]
    assert first.inputs["root"] == second.inputs["root"]
    assert first.inputs["tools"] != second.inputs["tools"]
    assert {hold.target for hold in second.holds} >= {"debian/2024011001", "debian/2024011101"}
    commit(context.paths, "live", {**pinned, pin_path("debian"): "latest\n"})
    assert order(context).inputs["states"] != first.inputs["states"]


def test_a_branch_that_is_not_as_it_must_be_makes_no_image(context: WorldContext) -> None:
    repo = context.config.repos["live"]

    def require(**rules: tuple[str, ...]) -> None:
        context.config = replace(context.config, repos={**context.config.repos, "live": repo.model_copy(update=rules)})

    commit(context.paths, "live", {**FILES, pin_path("debian"): "2024011001\n"})
    require(thawed=("main",))
    with pytest.raises(Refused, match=r"branch main must not be frozen:\n.*debian is frozen at 2024011001"):
        order(context)
    require(frozen=("ma*",))
    with pytest.raises(Refused, match=r"branch main must be frozen:\n(?s:.)*security is latest"):
        order(context)
    security = context.config.archives["security"].model_copy(update={"stays_latest": True})
    context.config = replace(context.config, archives={**context.config.archives, "security": security})
    assert order(context).title.startswith("build image petrel")
    commit(context.paths, "live", {**FILES, pin_path("debian"): "soon\n", pin_path("petrel"): "latest\n"})
    with pytest.raises(BadInput, match="these pins are wrong") as refused:
        order(context)
    assert refused.value.message.count("\n") == 2


def test_one_name_never_means_two_images(context: WorldContext) -> None:
    """Whatever shapes bytes shapes the name: other tools, another kernel option, another name of the site."""
    commit(context.paths, "live", FILES)
    whole = context.config
    image, tools = whole.images["petrel"], whole.environments[whole.images["petrel"].tools]
    configs = [
        whole,
        replace(
            whole, environments={**whole.environments, image.tools: tools.model_copy(update={"include": ("zstd",)})}
        ),
        replace(whole, images={"petrel": image.model_copy(update={"kernel_options": ("debug",)})}),
        replace(whole, site=whole.site.model_copy(update={"name": "Other"})),
    ]
    names = []
    for config in configs:
        context.config = config
        made = order(context)
        names.append(made.inputs["name"])
    assert len(set(names)) == len(configs)
    assert len({str(name)[:-8] for name in names}) == 1


def test_the_live_sources_are_the_archives_own_addresses_and_never_a_mirror_or_a_snapshot(
    context: WorldContext,
) -> None:
    assert live_sources(context.config, context.config.images["petrel"].from_) == (
        "Types: deb\nURIs: https://archive.example/debian\nSuites: stable\nComponents: main\n"
        "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n"
        "Types: deb\nURIs: https://security.example/debian-security\nSuites: stable-security\nComponents: main\n"
        "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n"
        "Types: deb\nURIs: https://deb.petrel.example/petrel\nSuites: devel\nComponents: main\n"
        "Signed-By: /etc/apt/keyrings/petrel.asc\n"
    )


def test_an_archive_without_live_url_or_without_a_key_is_no_live_source(context: WorldContext) -> None:
    archives = dict(context.config.archives)
    archives["security"] = archives["security"].model_copy(update={"live_url": None})
    archives["petrel"] = archives["petrel"].model_copy(update={"live_key": None})
    config = replace(context.config, archives=archives)
    assert live_sources(config, config.images["petrel"].from_).count("URIs:") == 1
    context.config = config
    commit(context.paths, "live", {path: text for path, text in FILES.items() if not path.endswith(".asc")})
    assert "petrel.asc" not in str(order(context).inputs["files"])


def test_two_archives_whose_keys_have_one_file_name_keep_both(context: WorldContext) -> None:
    archives = dict(context.config.archives)
    archives["petrel"] = archives["petrel"].model_copy(update={"live_key": "keys/petrel/archive.asc"})
    archives["skua"] = archives["petrel"].model_copy(update={"live_key": "keys/skua/archive.asc"})
    suites = {**context.config.suites, "next": context.config.suites["devel"].model_copy(update={"archive": "skua"})}
    image = context.config.images["petrel"].model_copy(
        update={"from_": ("debian/stable", "petrel/devel", "skua/devel")}
    )
    config = replace(context.config, archives=archives, suites=suites, images={"petrel": image})
    sources = live_sources(config, image.from_)
    assert [line for line in sources.splitlines() if line.startswith("Signed-By: /etc")] == [
        "Signed-By: /etc/apt/keyrings/petrel.asc",
        "Signed-By: /etc/apt/keyrings/skua.asc",
    ]


def test_a_key_that_is_not_there_or_not_armoured_is_refused_by_its_path(context: WorldContext) -> None:
    commit(context.paths, "live", {path: text for path, text in FILES.items() if not path.endswith(".asc")})
    with pytest.raises(NotFound, match=r"live has no file debian/petrel\.asc"):
        order(context)
    commit(context.paths, "live", {**FILES, "debian/petrel.asc": b"\x99\x01\x0d\x04binary"})
    with pytest.raises(BadInput, match=r"debian/petrel\.asc of live is not an armoured OpenPGP certificate"):
        order(context)


def test_an_image_dated_a_little_ahead_is_ready_at_that_time(context: WorldContext) -> None:
    date = NOW + timedelta(hours=1)
    commit(context.paths, "live", {**FILES, "debian/changelog": changelog("live", "2", date)})
    with pytest.raises(
        NotReadyError, match="debian/changelog of live is dated 2024-01-10 16:00, in the future"
    ) as caught:
        order(context)
    assert caught.value.ready_at == date
    context.clock = date
    assert order(context).inputs["epoch"] == int(date.timestamp())


def test_an_image_dated_far_ahead_is_refused(context: WorldContext) -> None:
    commit(context.paths, "live", {**FILES, "debian/changelog": changelog("live", "2", NOW + timedelta(days=2))})
    with pytest.raises(Refused, match="debian/changelog of live is dated 2024-01-12 15:00, in the future"):
        order(context)


def test_a_version_with_an_epoch_makes_no_colon_in_file_names(context: WorldContext) -> None:
    commit(context.paths, "live", {**FILES, "debian/changelog": changelog("live", "1:2.0")})
    inputs = order(context).inputs
    assert str(inputs["name"]).startswith("petrel-amd64-2.0-main-")
    assert ":" not in f"{inputs['name']}{inputs['label']}"
    assert inputs["title"] == "Petrel 1:2.0"


def test_a_repo_without_changelog_recipe_or_commit_is_not_found(context: WorldContext) -> None:
    commit(context.paths, "live", {"images/petrel/package-lists/a.list.chroot": "x"})
    with pytest.raises(NotFound, match="repo live has no debian/changelog"):
        order(context)
    commit(context.paths, "live", {"debian/changelog": changelog()})
    with pytest.raises(NotFound, match="live has no folder images/petrel"):
        order(context)


def test_a_wrong_recipe_is_refused_with_its_problems(context: WorldContext) -> None:
    commit(context.paths, "live", {**FILES, "images/petrel/package-lists/b.list.chroot": "A\n"})
    with pytest.raises(BadInput, match=r"package-lists/b\.list\.chroot:1: 'A' is not a package name"):
        order(context)


def test_an_image_waits_for_the_states_that_it_needs(tmp_path: Path) -> None:
    context = make_context(tmp_path)
    commit(context.paths, "live", FILES)
    with pytest.raises(NotReadyError, match="archive debian has no snapshot yet"):
        order(context)


def test_the_boot_is_of_exactly_the_image_that_was_built(context: WorldContext) -> None:
    built: dict[str, Json] = {
        "image": "petrel",
        "name": "petrel-1",
        "files": {"petrel-1.iso": "a" * 64, "SHA256SUMS": "d" * 64},
        "vmlinuz": "b" * 64,
        "tools": "c" * 64,
        "more": "x",
    }
    made = boot_order(context.config, built)
    assert made.inputs == {
        "image": "petrel", "name": "petrel-1", "iso": "a" * 64, "vmlinuz": "b" * 64, "tools": "c" * 64,
        "firmware": "bios", "expect": "petrel greets you", "timeout_s": 900,
    }  # fmt: skip
    assert made.title == "boot petrel-1 (BIOS)"


def test_the_includes_of_the_order_are_those_of_the_recipe(context: WorldContext) -> None:
    commit(context.paths, "live", FILES)
    recipe = parse_recipe(
        [
            ImageFile("package-lists/base.list.chroot", b"live-boot", is_executable=False),
            ImageFile("includes.chroot/etc/motd", b"hello\n", is_executable=False),
            ImageFile("includes.chroot/etc/link", b"", is_executable=False, link="motd"),
        ]
    )
    assert order(context).inputs["includes"] == sha256_of(includes_tar(recipe, int(DATE.timestamp())))


def test_a_symlink_whose_path_leads_out_of_the_recipe_is_refused_like_a_file() -> None:
    """Git cannot give such a path any more; this is the second door."""
    for mode in ("120000", "100644"):
        blob = Blob("images/petrel/includes.chroot/../../etc/x", mode, b"/etc/shadow")
        with pytest.raises(BadInput, match="is no path of a recipe"):
            _image_file(blob, "images/petrel")
