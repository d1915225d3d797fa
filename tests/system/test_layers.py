"""A layer over an image is, path by path, what a full build gives; and where it would not be, it says so."""

import io
import os
import tarfile
from collections.abc import Iterator, Mapping

import pytest
from tests.system.line import state_folder
from tests.worlds.debs import Member
from tests.worlds.layers import SmallImages, outputs_of, package
from tests.worlds.work import workshop

from distwright.formats.tarstates import PathState, TarStates, read_states
from distwright.images.layering import BACKUPS, Replay, layer_states, objections, parse_names
from distwright.images.recipe_files import ImageFile
from distwright.jobs.lease import Ending
from distwright.model.digests import Sha256
from distwright.tools.sandbox import sandbox_for

pytestmark = pytest.mark.system
# They do the same for each version, but what they do follows from its files.
SCRIPTS = {
    "postinst": b'#!/bin/sh\nset -e\nif [ "$1" = configure ]; then\n    mkdir -p /var/lib/tern\n'
    b"    [ -e /var/lib/tern/state ] || cp /usr/share/tern/version /var/lib/tern/state\n    chown 7:8 /var/lib/tern/state\nfi\n",
    "postrm": b'#!/bin/sh\nset -e\nif [ "$1" = purge ]; then rm -rf /var/lib/tern; fi\n',
    "conffiles": b"/etc/tern.conf\n",
}
FIRST = package(
    "tern", "1.0", Member("usr/bin/tern", b"#!/bin/sh\necho 1\n", 0o755), Member("usr/share/tern/version", b"1.0\n"),
    Member("usr/share/tern/gone", b"gone\n"), Member("usr/share/tern/was-folder/deep/file", b"x\n"),
    Member("usr/share/tern/was-file", b"x\n"), Member("usr/share/tern/link", link="version"), Member("etc/tern.conf", b"a = 1\n"),
    Member("usr/share/only-first/file", b"x\n"), Member("usr/share/doc/tern/copyright", b"free\n"), scripts=SCRIPTS,
)  # fmt: skip
SECOND = package(
    "tern", "1.1", Member("usr/bin/tern", b"#!/bin/sh\necho 2\n", 0o755), Member("usr/share/tern/version", b"1.1\n"),
    Member("usr/share/tern/was-folder", b"now a file\n"), Member("usr/share/tern/was-file/deep/file", b"y\n"),
    Member("usr/share/tern/link", link="../tern/version"), Member("etc/tern.conf", b"a = 2\n"),
    Member("usr/share/tern/owned", b"o\n", 0o4750, (3, 4, "sys", "adm")), Member("usr/share/doc/tern/copyright", b"freer\n"),
    scripts=SCRIPTS,
)  # fmt: skip
OTHER = package(
    "gull",
    "3",
    Member("usr/share/gull/file", b"gull\n"),
    Member("etc/gull.conf", b"g\n"),
    scripts={"conffiles": b"/etc/gull.conf\n"},
)
NEW = package("auk", "1", Member("usr/share/auk/file", b"auk\n"))
HOOKS = (
    "#!/bin/sh\nset -eu\ncp /usr/bin/tern /etc/copied\necho 'b = 1' >>/etc/tern.conf\nrm /usr/share/tern/version\n",
    "#!/bin/sh\nset -eu\nsed -i s/g/G/ /etc/gull.conf\ngrep -q 1 /etc/copied && echo first >/etc/once || echo other >/etc/later\n",
)
INCLUDES = (ImageFile("usr/share/tern/added", b"by the recipe\n", is_executable=False),)


@pytest.fixture
def images() -> Iterator[SmallImages]:
    with state_folder() as home:
        sandbox = sandbox_for(os.geteuid())
        sandbox.make_folder(home / "shop")
        shop = workshop(home / "shop", sandbox)
        yield SmallImages(shop, HOOKS, INCLUDES)
        shop.database.close()
        sandbox.remove(home)


def states_at(images: SmallImages, digest: Sha256) -> TarStates:
    return read_states(io.BytesIO(images.shop.objects.read(digest)))


def whole(images: SmallImages, digest: Sha256) -> Mapping[str, PathState]:
    """Read a root without the second names of its files."""
    out = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(images.shop.objects.read(digest))) as tar,
        tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as kept,
    ):
        for member in tar:
            if not member.islnk():
                kept.addfile(member, tar.extractfile(member) if member.isreg() else None)
    return read_states(out).states


def replays(images: SmallImages, ending: Ending) -> tuple[Replay, Replay, dict[str, TarStates]]:
    outputs = outputs_of(ending)
    tars = {
        name: states_at(images, digest)
        for name, digest in outputs.items()
        if name.endswith(("before.tar", "after.tar"))
    }

    def of(step: str) -> Replay:
        names = {
            name: parse_names(images.shop.objects.read(outputs[f"{step}/{name}"]))
            for name in ("touched", "linked", "names")
        }
        before, after = tars[f"{step}/before.tar"].states, tars[f"{step}/after.tar"].states
        return Replay(names["touched"], before, after, names["linked"], names["names"])

    return of("replay"), of("layer"), tars


def merged(base: Mapping[str, PathState], layer: Mapping[str, PathState | None]) -> dict[str, PathState]:
    """Lay a layer over a root as the kernel does (overlayfs.rst): what is named hides what is below, folders are joined."""
    found = dict(base)
    for path, state in sorted(layer.items()):
        if state is None or not state.is_folder:
            for below in [one for one in found if one == path or one.startswith(f"{path}/")]:
                del found[below]
        if state is not None:
            found[path] = state
    return found


def test_a_layer_over_the_base_is_what_a_full_build_gives_path_by_path(images: SmallImages) -> None:
    base = images.full(FIRST, OTHER)
    wanted = whole(images, images.full(SECOND, OTHER)["customise/root"])
    first, second, _ = replays(images, images.layer((FIRST, OTHER), {"tern": SECOND}))
    layer = layer_states(first, second)
    was = whole(images, base["customise/root"])
    found = merged(was, layer)
    assert {path for path in wanted.keys() | found.keys() if wanted.get(path) != found.get(path)} - BACKUPS == set()
    assert objections(first, second, layer) == []
    assert {path: layer[path] for path in ("usr/share/tern/gone", "usr/share/only-first", "etc/once")} == {
        "usr/share/tern/gone": None, "usr/share/only-first": None, "etc/once": None,
    }  # fmt: skip
    assert "etc/gull.conf" not in layer, "the hooks did the same to it"
    assert len(layer) < 40
