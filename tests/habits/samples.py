"""One sample of inputs for each kind of job, and what its earlier steps would have left: fixed for good.

A new input gets a sample value here together with a raised version; nothing else in this file ever changes.
"""

from collections.abc import Mapping

from distwright.builds.environment import EnvironmentRecipe
from distwright.jobs.step import ShelfEntry, StepResult
from distwright.model.digests import Json, sha256_of

STATE, TREE, TAR, ISO, VMLINUZ, INITRD, SQUASHFS, ROOT, DSC, DEB = (
    sha256_of(word.encode())
    for word in ("state", "tree", "tar", "iso", "vmlinuz", "initrd", "squashfs", "root", "dsc", "deb")
)
CUSTOMISED = sha256_of(b"customised")
EPOCH = 1704888000
SHELF = (
    ShelfEntry("debian", "bookworm", STATE),
    ShelfEntry("petrel", "devel", TREE, is_own=True, fields=(("Suite", "devel"),), lists=("main/binary-amd64",)),
)
RECIPE = EnvironmentRecipe(
    shelf=SHELF,
    components={"debian/bookworm": ("main",), "petrel/devel": ("main",)},
    variant="buildd",
    include=("debhelper", "fakeroot"),
    architecture="amd64",
    epoch=EPOCH,
).to_json()

VARIATION: Json = {
    "clock_ahead_s": 33_721_980, "locale": "et_EE.UTF-8", "timezone": "DWA-14", "umask": 0o002, "user": "second", "uid": 5077,
    "build_path": "/srv/elsewhere/greeter", "cpus": 1, "hostname": "other", "home": "/home-other",
}  # fmt: skip

INPUTS: Mapping[str, Mapping[str, Json]] = {
    "archive.record": {},
    "archive.renew": {},
    "repo.fetch": {},
    "pool.scale": {},
    "upload.accept": {},
    "suite.publish": {},
    "suite.tidy": {},
    "package.build": {
        "repo": "greeter", "tag": "1.0", "commit": "0" * 40, "tree": TREE, "source": "greeter", "version": "1.0",
        "epoch": EPOCH, "suite": "devel", "archive": "petrel", "environment": RECIPE,
    },
    "package.try": {
        "repo": "greeter", "tag": "1.0", "commit": "0" * 40, "tree": TREE, "source": "greeter", "version": "1.0",
        "epoch": EPOCH, "suite": "devel", "archive": "", "environment": RECIPE,
    },
    "package.rebuild": {
        "repo": "greeter", "tag": "1.0", "commit": "0" * 40, "tree": TREE, "source": "greeter", "version": "1.0",
        "epoch": EPOCH, "suite": "devel", "archive": "petrel", "environment": RECIPE,
        "built": {"greeter_1.0_amd64.deb": DEB}, "variation": VARIATION,
    },
    "package.explain": {"pairs": {"greeter_1.0_amd64.deb": [DEB, TAR]}, "environment": RECIPE},
    "package.review": {
        "source": "greeter", "version": "1.0", "files": {"greeter_1.0_amd64.changes": TAR, "greeter_1.0_amd64.deb": DEB},
        "log": DSC, "environment": RECIPE,
    },
    "package.dependents": {},
    "package.autopkgtest": {
        "source": "greeter", "version": "1.0", "source_files": {"greeter_1.0.dsc": DSC, "greeter_1.0.tar.xz": TAR},
        "environment": RECIPE, "testbed": RECIPE, "checkers": RECIPE,
    },
    "package.piuparts": {
        "source": "greeter", "version": "1.0", "debs": {"greeter_1.0_amd64.deb": DEB}, "environment": RECIPE,
        "testbed": RECIPE, "checkers": RECIPE,
    },
    "suite.debcheck": {"environment": RECIPE, "sources": TAR, "checkers": RECIPE},
    "suite.install": {
        "archive": "petrel", "suite": "devel", "components": ["main"], "tree": TREE, "revision": STATE,
        "certificate": "key\n", "packages": ["greeter"], "environment": RECIPE,
    },
    "image.build": {
        "image": "petrel", "name": "petrel-amd64-1.0", "commit": "0" * 40, "epoch": EPOCH, "root": RECIPE, "tools": RECIPE,
        "hooks": {"0100-a.hook.chroot": DSC}, "files": {"hostname": "petrel\n", "live.sources": ""},
        "states": {"debian/bookworm": STATE}, "title": "Petrel 1.0", "label": "PETREL 1.0", "disk_info": "petrel-amd64-1.0",
        "kernel_options": ["quiet"], "includes": TAR,
    },
    "image.layer": {
        "image": "petrel", "name": "petrel-amd64-1.0-on-00000000", "commit": "0" * 40, "epoch": EPOCH, "root": RECIPE,
        "tools": RECIPE, "hooks": {"0100-a.hook.chroot": DSC}, "files": {"hostname": "petrel\n", "live.sources": ""},
        "states": {"debian/bookworm": STATE}, "title": "Petrel 1.0", "label": "PETREL 1.0", "disk_info": "petrel-amd64-1.0",
        "kernel_options": ["quiet"], "includes": TAR, "form": 4, "compression": "zstd-3",
        "base": {
            "name": "petrel-amd64-1.0-00000000", "epoch": EPOCH, "root": RECIPE, "tools": RECIPE,
            "hooks": {"0100-a.hook.chroot": DSC}, "files": {"hostname": "petrel\n", "live.sources": ""}, "includes": TAR, "form": 4,
        },
        "base_files": {"manifest.json": STATE, "source-packages": TREE},
        "packages": [
            {"name": "greeter", "sha256": DEB, "size_bytes": 1, "from": "petrel/devel/x.deb", "purged": True, "automatic": False},
        ],
    },
    "image.contents": {},
    "image.rebuild": {
        "image": "petrel", "name": "petrel-amd64-1.0", "commit": "0" * 40, "epoch": EPOCH, "root": RECIPE, "tools": RECIPE,
        "hooks": {"0100-a.hook.chroot": DSC}, "files": {"hostname": "petrel\n", "live.sources": ""},
        "states": {"debian/bookworm": STATE}, "title": "Petrel 1.0", "label": "PETREL 1.0", "disk_info": "petrel-amd64-1.0",
        "kernel_options": ["quiet"], "includes": TAR, "built": {"petrel-amd64-1.0.iso": DEB}, "variation": VARIATION,
    },
    "image.rehearsal": {
        "image": "petrel", "name": "petrel-amd64-1.0", "commit": "0" * 40, "epoch": EPOCH, "root": RECIPE, "tools": RECIPE,
        "hooks": {"0100-a.hook.chroot": DSC}, "files": {"hostname": "petrel\n", "live.sources": ""},
        "states": {"debian/bookworm": STATE}, "title": "Petrel 1.0", "label": "PETREL 1.0", "disk_info": "petrel-amd64-1.0",
        "kernel_options": ["quiet"], "includes": TAR, "built": {"petrel-amd64-1.0.iso": DEB}, "tag": "1.0",
        "tagged": {"debian": TREE, "petrel": TREE},
    },
    "image.boot": {
        "image": "petrel", "name": "petrel-amd64-1.0", "iso": ISO, "vmlinuz": VMLINUZ, "tools": ROOT, "firmware": "bios",
        "expect": "petrel greets you", "timeout_s": 900,
    },
    "image.kit": {
        "from": {"name": "petrel-amd64-0.9", "version": "0.9", "product": "petrel", "channel": "main", "usb": ISO},
        "to": {"usb": TREE}, "url": "",
        "order": {
            "image": "petrel", "name": "petrel-amd64-1.0", "version": "1.0", "epoch": EPOCH, "root": RECIPE, "tools": RECIPE,
            "hooks": {}, "files": {"hostname": "petrel\n"}, "title": "Petrel 1.0", "kernel_options": ["quiet"], "includes": TAR,
        },
    },
    "image.test": {
        "image": "petrel", "name": "petrel-amd64-1.0", "commit": "0" * 40, "iso": ISO, "vmlinuz": VMLINUZ, "firmware": "uefi",
        "medium": "cd", "testers": RECIPE, "driver": TAR, "features": TREE, "expect": "petrel greets you", "boot_limit_s": 900,
        "limit_s": 120, "timeout_s": 14400, "memory_mb": 2048, "workers": 1, "chosen_features": [], "chosen_scenarios": [],
        "seconds": {"Greeting: it greets": 4},
    },
}  # fmt: skip

