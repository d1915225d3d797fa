"""Small machines: a kernel, busybox and this machine's Python in QEMU, for what the machine that tests run on does not have."""

import shutil
import subprocess
from pathlib import Path

from tests.worlds.rootfs import BUSYBOX

SOURCE = Path(__file__).parents[2] / "src"
_PYTHON = Path("/usr/bin/python3").resolve()
_INIT = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /tmp
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev; mount -t tmpfs tmp /tmp
mount -t cgroup2 cgroup /sys/fs/cgroup
echo 0 >/proc/sys/kernel/printk
export PATH=/usr/sbin:/usr/bin:/sbin:/bin PYTHONPATH=/src
echo GUEST BEGINS
python3 -B /script.py 2>&1
echo GUEST ENDS $?
poweroff -f
"""


def run_in_guest(kernel: Path, script: str, folder: Path, programs: tuple[str, ...] = (), timeout_s: int = 400) -> str:
    """Boot a kernel, run a Python script as root there, and give what it printed; our package can be imported."""
    root = folder / "guest"
    _fill(root, programs)
    (root / "script.py").write_text(script)
    names = "".join(f"{path.relative_to(root)}\n" for path in root.rglob("*"))
    with (folder / "initrd").open("wb") as out:
        argv = [str(BUSYBOX), "cpio", "-o", "-H", "newc"]
        subprocess.run(argv, cwd=root, input=names.encode(), stdout=out, stderr=subprocess.DEVNULL, check=True)
    done = subprocess.run(
        ["qemu-system-x86_64", "-accel", "tcg", "-m", "1500", "-nodefaults", "-nographic", "-serial", "stdio", "-no-reboot",
         "-kernel", str(kernel), "-initrd", str(folder / "initrd"),
         "-append", "console=ttyS0 quiet panic=-1 cgroup_no_v1=all"],
        capture_output=True, text=True, errors="replace", timeout=timeout_s, check=False,
    )  # fmt: skip
    said = done.stdout.replace("\r", "")
    assert "GUEST BEGINS\n" in said, said[-3000:] + done.stderr
    output, separator, ended = said.partition("GUEST BEGINS\n")[2].partition("GUEST ENDS ")
    assert separator, said[-3000:]
    assert ended.startswith("0\n"), said[-3000:]
    return output


def _fill(root: Path, programs: tuple[str, ...]) -> None:
    for name in ("bin", "usr/bin", "src"):
        (root / name).mkdir(parents=True)
    shutil.copy(BUSYBOX, root / "bin" / "busybox")
    (root / "init").write_text(_INIT)
    (root / "init").chmod(0o755)
    shutil.copytree(SOURCE, root / "src", dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    library = Path("/usr/lib") / _PYTHON.name
    left_out = shutil.ignore_patterns(
        "__pycache__", "dist-packages", "test", "config-*", "idlelib", "pydoc_data", "ensurepip"
    )
    shutil.copytree(library, root / str(library)[1:], ignore=left_out)
    found = {_PYTHON, *(Path(shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin") or name) for name in programs)}
    for file in found | set((library / "lib-dynload").glob("*.so")):
        for one in {file, *_libraries(file)}:
            target = root / str(one)[1:]
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(one, target)
    (root / "usr/bin/python3").symlink_to(_PYTHON.name)


def _libraries(program: Path) -> set[Path]:
    shown = subprocess.run(["ldd", str(program)], stdout=subprocess.PIPE, check=False, text=True).stdout
    return {Path(word) for word in shown.split() if word.startswith("/")}
