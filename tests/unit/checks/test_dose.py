"""dose's reports, in words."""

import pytest

from distwright.checks.dose import Broken, parse_dose
from distwright.errors import BadInput

# As dose-debcheck 7.0.0 prints it.
REAL = b"""\
output-version: 1.2
native-architecture: amd64
report:
 -
  package: both
  version: 1
  architecture: all
  status: broken
  reasons:
   -
    conflict:
     pkg1:
      package: cc
      version: 1
      architecture: amd64
      unsat-conflict: libtally2:amd64
     pkg2:
      package: libtally2
      version: 2
      architecture: amd64
     depchain1:
      -
       depchain:
        -
         package: both
         version: 1
         architecture: all
         depends: needs-c:amd64
        -
         package: needs-c
         version: 1
         architecture: amd64
         depends: cc:amd64
     depchain2:
      -
       depchain:
        -
         package: both
         version: 1
         architecture: all
         depends: libtally2:amd64
 -
  package: top
  version: 1:2.0-1
  architecture: all
  status: broken
  reasons:
   -
    missing:
     pkg:
      package: widget
      version: 1
      architecture: amd64
      unsat-dependency: libtally1:amd64 (>= 1) | other:amd64
     depchains:
      -
       depchain:
        -
         package: top
         version: 1
         architecture: all
         depends: widget:amd64
 -
  package: widget
  version: 1
  architecture: amd64
  status: broken
  reasons:
   -
    missing:
     pkg:
      package: widget
      version: 1
      architecture: amd64
      unsat-dependency: libtally1:amd64 (>= 1)
 \n\
total-packages: 7
broken-packages: 3
"""


def test_reasons_are_said_in_words() -> None:
    assert parse_dose(REAL) == (
        Broken("both", "1", "all", "cc and libtally2 are both needed and exclude each other (through needs-c)"),
        Broken("top", "1:2.0-1", "all", "widget needs libtally1 (>= 1) | other, which is not there"),
        Broken("widget", "1", "amd64", "it needs libtally1 (>= 1), which is not there"),
    )


def test_nothing_broken_is_nothing() -> None:
    assert (
        parse_dose(b"output-version: 1.2\nnative-architecture: amd64\n \ntotal-packages: 3\nbroken-packages: 0\n") == ()
    )
    assert parse_dose(b"output-version: none\n") == ()


def test_only_the_first_reason_counts() -> None:
    two = REAL.replace(
        b"      unsat-dependency: libtally1:amd64 (>= 1)\n \n",
        b"      unsat-dependency: libtally1:amd64 (>= 1)\n   -\n    missing:\n     pkg:\n      package: widget\n"
        b"      unsat-dependency: other:amd64\n \n",
    )
    assert parse_dose(two) == parse_dose(REAL)


@pytest.mark.parametrize("content", [b"", b"Fatal error: exception Not_found", b"\xff" * 50])
def test_what_is_no_report_is_refused(content: bytes) -> None:
    with pytest.raises(BadInput, match="dose wrote"):
        parse_dose(content)


def test_cut_anywhere_it_is_read_as_far_as_it_goes() -> None:
    whole = {one.name for one in parse_dose(REAL)}
    for end in range(len("output-version:"), len(REAL)):
        assert {one.name for one in parse_dose(REAL[:end])} <= whole | {
            "",
            "bot",
            "bo",
            "b",
            "to",
            "t",
            "widge",
            "widg",
            "wid",
            "wi",
            "w",
        }
