"""What a recipe does to its packages, done once more over a root that is known, so that only what is touched is looked at.

A *replay* lies over the root that the packages gave, before the recipe changed it (step `root`), which a runner keeps unpacked:
changed packages are removed as if they had never been there and installed anew, then includes and hooks follow, as in a full
build. What it touched, as it was before and as it is after, is small. The replay of the image that is there, without packages,
must give what that image has; the replay with packages gives what is new. The layer is the difference of both (`layering`).
"""

from collections.abc import Mapping

from distwright.builds.environment import root_of
from distwright.images.copyrights import COLLECT
from distwright.images.failing import COMPARING
from distwright.images.forms import form_of
from distwright.images.initrd import cut_script
from distwright.images.rootfs import INSTALLED, apply_script, enter_script
from distwright.jobs.step import Earlier, Inputs, Plan, PlannedCommand
from distwright.model import plain
from distwright.model.digests import Json, Sha256

_TIMEOUT_S = 3600

# In the image's own root, as its packages gave it, which no hook has seen: tar and perl of what is essential. An overlay over what
# is an overlay already (the root is only read), both of a user namespace. What changes is in `upper` alone.
_REPLAY = """#!/bin/sh
set -eu
umask 022
export LC_ALL=C.UTF-8
unset LANGUAGE
mkdir image upper scratch out
mount -t overlay overlay -o lowerdir=/,upperdir="$PWD/upper",workdir="$PWD/scratch",userxattr image
unshare --mount --pid --ipc --fork --kill-child ./enter.sh
perl touched.pl
pack() {
    tar --create --file "$1" --directory "$2" --null --verbatim-files-from --no-recursion --files-from "$3" \\
        --mtime="@$SOURCE_DATE_EPOCH" --clamp-mtime --numeric-owner --hard-dereference --xattrs \\
        --format=pax --pax-option='exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime'
}
pack out/before.tar / before
pack out/after.tar image after
"""

# What the image really has, where the replay says something of it. A hook that gives something else each time, or that tells a file
# with several names from one that was copied, is found here.
_CHECK = f"""
echo '{COMPARING}'
mkdir was
tar --list --file customised.tar --quoting-style=literal | sed 's,/$,,' | LC_ALL=C sort >listed
tr '\\000' '\\n' <gone | LC_ALL=C sort | LC_ALL=C comm -12 - listed >still
[ ! -s still ] || {{
    echo "$(head --lines 1 still): it is there, and is not any more"
    exit 1
}}
tar --extract --file customised.tar --directory was --null --verbatim-files-from --no-recursion --files-from after \\
    --numeric-owner --same-permissions --xattrs --xattrs-include='*'
pack was.tar was after
cmp --silent was.tar out/after.tar || {{
    # What was written now is newer than the packed files, which are as old as the recipe.
    tar --compare --file was.tar --directory image --numeric-owner 2>&1 | grep --invert-match 'Mod time' | head --lines 3
    exit 1
}}
"""

# Whatever is in the upper layer was touched; and so was what is below, where it is gone. In names of tar, by NUL: `touched` is
# `after` and `gone`, in order; `before` is what the root has of it. /dev, /proc and /sys are the runner's, /work is our own.
_TOUCHED = r"""use strict;
use warnings;
my (%touched, @linked);
sub names_in {
    opendir my $folder, $_[0] or die "$_[0]: $!\n";
    return sort grep { !/^\.\.?$/ } readdir $folder;
}
sub all_below {
    my ($path) = @_;
    $touched{$path} = 1;
    return if -l "/$path" || !-d "/$path";
    all_below("$path/$_") for names_in("/$path");
}
sub look {
    my ($path) = @_;
    $touched{$path} = 1;
    my @upper = lstat "upper/$path";
    my $is_folder = -d _ && !-l "upper/$path";
    my $was_folder = !-l "/$path" && -d "/$path";
    if ($was_folder) {
        for my $name (names_in("/$path")) {
            all_below("$path/$name") if !$is_folder || !lstat "image/$path/$name";
        }
    }
    return if !$is_folder;
    for my $name (names_in("upper/$path")) {
        look("$path/$name") unless "$path/$name" =~ m{^\./(?:dev|proc|sys|work)$};
    }
}
look('.');
my (@before, @after, @gone);
for my $path (sort keys %touched) {
    my ($was, $is) = ([lstat "/$path"], [lstat "image/$path"]);
    push @before, $path if @$was;
    push @{@$is ? \@after : \@gone}, $path;
    for my $one ($was, $is) {
        push @linked, $path if @$one && ($one->[2] & 0170000) != 0040000 && $one->[3] > 1;
    }
}
my %lists = (before => \@before, after => \@after, gone => \@gone, 'out/linked' => \@linked, 'out/touched' => [sort keys %touched]);
for my $file (sort keys %lists) {
    open my $out, '>', $file or die "$file: $!\n";
    print {$out} map { "$_\0" } @{$lists{$file}};
    close $out or die "$file: $!\n";
}
"""