EARLIER: Mapping[str, StepResult] = {
    "environment": StepResult({"root": ROOT}),
    "tools": StepResult({"root": ROOT}),
    "checkers": StepResult({"root": ROOT}),
    "testbed": StepResult({"root": ROOT}),
    "testers": StepResult({"root": ROOT}),
    "compiler": StepResult({"root": ROOT}),
    "circumstances": StepResult({"tar": TREE}),
    "papers": StepResult({"petrel-amd64-1.0.iso": ISO}),
    "boot": StepResult({"saved/state.zst": STATE, "saved/made.json": TREE, "screen": DEB}),
    "root": StepResult({"root": ROOT}),
    "customise": StepResult({"root": CUSTOMISED, "installed": TAR, "copyrights": TAR, "initrd-root": TREE}),
    "source": StepResult({"source/greeter_1.0.dsc": DSC, "tar/greeter_1.0.tar.xz": TAR}),
    "build": StepResult({"changes/greeter_1.0_amd64.changes": TAR, "deb/greeter_1.0_amd64.deb": DEB}),
    "rebuild": StepResult({"deb/greeter_1.0_amd64.deb": TAR}),
    "diffoscope": StepResult({"report": TAR}),
    "initrd": StepResult({"vmlinuz": VMLINUZ, "initrd": INITRD}),
    "squashfs": StepResult({"squashfs": SQUASHFS}),
    "weigh": StepResult({"layer": TREE}),
    "pack": StepResult({"squashfs": DEB}),
    "cut": StepResult({"cut": DSC}),
    "make": StepResult({"kit": DEB}),
    "publish": StepResult({"kit": DEB}, values={"size_bytes": 50_000_000}),
    "iso": StepResult({"iso": ISO}),
    "published": StepResult({"dists/devel/InRelease": TREE}, values={"pool": {"pool/main/g/greeter/x.deb": str(DEB)}}),
    "installed": StepResult({"installed": TAR, "copyrights": TAR}),
    "inspect": StepResult({}),
    "compare": StepResult({}, values={"differences": [], "count": 0, "pairs": {}, "files": 1, "same": []}),
    "file": StepResult({}, values={"summary": "nothing is wrong"}),
    "read": StepResult(
        {},
        values={
            "tests": [],
            "passed": True,
            "why": "",
            "packages": [],
            "sources": [],
            "counts": {"packages": 0, "sources": 0},
        },
    ),
}
