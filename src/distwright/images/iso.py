"""From a root to a hybrid ISO: squashfs, boot files for BIOS and UEFI, one xorriso. All programs come from the tool root."""

import shlex
from collections.abc import Sequence

from distwright.builds.environment import root_of
from distwright.jobs.step import Earlier, Inputs, Plan, PlannedCommand
from distwright.model import plain
from distwright.model.digests import Sha256

_SQUASHFS_TIMEOUT_S = 3600
_ISO_TIMEOUT_S = 1800
# zstd: level 9 takes 12 s of CPU and gives 134 MB for 577 MB; the default of mksquashfs, 15, takes 55 s and gives 133 MB.
COMPRESSIONS = {
    "zstd-3": "zstd -Xcompression-level 3",
    "zstd-9": "zstd -Xcompression-level 9",
    "zstd-19": "zstd -Xcompression-level 19",
    "xz": "xz",
}
DEFAULT_COMPRESSION = "zstd-9"

# A tar instead of a folder: a folder would keep times of its own. -root-mode: / would come out 0777 (squashfs-tools 4.5.1).
_SQUASHFS = """#!/bin/sh
set -eu
umask 022
exec mksquashfs - filesystem.squashfs @OPTIONS@ <root.tar
"""
_OPTIONS = """-tar -root-mode 0755 -comp @COMPRESSION@ -b 1M \\
    -noappend -no-progress@EXCLUDES@"""

# One menu for both firmwares. The signed GRUB loads no modules, so nothing here needs one that it has not built in.
GRUB_HEAD = """search --no-floppy --set=root --file /.disk/id/@ID@
if serial --unit=0 --speed=115200; then
    terminal_input console serial
    terminal_output console serial
fi
set default=0
"""
_ENTRY = """menuentry {title} {{
    linux /live/vmlinuz boot=live components {options}
    initrd /live/initrd.img
}}
"""
# A recipe's menu may have anything to choose from, and graphics to look at; it can set another time.
_TIMEOUT_S, _TIMEOUT_OF_RECIPE_S = 1, 5

_ISO = r"""#!/bin/sh
set -eu
umask 022
export MTOOLS_SKIP_CHECK=1 MTOOLSRC=/dev/null
# One medium among several finds itself by a file that is named by what it holds.
id=$(cat @HELD@ initrd.img vmlinuz | sha256sum | cut -c1-32)
mkdir -p iso/live iso/boot/grub iso/EFI/BOOT iso/.disk/id
cp filesystem.squashfs@LAYERS@ vmlinuz initrd.img iso/live/
cp disk-info iso/.disk/info
: >"iso/.disk/id/$id"
sed "1s/@ID@/$id/" grub.cfg >iso/boot/grub/grub.cfg

# UEFI: Debian's signed shim starts Debian's signed GRUB, whose "cd" build looks for /.disk/info and takes /boot/grub/grub.cfg
# there; mmx64 is the key manager that shim wants beside it.
cp /usr/lib/shim/shimx64.efi.signed iso/EFI/BOOT/BOOTX64.EFI
cp /usr/lib/shim/mmx64.efi.signed iso/EFI/BOOT/mmx64.efi
cp /usr/lib/grub/x86_64-efi-signed/gcdx64.efi.signed iso/EFI/BOOT/grubx64.efi
@MEDIUM@find iso/EFI -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
# Size of the FAT: the files in whole clusters, 5 % and 64 KiB for tables and folders, rounded up to a MiB.
bytes=$(stat -c %s iso/EFI/BOOT/* | awk '{ sum += int(($1 + 2047) / 2048) * 2048 } END { print sum }')
kib=$(((bytes * 105 / 100 / 1024 + 64 + 1023) / 1024 * 1024))
mkfs.vfat --invariant -i "$(echo "$id" | cut -c1-8)" -n ESP -C efi.img "$kib" >/dev/null
# mmd honours SOURCE_DATE_EPOCH; -m keeps the times of files (TZ is UTC: FAT has local time).
mmd -i efi.img ::/EFI ::/EFI/BOOT
mcopy -m -i efi.img iso/EFI/BOOT/* ::/EFI/BOOT/

# BIOS: a core image with all modules inside; none on the medium.
{
    echo "search --no-floppy --set=root --file /.disk/id/$id"
    echo 'set prefix=($root)/boot/grub'
} >early.cfg
grub-mkimage -O i386-pc-eltorito -d /usr/lib/grub/i386-pc -p /boot/grub -c early.cfg -o iso/boot/grub/bios.img \
    biosdisk iso9660 part_msdos part_gpt search search_fs_file normal configfile linux serial terminal echo test minicmd halt reboot

# md5sum.txt is what live-boot's "verify-checksums" reads; xorriso writes into bios.img.
(cd iso && find . -type f ! -name md5sum.txt ! -path ./boot/grub/bios.img -print0 | LC_ALL=C sort -z | xargs -0 md5sum >md5sum.txt)
# xorriso does not clamp times: touch everything, folders too.
find iso -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
# A real GPT beside the protective MBR: with --grub2-mbr, -isohybrid-gpt-basdat alone leaves MBR entries only.
exec xorriso -as mkisofs -quiet -o image.iso -volid "$label" -iso-level 3 -r -J -joliet-long \
    --grub2-mbr /usr/lib/grub/i386-pc/boot_hybrid.img --protective-msdos-label --mbr-force-bootable \
    -partition_cyl_align off -partition_offset 16 \
    -b boot/grub/bios.img -no-emul-boot -boot-load-size 4 -boot-info-table --grub2-boot-info -c boot.catalog \
    -eltorito-alt-boot -e --interval:appended_partition_2:all:: -no-emul-boot \
    -append_partition 2 c12a7328-f81f-11d2-ba4b-00a0c93ec93b efi.img -appended_part_as_gpt iso
"""

