"""From a root to a hybrid ISO: squashfs, boot files for BIOS and UEFI, one xorriso. All programs come from the tool root."""

import shlex

from distwright.builds.environment import root_of
from distwright.jobs.step import Earlier, Inputs, Plan, PlannedCommand
from distwright.model import plain

_SQUASHFS_TIMEOUT_S = 3600
_ISO_TIMEOUT_S = 1800
SQUASHFS_LEVEL = 9  # zstd: 12 s of CPU and 134 MB for 577 MB; the default, 15, takes 55 s and gives 133 MB

# A tar instead of a folder: a folder would keep times of its own. -root-mode: / would come out 0777 (squashfs-tools 4.5.1).
_SQUASHFS = f"""#!/bin/sh
set -eu
umask 022
exec mksquashfs - filesystem.squashfs -tar -root-mode 0755 -comp zstd -Xcompression-level {SQUASHFS_LEVEL} -b 1M \\
    -noappend -no-progress <root.tar
"""

# One menu for both firmwares. The signed GRUB loads no modules, so nothing here needs one that it has not built in.
_GRUB_CFG = """search --no-floppy --set=root --file /.disk/id/@ID@
if serial --unit=0 --speed=115200; then
    terminal_input console serial
    terminal_output console serial
fi
set default=0
set timeout=1
menuentry {title} {{
    linux /live/vmlinuz boot=live components {options}
    initrd /live/initrd.img
}}
"""

_ISO = r"""#!/bin/sh
set -eu
umask 022
export MTOOLS_SKIP_CHECK=1 MTOOLSRC=/dev/null
# One medium among several finds itself by a file that is named by what it holds.
id=$(cat filesystem.squashfs initrd.img vmlinuz | sha256sum | cut -c1-32)
mkdir -p iso/live iso/boot/grub iso/EFI/BOOT iso/.disk/id
cp filesystem.squashfs vmlinuz initrd.img iso/live/
cp disk-info iso/.disk/info
: >"iso/.disk/id/$id"
sed "1s/@ID@/$id/" grub.cfg >iso/boot/grub/grub.cfg

# UEFI: Debian's signed shim starts Debian's signed GRUB, whose "cd" build looks for /.disk/info and takes /boot/grub/grub.cfg
# there; mmx64 is the key manager that shim wants beside it.
cp /usr/lib/shim/shimx64.efi.signed iso/EFI/BOOT/BOOTX64.EFI
cp /usr/lib/shim/mmx64.efi.signed iso/EFI/BOOT/mmx64.efi
cp /usr/lib/grub/x86_64-efi-signed/gcdx64.efi.signed iso/EFI/BOOT/grubx64.efi
find iso/EFI -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
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

# inputs used here: title, label, disk_info, kernel_options, epoch.


def plan_squashfs(inputs: Inputs, earlier: Earlier) -> Plan:
    """Plan the squashfs."""
    command = PlannedCommand(
        ("./squashfs.sh",), _SQUASHFS_TIMEOUT_S, root=root_of(earlier["tools"]), environment=(_epoch(inputs),)
    )
    return Plan(
        (command,),
        place={"root.tar": root_of(earlier["customise"])},
        write={"squashfs.sh": _SQUASHFS},
        collect={"squashfs": "filesystem.squashfs"},
    )


def plan_iso(inputs: Inputs, earlier: Earlier) -> Plan:
    """Plan the ISO."""
    environment = (_epoch(inputs), ("label", plain.text(inputs, "label")))
    command = PlannedCommand(("./iso.sh",), _ISO_TIMEOUT_S, root=root_of(earlier["tools"]), environment=environment)
    return Plan(
        (command,),
        place={
            "filesystem.squashfs": earlier["squashfs"].outputs["squashfs"],
            "vmlinuz": earlier["initrd"].outputs["vmlinuz"],
            "initrd.img": earlier["initrd"].outputs["initrd"],
        },
        write={
            "iso.sh": _ISO,
            "grub.cfg": boot_menu(inputs),
            "disk-info": f"{plain.text(inputs, 'disk_info')}\n",
        },
        collect={"iso": "image.iso"},
    )


def boot_menu(inputs: Inputs, *more: str) -> str:
    """Give GRUB's menu; @ID@ in its first line stands for what the medium finds itself by. more: further kernel options."""
    # GRUB's script language has the shell's words and quotes: a name or an option may hold a quote or a dollar.
    options = " ".join(map(shlex.quote, [*plain.texts(inputs, "kernel_options"), *more]))
    return _GRUB_CFG.format(title=shlex.quote(plain.text(inputs, "title")), options=options)


def _epoch(inputs: Inputs) -> tuple[str, str]:
    return ("SOURCE_DATE_EPOCH", str(plain.number(inputs, "epoch")))
