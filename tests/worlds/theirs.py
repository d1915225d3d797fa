"""Archives that other people keep, made by their own programs: reprepro and aptly, of packages of the small worlds."""

import hashlib
import json
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tests.worlds.installation import CONFIG, WorldContext, make_context
from tests.worlds.packages import MadeDeb, MadeSource

from distwright.archive.configured import apply_change, plan_config
from distwright.config.load import parse_config

Packages = Sequence[MadeDeb | MadeSource]

_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
_LISTS = 'components = ["main", "contrib", "updates/main"]\narchitectures = ["amd64", "arm64"]\n'


def moving_world(folder: Path, *, lists: str = _LISTS) -> WorldContext:
    """Give an installation with an empty suite devel in petrel. lists: what the archive has."""
    context = make_context(folder)
    text = CONFIG.replace('key = { credential = "petrel" }\n', f'key = {{ credential = "petrel" }}\n{lists}')
    context = replace(context, config=parse_config([("distwright.toml", text)]))
    for change in plan_config(None, context.config):
        apply_change(change, context.config, context.database, context.objects, context.clock)
    return context


def write_packages(folder: Path, packages: Iterable[MadeDeb | MadeSource], *, udebs: bool = False) -> list[Path]:
    """Write packages into a folder and give the files to name."""
    folder.mkdir(parents=True, exist_ok=True)
    named = []
    for package in packages:
        if isinstance(package, MadeDeb):
            name = package.file_name.replace(".deb", ".udeb") if udebs else package.file_name
            (folder / name).write_bytes(package.content)
            named.append(folder / name)
        else:
            for name, content in package.files.items():
                (folder / name).write_bytes(content)
            named.append(folder / package.dsc_name)
    return named


class Reprepro:
    """A base directory of reprepro."""

    def __init__(self, base: Path, distributions: str, **conf: str) -> None:
        """Make it. conf: other files of its configuration."""
        self.base = base
        (base / "conf").mkdir(parents=True)
        for name, text in {"distributions": distributions, **conf}.items():
            (base / "conf" / name).write_text(text)

    def run(self, *words: str) -> None:
        """Run reprepro."""
        _run("reprepro", "--silent", "--basedir", str(self.base), *words)

    def include(self, codename: str, packages: Packages, *, component: str = "main", udebs: bool = False) -> None:
        """Put packages in."""
        for path in write_packages(self.base.parent / "incoming", packages, udebs=udebs):
            kind = {".deb": "includedeb", ".udeb": "includeudeb", ".dsc": "includedsc"}[path.suffix]
            given = ("--section", "utils", "--priority", "optional") if kind == "includedsc" else ()
            self.run("--component", component, *given, kind, codename, str(path))

    def include_all(self, codename: str, files: Sequence[Path]) -> None:
        """Put many .deb files in at once."""
        self.run("includedeb", codename, *map(str, files))


class Aptly:
    """A root directory of aptly, with its configuration beside it."""

    def __init__(self, root: Path) -> None:
        """Make it."""
        self.root = root
        root.mkdir(parents=True)
        self.config = root.parent / "aptly.conf"
        self.config.write_text(json.dumps({"rootDir": str(root), "architectures": ["amd64", "arm64", "source"]}))

    def run(self, *words: str) -> None:
        """Run aptly."""
        _run("aptly", f"-config={self.config}", *words)

    def add(self, repo: str, packages: Packages, *, component: str = "main", udebs: bool = False) -> None:
        """Put packages into a local repository, which is made if it has to be."""
        if not (self.root / f".{repo}").exists():
            self.run("repo", "create", f"-component={component}", repo)
            (self.root / f".{repo}").touch()
        self.run("repo", "add", repo, *map(str, write_packages(self.root.parent / f"in-{repo}", packages, udebs=udebs)))

    def publish(self, distribution: str, *repos: str, components: str = "main", kind: str = "repo") -> None:
        """Publish unsigned."""
        self.run(
            "publish", kind, "-skip-signing", f"-component={components}", f"-distribution={distribution}", "-origin=Theirs", *repos
        )  # fmt: skip


def everything_in(folder: Path) -> Mapping[str, tuple[object, ...]]:
    """Say what is in a folder so that nothing can change unseen: content, mode, time and links of every file."""
    return {
        str(path.relative_to(folder)): (
            path.lstat().st_mode,
            path.lstat().st_mtime_ns,
            path.lstat().st_nlink,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
        )
        for path in sorted(folder.rglob("*"))
    }


def _run(*argv: str) -> None:
    ran = subprocess.run(argv, env=_ENVIRONMENT, capture_output=True, text=True, timeout=600, check=False)
    assert ran.returncode == 0, f"{argv}: {ran.stdout[-2000:]}{ran.stderr[-2000:]}"
