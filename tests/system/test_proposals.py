"""People without an account propose: a bundle, a mailbox, a pull request; none of it comes into the hosted repo, whatever it is."""

import json
import os
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.system.line import Line, state_folder
from tests.system.test_fetched_repos import answering, installation
from tests.unit.builds.test_package import recorded
from tests.worlds.installation import WorldContext, make_context
from tests.worlds.processes import wait_until
from tests.worlds.repos import changelog, commit

from distwright.builds.destinations import TRY_KIND
from distwright.builds.proposals import Considered, Proposal, consider
from distwright.builds.resolve import commit_order
from distwright.errors import BadInput, BadUsage, NotFound, Refused, Unreachable
from distwright.model.digests import Sha256, sha256_of
from distwright.site.proposing import make_bundle, what_is_proposed
from distwright.tools.git import git, refs

pytestmark = pytest.mark.system
FILES = {"debian/changelog": changelog("greeter", "1.0"), "src/x.c": "int x;\nint y;\nint z;\n"}
_BO = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER") for what, value in (
    ("NAME", "Bo"), ("EMAIL", "bo@x.example"), ("DATE", "1704888100 +0000")
)}  # fmt: skip
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1", **_BO}


@dataclass(frozen=True)
class Outsider:
    """An installation that hosts greeter, and somebody's clone of it with one commit more."""

    context: WorldContext
    clone: Path

    def git(self, *words: str) -> str:
        argv = ["git", "-C", str(self.clone), *words]
        return subprocess.run(argv, env=ENVIRONMENT, capture_output=True, text=True, check=True, timeout=60).stdout

    def git_with(self, text: str, *words: str) -> str:
        argv = ["git", "-C", str(self.clone), *words]
        return subprocess.run(
            argv, env=ENVIRONMENT, input=text, capture_output=True, text=True, check=True, timeout=60
        ).stdout.strip()

    def change(self, path: str, content: str) -> str:
        (self.clone / path).write_text(content)
        self.git("add", "--all")
        self.git("commit", "--quiet", "-m", f"Change {path}")
        return self.git("rev-parse", "HEAD").strip()

    def file(self, name: str, content: str | bytes) -> str:
        place = self.clone.parent / name
        place.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(place)

    def bundle(self) -> str:
        place = self.clone.parent / "new.bundle"
        self.git("bundle", "create", "--quiet", str(place), "HEAD", "^origin/main")
        return str(place)

    def mail(self) -> str:
        return self.file("new.mbox", self.git("format-patch", "--stdout", "origin/main.."))

    def proposes(self, source: str, **more: str) -> Considered:
        before = refs(self.context.paths.repo("greeter")), self.objects()
        try:
            return consider(self.context.database, self.context.ground(), Proposal("greeter", source, **more))
        finally:
            assert (refs(self.context.paths.repo("greeter")), self.objects()) == before
            assert list(self.context.paths.cache.glob("proposal-*")) == []

    def objects(self) -> str:
        return git(self.context.paths.repo("greeter"), "count-objects", "-v").decode()


@pytest.fixture
def outsider(tmp_path: Path) -> Iterator[Outsider]:
    context = recorded(make_context(tmp_path / "state"))
    commit(context.paths, "greeter", FILES, tag="1.0")
    clone = tmp_path / "clone"
    source = f"file://{context.paths.repo('greeter')}"
    subprocess.run(["git", "clone", "--quiet", source, str(clone)], env=ENVIRONMENT, check=True, timeout=60)
    yield Outsider(context, clone)
    context.database.close()


def pushed(outsider: Outsider) -> dict[str, object]:
    """Push what the clone has, and give what shapes the build of it."""
    outsider.git("push", "--quiet", f"file://{outsider.context.paths.repo('greeter')}", "HEAD:refs/heads/topic")
    order, _ = commit_order(outsider.context.database, outsider.context.ground(), repo="greeter", ref="topic")
    return shaping(order.inputs)


def files(outsider: Outsider, inputs: Mapping[str, object]) -> dict[str, bytes]:
    """Give the files that would be built, by path below the folder that names the version."""
    with outsider.context.objects.open(Sha256(str(inputs["tree"]))) as opened, tarfile.open(fileobj=opened) as tar:
        members = [member for member in tar if member.isfile()]
        return {member.name.partition("/")[2]: tar.extractfile(member).read() for member in members}  # type: ignore[union-attr]  # files


