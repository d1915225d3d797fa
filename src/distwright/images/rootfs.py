"""The root file system of an image: mmdebstrap from the pinned suites, then includes, hooks and what identifies the image."""

from distwright.builds.environment import (
    FORGET_MACHINE,
    MERGED_USR_HOOK,
    MMDEBSTRAP_PROGRAMS,
    EnvironmentRecipe,
    mmdebstrap_argv,
    root_of,
)
from distwright.images.copyrights import COLLECT
from distwright.images.forms import form_of
from distwright.images.initrd import PACK, cut_script
from distwright.jobs.step import Earlier, Inputs, Plan, PlannedCommand
from distwright.model import plain
from distwright.model.digests import Sha256

_TIMEOUT_S = 3600
_INSTALLED_TIMEOUT_S = 60
_COPYRIGHTS_TIMEOUT_S = 300

# In the tool root. Not the image as the root of the command: files that have several names would lose all but one when they are
# changed in an overlay, and a hook that breaks the image's tar would break the packing.
_CUSTOMISE = """#!/bin/sh
set -eu
umask 022
# No namespace but the first can make device nodes: they stay as they are, in the tar.
mkdir image
tar --extract --file root.tar --directory image --numeric-owner --same-permissions --xattrs --xattrs-include='*' \\
    --exclude='./dev/*'
unshare --mount --pid --ipc --fork --kill-child ./enter.sh
{
    for block in $(tar --list --block-number --file root.tar ./dev | sed -n 's/^block \\([0-9]*\\): \\.\\/dev.*/\\1/p'); do
        dd if=root.tar bs=512 skip="$block" count=1 status=none
    done
    # As mmdebstrap packs it.
    tar --create --directory image --sort=name --mtime="@$SOURCE_DATE_EPOCH" --clamp-mtime --numeric-owner --xattrs \\
        --one-file-system --format=pax --pax-option='exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime' \\
        --exclude=./dev .
} >customised.tar
"""

# From form 3 on: it reads what tar prints, which is "blok" in Czech.
_IN_ENGLISH = "umask 022\nexport LC_ALL=C.UTF-8\nunset LANGUAGE\n"

# A chroot can be left by root of its namespace: a hook's root is the image for good, and all else is unmounted. What the recipe
# brings is shown in /dev, which is no part of the image.
ENTER = """#!/bin/sh
set -eu
mkdir -p image/dev image/proc image/sys /dev/recipe /dev/left
mount --bind image image
mount --bind recipe /dev/recipe
mount --rbind /dev image/dev
mount --rbind /sys image/sys
mount -t proc proc image/proc
cd image
pivot_root . dev/left
cd /
umount --lazy /dev/left
exec /dev/recipe/apply.sh
"""

_IDENTIFY = 'cat "$recipe/etc/os-release-more" >>/usr/lib/os-release\n'
_APPLY = """#!/bin/sh
set -eu
recipe=/dev/recipe
# The recipe's includes and hooks may still replace them.
rm -f /etc/resolv.conf
: >/etc/resolv.conf
cp "$recipe/etc/hostname" "$recipe/etc/hosts" /etc/
tar --extract --file "$recipe/includes.tar" --directory / --numeric-owner --no-overwrite-dir --keep-directory-symlink
for hook in "$recipe"/hooks/*.hook.chroot; do
    [ -e "$hook" ] || continue
    echo "hook ${hook##*/}"
    install -m 0755 "$hook" /tmp/hook
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 TZ=UTC \\
        SOURCE_DATE_EPOCH="$SOURCE_DATE_EPOCH" DEBIAN_FRONTEND=noninteractive /tmp/hook
    # What a hook leaves running ends with it, or it would change files while they are packed.
    kill -s KILL -- -1 2>/dev/null || true
    rm -f /tmp/hook
done
rm -f /etc/apt/sources.list /etc/apt/apt.conf.d/99mmdebstrap
mkdir -p /etc/apt/sources.list.d /etc/apt/keyrings
cp "$recipe/etc/live.sources" /etc/apt/sources.list.d/
for key in "$recipe"/etc/*.asc; do
    [ ! -e "$key" ] || cp "$key" /etc/apt/keyrings/
done
@IDENTIFY@@SECRETS@rm -f /boot/initrd.img-* /initrd.img /initrd.img.old
# What differs from run to run, as mmdebstrap removed it before the hooks.
rm -f /var/log/dpkg.log /var/log/alternatives.log /var/log/apt/history.log /var/log/apt/term.log /var/log/apt/eipp.log.xz \\
    /var/cache/ldconfig/aux-cache /var/cache/apt/*.bin /var/cache/apt/archives/*.deb /var/lib/dbus/machine-id
rm -rf /var/lib/apt/lists/auxfiles
if [ -e /etc/machine-id ]; then
    rm /etc/machine-id
    : >/etc/machine-id
fi
find /run /tmp -mindepth 1 -maxdepth 1 ! -path /run/lock -exec rm -rf -- {} +
"""