# As mmdebstrap calls dpkg. What is purged first is installed as if it came for the first time, its maintainer scripts as well:
# nothing is kept of the version before. Nothing is started (policy-rc.d), and no initrd is made.
_INSTALL = """echo "hook dpkg"
[ -e /usr/sbin/policy-rc.d ] || {
    printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d
    chmod 0755 /usr/sbin/policy-rc.d
    policy=ours
}
packages() {
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 TZ=UTC SOURCE_DATE_EPOCH="$SOURCE_DATE_EPOCH" INITRD=No \\
        DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true dpkg --force-unsafe-io "$@"
}
if [ -s "$recipe/purged" ]; then
    # Word by word: names of packages have no blanks.
    packages --force-depends --purge $(cat "$recipe/purged")
fi
packages --install "$recipe"/debs/*.deb
kill -s KILL -- -1 2>/dev/null || true
[ "${policy-}" != ours ] || rm -f /usr/sbin/policy-rc.d
[ ! -s "$recipe/automatic" ] || cat "$recipe/automatic" >>/var/lib/apt/extended_states
"""

_NAMES = """#!/bin/sh
set -eu
exec "${0%/*}/cut.pl"
"""
_ASKED = "installed copyrights names"
_BEGIN = "recipe=/dev/recipe\n"


def plan_base_replay(inputs: Inputs, earlier: Earlier) -> Plan:
    """Plan the replay of the image that a layer lies on; it fails if the image does not come out of it. inputs: of the layer."""
    base = plain.mapping(inputs, "base")
    return _plan(base, earlier, place={"customised.tar": root_of(earlier["customise"])}, more=_CHECK)


def plan_layer(inputs: Inputs, earlier: Earlier) -> Plan:
    """Plan the replay with the packages of a layer.

    inputs used here: those of step `customise`, and packages: each with name, architecture, sha256, purged (was it there before)
    and automatic (is it there only because another one needs it).
    """
    packages = [row for row in plain.members(inputs, "packages") if isinstance(row, Mapping)]
    debs = {f"recipe/debs/{plain.text(row, 'name')}.deb": plain.digest(row, "sha256") for row in packages}
    write = {
        "recipe/purged": " ".join(plain.text(row, "name") for row in packages if row["purged"]),
        "recipe/automatic": automatic_marks(packages, plain.text(plain.mapping(inputs, "root"), "architecture")),
    }
    return _plan(inputs, earlier, place=debs, write=write, before=_INSTALL)


def automatic_marks(packages: list[Mapping[str, Json]], architecture: str) -> str:
    """Give the stanzas of apt's extended_states for packages that nobody has asked for by name."""
    return "".join(
        f"Package: {row['name']}\nArchitecture: {architecture}\nAuto-Installed: 1\n\n"
        for row in packages
        if row["automatic"]
    )


def _plan(
    inputs: plain.Plain, earlier: Earlier, *, place: Mapping[str, Sha256], write: Mapping[str, str] | None = None,
    before: str = "", more: str = "",
) -> Plan:  # fmt: skip
    command = PlannedCommand(
        ("./replay.sh",),
        _TIMEOUT_S,
        root=root_of(earlier["root"]),
        environment=(("SOURCE_DATE_EPOCH", str(plain.number(inputs, "epoch"))),),
    )
    hooks = {f"recipe/hooks/{name}": digest for name, digest in plain.digest_map(inputs, "hooks").items()}
    return Plan(
        (command,),
        place={"recipe/includes.tar": plain.digest(inputs, "includes"), **hooks, **place},
        write={
            "replay.sh": _REPLAY + more,
            "touched.pl": _TOUCHED,
            "enter.sh": enter_script(inputs),
            "recipe/apply.sh": apply_script(inputs, _ASKED).replace(_BEGIN, _BEGIN + before, 1),
            "recipe/hooks/.keep": "",
            "recipe/out/.keep": "",
            "recipe/ask/installed.sh": INSTALLED,
            "recipe/ask/copyrights.sh": COLLECT,
            "recipe/ask/cut.pl": cut_script(form_of(inputs)),
            "recipe/ask/names.sh": _NAMES,
            **(write or {}),
            **{f"recipe/etc/{name}": text for name, text in plain.text_map(inputs, "files").items()},
        },
        collect={
            **{name: f"out/{name}" for name in ("before.tar", "after.tar", "touched", "linked")},
            "installed": "recipe/out/installed",
            "copyrights": "recipe/out/copyrights.tar",
            "names": "recipe/out/names",
        },
    )
