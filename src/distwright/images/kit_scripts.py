"""The scripts of an upgrade kit.

In the tool root SURVEY looks at both images, MAKE packs the kit and PROVE applies it. APPLY is in the kit, for devices.
"""

from distwright.images.kit_cutting import OLD_BYTES
from distwright.images.usb import ESP_SECTOR

WORK_KIB = (OLD_BYTES >> 10) + 1024  # the old files of a piece, and what programs print

_HEAD = r"""#!/bin/sh
set -eu
umask 022
export LC_ALL=C TZ=UTC MTOOLS_SKIP_CHECK=1 MTOOLSRC=/dev/null
"""
# The live partition's files as a folder.
_UNPACK = f"""unpack() {{
    mkdir "$2"
    mcopy -s -n -Q -i "$1@@{ESP_SECTOR * 512}" '::*' "$2/"
}}
"""
# Files of the old squashfs, one after the other; $1: number of the piece, $2, $3: which bytes of them count.
_OLD = r"""old() {
    xargs -r -d '\n' <"$pieces/$1.old" $unsquashfs -data-queue 32 -frag-queue 32 -cat "$squashfs" |
        tail -c "+$(($2 + 1))" | head -c "$3"
}
"""

SURVEY = rf"""{_HEAD}{_UNPACK}
for program in mcopy unsquashfs mksquashfs zstd; do
    command -v "$program" >/dev/null || {{
        echo "the tools of the image have no $program: add mtools, squashfs-tools and zstd to the include of their environment"
        exit 1
    }}
done
for side in from to; do
    unpack "$side.img" "$side"
    (cd "$side" && find . -type f -printf '%P\n' | LC_ALL=C sort | xargs -r -d '\n' sha256sum) >"$side.sums"
    (cd "$side" && find . -type f -printf '%s %P\n') >"$side.sizes"
done
# Years beside the minutes: in no other zone than UTC.
unsquashfs -UTC -lln from/live/filesystem.squashfs >from.files
"""

# -12: of two pieces of a real root, 9 gave 3.7 MB in 1 s, 12 gave 3.0 MB in 2 s, 15 gave 3.0 MB in 18 s.
_MAKE_PIECE = rf"""{_HEAD}{_OLD}
pieces=kit/pieces
squashfs=from/live/filesystem.squashfs
unsquashfs=unsquashfs
old "$1" "$4" "$5" >"$1.old"
dd if=root.tar of="$1.new" iflag=skip_bytes,count_bytes bs=1M "skip=$2" "count=$3" status=none
if [ -s "$1.old" ]; then
    zstd -q -12 -T1 --patch-from="$1.old" "$1.new" -o "$pieces/$1.zst"
else
    zstd -q -12 -T1 "$1.new" -o "$pieces/$1.zst"
fi
rm "$1.old" "$1.new"
"""

MAKE = rf"""{_HEAD}{_UNPACK}
for side in from to; do unpack "$side.img" "$side"; done
mkdir kit
tar --extract --file cut.tar --directory kit --no-same-owner
chmod 0755 kit/apply
[ ! -e excludes ] || cp excludes kit/
# A piece takes one processor and 0.5 GB. What comes out is the same for any number of them.
processors=$(nproc)
gigabytes=$(awk '/^MemAvailable:/ {{ print int($2 / 524288) }}' /proc/meminfo)
[ "$processors" -le "$gigabytes" ] || processors=$((gigabytes > 1 ? gigabytes : 1))
xargs -r -P "$processors" -L 1 ./piece.sh <kit/pieces/list
# The squashfs is made from the pieces, and mostly has the kernel too.
if [ -e kit/kernel ]; then
    unsquashfs -cat to/live/filesystem.squashfs "$(cat kit/kernel)" 2>/dev/null | cmp -s - to/live/vmlinuz || rm kit/kernel
fi
sed 's/^[0-9a-f]*  //' kit/new | while read -r path; do
    case $path in
        live/filesystem.squashfs) continue;;
        live/vmlinuz) [ ! -e kit/kernel ] || continue;;
    esac
    mkdir -p "kit/files/$(dirname "$path")"
    zstd -q -19 -T1 <"to/$path" >"kit/files/$path"
done
# The very programs that shape bytes, so that a device needs none and none of another version.
mkdir kit/programs
for program in mksquashfs unsquashfs zstd; do
    file=$(command -v "$program")
    cp -L "$file" kit/programs/
    ldd "$file" | awk '/=> \// {{ print $3 }}' | xargs cp -L -t kit/programs/
    # What pthread_exit(3) opens, and no program names.
    cp -L "$(ldd "$file" | awk '/libc\.so/ {{ print $3 }}' | xargs dirname)/libgcc_s.so.1" kit/programs/
    cp -L "$(ldd "$file" | awk '$1 ~ /^\/.*\/ld-/ {{ print $1 }}')" kit/programs/ld.so
done
chmod 0755 kit/programs/*
tar --create --file kit.tar --sort=name --format=ustar --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX \
    "--mtime=@$SOURCE_DATE_EPOCH" kit
"""

