"""Small real-looking files of a Debian archive, made in memory."""

import hashlib
import io
import lzma
import tarfile

CONTROL = b"""\
Package: petrel-greeter
Source: petrel (1.2-3)
Version: 1:1.2-3+b1
Architecture: amd64
Maintainer: Ada Lovelace <ada@example.org>
Installed-Size: 42
Depends: libc6 (>= 2.34), petrel-data (= 1:1.2-3)
Section: utils
Priority: optional
Multi-Arch: foreign
Homepage: https://example.org/petrel
Description: greets whoever starts the live system
 The greeter asks for language and keyboard, and then
 .
  * shows where help is
"""

DSC = b"""\
Format: 3.0 (quilt)
Source: petrel
Binary: petrel-greeter, petrel-data
Architecture: any all
Version: 1:1.2-3
Maintainer: Ada Lovelace <ada@example.org>
Standards-Version: 4.6.2
Build-Depends: debhelper-compat (= 13)
Package-List:
 petrel-data deb utils optional arch=all
 petrel-greeter deb utils optional arch=any
Checksums-Sha1:
 1111111111111111111111111111111111111111 1000 petrel_1.2.orig.tar.xz
 2222222222222222222222222222222222222222 200 petrel_1.2-3.debian.tar.xz
Checksums-Sha256:
 3333333333333333333333333333333333333333333333333333333333333333 1000 petrel_1.2.orig.tar.xz
 4444444444444444444444444444444444444444444444444444444444444444 200 petrel_1.2-3.debian.tar.xz
Files:
 55555555555555555555555555555555 1000 petrel_1.2.orig.tar.xz
 66666666666666666666666666666666 200 petrel_1.2-3.debian.tar.xz
"""

CHANGES = b"""\
Format: 1.8
Date: Mon, 23 Nov 2026 10:00:00 +0100
Source: petrel
Binary: petrel-data petrel-greeter
Architecture: source amd64
Version: 1:1.2-3
Distribution: devel
Urgency: Medium
Maintainer: Ada Lovelace <ada@example.org>
Changed-By: Charles Babbage <charles@example.org>
Description:
 petrel-greeter - greets whoever starts the live system
Closes: 17 4711
Changes:
 petrel (1:1.2-3) devel; urgency=medium
 .
   * Greet in French. (Closes: #17, #4711)
Checksums-Sha1:
 1111111111111111111111111111111111111111 1234 petrel_1.2-3.dsc
 2222222222222222222222222222222222222222 5678 petrel-greeter_1.2-3_amd64.deb
Checksums-Sha256:
 3333333333333333333333333333333333333333333333333333333333333333 1234 petrel_1.2-3.dsc
 4444444444444444444444444444444444444444444444444444444444444444 5678 petrel-greeter_1.2-3_amd64.deb
Files:
 55555555555555555555555555555555 1234 utils optional petrel_1.2-3.dsc
 66666666666666666666666666666666 5678 utils optional petrel-greeter_1.2-3_amd64.deb
"""

BUILDINFO = b"""\
Format: 1.0
Source: petrel (1:1.2-3)
Binary: petrel-greeter
Architecture: amd64
Version: 1:1.2-3+b1
Checksums-Md5:
 66666666666666666666666666666666 5678 petrel-greeter_1.2-3+b1_amd64.deb
Checksums-Sha256:
 4444444444444444444444444444444444444444444444444444444444444444 5678 petrel-greeter_1.2-3+b1_amd64.deb
Build-Origin: Debian
Build-Architecture: amd64
Build-Date: Mon, 23 Nov 2026 10:00:00 +0000
Build-Path: /build/petrel-1.2
Installed-Build-Depends:
 base-files (= 12.4+deb12u5),
 libc6-dev:amd64 (= 2.36-9)
Environment:
 DEB_BUILD_OPTIONS="parallel=2"
 LANG="C.UTF-8"
 ODD="a \\"quoted\\" \\\\ thing = here"
"""

RELEASE = b"""\
Origin: Debian
Label: Debian
Suite: oldstable
Version: 12.15
Codename: bookworm
Changelogs: https://metadata.example.org/changelogs/@CHANGEPATH@_changelog
Date: Sat, 11 Jul 2026 10:16:37 UTC
Valid-Until: Sat, 18 Jul 2026 10:16:37 UTC
Acquire-By-Hash: yes
No-Support-for-Architecture-all: Packages
Architectures: all amd64 arm64
Components: main updates/contrib
Description: Debian 12.15 Released 11 July 2026
MD5Sum:
 0ed6d4c8891eb86358b94bb35d9e4da4  1484322 main/Contents-all
 d0a0325a97c42fd5f66a8c3e29bcea64    98581 main/Contents-all.gz
SHA256:
 7777777777777777777777777777777777777777777777777777777777777777  1484322 main/Contents-all
 8888888888888888888888888888888888888888888888888888888888888888    98581 main/Contents-all.gz
"""