# As live-build: GRUB's files, includes.binary/, then the scripts, which start in the medium's tree. A menu of the recipe may want
# GRUB's modules and a font; signed GRUB has the usual ones built in.
MEDIUM = r"""if [ -e with-grub ]; then
    mkdir -p iso/boot/grub/i386-pc iso/boot/grub/fonts
    cp /usr/lib/grub/i386-pc/*.mod /usr/lib/grub/i386-pc/*.lst iso/boot/grub/i386-pc/
    # By this path, and by where "loadfont unicode" looks.
    cp /usr/share/grub/unicode.pf2 iso/boot/grub/
    cp /usr/share/grub/unicode.pf2 iso/boot/grub/fonts/
fi
if [ -e medium.tar ]; then
    tar --extract --file medium.tar --directory iso --no-same-owner --keep-directory-symlink
fi
for hook in medium-hooks/*.hook.binary; do
    [ -e "$hook" ] || continue
    echo "hook ${hook##*/}"
    install -m 0755 "$hook" medium-hook
    (cd iso && env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 TZ=UTC \
        SOURCE_DATE_EPOCH="$SOURCE_DATE_EPOCH" ../medium-hook)
    rm -f medium-hook
done
"""

# live-boot reads in filesystem.module what to lay over each other, the lowest first (9990-overlay.sh): the base, then the layer.
LAYER, _MODULE = "10-delta.squashfs", "filesystem.module"
_LAYERS = f" {LAYER} {_MODULE}"
_HELD, _HELD_OF_LAYERS = (
    "filesystem.squashfs",
    f"disk-info {LAYER} {_MODULE}",
)  # disk-info says by its digest on what it lies

# inputs used here: title, label, disk_info, kernel_options, epoch; if they are there: compression, excludes (digest of a text),
# menu (text), medium (digest of a tar), medium_hooks (name -> digest).


def menu_entry(title: str, options: Sequence[str]) -> str:
    """Give the entry of GRUB's menu that starts the live system. options: of the kernel.

    GRUB's script language has the shell's words and quotes: a name or an option may hold a quote or a dollar.
    """
    return _ENTRY.format(title=shlex.quote(title), options=" ".join(map(shlex.quote, options)))


def plan_squashfs(inputs: Inputs, earlier: Earlier) -> Plan:
    """Plan the squashfs of the image's root."""
    return plan_packing(inputs, earlier, root_of(earlier["customise"]))


