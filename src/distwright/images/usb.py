"""The image for USB sticks: a GPT disk that starts on BIOS and UEFI, made without root rights and loop devices.

Partition 1 is GRUB's for BIOS, 2 the EFI system partition with all of the live system, 3, if asked for, what is kept (ext4). Every
UUID follows from what is on the disk, so the same system gives the same disk.
"""

from distwright.builds.environment import root_of
from distwright.errors import BadInput
from distwright.images.forms import form_of, wants
from distwright.images.iso import MEDIUM, boot_menu, medium_changed, medium_files
from distwright.jobs.step import Earlier, Inputs, Plan, PlannedCommand
from distwright.model import plain

_TIMEOUT_S = 1800
CORE_SECTOR = 2048
ESP_SECTOR = 4096

# What grub-bios-setup writes (util/setup.c of GRUB 2.06), which wants a device. In boot.img, the boot sector: at 0x5c where the
# core image begins; at 0x66 two NOPs in place of a jump, so that a BIOS that names a wrong drive is not believed. In the core
# image, whose first sector is diskboot.img: at 0x1f4, in its list of blocks, where its second sector is; grub-mkimage has put
# the length and the segment there. The MBR's second entry is what `xorriso --mbr-force-bootable` writes: marked as bootable and of
# no type, for a BIOS that starts no disk without one.
_USB = rf"""#!/bin/sh
set -eu
umask 022
export MTOOLS_SKIP_CHECK=1 MTOOLSRC=/dev/null E2FSPROGS_FAKE_TIME="$SOURCE_DATE_EPOCH"
for program in sfdisk mkfs.ext4 debugfs; do
    command -v "$program" >/dev/null || {{
        echo "the tools of the image have no $program: add fdisk and e2fsprogs to the include of their environment"
        exit 1
    }}
done
for file in filesystem.squashfs initrd.img vmlinuz; do
    size=$(stat -L -c %s "$file")
    if [ "$size" -gt 4294967295 ]; then
        echo "$file has $size bytes, and a file on FAT at most 4294967295: make it smaller, or leave usb out of the outputs"
        exit 1
    fi
done
id=$({{ echo "usb $persistence_mb"; cat disk-info grub.cfg filesystem.squashfs initrd.img vmlinuz@TOO@; }} | sha256sum | cut -c1-32)
# RFC 9562, version 8.
guid() {{
    printf '%s %s' "$id" "$1" | sha256sum | sed -E 's/^(.{{8}})(.{{4}}).(.{{3}}).(.{{3}})(.{{12}}).*/\1-\2-8\3-8\4-\5/'
}}
sed "1s/@ID@/$id/" grub.cfg >menu.cfg
: >none
# Size of the FAT: files in whole clusters (of 32 KiB at most), 2 % and 4 MiB for tables and folders; FAT32 begins at 33 MiB.
shim=/usr/lib/shim
grub=/usr/lib/grub/x86_64-efi-signed/gcdx64.efi.signed
@TREE@kib=$(@SIZES@ |
    awk '{{ kib += int(($1 + 32767) / 32768) * 32 }}
        END {{ mib = int(kib * 1.02 / 1024) + 5; print (mib < 64 ? 64 : mib) * 1024 }}')@ROOM@
end=$(({ESP_SECTOR} + kib * 2))
truncate -s "$((end * 512))" usb.img  # mkfs.vfat wants to find as much as it is told
mkfs.vfat --invariant --offset={ESP_SECTOR} -h {ESP_SECTOR} -F 32 -i "$(echo "$id" | cut -c1-8)" -n "$label" \
    usb.img "$kib" >/dev/null
truncate -s "$(((end + persistence_mb * 2048 + 2048) * 512))" usb.img
{{
    printf 'label: gpt\nlabel-id: %s\n' "$(guid disk)"
    echo "start={CORE_SECTOR}, size=2048, type=21686148-6449-6E6F-744E-656564454649, uuid=$(guid grub), name=GRUB"
    echo "start={ESP_SECTOR}, size=$((kib * 2)), type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, uuid=$(guid live), name=live"
    [ "$persistence_mb" = 0 ] ||
        echo "start=$end, size=$((persistence_mb * 2048)), type=0FC63DAF-8483-4772-8E79-3D69D8477DE4," \
            "uuid=$(guid persistence), name=persistence"
}} | sfdisk --quiet --no-reread --no-tell-kernel --wipe never --wipe-partitions never usb.img

# UEFI and the live system. mtools takes the time from SOURCE_DATE_EPOCH.
esp=usb.img@@$(({ESP_SECTOR} * 512))
@COPY@
# BIOS.
{{
    echo "search --no-floppy --set=root --file /.disk/id/$id"
    echo 'set prefix=($root)/boot/grub'
}} >early.cfg
grub-mkimage -O i386-pc -d /usr/lib/grub/i386-pc -p /boot/grub -c early.cfg -o core.img \
    biosdisk fat part_gpt search search_fs_file normal configfile linux serial terminal echo test minicmd halt reboot
[ "$(stat -c %s core.img)" -le $((2048 * 512)) ] || {{ echo "GRUB's core image is larger than its partition"; exit 1; }}
put() {{ dd of=usb.img bs=1 "seek=$1" conv=notrunc status=none; }}
dd if=/usr/lib/grub/i386-pc/boot.img of=usb.img bs=440 count=1 conv=notrunc status=none
printf '\000\010\000\000\000\000\000\000' | put $((0x5c))
printf '\220\220' | put $((0x66))
printf '\200\000\000\000\000\000\000\000\000\000\000\000\001\000\000\000' | put $((446 + 16))
dd if=core.img of=usb.img bs=512 seek={CORE_SECTOR} conv=notrunc status=none
printf '\001\010\000\000\000\000\000\000' | put $(({CORE_SECTOR} * 512 + 0x1f4))

# What is kept. debugfs writes the file: mkfs.ext4 -d would take over when ours was changed (ctime), which nobody can set.
if [ "$persistence_mb" != 0 ]; then
    echo '/ union' >persistence.conf
    mkfs.ext4 -q -F -L persistence -U "$(guid persistence)" \
        -E "offset=$((end * 512)),hash_seed=$(guid hash),root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0,nodiscard" \
        usb.img "${{persistence_mb}}M"
    debugfs -w -R 'write persistence.conf persistence.conf' "usb.img?offset=$((end * 512))" 2>&1
fi
"""

