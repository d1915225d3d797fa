"""Every variable that live-build 20230502 reads from config/, and what becomes of it in `image import`."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """What becomes of something in a tree of live-build."""

    HONOURED = "honoured"
    NOT_NEEDED = "not needed"
    NOT_HONOURED = "not honoured"


@dataclass(frozen=True, slots=True)
class Notice:
    """What became of a file or a variable. what: its path below the tree, or its name and value. how: so, or what to do instead."""

    what: str
    verdict: Verdict
    how: str


@dataclass(frozen=True, slots=True)
class Variable:
    """how: what it is translated to, or why it means nothing here. same: values for which an image here is what they ask for;
    instead: what to do about other values."""

    verdict: Verdict
    how: str = ""
    same: tuple[str, ...] = ()
    instead: str = ""


def _yes(how: str) -> Variable:
    return Variable(Verdict.HONOURED, how)


def _means_nothing(how: str) -> Variable:
    return Variable(Verdict.NOT_NEEDED, how)


def _only(*same: str, instead: str) -> Variable:
    """Say that only these values, or none, are what is built here."""
    return Variable(Verdict.NOT_HONOURED, "as it is here", ("", *same), instead)


_INSTALLER = _means_nothing("is about the Debian installer, see LB_DEBIAN_INSTALLER")
_CACHE = _means_nothing("a step is not done again while what it is made of stays the same")
_HARD_DISK = _means_nothing("is about images for hard disks, see LB_IMAGE_TYPE")
_EMULATOR = _means_nothing("is about building for another architecture")
_PARENT = "of an archive, see the tables that were written"
_SUITES = _yes("suites in [archive.NAME] and in `from` of the image")
_ISO_TEXT = _only(instead="the medium says no such thing; label and title of the image are in its table")

VARIABLES: Mapping[str, Variable] = {
    "APTITUDE_OPTIONS": _means_nothing("apt resolves what is installed"),
    "APT_OPTIONS": _only("--yes", "--yes -o Acquire::Retries=5", instead="mmdebstrap calls apt with options of distwright's"),
    "BZIP2_OPTIONS": _means_nothing("nothing is packed with it"),
    "DEBOOTSTRAP_OPTIONS": _only(
        "--variant=minbase", instead="of its options only --variant=minbase counts; the image begins with what `variant` says"
    ),
    "DEBOOTSTRAP_SCRIPT": _only(instead="mmdebstrap makes the root, which has no scripts"),
    "GZIP_OPTIONS": _means_nothing("nothing is packed with it"),
    "LB_APT": _only("apt", "apt-get", instead="apt resolves what is installed; compare the list of packages"),
    "LB_APT_HTTP_PROXY": _means_nothing("how this machine fetches is no part of an image; see fetch_from"),
    "LB_APT_INDICES": _only("false", instead="the image has no lists of packages until somebody calls apt update"),
    "LB_APT_PIPELINE": _means_nothing("how this machine fetches is no part of an image"),
    "LB_APT_RECOMMENDS": _yes("recommends of the image"),
    "LB_APT_SECURE": _only("true", instead="archives are always verified, set keyring of the archive"),
    "LB_APT_SOURCE_ARCHIVES": _only(
        "false", instead="the image's sources name no source packages; add a .sources file to includes.chroot/"
    ),
    "LB_ARCHITECTURE": _yes("architecture of the image"),
    "LB_ARCHITECTURES": _yes("architecture of the image"),
    "LB_ARCHIVE_AREAS": _yes("components of the archive"),
    "LB_BACKPORTS": _SUITES,
    "LB_BINARY_FILESYSTEM": _HARD_DISK,
    "LB_BINARY_IMAGES": _only("iso", "iso-hybrid", instead="one ISO is made, for discs and for sticks"),
    "LB_BOOTAPPEND_INSTALL": _INSTALLER,
    "LB_BOOTAPPEND_LIVE": _yes("kernel_options of the image"),
    "LB_BOOTAPPEND_LIVE_FAILSAFE": _only(
        "none", instead="the menu has no second entry; write one into bootloaders/grub-pc/grub.cfg"
    ),
    "LB_BOOTLOADERS": _only(
        "grub-pc grub-efi", "grub-efi grub-pc", "grub-pc", "grub-efi", instead="GRUB starts it on BIOS, too"),
    "LB_BOOTLOADER_BIOS": _only("grub-pc", instead="GRUB starts it on BIOS, too"),
    "LB_BOOTLOADER_EFI": _only("grub-efi", instead="GRUB starts the image on UEFI"),
    "LB_BOOTSTRAP_QEMU_ARCHITECTURE": _EMULATOR,
    "LB_BOOTSTRAP_QEMU_ARCHITECTURES": _EMULATOR,
    "LB_BOOTSTRAP_QEMU_EXCLUDE": _EMULATOR,
    "LB_BOOTSTRAP_QEMU_STATIC": _EMULATOR,
    "LB_BUILD_WITH_CHROOT": _means_nothing("all programs come from `tools` of the image"),
    "LB_BUILD_WITH_TMPFS": _means_nothing("is about the machine that builds"),
    "LB_CACHE": _CACHE,
    "LB_CACHE_INDICES": _CACHE,
    "LB_CACHE_PACKAGES": _CACHE,
    "LB_CACHE_STAGES": _CACHE,
    "LB_CHECKSUMS": _only(
        "md5", instead="the medium has md5sum.txt, which live-boot verifies; a signed SHA256SUMS stands beside the image"
    ),
    "LB_CHROOT_FILESYSTEM": _only("squashfs", instead="the live system is a squashfs"),
    "LB_CHROOT_SQUASHFS_COMPRESSION_LEVEL": _yes("compression of the image"),
    "LB_CHROOT_SQUASHFS_COMPRESSION_TYPE": _yes("compression of the image"),
    "LB_COMPRESSION": _means_nothing("is about images that are tars, see LB_IMAGE_TYPE"),
    "LB_CONFIG": _means_nothing("the files of config/ were read"),
    "LB_CONFIGURATION_VERSION": _means_nothing("says which live-build wrote the files"),
    "LB_DEBCONF_FRONTEND": _only("noninteractive", instead="nobody is asked while an image is built; write answers into preseed/"),
    "LB_DEBCONF_PRIORITY": _means_nothing("nobody is asked while an image is built"),
    "LB_DEBIAN_INSTALLER": _only("none", "false", instead="no Debian installer is put on the medium"),
    "LB_DEBIAN_INSTALLER_DISTRIBUTION": _INSTALLER,
    "LB_DEBIAN_INSTALLER_GUI": _INSTALLER,
    "LB_DEBIAN_INSTALLER_PRESEEDFILE": _INSTALLER,
    "LB_DERIVATIVE": _means_nothing("live-build 20230502 sets it itself"),
    "LB_DISTRIBUTION": _SUITES,
    "LB_DISTRIBUTION_BINARY": _only(instead="the image's sources name the suites that it was made from"),
    "LB_DISTRIBUTION_CHROOT": _SUITES,
    "LB_DM_VERITY": _only("false", instead="the squashfs has no hash tree; md5sum.txt and SHA256SUMS say what belongs to it"),
    "LB_DM_VERITY_FEC_ROOTS": _means_nothing("see LB_DM_VERITY"),
    "LB_DM_VERITY_SIGN": _means_nothing("see LB_DM_VERITY"),
    "LB_FIRMWARE_BINARY": _INSTALLER,
    "LB_FIRMWARE_CHROOT": _only("false", instead="firmware is not looked for; name its packages in a package list"),
    "LB_HDD_LABEL": _HARD_DISK,
    "LB_HDD_PARTITION_START": _HARD_DISK,
    "LB_HDD_SIZE": _HARD_DISK,
    "LB_IMAGE_NAME": _yes("name of the image, unless --name says another"),
    "LB_IMAGE_TYPE": _only("iso", "iso-hybrid", instead="one ISO is made, for discs and for sticks"),
    "LB_INITRAMFS": _only("live-boot", instead="the initrd is live-boot's"),
    "LB_INITRAMFS_COMPRESSION": _only(
        "gzip",  # for which live-build leaves it to initramfs-tools
        instead="write COMPRESS=... into includes.chroot/etc/initramfs-tools/conf.d/"
    ),
    "LB_INITSYSTEM": _yes("packages in a list"),
    "LB_INTERACTIVE": _only("false", instead="nobody is asked while an image is built, say it in a hook"),
    "LB_ISO_APPLICATION": _ISO_TEXT,
    "LB_ISO_PREPARER": _ISO_TEXT,
    "LB_ISO_PUBLISHER": _ISO_TEXT,
    "LB_ISO_VOLUME": _yes("label of the image"),
    "LB_JFFS2_ERASEBLOCK": _means_nothing("see LB_CHROOT_FILESYSTEM"),
    "LB_KEYRING_PACKAGES": _yes("packages in a list"),
    "LB_LINUX_FLAVOURS": _yes("the kernel in a package list"),
    "LB_LINUX_FLAVOURS_WITH_ARCH": _yes("the kernel in a package list"),
    "LB_LINUX_PACKAGES": _yes("the kernel in a package list"),
    "LB_LOADLIN": _only("false", instead="no loader for DOS is put on the medium; includes.binary/ can bring one"),
    "LB_MEMTEST": _only("none", "false", instead="no memory test is put on the medium; includes.binary/ can bring one"),
    "LB_MIRROR_BINARY": _yes("live_url of the archive"),
    "LB_MIRROR_BINARY_SECURITY": _yes("live_url of the security archive"),
    "LB_MIRROR_BOOTSTRAP": _means_nothing("this machine's mirror is used, unless fetch_from of the archive says another"),
    "LB_MIRROR_CHROOT": _yes("fetch_from of the archive, as a comment: unset, this machine's mirror is used"),
    "LB_MIRROR_CHROOT_SECURITY": _yes("fetch_from of the security archive, as a comment"),
    "LB_MIRROR_DEBIAN_INSTALLER": _INSTALLER,
    "LB_MODE": _only("debian", instead="only archives of Debian are written into the tables, add the others"),
    "LB_NET_TARBALL": _means_nothing("is about images for the network, see LB_IMAGE_TYPE"),
    "LB_ONIE": _only("false", instead="no image for ONIE is made"),
    "LB_ONIE_KERNEL_CMDLINE": _means_nothing("see LB_ONIE"),
    "LB_PARENT_ARCHIVE_AREAS": _yes(f"components {_PARENT}"),
    "LB_PARENT_DEBIAN_INSTALLER_DISTRIBUTION": _INSTALLER,
    "LB_PARENT_DISTRIBUTION": _yes(f"suites {_PARENT}"),
    "LB_PARENT_DISTRIBUTION_BINARY": _only(instead="the image's sources name the suites that it was made from"),
    "LB_PARENT_DISTRIBUTION_CHROOT": _yes(f"suites {_PARENT}"),
    "LB_PARENT_MIRROR_BINARY": _yes("live_url of the archive"),
    "LB_PARENT_MIRROR_BINARY_SECURITY": _yes("live_url of the security archive"),
    "LB_PARENT_MIRROR_BOOTSTRAP": _means_nothing("this machine's mirror is used, unless fetch_from of the archive says another"),
    "LB_PARENT_MIRROR_CHROOT": _yes("fetch_from of the archive, as a comment: unset, this machine's mirror is used"),
    "LB_PARENT_MIRROR_CHROOT_SECURITY": _yes("fetch_from of the security archive, as a comment"),
    "LB_PARENT_MIRROR_DEBIAN_INSTALLER": _INSTALLER,
    "LB_SECURITY": _SUITES,
    "LB_SOURCE": _only("false", instead="no image of sources is made; the snapshots that the image names have them"),
    "LB_SOURCE_IMAGES": _means_nothing("see LB_SOURCE"),
    "LB_SWAP_FILE_PATH": _only(instead="make the file in a hook"),
    "LB_SWAP_FILE_SIZE": _means_nothing("see LB_SWAP_FILE_PATH"),
    "LB_SYSTEM": _only("live", instead="only live systems are made"),
    "LB_UEFI_SECURE_BOOT": _only("auto", "enable", instead="Debian's signed shim and GRUB are always there"),
    "LB_UNION_FILESYSTEM": _only("overlay", instead="write union=... into kernel_options of the image"),
    "LB_UPDATES": _SUITES,
    "LB_UTC_TIME": _means_nothing("all times follow from debian/changelog, in UTC"),
    "LB_VERSION": _means_nothing("says which live-build wrote the files"),
    "LB_WIN32_LOADER": _only("false", instead="no loader for Windows is put on the medium; includes.binary/ can bring one"),
    "LB_ZSYNC": _only("false", instead="no .zsync is made"),
    "LZIP_OPTIONS": _means_nothing("nothing is packed with it"),
    "LZMA_OPTIONS": _means_nothing("nothing is packed with it"),
    "MKSQUASHFS_OPTIONS": _only(instead="say how it is packed by compression of the image, and what is not by rootfs/excludes"),
    "XZ_OPTIONS": _means_nothing("nothing is packed with it"),
}  # fmt: skip


def notice_of(name: str, value: str) -> Notice:
    """Say what becomes of a variable with a value; of one that live-build does not know, that nothing reads it."""
    shown = f"{name}={value}"
    variable = VARIABLES.get(name)
    if variable is None:
        return Notice(
            shown, Verdict.NOT_HONOURED, "live-build 20230502 has no such variable; export it in the hook that reads it"
        )
    if variable.instead and " ".join(value.split()) in variable.same:
        return Notice(shown, Verdict.NOT_NEEDED, variable.how)
    return Notice(shown, variable.verdict, variable.instead or variable.how)