# Keys that packages make when they are installed would be everybody's, as live-build's hooks know. What the recipe itself brings
# stays: whoever writes it there means it.
_NO_SHARED_SECRETS = r"""tar --list --file "$recipe/includes.tar" | sed 's,^\./,,; s,^,/,' >/tmp/included
for file in /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub /etc/ssl/private/ssl-cert-snakeoil.key \
    /etc/ssl/certs/ssl-cert-snakeoil.pem /var/lib/systemd/random-seed /var/lib/systemd/credential.secret; do
    [ -e "$file" ] && ! grep -Fqx -- "$file" /tmp/included || continue
    echo "removed $file: all copies of the image would have the same"
    rm -f "$file"
done
[ -e /etc/ssl/certs/ssl-cert-snakeoil.pem ] || find /etc/ssl/certs -lname '*ssl-cert-snakeoil.pem' -delete 2>/dev/null || true
"""

# The image's own dpkg says what is in it; `account` compares that with what the archives gave.
INSTALLED = """#!/bin/sh
set -eu
exec dpkg-query --show --showformat='${Package}\\t${Version}\\t${Architecture}\\t${db:Status-Status}\\n' >installed
"""

# From form 3 on asked at the end of apply.sh, where the image is the root anyway: to unpack it once more takes seconds.
_ASK = """cd "$recipe/out"
for script in @SCRIPTS@; do
    echo "asking $script"
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/nonexistent LC_ALL=C.UTF-8 TZ=UTC SOURCE_DATE_EPOCH="$SOURCE_DATE_EPOCH" \\
        "$recipe/ask/$script.sh"
done
"""