# In the tool root as well: its own programs are not asked, only those of the kit.
PROVE = rf"""{_HEAD}{_UNPACK}
for side in from to; do unpack "$side.img" "$side"; done
tar --extract --file kit.tar
mkdir tmp
TMPDIR=$PWD/tmp kit/apply from
# By its mark a device's core image for BIOS finds it, whatever it was upgraded to.
for mark in from/.disk/id/*; do
    [ -e "to/.disk/id/${{mark##*/}}" ] || rm "$mark"
done
diff -r from to
"""

# The one moment from which a device is the new system is when the menu is replaced. Before it, nothing but upgrade/ has changed.
# After it, the menu finds each file of the new system where it is: in upgrade/, or at its place. So power may go at any time.
APPLY = rf"""#!/bin/sh
# Make @FROM@ into @TO@.
# usage: apply FOLDER, where the live partition of the device is mounted, to be written to.
# It can be ended at any time, and be started again: what is in FOLDER starts as the one or as the other.
set -eu
umask 022
export LC_ALL=C TZ=UTC SOURCE_DATE_EPOCH=@EPOCH@
[ "$#" = 1 ] || {{ echo "usage: $0 FOLDER, where the live partition is mounted" >&2; exit 2; }}
kit=$(cd "${{0%/*}}" && pwd)
cd "$1"
work=$(mktemp -d)
pieces=$kit/pieces
squashfs=$PWD/live/filesystem.squashfs
loader="$kit/programs/ld.so --library-path $kit/programs"
unsquashfs="$loader $kit/programs/unsquashfs"
menu=boot/grub/grub.cfg
is_ours=
end() {{
    rm -rf "$work"
    [ -z "$is_ours" ] || rm -rf upgrade
}}
trap end EXIT
trap 'exit 130' HUP INT TERM
case $kit in *[[:space:]]*) echo "$kit: put the kit into a folder without blanks in its path" >&2; exit 2;; esac
{_OLD}
assemble() {{
    while read -r number _ _ skip take; do
        old "$number" "$skip" "$take" >"$work/old"
        if [ -s "$work/old" ]; then
            $loader "$kit/programs/zstd" -dcq "--patch-from=$work/old" "$pieces/$number.zst"
        else
            $loader "$kit/programs/zstd" -dcq "$pieces/$number.zst"
        fi
    done <"$pieces/list"
}}
squash() {{
    target=$PWD/upgrade/live/filesystem.squashfs
    (cd "$kit" && $loader programs/mksquashfs - "$target" @OPTIONS@)
}}
refuse() {{
    [ ! -s "$work/said" ] || tail "$work/said" >&2
    echo "the new files did not come out as they should: nothing was changed" >&2
    exit 1
}}
room() {{
    free=$(df -P -k "$1" | awk 'NR == 2 {{ print $4 }}')
    [ "$free" -gt "$2" ] || {{
        echo "$1 has $free KiB free, and $3 wants $2: nothing was changed" >&2
        exit 20
    }}
}}
prepare() {{
    rm -rf upgrade  # of a try that was cut off: its room is ours
    room "$PWD" @ROOM_KIB@ "the new system beside the old"
    room "$work" {WORK_KIB} "what is temporary"
    mkdir -p upgrade/live
    (cd "$kit/files" && find . -type f) | while read -r path; do
        mkdir -p "upgrade/$(dirname "$path")"
        $loader "$kit/programs/zstd" -dcq <"$kit/files/$path" >"upgrade/$path"
    done
    [ ! -s "$pieces/list" ] || {{ assemble | squash; }} >"$work/said" 2>&1 || refuse
    if [ -e "$kit/kernel" ]; then
        $unsquashfs -cat upgrade/live/filesystem.squashfs "$(cat "$kit/kernel")" >upgrade/live/vmlinuz || refuse
    fi
    (cd upgrade && sha256sum --quiet -c "$kit/new") || refuse
    cp "$kit/menu" upgrade/menu
    sync
}}
settle() {{
    sed 's/^[0-9a-f]*  //' "$kit/new" | while read -r path; do
        [ -e "upgrade/$path" ] && [ "$path" != "$menu" ] || continue
        mkdir -p "$(dirname "$path")"
        mv -f "upgrade/$path" "$path"
    done
    sync
    [ ! -e "upgrade/$menu" ] || mv -f "upgrade/$menu" "$menu"
    sync
}}
tidy() {{
    while read -r path; do rm -f "$path"; done <"$kit/gone"
    rm -rf upgrade
    sync
    sha256sum --quiet -c "$kit/after"
}}

if ! cmp -s "$menu" "$kit/menu" && ! sha256sum --status -c "$kit/after" 2>/dev/null; then
    sha256sum --quiet -c "$kit/before" || {{
        echo "$PWD has not the files of @FROM@: nothing was changed" >&2
        exit 1
    }}
    is_ours=yes
    prepare
    is_ours=
    mv -f upgrade/menu "$menu"
    sync
fi
if cmp -s "$menu" "$kit/menu"; then settle; fi
tidy
echo "$PWD is @TO@"
"""


def make_scripts() -> dict[str, str]:
    """Give the scripts that make a kit: file -> text."""
    return {"make.sh": MAKE, "piece.sh": _MAKE_PIECE}
