"""Source packages made in the real environment from the layouts that people have, by real git, pristine-tar and dpkg-source."""

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import pytest
from tests.system.conftest import KilledLine
from tests.system.line import state_folder
from tests.worlds.layouts import UPSTREAM, WorkTree, changelog, native, quilt, with_pristine_tar
from tests.worlds.work import kind_of

from distwright.app import App, open_app
from distwright.builds.environment import environment_step
from distwright.builds.resolve import commit_order
from distwright.builds.source_step import plan_source
from distwright.jobs.lease import Ending
from distwright.jobs.order import JobOrder
from distwright.jobs.step import Step
from distwright.model.digests import Sha256
from distwright.model.outcomes import Outcome
from distwright.repos.hosting import make_repo
from distwright.store.suites import insert_pool_names
from distwright.worker.execute import execute

pytestmark = pytest.mark.system
KIND = kind_of(environment_step("environment", "environment"), Step("source", plan_source))
PACKAGE = "petrel-greeter"  # a package of the example, of whose table the tests' repos are


@dataclass(frozen=True)
class Bench:
    """An installation with Debian recorded and an environment built, where source packages are made."""

    app: App
    folder: Path
    jobs: list[int] = field(default_factory=list)

    def ordered(self, tree: WorkTree, name: str = "greet") -> JobOrder:
        """Push a work tree to a repo and order its branch main."""
        path = self.app.paths.repo(name)
        shutil.rmtree(path, ignore_errors=True)
        make_repo(self.app.paths, name, "main")
        (path / "hooks" / "post-receive").unlink()  # the repo is in no configuration but the tests'
        tree.push(path)
        ground = self.app.ground()
        config = ground.config
        repos = {**config.repos, name: config.repos[PACKAGE]}
        ground = replace(ground, config=replace(config, repos=repos))
        return commit_order(self.app.database, ground, repo=name, ref="main")[0]

    def ending(self, order: JobOrder) -> Ending:
        """Run the step."""
        job = self.app.place(order)
        self.jobs.append(job.id)
        return execute(KIND, order.inputs, self.app.make_context(job, lambda _: None, lambda: False))

    def made(self, order: JobOrder) -> dict[str, bytes]:
        """Give the files of the source package; it must work."""
        ending = self.ending(order)
        assert ending.outcome is Outcome.OK, (ending.message, self.log())
        outputs = {name: digest for name, digest in (ending.outputs or {}).items() if name.startswith("source/")}
        return {name.rpartition("/")[2]: self.app.objects.read(Sha256(str(digest))) for name, digest in outputs.items()}

    def log(self) -> str:
        """The log of the last step."""
        return self.app.paths.job_log(self.jobs[-1], 0).read_text(errors="replace")[-3000:]

    def unpacked(self, files: dict[str, bytes]) -> Path:
        """Unpack a source package as its users do; give the folder."""
        folder = self.folder / f"unpacked-{len(list(self.folder.iterdir()))}"
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_bytes(content)
        (dsc,) = folder.glob("*.dsc")
        subprocess.run(["dpkg-source", "--extract", dsc.name, "tree"], cwd=folder, capture_output=True, check=True)
        return folder / "tree"


@pytest.fixture(scope="module")
def bench(killed_line: KilledLine) -> Iterator[Bench]:
    """Give a copy of the line's state: objects and roots are shared, for nobody changes them."""
    with state_folder() as folder:
        state = folder / "state"
        for part, how in (("objects", "-al"), ("cache", "-al")):
            state.mkdir(exist_ok=True, mode=0o711)
            subprocess.run(["cp", how, str(killed_line.line.state / part), str(state / part)], check=True)
        for path in killed_line.line.state.iterdir():
            if path.name not in ("objects", "cache", "run", "public"):
                subprocess.run(["cp", "-a", str(path), str(state)], check=True)
        (folder / "work").mkdir()
        app = open_app(str(state))
        yield Bench(app, folder / "work")
        app.database.close()