def shaping(inputs: object) -> dict[str, object]:
    assert isinstance(inputs, dict)
    return {name: inputs[name] for name in ("tree", "source", "version", "epoch", "environment", "changelog")}


def test_a_bundle_is_tried_as_its_push_would_be_built(outsider: Outsider) -> None:
    head = outsider.change("src/x.c", "int x;\n")
    found = outsider.proposes(outsider.bundle())
    assert (found.commit, found.order.kind, found.order.inputs["archive"]) == (head, TRY_KIND, "")
    assert found.commits == (f"{head[:7]} 'Change src/x.c' by 'Bo'",)
    assert found.order.title.endswith(", as proposed")
    assert shaping(found.order.inputs) == pushed(outsider)


def test_patches_by_mail_are_tried_as_the_commits_that_they_were_made_of(outsider: Outsider) -> None:
    outsider.change("src/x.c", "int x;\n")
    outsider.change("src/y.c", "int other;\n")
    mail = outsider.mail()
    found = [outsider.proposes(mail) for _ in range(2)]
    assert found[0] == found[1], "the same mail gives the same commit, and so the same order"
    assert len(found[0].commits) == 2
    assert files(outsider, found[0].order.inputs) == files(outsider, pushed(outsider))
    assert str(found[0].order.inputs["version"]).startswith("1.0+2.g")


def test_patches_that_do_not_apply_are_refused_with_what_git_says(outsider: Outsider) -> None:
    outsider.change("src/x.c", "int x;\n")
    mail = outsider.mail()
    commit(outsider.context.paths, "greeter", {**FILES, "src/x.c": "int other;\n"})
    with pytest.raises(Refused, match="do not apply"):
        outsider.proposes(mail)


def test_what_is_here_already_is_no_proposal(outsider: Outsider) -> None:
    whole = outsider.clone.parent / "whole.bundle"
    outsider.git("bundle", "create", "--quiet", str(whole), "HEAD")
    with pytest.raises(Refused, match="no commit that is not here"):
        outsider.proposes(str(whole))


def test_a_pull_request_is_fetched_from_the_server_that_has_it(outsider: Outsider) -> None:
    with answering(404, {}) as (url, asked), pytest.raises(Unreachable):
        outsider.proposes(f"{url}/fork.git", ref="refs/pull/5/head")
    assert asked[0].startswith("/fork.git/info/refs")
    for ref in ("main", "refs/heads/a..b", "refs/heads/x:refs/heads/main", "--upload-pack=x", "refs/heads/*"):
        with pytest.raises(BadUsage):
            outsider.proposes("https://forge.example/fork.git", ref=ref)
    for address in (str(outsider.clone), f"file://{outsider.clone}", "ext::sh -c true", "ssh://x/y"):
        with pytest.raises(Unreachable):
            outsider.proposes(address, ref="refs/heads/main")


@pytest.mark.parametrize(
    "content", [b"", b"From nobody\n", b"# v2 git bundle\n", b"# v2 git bundle\n" + os.urandom(2000), b"#!/bin/sh\n"]
)
def test_what_is_neither_whole_bundle_nor_mailbox_is_refused(outsider: Outsider, content: bytes) -> None:
    with pytest.raises((BadInput, Refused)):
        outsider.proposes(outsider.file("evil", content))


def test_objects_of_a_bundle_are_checked_as_those_of_a_push(outsider: Outsider) -> None:
    blob = outsider.git("hash-object", "-w", "debian/changelog").strip()
    for name in ("..", ".git"):
        inner = outsider.git_with(f"100644 blob {blob}\tchangelog\n", "mktree")
        tree = outsider.git_with(f"040000 tree {inner}\t{name}\n040000 tree {inner}\tdebian\n", "mktree")
        evil = outsider.git("commit-tree", "-p", "HEAD", "-m", "x", tree).strip()
        outsider.git("update-ref", "refs/heads/evil", evil)
        place = outsider.clone.parent / "evil.bundle"
        outsider.git("bundle", "create", "--quiet", str(place), "refs/heads/evil", "^origin/main")
        with pytest.raises(BadInput, match="cannot be taken in"):
            outsider.proposes(str(place))