_SIZES = 'stat -L -c %s filesystem.squashfs initrd.img vmlinuz "$grub" "$shim"/*.signed'
_COPY = r"""mmd -i "$esp" ::/EFI ::/EFI/BOOT ::/boot ::/boot/grub ::/live ::/.disk ::/.disk/id
mcopy -i "$esp" "$shim/shimx64.efi.signed" ::/EFI/BOOT/BOOTX64.EFI
mcopy -i "$esp" "$shim/mmx64.efi.signed" ::/EFI/BOOT/mmx64.efi
mcopy -i "$esp" "$grub" ::/EFI/BOOT/grubx64.efi
mcopy -i "$esp" menu.cfg ::/boot/grub/grub.cfg
mcopy -i "$esp" disk-info ::/.disk/info
mcopy -i "$esp" none "::/.disk/id/$id"
mcopy -i "$esp" vmlinuz initrd.img filesystem.squashfs ::/live/
"""

# Where the recipe has a say in what lies on the medium: all of it is laid out as for the ISO, then carried over, sorted by name.
_HELD_TOO = " $(find medium.tar medium-hooks -type f 2>/dev/null | LC_ALL=C sort)"
_TREE = rf"""mkdir -p iso/live iso/boot/grub iso/EFI/BOOT iso/.disk/id
cp filesystem.squashfs vmlinuz initrd.img iso/live/
cp disk-info iso/.disk/info
: >"iso/.disk/id/$id"
cp menu.cfg iso/boot/grub/grub.cfg
cp "$shim/shimx64.efi.signed" iso/EFI/BOOT/BOOTX64.EFI
cp "$shim/mmx64.efi.signed" iso/EFI/BOOT/mmx64.efi
cp "$grub" iso/EFI/BOOT/grubx64.efi
{MEDIUM}strange=$(cd iso && find . -mindepth 1 \( ! -type f ! -type d -o -name '*[\\:*?"<>|]*' -o -name '*[. ]' -o -name '*
*' -o -size +4294967295c \) | head -n 1)
if [ -n "$strange" ]; then
    echo "FAT has no links, no such names and no files of 4 GiB: $strange"
    exit 1
fi
alike=$(cd iso && find . -mindepth 1 | tr '[:upper:]' '[:lower:]' | LC_ALL=C sort | uniq -d | head -n 1)
if [ -n "$alike" ]; then
    echo "two names on the medium differ in case only, which FAT cannot have: $alike"
    exit 1
fi
"""
# A folder takes a cluster as well, more if it has many names.
_SIZES_OF_TREE = "find iso -mindepth 1 -printf '%s\\n'"
_COPY_TREE = r"""(cd iso && find . -mindepth 1 -type d | LC_ALL=C sort) | while IFS= read -r folder; do
    mmd -i "$esp" "::/${folder#./}"
done
(cd iso && find . -type f | LC_ALL=C sort) | while IFS= read -r file; do
    mcopy -i "$esp" "iso/${file#./}" "::/${file#./}"
done
"""