def plan_packing(inputs: Inputs, earlier: Earlier, tar: Sha256) -> Plan:
    """Plan the squashfs of a tar, as the order says that those of its image are packed."""
    command = PlannedCommand(
        ("./squashfs.sh",), _SQUASHFS_TIMEOUT_S, root=root_of(earlier["tools"]), environment=(_epoch(inputs),)
    )
    return Plan(
        (command,),
        place={"root.tar": tar, **squashfs_excludes(inputs)},
        write={"squashfs.sh": _SQUASHFS.replace("@OPTIONS@", squashfs_options(inputs))},
        collect={"squashfs": "filesystem.squashfs"},
    )


def squashfs_options(inputs: Inputs) -> str:
    """Give the words for mksquashfs, as a script has them, by which a tar on its input gives the squashfs of an image."""
    compression = plain.text(inputs, "compression") if "compression" in inputs else DEFAULT_COMPRESSION
    excludes = " -wildcards -ef excludes" if "excludes" in inputs else ""
    return _OPTIONS.replace("@COMPRESSION@", COMPRESSIONS[compression]).replace("@EXCLUDES@", excludes)


def squashfs_excludes(inputs: Inputs) -> dict[str, Sha256]:
    """Give the file that these words name, if they name one."""
    return {"excludes": plain.digest(inputs, "excludes")} if "excludes" in inputs else {}


def plan_iso(inputs: Inputs, earlier: Earlier) -> Plan:
    """Plan the ISO; of an order that has a base, with the layer on it (step `pack`)."""
    layers = {LAYER: earlier["pack"].outputs["squashfs"]} if "base" in inputs else {}
    environment = (_epoch(inputs), ("label", plain.text(inputs, "label")))
    command = PlannedCommand(("./iso.sh",), _ISO_TIMEOUT_S, root=root_of(earlier["tools"]), environment=environment)
    return Plan(
        (command,),
        place={
            "filesystem.squashfs": earlier["squashfs"].outputs["squashfs"],
            "vmlinuz": earlier["initrd"].outputs["vmlinuz"],
            "initrd.img": earlier["initrd"].outputs["initrd"],
            **layers,
            **medium_files(inputs),
        },
        write={
            "iso.sh": _ISO.replace("@MEDIUM@", MEDIUM if medium_changed(inputs) else "")
            .replace("@LAYERS@", _LAYERS if layers else "")
            .replace("@HELD@", _HELD_OF_LAYERS if layers else _HELD),
            **({_MODULE: f"filesystem.squashfs\n{LAYER}\n"} if layers else {}),
            "grub.cfg": boot_menu(inputs),
            "disk-info": f"{plain.text(inputs, 'disk_info')}\n",
            **({"with-grub": ""} if "menu" in inputs else {}),
        },
        collect={"iso": "image.iso"},
    )


def medium_changed(inputs: Inputs) -> bool:
    """Say whether the recipe has a say in what lies on the medium."""
    return any(key in inputs for key in ("menu", "medium", "medium_hooks"))


def medium_files(inputs: Inputs) -> dict[str, Sha256]:
    """Give the files that `MEDIUM` reads: what the recipe puts on the medium, and its scripts for that."""
    hooks = plain.digest_map(inputs, "medium_hooks") if "medium_hooks" in inputs else {}
    medium = {"medium.tar": plain.digest(inputs, "medium")} if "medium" in inputs else {}
    return {**medium, **{f"medium-hooks/{name}": digest for name, digest in hooks.items()}}


def boot_menu(inputs: Inputs, *more: str) -> str:
    """Give GRUB's menu; @ID@ in its first line stands for what the medium finds itself by.

    more: further kernel options of our own entry; a menu of the recipe has them in GRUB's variables, `$persistence` for that word.
    """
    if "menu" in inputs:
        known = "".join(f"set {option}={option}\n" for option in more)
        return f"{GRUB_HEAD}{known}set timeout={_TIMEOUT_OF_RECIPE_S}\n{plain.text(inputs, 'menu')}"
    entry = menu_entry(plain.text(inputs, "title"), [*plain.texts(inputs, "kernel_options"), *more])
    return f"{GRUB_HEAD}set timeout={_TIMEOUT_S}\n{entry}"


def _epoch(inputs: Inputs) -> tuple[str, str]:
    return ("SOURCE_DATE_EPOCH", str(plain.number(inputs, "epoch")))