HOSTILE = {
    "out of the tree": ("../../evil", "new file mode 100644"),
    "into the repository": (".git/hooks/post-checkout", "new file mode 100755"),
    "through the top": ("/etc/evil", "new file mode 100644"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_patch_cannot_write_elsewhere(outsider: Outsider, case: str) -> None:
    path, mode = HOSTILE[case]
    patch = (
        "From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001\nFrom: Bo <bo@x.example>\n"
        "Date: Wed, 10 Jan 2024 12:00:00 +0000\nSubject: [PATCH] evil\n\n---\n"
        f"diff --git a/{path} b/{path}\n{mode}\nindex 0000000..e69de29\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+evil\n"
    )
    with pytest.raises(Refused):
        outsider.proposes(outsider.file("evil.mbox", patch))
    assert not Path("/etc/evil").exists()
    assert not (outsider.context.paths.root.parent / "evil").exists()


def test_attributes_of_a_patch_start_no_program(outsider: Outsider) -> None:
    mark = outsider.clone.parent / "ran"
    (outsider.clone / ".gitattributes").write_text("* filter=evil merge=evil diff=evil\n")
    outsider.git("config", "filter.evil.smudge", f"touch {mark}")
    outsider.change("src/new.c", "int n;\n")
    mail = outsider.mail()
    mark.unlink(missing_ok=True)
    assert len(outsider.proposes(mail).commits) == 1
    wait_until(lambda: not mark.exists(), "nothing ran")


def test_a_repo_that_is_no_package_or_is_not_there_takes_no_proposal(outsider: Outsider) -> None:
    outsider.change("src/x.c", "int x;\n")
    with pytest.raises(BadInput):
        consider(outsider.context.database, outsider.context.ground(), Proposal("live", outsider.bundle()))
    with pytest.raises(NotFound):
        consider(outsider.context.database, outsider.context.ground(), Proposal("nothing", outsider.bundle()))


def test_propose_checks_what_is_committed_and_makes_a_bundle_that_is_taken(outsider: Outsider) -> None:
    context = outsider.context
    with pytest.raises(Refused, match="no commit that"):
        what_is_proposed(outsider.clone, context.config, "", None)
    (outsider.clone / "src/x.c").write_text("int dirty;\n")
    with pytest.raises(Refused, match="not committed"):
        what_is_proposed(outsider.clone, context.config, "", None)
    outsider.git("checkout", "--quiet", "--", ".")
    head = outsider.change("src/x.c", "int x;\n")
    with pytest.raises(BadUsage):
        what_is_proposed(outsider.clone, context.config, "nowhere", None)
    made = make_bundle(what_is_proposed(outsider.clone, context.config, "", None))
    assert (made.commit, made.onto, made.sha256) == (head, "origin/HEAD", sha256_of(made.file.read_bytes()))
    assert made.file.parent == outsider.clone.parent, "not in the checkout, which would be dirty by it"
    assert outsider.proposes(os.path.relpath(made.file)).commit == head


def test_a_configuration_is_checked_and_proposed_by_the_command(outsider: Outsider, tmp_path: Path) -> None:
    with state_folder() as folder:
        installation(folder / "state", "[repo.petrel]\n")
        state, line = str(folder / "state"), Line(folder / "state")
        outsider.change("distwright.toml", 'format = 1\n[site]\nname = "Petrel"\n[repo.other]\n')
        outsider.git("rm", "-r", "--quiet", "debian")
        outsider.git("commit", "--quiet", "-m", "No package")
        target = tmp_path / "config.bundle"
        done = line.call("propose", str(outsider.clone), "--output", str(target), "--state", state, "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["configuration"] == "good: 2 tables"
        assert target.read_bytes().startswith(b"# v2 git bundle\n")
        outsider.change("distwright.toml", "format = 1\n[sitee]\n")
        failed = line.call("propose", str(outsider.clone), "--output", str(target), "--state", state)
        assert (failed.returncode, "sitee" in failed.stderr) == (2, True)
        for words in (["petrel", "nothing.bundle"], ["petrel", "https://forge.example/fork.git"]):
            wrong = line.call("package", "consider", *words, "--state", state)
            assert (wrong.returncode, "is no file" in wrong.stderr) == (2, True), wrong.stderr
        refused = line.call("package", "consider", "petrel", str(target), "--state", state)
        assert refused.returncode in (2, 10), refused.stderr