# Called by mmdebstrap, outside the root, when its essential packages are there and no other: as early as live-build does it.
# debconf is among them: what is essential depends on it. Programs of the image run in the image.
_ESSENTIAL = """#!/bin/sh
set -eu
root=$1
work=${0%/*}
for answers in "$work"/preseed/*.cfg; do
    [ -e "$answers" ] || continue
    echo "preseed ${answers##*/}"
    chroot "$root" debconf-set-selections <"$answers"
    # What is installed already has asked its questions.
    sed -e ':join' -e '/\\\\$/{' -e 'N' -e 's/\\\\\\n/ /' -e 'bjoin' -e '}' "$answers" |
        sed -n 's/^[[:space:]]*\\([^#[:space:]][^[:space:]]*\\)[[:space:]].*/\\1/p' | sort -u | while read -r owner; do
        status=$(chroot "$root" dpkg-query --show --showformat='${db:Status-Status}' -- "$owner" 2>/dev/null) || continue
        [ "$status" != installed ] || chroot "$root" dpkg-reconfigure --frontend=noninteractive "$owner" </dev/null
    done
done
if [ -e "$work/before.tar" ]; then
    chroot "$root" tar --extract --file - --directory / --numeric-owner --no-overwrite-dir --keep-directory-symlink \\
        <"$work/before.tar"
fi
"""
# A package whose configuration file is there before it would have dpkg ask, and nobody is there to answer. Not by an option of
# apt's: mmdebstrap starts dpkg by env(1), which would take it for one of its own.
_KEEP_OURS = (
    "--dpkgopt", "force-confold",
    "--customize-hook", 'sed -i "/^force-confold\\$/d" "$1/etc/dpkg/dpkg.cfg.d/99mmdebstrap"',
)  # fmt: skip
# Packages write the name of the machine into their configuration (exim4-config, ssl-cert); mmdebstrap is in a namespace of its own.
# And their builder's home: libgtk2.0-0 into its immodules.cache.
_NAMELESS = "hostname localhost"
_ANSWER = 'sh {work}/essential.sh "$1"'
_PREFER = 'mkdir -p "$1/etc/apt/preferences.d" && install -m 0644 {work}/preferences/* "$1/etc/apt/preferences.d"'
_FORGET_PREFERRED = 'for file in {work}/preferences/*; do rm -f "$1/etc/apt/preferences.d/${file##*/}"; done'
_NO_DOCUMENTATION = (
    "--dpkgopt", "path-exclude=/usr/share/doc/*", "--dpkgopt", "path-include=/usr/share/doc/*/copyright",
    "--dpkgopt", "path-exclude=/usr/share/man/*",
)  # fmt: skip
_RECOMMENDS = 'APT::Install-Recommends "true"'

_QUESTIONS = {
    "recipe/out/.keep": "",
    "recipe/ask/installed.sh": INSTALLED,
    "recipe/ask/copyrights.sh": COLLECT,
    "recipe/ask/pack.sh": PACK,
}
_ANSWERS = {
    "installed": "recipe/out/installed",
    "copyrights": "recipe/out/copyrights.tar",
    "initrd-root": "recipe/out/initrd-root.tar",
}

# inputs used here: root (EnvironmentRecipe), includes (digest of a tar), hooks (name -> digest), files (name -> text), epoch; if
# they are there: before (digest of a tar), preseed, preferences (name -> digest), recommends, documentation.


def plan_root(inputs: Inputs, _earlier: Earlier) -> Plan:
    """Plan the packages, without an initrd (that is a step of its own)."""
    recipe = EnvironmentRecipe.from_json(plain.mapping(inputs, "root"))
    preferences = _digests(inputs, "preferences", "preferences/")
    answers = _digests(inputs, "preseed", "preseed/")
    before = {"before.tar": plain.digest(inputs, "before")} if "before" in inputs else {}
    comes_early = bool(answers) or bool(before)
    options = (
        "--variant", recipe.variant, "--hook-dir", MERGED_USR_HOOK,
        *(() if "documentation" in inputs else _NO_DOCUMENTATION),
        "--customize-hook", FORGET_MACHINE,
        *(("--aptopt", _RECOMMENDS) if "recommends" in inputs else ()),
        *(("--setup-hook", _PREFER, "--customize-hook", _FORGET_PREFERRED) if preferences else ()),
        *(("--essential-hook", _ANSWER) if comes_early else ()),
        *(_KEEP_OURS if before else ()),
        *(("--setup-hook", _NAMELESS) if form_of(inputs) >= 5 else ()),
    )  # fmt: skip
    home = (("HOME", "/nonexistent"),) if form_of(inputs) >= 5 else ()
    environment = (("SOURCE_DATE_EPOCH", str(recipe.epoch)), ("INITRD", "No"), ("TMPDIR", "{work}/tmp"), *home)
    return Plan(
        commands=(
            PlannedCommand(
                mmdebstrap_argv(recipe, options, "root.tar"), _TIMEOUT_S, reads_shelf=True, environment=environment
            ),
        ),
        place={**preferences, **answers, **before},
        write={
            "tmp/.keep": "",
            **({"essential.sh": _ESSENTIAL} if comes_early else {}),
        },
        collect={"root": "root.tar"},
        shelf=recipe.shelf,
        programs=MMDEBSTRAP_PROGRAMS,
    )


