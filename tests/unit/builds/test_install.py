"""The proof of a publication: exactly the published files, our key alone, a clean root."""

from pathlib import Path

from tests.unit.builds.test_package import RECIPE, ROOT
from tests.worlds.archive import DATE, make_deb, signer
from tests.worlds.suite import own_suite

from distwright.builds.install import SUITE_INSTALL, install_order
from distwright.jobs.step import Action, Step, StepResult
from distwright.model.digests import Json
from distwright.model.events import Event, EventKind


def test_the_installation_is_planned_from_the_published_files_and_nothing_else(tmp_path: Path) -> None:
    suite = own_suite(tmp_path)
    row = suite.publish(suite.version("1.0"))
    order = install_order(
        RECIPE, archive="petrel", suite="devel", components=("main",), tree=row.tree, revision=row.revision,
        certificate=signer("petrel").certificate(), packages=("hello", "world"),
    )  # fmt: skip
    _environment, find, install = SUITE_INSTALL.steps
    assert isinstance(find, Action)
    assert isinstance(install, Step)
    found = find.perform(suite.context, order.inputs, {})
    plan = install.plan(order.inputs, {"environment": StepResult({"root": ROOT}), "published": found})
    served = {path.removeprefix("archive/"): suite.context.objects.read(digest) for path, digest in plan.place.items()}
    for path, content in served.items():
        assert (suite.archive / path).read_bytes() == content
    assert {path for path in served if path.startswith("pool/")} == {
        make_deb("hello").pool_path(), make_deb("world", architecture="all").pool_path(),
        "pool/main/h/hello/hello_1.0.dsc", "pool/main/h/hello/hello_1.0.tar.gz",
    }  # fmt: skip
    assert {"dists/devel/InRelease", "dists/devel/main/binary-amd64/Packages.xz"} <= set(served)
    [command] = plan.commands
    assert (command.argv, command.root, command.reads_shelf) == (("./install.sh", "hello", "world"), ROOT, True)
    assert plan.write["archive.asc"] == signer("petrel").certificate().decode()
    assert plan.templates["sources.list"].splitlines() == [
        "deb [signed-by=/work/archive.asc] copy:/work/archive devel main",
        *RECIPE.source_lines(),
    ]
    assert install.repeat


def test_an_installation_is_announced_with_what_was_installed(tmp_path: Path) -> None:
    suite = own_suite(tmp_path)
    row = suite.publish(suite.version("1.0"))
    order = install_order(
        RECIPE, archive="petrel", suite="devel", components=("main",), tree=row.tree, revision=row.revision,
        certificate=b"key", packages=("hello", "world"),
    )  # fmt: skip
    ended = SUITE_INSTALL.conclude(order.inputs, {}, DATE, 5)
    body: dict[str, Json] = {
        "archive": "petrel", "suite": "devel", "revision": row.revision, "packages": ["hello", "world"],
    }  # fmt: skip
    assert list(ended.events) == [Event(EventKind.SUITE_INSTALLED, DATE, "petrel/devel", body, 5)]
    assert (order.title, ended.message) == (
        "install hello, world from petrel/devel",
        "apt installed hello, world in a clean root",
    )
