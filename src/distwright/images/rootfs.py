"""The root file system of an image: mmdebstrap from the pinned suites, then includes, hooks and what identifies the image."""

from distwright.builds.environment import (
    MERGED_USR_HOOK,
    MMDEBSTRAP_PROGRAMS,
    EnvironmentRecipe,
    mmdebstrap_argv,
    root_of,
)
from distwright.jobs.step import Earlier, Inputs, Plan, PlannedCommand
from distwright.model import plain

_TIMEOUT_S = 3600
_INITRD_TIMEOUT_S = 900
_INSTALLED_TIMEOUT_S = 60

# mmdebstrap runs it as root of its user namespace, with the new root as $1; the work folder holds what it needs.
_CUSTOMIZE = """#!/bin/sh
set -eu
root=$1
cd "$(dirname "$0")"
# mmdebstrap copied these from the machine; the recipe's includes and hooks may still replace them.
rm -f "$root/etc/resolv.conf"
: >"$root/etc/resolv.conf"
cp etc/hostname etc/hosts "$root/etc/"
tar --extract --file includes.tar --directory "$root" --numeric-owner --no-overwrite-dir --keep-directory-symlink
for hook in hooks/*.hook.chroot; do
    [ -e "$hook" ] || continue
    echo "hook ${hook#hooks/}"
    install -m 0755 "$hook" "$root/tmp/hook"
    chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 TZ=UTC \\
        SOURCE_DATE_EPOCH="$SOURCE_DATE_EPOCH" DEBIAN_FRONTEND=noninteractive /tmp/hook
    rm "$root/tmp/hook"
done
rm -f "$root/etc/apt/sources.list" "$root/etc/apt/apt.conf.d/99mmdebstrap"
mkdir -p "$root/etc/apt/sources.list.d" "$root/etc/apt/keyrings"
cp etc/live.sources "$root/etc/apt/sources.list.d/"
for key in etc/*.asc; do
    [ ! -e "$key" ] || cp "$key" "$root/etc/apt/keyrings/"
done
cat etc/os-release-more >>"$root/usr/lib/os-release"
rm -f "$root"/boot/initrd.img-* "$root/initrd.img" "$root/initrd.img.old"
"""

_INITRD = """#!/bin/sh
set -eu
version=$(cd /lib/modules && echo *)
case $version in *' '*|'*') echo "want one kernel in the image, found: $version"; exit 1;; esac
cp "/boot/vmlinuz-$version" vmlinuz
mkdir -p /tmp/initrd
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin TMPDIR=/tmp/initrd LC_ALL=C.UTF-8 TZ=UTC SOURCE_DATE_EPOCH="$SOURCE_DATE_EPOCH" \\
    mkinitramfs -o initrd.img "$version"
"""

# The image's own dpkg says what is in it; `account` compares that with what the archives gave.
_INSTALLED = """#!/bin/sh
set -eu
exec dpkg-query --show --showformat='${Package}\\t${Version}\\t${Architecture}\\t${db:Status-Status}\\n' >installed
"""

# inputs used here: root (EnvironmentRecipe), includes (digest of a tar), hooks (name -> digest), files (name -> text), epoch.


def plan_root(inputs: Inputs, _earlier: Earlier) -> Plan:
    """Plan the root: packages without an initrd (that is a step of its own), then the customisation."""
    recipe = EnvironmentRecipe.from_json(plain.mapping(inputs, "root"))
    options = (
        "--variant", recipe.variant, "--hook-dir", MERGED_USR_HOOK, "--dpkgopt", "path-exclude=/usr/share/doc/*",
        "--dpkgopt", "path-include=/usr/share/doc/*/copyright", "--dpkgopt", "path-exclude=/usr/share/man/*",
        "--customize-hook", '{work}/customize.sh "$1"',
    )  # fmt: skip
    environment = (("SOURCE_DATE_EPOCH", str(recipe.epoch)), ("INITRD", "No"), ("TMPDIR", "{work}/tmp"))
    files = plain.text_map(inputs, "files")
    # Hooks are placed, not written: a runner fills in {work} in what is written, and ${work} is a variable of many scripts.
    hooks = {f"hooks/{name}": digest for name, digest in plain.digest_map(inputs, "hooks").items()}
    return Plan(
        commands=(
            PlannedCommand(
                mmdebstrap_argv(recipe, options, "root.tar"), _TIMEOUT_S, reads_shelf=True, environment=environment
            ),
        ),
        place={"includes.tar": plain.digest(inputs, "includes"), **hooks},
        write={
            "customize.sh": _CUSTOMIZE,
            "tmp/.keep": "",
            "hooks/.keep": "",
            **{f"etc/{name}": text for name, text in files.items()},
        },
        collect={"root": "root.tar"},
        shelf=recipe.shelf,
        programs=MMDEBSTRAP_PROGRAMS,
    )


def plan_installed(_inputs: Inputs, earlier: Earlier) -> Plan:
    """Plan the question what is installed."""
    command = PlannedCommand(("./installed.sh",), _INSTALLED_TIMEOUT_S, root=root_of(earlier["root"]))
    return Plan((command,), write={"installed.sh": _INSTALLED}, collect={"installed": "installed"})


def plan_initrd(inputs: Inputs, earlier: Earlier) -> Plan:
    """Plan the initrd: made once, by the image's own mkinitramfs, inside the image's root."""
    command = PlannedCommand(
        ("./initrd.sh",),
        _INITRD_TIMEOUT_S,
        root=root_of(earlier["root"]),
        environment=(("SOURCE_DATE_EPOCH", str(plain.number(inputs, "epoch"))),),
    )
    return Plan((command,), write={"initrd.sh": _INITRD}, collect={"vmlinuz": "vmlinuz", "initrd": "initrd.img"})
