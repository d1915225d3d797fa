"""Licences of copyright files, and their SPDX expressions."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spdx_tools.common.spdx_licensing import spdx_licensing

from distwright.formats.licences import LINE_LIMIT, licence_names, references, spdx_expression

FORMAT = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n"


@pytest.mark.parametrize(
    ("name", "expression"),
    [
        ("GPL-2+", "GPL-2.0-or-later"),
        ("GPL-2", "GPL-2.0-only"),
        ("LGPL-2.1+", "LGPL-2.1-or-later"),
        ("GPL-3.0+", "GPL-3.0-or-later"),
        ("GPL-2+ and Expat", "GPL-2.0-or-later AND MIT"),
        ("GPL-1+ or Artistic", "GPL-1.0-or-later OR Artistic-1.0-Perl"),
        ("GFDL-NIV-1.3+", "GFDL-1.3-no-invariants-or-later"),
        ("GFDL-1.3+-NIV", "GFDL-1.3-no-invariants-or-later"),
        ("(GPL-2 or MIT) and ISC", "(GPL-2.0-only OR MIT) AND ISC"),
        ("BSD-3-clause or GPL-2, and Expat", "(BSD-3-Clause OR GPL-2.0-only) AND (MIT)"),
        ("GPL-2+ with OpenSSL exception", "LicenseRef-GPL-2plus-with-OpenSSL-exception"),
        ("public-domain", "LicenseRef-public-domain"),
        ("GPL-9", "LicenseRef-GPL-9"),
        ("GPL-2.0.1", "LicenseRef-GPL-2.0.1"),
        ("GPL", "LicenseRef-GPL"),
        ("GPL-2 MIT and", "LicenseRef-GPL-2-MIT-and"),
        ("(GPL-2", "LicenseRef-GPL-2"),
        ("", "LicenseRef-unnamed"),
    ],
)
def test_short_names_are_written_as_spdx_does(name: str, expression: str) -> None:
    assert spdx_expression(name) == expression


@given(st.text(st.sampled_from("GPL-2+ andor(),MITx.~é"), max_size=40))
def test_whatever_is_written_gives_an_expression_that_others_read(name: str) -> None:
    expression = spdx_expression(name)
    parsed = spdx_licensing.parse(expression)
    # The library has other names for some references of its own: LicenseRef-GPL is GPL-1.0-or-later to it.
    known = {spdx_licensing.parse(reference).key for reference in references(expression)}
    assert known == {key for key in parsed.objects if key in known or key.startswith("LicenseRef-")}


def test_names_of_a_copyright_file_are_listed_once() -> None:
    text = (
        f"{FORMAT}License: GPL-3+\nComment: of all\n\nFiles: *\nCopyright: us\nLicense: GPL-2+ and\n  Expat\n\n"
        "Files: b c\nCopyright: us\nLicense: Expat\n Do what you like.\n\nFiles: d\nLicense: Expat\n\nLicense: Unused\n Text.\n"
    )
    assert licence_names(text.encode()) == ("Expat", "GPL-2+ and", "GPL-3+")


@pytest.mark.parametrize(
    "text", ["", "This package was debianized by Ada.\n", "Format: other\n\nFiles: *\n", f"{FORMAT}A: 1\nA: 2\n", "\0"]
)
def test_other_files_say_nothing(text: str) -> None:
    assert licence_names(text.encode()) is None


def test_files_of_this_machine_are_read() -> None:
    """Debian's own, as they are: each is machine-readable or not, and all expressions are such."""
    files = sorted(Path("/usr/share/doc").glob("*/copyright"))
    found = [licence_names(file.read_bytes()) for file in files if file.is_file()]
    readable = [names for names in found if names is not None]
    assert len(readable) > len(found) / 3 > 10
    for name in {name for names in readable for name in names}:
        spdx_licensing.parse(spdx_expression(name))


def test_a_name_that_is_a_text_makes_the_file_none_that_machines_read() -> None:
    """Joining a million parts would take hours; an image may hold whatever a hook has put there."""
    head = b"Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\nLicense: "
    assert licence_names(head + b"a" * LINE_LIMIT + b"\n") == ("a" * LINE_LIMIT,)
    assert licence_names(head + b"a, " * LINE_LIMIT + b"\n") is None