def test_an_untagged_commit_of_a_native_package_has_its_version_and_the_same_bytes_again(
    bench: Bench, tmp_path: Path
) -> None:
    order = bench.ordered(native(tmp_path / "one"))
    files = bench.made(order)
    version = f"1.1~00002.g{str(order.inputs['commit'])[:12]}"
    assert sorted(files) == [f"greet_{version}.dsc", f"greet_{version}.tar.xz"]
    again = bench.ordered(native(tmp_path / "two"), "again")
    assert (again.inputs["tree"], again.inputs["changelog"]) == (order.inputs["tree"], order.inputs["changelog"])
    assert bench.made(again) == files
    parsed = subprocess.run(
        ["dpkg-parsechangelog", "--show-field", "Version", "--file", "debian/changelog"],
        cwd=bench.unpacked(files), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert parsed.stdout.strip() == version


@pytest.mark.parametrize("is_applied", [False, True])
def test_patches_may_be_applied_in_git_or_not(bench: Bench, tmp_path: Path, *, is_applied: bool) -> None:
    files = bench.made(bench.ordered(quilt(tmp_path / "tree", is_applied=is_applied)))
    assert [name for name in files if "orig" in name] == ["greet_1.0.orig.tar.xz"]
    tree = bench.unpacked(files)
    assert (tree / "greet").read_text() == UPSTREAM["greet"].replace("hello", "salut")
    assert (tree / "debian" / "patches" / "series").read_text() == "french\n"


def test_local_changes_are_refused_by_dpkg_source_unless_the_package_wants_one_patch_of_them(
    bench: Bench, tmp_path: Path
) -> None:
    changed = {"README": "It greets loudly.\n"}
    ending = bench.ending(bench.ordered(quilt(tmp_path / "refused", more=changed)))
    assert (ending.outcome, "dpkg-source" in bench.log(), "unexpected upstream changes" in bench.log()) == (
        Outcome.FAILED,
        True,
        True,
    )
    options = {
        "debian/source/options": "single-debian-patch\n",
        "debian/patches/series": "",
        "debian/patches/french": "",
    }
    order = bench.ordered(quilt(tmp_path / "taken", more={**changed, **options}))
    files = bench.made(order)
    tree = bench.unpacked(files)
    assert (tree / "README").read_text() == changed["README"]
    assert (tree / "debian" / "patches" / "debian-changes").exists()
    assert (tree / "debian" / "source" / "options").read_text() == "single-debian-patch\n"


def test_unapply_patches_is_honoured(bench: Bench, tmp_path: Path) -> None:
    more = {"debian/source/local-options": "unapply-patches\n"}
    tree = bench.unpacked(bench.made(bench.ordered(quilt(tmp_path / "tree", more=more))))
    assert "salut" in (tree / "greet").read_text()
    assert not (tree / "debian" / "source" / "local-options").exists(), "it is of the work tree alone"


def test_pristine_tar_gives_upstreams_own_bytes_with_components(bench: Bench, tmp_path: Path) -> None:
    tree = quilt(tmp_path / "tree", more={"debian/gbp.conf": "[DEFAULT]\npristine-tar = True\n"})
    originals = with_pristine_tar(tree, tmp_path, "greet_1.0.orig.tar.gz", "greet_1.0.orig-extra.tar.xz")
    files = bench.made(bench.ordered(tree))
    assert {name: files[name] == content for name, content in originals.items()} == dict.fromkeys(originals, True)
    assert (bench.unpacked(files) / "extra" / "extra-file").read_text() == "part\n"


def test_a_branch_with_packaging_alone_is_filled_from_the_tarball(bench: Bench, tmp_path: Path) -> None:
    tree = quilt(tmp_path / "tree")
    tree.git("rm", "-rq", *UPSTREAM)
    tree.commit({"debian/gbp.conf": "[buildpackage]\noverlay = True\n"})
    assert (bench.unpacked(bench.made(bench.ordered(tree))) / "docs" / "manual").read_text() == UPSTREAM["docs/manual"]


def test_the_tarball_that_the_archive_has_is_used_again(bench: Bench, tmp_path: Path) -> None:
    tree = quilt(tmp_path / "tree", version="2.0-1", tag="upstream/2.0")
    packed = subprocess.run(
        ["git", "archive", "--format=tar.gz", "--prefix=elsewhere/", "upstream"],
        cwd=tree.folder,
        capture_output=True,
        check=True,
    ).stdout
    with bench.app.database.write() as tx:
        path = "pool/main/g/greet/greet_2.0.orig.tar.gz"
        insert_pool_names(tx, "petrel", [(path, bench.app.objects.put(packed))])
    files = bench.made(bench.ordered(tree))
    assert [name for name in files if "orig" in name] == ["greet_2.0.orig.tar.gz"]
    assert files["greet_2.0.orig.tar.gz"] == packed


def test_the_old_format_is_a_tarball_and_a_difference_or_native(bench: Bench, tmp_path: Path) -> None:
    files = bench.made(
        bench.ordered(quilt(tmp_path / "tree", source_format="1.0\n", version="2:1.0-1", tag="upstream/1.0"))
    )
    endings = sorted(
        name.split(".g", 1)[-1].partition(".")[2] for name in files if not name.startswith("greet_1.0.orig")
    )
    assert endings == ["diff.gz", "dsc"]
    assert (bench.unpacked(files) / "debian" / "rules").exists()
    alone = bench.made(bench.ordered(native(tmp_path / "native", source_format="1.0\n")))
    assert sorted(name.rpartition(".")[2] for name in alone) == ["dsc", "gz"]


def test_versions_of_a_real_history_rise_as_dpkg_compares_them(bench: Bench, tmp_path: Path) -> None:
    tree = native(tmp_path / "tree")
    versions = ["1.0", str(bench.ordered(tree).inputs["version"])]
    candidate, release, fix = (
        {"debian/changelog": changelog(*there)}
        for there in (("1.1~rc1", "1.0"), ("1.1", "1.1~rc1", "1.0"), ("1.1.1", "1.1", "1.1~rc1", "1.0"))
    )
    steps: tuple[tuple[dict[str, str], str], ...] = (
        (candidate, ""),
        ({}, "1.1_rc1"),
        ({}, ""),
        (release, ""),
        ({}, "1.1"),
        ({}, ""),
        ({}, ""),
        (fix, ""),
        ({}, "1.1.1"),
    )
    for files, tag in steps:
        tree.commit(files, tag=tag)
        versions.append(str(bench.ordered(tree).inputs["version"]))
    assert [version for version in versions if "g" not in version] == ["1.0", "1.1~rc1", "1.1", "1.1.1"]
    for one, other in pairwise(versions):
        done = subprocess.run(["dpkg", "--compare-versions", one, "lt", other], check=False)
        assert done.returncode == 0, (one, other, versions)
