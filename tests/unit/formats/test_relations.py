"""Relations between packages: what dpkg reads is read, everything else refused."""

import pytest

from distwright.errors import BadInput
from distwright.formats.relations import Relation, parse_relations


def test_groups_alternatives_and_restrictions_are_read() -> None:
    assert parse_relations("libc6 (>= 2.36), python3:any (<< 3.13),\n mail-transport-agent | postfix,") == (
        (Relation("libc6", "", ">=", "2.36"),),
        (Relation("python3", "any", "<<", "3.13"),),
        (Relation("mail-transport-agent", "", "", ""), Relation("postfix", "", "", "")),
    )
    assert parse_relations("gcc (>>1) [amd64 !i386] <!nocheck> <cross stage1>", for_build=True) == (
        (Relation("gcc", "", ">>", "1", ("amd64", "!i386"), (("!nocheck",), ("cross", "stage1"))),),
    )


@pytest.mark.parametrize(
    "text",
    [
        "", " , ", "a b", "libc6 (2.36)", "libc6 (> = 2)", "libc6 (=> 2)", "libc6 (>= )", "libc6 (>= 1 2)", "libc6 >= 2", "LIBC6",
        "${misc:Depends}", "libc6 (>= ${v})", "libc6 ||libm", "libc6 [amd64]", "libc6 <x>", "libc6 (>= 1", "libc6 (>= 1_0)", "a|",
    ],
)  # fmt: skip
def test_what_dpkg_would_not_read_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        parse_relations(text)


@pytest.mark.parametrize("text", ["gcc []", "gcc [a b", "gcc <>", "gcc [AMD64]", "gcc <a> b"])
def test_restrictions_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(BadInput):
        parse_relations(text, for_build=True)


def test_a_field_without_choice_has_none() -> None:
    with pytest.raises(BadInput, match="gives a choice"):
        parse_relations("aa | bb", has_choice=False)
    assert parse_relations("aa (= 1), bb", has_choice=False)


@pytest.mark.parametrize(
    "text", ["a" * 900_000, "a (" * 300_000, "a [" * 300_000, "aa <" * 200_000, "(" * 900_000, "aa " * 300_000]
)
def test_hostile_texts_take_linear_time(text: str) -> None:
    with pytest.raises(BadInput):
        parse_relations(text, for_build=True)