PACKAGES = b"""\
Package: 0ad
Version: 0.0.26-3
Installed-Size: 28591
Maintainer: Debian Games Team <games@example.org>
Architecture: amd64
Depends: 0ad-data (>= 0.0.26), libc6 (>= 2.34)
Description: Real-time strategy game of ancient warfare
Homepage: https://play0ad.example.org/
Description-md5: d943033bedada21853d2ae54a2578a7b
Tag: game::strategy, interface::graphical,
 uitoolkit::sdl
Section: games
Priority: optional
Filename: pool/main/0/0ad/0ad_0.0.26-3_amd64.deb
Size: 7891488
MD5sum: 4d471183a39a3a11d00cd35bf9f6803d
SHA256: 3a2118df47bf3f04285649f0455c2fc6fe2dc7f0b237073038aa00af41f0d5f2

Package: 0ad-data-common
Source: 0ad-data (0.0.26-1)
Version: 0.0.26-1+b2
Maintainer: Debian Games Team <games@example.org>
Architecture: all
Description: Real-time strategy game of ancient warfare (common data files)
Filename: pool/main/0/0ad-data/0ad-data-common_0.0.26-1_all.deb
Size: 779908
SHA256: 0a40074c844a304688e503dd0c3f8b04e10e40f6f81b8bad260e07c54aa37864
"""

CHANGELOG = """\
petrel (1:1.2-3) devel; urgency=medium

  * Greet in French. (Closes: #17)

  [ Charles Babbage ]
  * Count.

 -- Ada Lovelace <ada@example.org>  Mon, 23 Nov 2026 10:00:00 +0100

petrel (1:1.2-2+b1) devel stable; urgency=LOW, binary-only=yes

  * Binary-only non-maintainer upload for amd64; no source changes.

 --  <>  Tue, 01 Sep 2026 00:00:00 +0000

Local variables:
mode: debian-changelog
"""


def ar_member(name: bytes, content: bytes) -> bytes:
    """Write one member of an ar archive as dpkg-deb does."""
    header = b"%-16s%-12d%-6d%-6d%-8s%-10d`\n" % (name, 1700000000, 0, 0, b"100644", len(content))
    return header + content + b"\n" * (len(content) % 2)


def ar_archive(*members: tuple[bytes, bytes]) -> bytes:
    """Write an ar archive."""
    return b"!<arch>\n" + b"".join(ar_member(name, content) for name, content in members)


def tar_archive(
    *members: tuple[str, bytes] | tarfile.TarInfo,
    format: int = tarfile.GNU_FORMAT,  # noqa: A002
) -> bytes:
    """Write a tar archive with the standard library, the oracle of our reader."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=format) as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member, io.BytesIO(bytes(member.size)))
            else:
                entry = tarfile.TarInfo(member[0])
                entry.size = len(member[1])
                archive.addfile(entry, io.BytesIO(member[1]))
    return target.getvalue()


def folder(name: str) -> tarfile.TarInfo:
    """Describe a folder."""
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = tarfile.DIRTYPE, 0o755
    return entry


def deb(control_tar: bytes, *, ending: bytes = b".xz", data: bytes = b"data") -> bytes:
    """Write a .deb around a control.tar that is not packed yet when `ending` is .xz."""
    packed = lzma.compress(control_tar) if ending == b".xz" else control_tar
    return ar_archive((b"debian-binary", b"2.0\n"), (b"control.tar" + ending, packed), (b"data.tar.xz", data))


def small_deb(control: bytes = CONTROL) -> bytes:
    """Write a .deb with a control file, a script, md5sums and conffiles."""
    files = (
        ("./control", control),
        ("./md5sums", b"d41d8cd98f00b204e9800998ecf8427e  usr/bin/petrel\n"),
        ("./conffiles", b"/etc/petrel.conf\n"),
        ("./postinst", b"#!/bin/sh\nexit 0\n"),
    )
    return deb(tar_archive(folder("./"), *files))


def clearsigned(text: bytes) -> bytes:
    """Put text into the armour of a signature that signs nothing."""
    escaped = b"".join(b"- " + line if line.startswith(b"-") else line for line in text.splitlines(keepends=True))
    return (
        b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n"
        + escaped
        + b"-----BEGIN PGP SIGNATURE-----\n\niQIzBAEBCgAdFiEE\n=AfjX\n-----END PGP SIGNATURE-----\n"
    )


def md5_hex(content: bytes) -> str:
    """Hash with MD5."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
