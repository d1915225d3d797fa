"""One Release signed twice by one key: a signature that lasts, and one that ended seven days later.

Made once by gpg --faked-system-time with --default-sig-expire 7d; the signer of the worlds cannot make signatures that end.
"""

KEY = b"""\
-----BEGIN PGP PUBLIC KEY BLOCK-----

mDMEZZIAgBYJKwYBBAHaRw8BAQdA10uoqtkye4r2EPciyxGqF1MPrHKA+D1G5+No
9f+DjB60HUxhc3RpbmcgPGxhc3RpbmdAZXhhbXBsZS5vcmc+iJAEExYIADgWIQSA
DYO016Yr/zcEKRooOju9Kr4j5gUCZZIAgAIbAwULCQgHAgYVCgkICwIEFgIDAQIe
AQIXgAAKCRAoOju9Kr4j5h99APwOkAKZwPGlWzM4CUTxTXnmoGbf4iIK0geSnGq5
K70y+QD/X+feq3Z4CxKNwScOvqCrmq6CxAMewtreQtRXa0zUsQ8=
=DR3H
-----END PGP PUBLIC KEY BLOCK-----
"""

_RELEASE = b"""\
-----BEGIN PGP SIGNED MESSAGE-----
Hash: SHA256

Origin: Debian
Label: Debian
Suite: stable
Codename: stable
Date: Thu, 11 Jan 2024 12:00:00 UTC
Acquire-By-Hash: yes
Architectures: all amd64
Components: main
Description: a small world
SHA256:
 b86118f4b4ca47df993e6e7cae45994cb4263db09625ed754d7f82cae4c79206 749 main/binary-amd64/Packages
 327dc79155ef1b98555a9829aaeab2ea79d29ca54aa9306642dd410512b1ba33 405 main/binary-amd64/Packages.gz
 ab173b32f542f05dca319503d524bdec797feed18466b25f039da5c4bc01bdc0 492 main/binary-amd64/Packages.xz
 cb8fb5f473aa786cdbff43ae7df6c7b06d58c555ef620824cc181b1e86620df0 370 main/binary-all/Packages
 2a1646b3c626733f0646406a68a7a67848dbc35e9697126a0b0dd0e54da5bae6 294 main/binary-all/Packages.gz
 8c7f9b384ae25d110b50b9810e1a948f2bd5b9a639e738abb366c75937c545ae 380 main/binary-all/Packages.xz
 743cb693877a9e53bd41281c6f77aa8d892768ba361b5fc942e407f18329a4ff 470 main/source/Sources
 6d83012a35b8d85ca22c0bcd3382f97d6df07d525ecf0d5aea366e3c72834dad 339 main/source/Sources.gz
 0064c40ae8fd17569452cd83009e8fb24b03731b1600739112cf091cb035a587 424 main/source/Sources.xz
 dcd9c27fae4b29f298f1cf1f1214e32a15028673bb2c2dd14cea9f389abfeeca 207 main/i18n/Translation-en
 4a6b361cd74ebf453d1d5726cd3f2d18b75b83010a0334a67df05de70f6fd1d8 122 main/i18n/Translation-en.gz
 ee9069074ef50216217338e9e2bce1fedfe29d14727693e091703673452086e2 168 main/i18n/Translation-en.xz
"""

LASTING = (
    _RELEASE
    + b"""\
-----BEGIN PGP SIGNATURE-----

iIoEARYIADIWIQSADYO016Yr/zcEKRooOju9Kr4j5gUCZZ/YQBQcbGFzdGluZ0Bl
eGFtcGxlLm9yZwAKCRAoOju9Kr4j5kwHAQCjUYrTgAxE1y6LsOT5pQSd6LFvmd+j
Zw1yLoVVeB/K5gEAtB+WOVqmgqkG5I2uCKf9M47lkwV0BVVR5SFYtrWsGwg=
=T+BS
-----END PGP SIGNATURE-----
"""
)

ENDED = (
    _RELEASE
    + b"""\
-----BEGIN PGP SIGNATURE-----

iJAEARYIADgWIQSADYO016Yr/zcEKRooOju9Kr4j5gUCZZ/YQAWDAAk6gBQcbGFz
dGluZ0BleGFtcGxlLm9yZwAKCRAoOju9Kr4j5kTqAQDDd5WupeBUFfEcahWyLJzK
rwNTTVdxXJJr5Et6nFqG1wD9HuUfWZPraHJHtYdlJtYVHyx5pjOQ93luy0kCfOqG
rwo=
=ynOd
-----END PGP SIGNATURE-----
"""
)