def _digests(inputs: Inputs, key: str, folder: str) -> dict[str, Sha256]:
    """Give file -> object for a map of the inputs that need not be there."""
    return (
        {f"{folder}{name}": digest for name, digest in plain.digest_map(inputs, key).items()} if key in inputs else {}
    )


def enter_script(inputs: Inputs) -> str:
    """Give what makes the image the root of what runs in it; from form 5 on the machine has no name there."""
    return ENTER.replace("mkdir -p image/dev", f"{_NAMELESS}\nmkdir -p image/dev") if form_of(inputs) >= 5 else ENTER


def apply_script(inputs: Inputs, questions: str = "installed copyrights pack") -> str:
    """Give what is run in the image: the recipe, then from form 3 on what is asked. questions: scripts of recipe/ask, in order."""
    form = form_of(inputs)
    secrets = _NO_SHARED_SECRETS if form >= 5 else ""
    script = _APPLY.replace("@IDENTIFY@", _IDENTIFY if form < 4 else "").replace("@SECRETS@", secrets)
    asking = _ASK.replace("@SCRIPTS@", questions) if form >= 3 else ""
    return script + asking + (_IDENTIFY if form >= 4 else "")


def plan_customise(inputs: Inputs, earlier: Earlier) -> Plan:
    """Plan what the recipe does to its packages: includes, hooks, and what identifies the image.

    From form 3 on also what is asked of the image then: what is installed, under what terms, and what its initrd is made from.
    """
    is_asked = form_of(inputs) >= 3
    command = PlannedCommand(
        ("./customise.sh",),
        _TIMEOUT_S,
        root=root_of(earlier["tools"]),
        environment=(("SOURCE_DATE_EPOCH", str(plain.number(inputs, "epoch"))),),
    )
    # Hooks are placed, not written: a runner fills in {work} in what is written, and ${work} is a variable of many scripts.
    hooks = {f"recipe/hooks/{name}": digest for name, digest in plain.digest_map(inputs, "hooks").items()}
    return Plan(
        (command,),
        place={"root.tar": root_of(earlier["root"]), "recipe/includes.tar": plain.digest(inputs, "includes"), **hooks},
        write={
            "customise.sh": _CUSTOMISE.replace("umask 022\n", _IN_ENGLISH, 1) if is_asked else _CUSTOMISE,
            "enter.sh": enter_script(inputs),
            "recipe/apply.sh": apply_script(inputs),
            "recipe/hooks/.keep": "",
            **({**_QUESTIONS, "recipe/ask/cut.pl": cut_script(form_of(inputs))} if is_asked else {}),
            **{f"recipe/etc/{name}": text for name, text in plain.text_map(inputs, "files").items()},
        },
        collect={"root": "customised.tar", **(_ANSWERS if is_asked else {})},
    )


def plan_installed(inputs: Inputs, earlier: Earlier) -> Plan:
    """Plan the question what is installed; in form 2, also under what terms; nothing from form 3 on, when `customise` asks."""
    if form_of(inputs) >= 3:
        return Plan(())
    root = root_of(earlier["customise"])
    command = PlannedCommand(("./installed.sh",), _INSTALLED_TIMEOUT_S, root=root)
    if form_of(inputs) < 2:
        return Plan((command,), write={"installed.sh": INSTALLED}, collect={"installed": "installed"})
    environment = (("SOURCE_DATE_EPOCH", str(plain.number(inputs, "epoch"))),)
    copyrights = PlannedCommand(("./copyrights.sh",), _COPYRIGHTS_TIMEOUT_S, root=root, environment=environment)
    return Plan(
        (command, copyrights),
        write={"installed.sh": INSTALLED, "copyrights.sh": COLLECT},
        collect={"installed": "installed", "copyrights": "copyrights.tar"},
    )
