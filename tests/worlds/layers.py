"""Small images with packages: roots in which dpkg works, built in full and as layers, by the real steps."""

import io
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from tests.worlds.debs import Member, deb_of
from tests.worlds.rootfs import CAPABILITY, tool_root_tar
from tests.worlds.work import Workshop, kind_of

from distwright.images.failing import judge_layer, judge_replay
from distwright.images.forms import FORM
from distwright.images.recipe import Recipe, includes_tar
from distwright.images.recipe_files import ImageFile
from distwright.images.replay import plan_base_replay, plan_layer
from distwright.images.rootfs import plan_customise
from distwright.jobs.lease import Ending
from distwright.jobs.step import Action, Context, Earlier, Inputs, Plan, PlannedCommand, Step, StepResult
from distwright.model.digests import Json, Sha256
from distwright.worker.execute import execute

EPOCH = 1_704_888_100
_PERL = "/usr/lib/x86_64-linux-gnu/perl-base"
_MODULES = (
    "strict.pm", "warnings.pm", "warnings/register.pm", "Exporter.pm", "XSLoader.pm", "File/Glob.pm",
    "auto/File/Glob/Glob.so",
)  # fmt: skip
_TOOLS = (
    "cmp", "comm", "cut", "diff", "dpkg", "dpkg-deb", "dpkg-query", "dpkg-split", "dpkg-trigger", "head", "ldconfig", "mv", "rmdir",
    "start-stop-daemon", "tr", "xargs", *(f"{_PERL}/{name}" for name in _MODULES),
)  # fmt: skip
# In place of mmdebstrap: dpkg in a root that has nothing but programs.
_INSTALL = """#!/bin/sh
set -eu
umask 022
mkdir -p /usr/sbin /var/lib/dpkg/info /var/lib/dpkg/updates /var/lib/dpkg/triggers /var/lib/dpkg/alternatives /var/log /var/lib/apt
: >/var/lib/dpkg/status
: >/var/lib/dpkg/available
echo 1 >/var/lib/dpkg/info/format
tar --extract --file capable.tar --directory / --xattrs --xattrs-include='*'
dpkg --force-unsafe-io --install debs/*.deb
rm -f /var/log/dpkg.log
tar --create --file root.tar --directory / --sort=name --mtime="@$SOURCE_DATE_EPOCH" --clamp-mtime --numeric-owner --xattrs \\
    --one-file-system --format=pax --pax-option='exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime' --exclude='./dev/*' \\
    --exclude=./work .
"""
FILES: Mapping[str, str] = {
    "hostname": "small\n", "hosts": "127.0.0.1 localhost\n", "live.sources": "Types: deb\n", "os-release-more": "IMAGE_ID=small\n",
}  # fmt: skip


def package(
    name: str, version: str, *members: Member, scripts: Mapping[str, bytes] | None = None, fields: str = ""
) -> bytes:
    """Write a package whose folders are named before what is in them."""
    folders = {
        "/".join(member.path.split("/")[:depth]) for member in members for depth in range(1, member.path.count("/") + 1)
    }
    named = {member.path for member in members}
    all_ = [*(Member(folder, None, 0o755) for folder in folders - named), *members]
    control = f"Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: Ada <a@example.org>\n{fields}Description: x\n"
    rows = [Member(".", None, 0o755), *sorted(all_, key=lambda one: one.path)]
    return deb_of(*rows, control=control, scripts=scripts)


def capable_tar(path: str, content: bytes) -> bytes:
    """Write a tar of one file that may open raw sockets."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        row = tarfile.TarInfo(path)
        row.size, row.mode, row.mtime = len(content), 0o755, EPOCH - 1
        row.pax_headers = {"SCHILY.xattr.security.capability": CAPABILITY}
        tar.addfile(row, io.BytesIO(content))
    return out.getvalue()


@dataclass
class SmallImages:
    """Builds small images of packages, includes and hooks. fields: in which an order of an image differs from the usual."""

    shop: Workshop
    hooks: Sequence[str] = ()
    includes: Sequence[ImageFile] = ()
    files: Mapping[str, str] = field(default_factory=lambda: dict(FILES))

    def inputs(self) -> dict[str, Json]:
        """Give what steps `customise` and `replay` ask of an order."""
        put = self.shop.objects.put
        return {
            "form": FORM, "epoch": EPOCH, "files": dict(self.files), "root": {"architecture": "amd64"},
            "includes": put(includes_tar(Recipe((), tuple(self.includes), {}), EPOCH)),
            "hooks": {f"{n:04}.hook.chroot": put(script.encode()) for n, script in enumerate(self.hooks)},
        }  # fmt: skip

    def full(self, *debs: bytes) -> dict[str, Sha256]:
        """Build an image in full; give the outputs of its steps, `step/name`."""
        return outputs_of(self._run(self.inputs(), self._root(debs), Step("customise", plan_customise)))

    def layer(self, base: Sequence[bytes], changed: Mapping[str, bytes], *, new: Sequence[str] = ()) -> Ending:
        """Replay the recipe over an image of `base`, and over it with changed packages. new: those that the base has not."""
        put = self.shop.objects.put
        packages: list[Json] = [
            {"name": name, "sha256": put(deb), "purged": name not in new, "automatic": name in new}
            for name, deb in changed.items()
        ]
        inputs: dict[str, Json] = {**self.inputs(), "base": self.inputs(), "packages": packages}
        customise = Step("customise", lambda order, earlier: plan_customise(order["base"], earlier))  # type: ignore[arg-type]  # as the order has it
        return self._run(
            inputs,
            self._root(base),
            customise,
            Step("replay", plan_base_replay, judge_replay),
            Step("layer", plan_layer, judge_layer),
        )

    def _run(self, inputs: Inputs, *steps: Step) -> Ending:
        tools = self.shop.objects.put(tool_root_tar(*_TOOLS))

        def give(_context: Context, _inputs: Inputs, _earlier: Earlier) -> StepResult:
            return StepResult({"root": tools})

        ending = execute(kind_of(Action("tools", give), *steps), inputs, self.shop.context())
        return replace(ending, message=f"{ending.message}\n{self.shop.log()}")

    def _root(self, debs: Sequence[bytes]) -> Step:
        capable = self.shop.objects.put(capable_tar("usr/bin/ping", b"#!/bin/sh\n"))
        placed = {"capable.tar": capable} | {
            f"debs/{number}.deb": self.shop.objects.put(deb) for number, deb in enumerate(debs)
        }

        def plan(_inputs: Inputs, earlier: Earlier) -> Plan:
            environment = (("SOURCE_DATE_EPOCH", str(EPOCH)),)
            command = PlannedCommand(
                ("./install.sh",), 60, root=earlier["tools"].outputs["root"], environment=environment
            )
            return Plan((command,), place=placed, write={"install.sh": _INSTALL}, collect={"root": "root.tar"})

        return Step("root", plan)


def outputs_of(ending: Ending) -> dict[str, Sha256]:
    """Give all outputs of the steps of a job that went well."""
    assert str(ending.outcome) == "ok", ending.message
    return {name: Sha256(str(digest)) for name, digest in (ending.outputs or {}).items()}
