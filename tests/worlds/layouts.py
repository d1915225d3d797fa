"""Packages in git as people keep them: real work trees with branches and tags, pushed to a hosted repo by real git."""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime
from pathlib import Path
from textwrap import dedent

from tests.worlds.times import DATE

ADA = "Ada Example <ada@example.org>"
# A program without a compiler: it is there, it greets, and patches can change it.
UPSTREAM = {"greet": "#!/bin/sh\necho hello\n", "README": "It greets.\n", "docs/manual": "Call it.\n"}
PATCH = dedent("""\
    Description: Greet in French
    --- a/greet
    +++ b/greet
    @@ -1,2 +1,2 @@
     #!/bin/sh
    -echo hello
    +echo salut
    """)
PACKAGING = {
    "debian/control": dedent("""\
        Source: greet
        Section: misc
        Priority: optional
        Maintainer: Ada Example <ada@example.org>
        Build-Depends: debhelper-compat (= 13)
        Standards-Version: 4.6.2
        Rules-Requires-Root: no

        Package: greet
        Architecture: all
        Depends: ${misc:Depends}
        Description: greets
         It exists to be built.
        """),
    "debian/rules": "#!/usr/bin/make -f\n%:\n\tdh $@\n",
    "debian/install": "greet usr/bin\n",
    "debian/copyright": "Nobody claims copyright.\n",
}


def changelog(*versions: str, date: datetime = DATE) -> str:
    """Write a changelog, the newest version first."""
    entry = "greet ({}) devel; urgency=medium\n\n  * A change.\n\n -- {}  {}\n"
    return "\n".join(entry.format(version, ADA, format_datetime(date)) for version in versions)


@dataclass(slots=True)
class WorkTree:
    """A git work tree. seconds: the date of the next commit, which is one minute later each time."""

    folder: Path
    seconds: int = field(default=int(DATE.timestamp()) + 3600)

    def git(self, *arguments: str) -> str:
        """Run git, with nobody's configuration."""
        return self.run("git", *arguments)

    def run(self, *argv: str) -> str:
        """Run a program in the work tree."""
        environment = {
            "PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null",
            "LC_ALL": "C.UTF-8", "TZ": "UTC", "GIT_AUTHOR_NAME": "Ada", "GIT_AUTHOR_EMAIL": "ada@example.org",
            "GIT_COMMITTER_NAME": "Ada", "GIT_COMMITTER_EMAIL": "ada@example.org",
            "GIT_AUTHOR_DATE": f"{self.seconds} +0000", "GIT_COMMITTER_DATE": f"{self.seconds} +0000",
        }  # fmt: skip
        done = subprocess.run(
            argv, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def commit(self, files: Mapping[str, str], *, tag: str = "") -> str:
        """Write files and commit all that is there, perhaps tagged; give the commit."""
        self.write(files)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", f"Change {', '.join(files)}"[:60])
        self.seconds += 60
        if tag:
            self.git("tag", tag)
        return self.git("rev-parse", "HEAD")

    def write(self, files: Mapping[str, str]) -> None:
        """Write files; scripts are executable."""
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(0o755 if text.startswith("#!") else 0o644)

    def push(self, repo: Path) -> None:
        """Push every branch and tag."""
        self.git("push", "--quiet", "--force", str(repo), "refs/heads/*:refs/heads/*", "refs/tags/*:refs/tags/*")


def work_tree(folder: Path) -> WorkTree:
    """Begin a repository on branch main."""
    folder.mkdir(parents=True)
    tree = WorkTree(folder)
    tree.git("init", "--quiet", "--initial-branch=main")
    return tree


def native(folder: Path, *, source_format: str = "3.0 (native)\n") -> WorkTree:
    """Make a native package: 1.0 is tagged, 1.1 is begun and two commits further."""
    tree = work_tree(folder)
    files = {**UPSTREAM, **PACKAGING, "debian/source/format": source_format}
    tree.commit({**files, "debian/changelog": changelog("1.0")}, tag="1.0")
    tree.commit({"debian/changelog": changelog("1.1", "1.0")})
    tree.commit({"README": "It greets politely.\n"})
    return tree


def tarball(folder: Path, name: str, files: Mapping[str, str], *, packer: str = "xz -9") -> Path:
    """Make upstream's tarball, as a release manager of the 2000s did: with owners, odd times and a folder of its own."""
    content = WorkTree(folder / f"content-{name}")
    content.write({f"greet-1.0/{path}": text for path, text in files.items()})
    target = folder / name
    argv = ("tar", "--create", "--owner=ian:1000", "--group=ian:1000", "--mtime=@999999999", "--sort=name", "greet-1.0")
    made = subprocess.run(argv, cwd=content.folder, capture_output=True, check=True).stdout
    target.write_bytes(subprocess.run(packer.split(), input=made, capture_output=True, check=True).stdout)
    return target


def quilt(
    folder: Path,
    *,
    more: Mapping[str, str] | None = None,
    tag: str = "upstream/1.0",
    branch: str = "upstream",
    is_applied: bool = False,
    source_format: str = "3.0 (quilt)\n",
    version: str = "1.0-1",
) -> WorkTree:
    """Make a package as gbp import-orig leaves it: upstream's branch, its tag, and main with debian/ and a patch on top."""
    tree = work_tree(folder)
    tree.git("checkout", "--quiet", "--orphan", branch)
    tree.commit(UPSTREAM, tag=tag)
    tree.git("checkout", "--quiet", "-b", "main")
    packaging = {**PACKAGING, "debian/source/format": source_format, "debian/changelog": changelog(version)}
    if source_format != "1.0\n":
        packaging |= {"debian/patches/french": PATCH, "debian/patches/series": "french\n"}
    if is_applied:
        packaging["greet"] = UPSTREAM["greet"].replace("hello", "salut")
    tree.commit({**packaging, **(more or {})})
    return tree


def with_pristine_tar(tree: WorkTree, place: Path, *names: str, upstream: str = "upstream") -> dict[str, bytes]:
    """Commit tarballs to branch pristine-tar, the first of them of all of upstream, the others components; give their bytes."""
    made = {}
    for name in names:
        component = name.partition(".orig-")[2].partition(".")[0]
        files = {f"{component}-file": "part\n"} if component else UPSTREAM
        path = tarball(place, name, files, packer="gzip -7" if name.endswith(".gz") else "xz -9")
        source = upstream
        if component:
            tree.git("checkout", "--quiet", "--orphan", f"component-{component}")
            tree.git("rm", "-rfq", ".")
            tree.commit(files)
            source = f"component-{component}"
            tree.git("checkout", "--quiet", "main")
        tree.run("pristine-tar", "commit", str(path), source)
        made[name] = path.read_bytes()
    return made