# Beside the live system, where an upgrade kit puts the next one before it lets go of this one.
_ROOM = """
kib=$((kib + upgrade_mb * 1024))"""

# inputs used here: title, label, disk_info, kernel_options, epoch, persistence_mb, upgrade_mb (absent: 0); where the recipe has
# them: menu, medium, medium_hooks.


def plan_usb(inputs: Inputs, earlier: Earlier) -> Plan:
    """Plan the image for USB sticks; nothing is done if the order does not ask for it."""
    if not wants(inputs, "usb"):
        return Plan(())
    room_mb = plain.number(inputs, "persistence_mb") if "persistence_mb" in inputs else 0
    upgrade_mb = plain.number(inputs, "upgrade_mb") if "upgrade_mb" in inputs else 0
    environment = (
        ("SOURCE_DATE_EPOCH", str(plain.number(inputs, "epoch"))),
        ("label", fat_label(plain.text(inputs, "label"))),
        ("persistence_mb", str(room_mb)),
        *((("upgrade_mb", str(upgrade_mb)),) if upgrade_mb else ()),
    )
    if room_mb and "menu" in inputs and "persistence" not in plain.text(inputs, "menu"):
        raise BadInput(
            "the recipe's own boot menu never says persistence, so what the stick has room for would not be kept",
            hint="write $persistence on the line of the kernel in its grub.cfg, or remove persistence_mb from the image",
        )
    is_laid_out = medium_changed(inputs) and form_of(inputs) >= 5
    script = _USB.replace("@ROOM@", _ROOM if upgrade_mb else "")
    parts = (_HELD_TOO, _TREE, _SIZES_OF_TREE, _COPY_TREE) if is_laid_out else ("", "", _SIZES, _COPY)
    for mark, part in zip(("@TOO@", "@TREE@", "@SIZES@", "@COPY@"), parts, strict=True):
        script = script.replace(mark, part)
    command = PlannedCommand(("./usb.sh",), _TIMEOUT_S, root=root_of(earlier["tools"]), environment=environment)
    return Plan(
        (command,),
        place={
            "filesystem.squashfs": earlier["squashfs"].outputs["squashfs"],
            "vmlinuz": earlier["initrd"].outputs["vmlinuz"],
            "initrd.img": earlier["initrd"].outputs["initrd"],
            **(medium_files(inputs) if is_laid_out else {}),
        },
        write={
            "usb.sh": script,
            **({"with-grub": ""} if is_laid_out and "menu" in inputs else {}),
            "grub.cfg": boot_menu(inputs, *(["persistence"] if room_mb else [])),
            "disk-info": f"{plain.text(inputs, 'disk_info')}\n",
        },
        collect={"usb": "usb.img"},
    )


def fat_label(label: str) -> str:
    """Give what FAT can have for a label: 11 signs, upper case, none of those that DOS forbids."""
    return "".join(sign if sign.isascii() and (sign.isalnum() or sign in " -_") else "_" for sign in label.upper())[
        :11
    ].rstrip()
