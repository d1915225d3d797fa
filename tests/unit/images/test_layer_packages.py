"""A layer brings what changed in our suites, unless apt might take something else in a full build: then the reasons are said."""

import re
from collections.abc import Mapping

import pytest

from distwright.images.layer_packages import (
    InBase,
    NotLayered,
    Own,
    OwnPackage,
    layer_packages,
    newest_of,
    other_scripts,
    refuse_other_choices,
)
from distwright.model.digests import Sha256, sha256_of
from distwright.model.versions import DebVersion


def own(name: str, version: str = "1.0", content: str = "", **fields: str) -> OwnPackage:
    more = "".join(f"{field.replace('_', '-')}: {value}\n" for field, value in fields.items())
    digest = sha256_of(f"{name} {version} {content}".encode())
    return OwnPackage.of("petrel/devel", (f"Package: {name}\nVersion: {version}\n{more}SHA256: {digest}\n".encode()))


def suite(*packages: OwnPackage) -> Own:
    return newest_of(packages)


def installed(*packages: OwnPackage, of_debian: str = "") -> dict[str, InBase]:
    found = {one.name: InBase(one.version, one.sha256, is_ours=True) for one in packages}
    return found | {name: InBase(DebVersion("2.0"), Sha256("0" * 64), is_ours=False) for name in of_debian.split()}


TERN = own("tern", Depends="libc6 (>= 2.36), gull | auk", Priority="optional")
BASE = installed(TERN, of_debian="libc6 gull")


def chosen(
    after: Own,
    *,
    base: Mapping[str, InBase] = BASE,
    before: Own | None = None,
    asked: str = "tern",
    recommends: bool = False,
) -> list[tuple[str, str, bool]]:
    found = layer_packages(base, suite(TERN) if before is None else before, after, asked.split(), recommends=recommends)
    return [(one.package.name, str(one.package.version), one.is_new) for one in found]


def later(version: str = "1.1", content: str = "", **fields: str) -> OwnPackage:
    return own("tern", version, content, **{"Depends": "libc6, gull | auk", "Priority": "optional", **fields})


def test_a_later_version_of_ours_is_a_layer_whatever_else_our_suites_have() -> None:
    assert chosen(suite(later(), own("not-installed", "5"))) == [("tern", "1.1", False)]


def test_the_same_version_with_other_content_counts() -> None:
    assert chosen(suite(later("1.0", "built again"))) == [("tern", "1.0", False)]


def test_what_a_new_version_needs_comes_along_if_our_suites_have_it() -> None:
    after = suite(
        later(Depends="libc6, gull | auk, libtern2 (>= 1)"),
        own("libtern2", Depends="libtern-common, gull"),
        own("libtern-common"),
    )
    assert chosen(after) == [("libtern-common", "1.0", True), ("libtern2", "1.0", True), ("tern", "1.1", False)]


def test_what_is_recommended_comes_along_where_the_recipe_says_so() -> None:
    after = suite(later(Recommends="tern-doc"), own("tern-doc"))
    assert chosen(after, recommends=True) == [("tern", "1.1", False), ("tern-doc", "1.0", True)]
    assert chosen(after) == [("tern", "1.1", False)]


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (suite(TERN), "none of its packages that are ours has changed"),
        (suite(), "tern is in our suites no more"),
        (suite(own("tern", "0.9")), "tern went back from 1.0 to 0.9"),
        (suite(later(Essential="yes")), "tern is essential"),
        (suite(later(Protected="yes")), "tern is protected"),
        (suite(later(Priority="important")), "tern has another priority"),
        (suite(later(Depends="libc6")), "tern no longer asks for gull | auk"),
        (suite(later(Depends="libc6, auk | gull")), "tern asks for auk | gull, of which the first is not there"),
        (suite(later(Depends="libc6, gull | auk, kite")), "tern asks for kite, of which the first is not there"),
        (suite(TERN, own("gull", "2.1")), "gull was not ours before"),
        (suite(later(), own("gull", "2.0")), "gull 2.0 is in our suites as well, with other content"),
        (suite(later(Essential="yes", Priority="extra")), "tern is essential; tern has another priority"),
    ],
)  # fmt: skip
def test_where_apt_may_take_something_else_the_reasons_are_said(after: Own, said: str) -> None:
    with pytest.raises(NotLayered, match=f"^{re.escape(said)}$"):
        chosen(after)


def test_a_need_that_is_dropped_does_no_harm_where_the_recipe_asks_for_it_or_it_is_not_there() -> None:
    assert chosen(suite(later(Depends="libc6")), asked="tern gull") == [("tern", "1.1", False)]


def test_a_version_that_the_recipe_names_speaks_against_another() -> None:
    with pytest.raises(NotLayered, match=r"^the recipe asks for tern=1\.0$"):
        chosen(suite(later()), asked="gull tern=1.0")
    assert chosen(suite(later()), asked="gull=2.0 tern") == [("tern", "1.1", False)]


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        ("libc6 (>= 2.36)", "libc6 (>= 2.37), libc6 (<< 3)", ""),
        ("gull | auk", "gull", ""),
        ("gull", "gull | kite", ""),
        ("sea-bird", "sea-bird (>= 2)", "tern asks for sea-bird (>= 2), of which the first is not there"),
        ("sea-bird", "libc6", "tern no longer asks for sea-bird"),
        ("sea-bird | kite", "sea-bird | kite, gull", ""),
        ("libc6, gull", "gull", "tern no longer asks for libc6"),
        ("tern-data", "libc6", "tern no longer asks for tern-data"),
    ],
)
def test_needs_are_those_that_they_were_or_their_first_alternative_is_there(was: str, now: str, said: str) -> None:
    before, after = suite(own("tern", Depends=was)), suite(own("tern", "1.1", Depends=now))
    if said:
        with pytest.raises(NotLayered, match=f"^{re.escape(said)}$"):
            chosen(after, before=before)
    else:
        assert chosen(after, before=before) == [("tern", "1.1", False)]


def test_what_is_provided_no_longer_is_said() -> None:
    before = suite(own("tern", Depends="libc6, gull | auk", Priority="optional", Provides="bird, sea-bird"))
    with pytest.raises(NotLayered, match=r"^tern no longer provides sea-bird$"):
        chosen(suite(later(Provides="bird")), before=before)


def test_of_several_suites_the_highest_version_counts_and_of_one_version_the_first() -> None:
    first, second = own("tern", "1.0", "a"), own("tern", "1.0", "b")
    assert newest_of([first, second, own("tern", "1.0~rc1")]) == {"tern": first}
    assert newest_of([own("tern", "1.9"), own("tern", "1.10")])["tern"].version == "1.10"


STATUS = """Package: tern
Status: install ok installed
Version: 1.1
Depends: libc6 (>= 2.36), auk (<< 3) | bird, libtern (= 1.1)

Package: libc6
Status: install ok installed
Version: 2.36-9

Package: gull
Status: install ok installed
Version: 2.0
Provides: bird, libtern (= 1.1)
Recommends: plover

Package: gone
Status: deinstall ok config-files
Version: 1
Depends: nothing-has-this
"""


def judged(after: Own, *, before: Own | None = None, status: str = STATUS, recommends: bool = False) -> str:
    try:
        refuse_other_choices(status.encode(), before or {}, after, recommends=recommends)
    except NotLayered as reasons:
        return reasons.message
    return ""


def test_what_is_installed_and_met_is_what_apt_would_have_taken() -> None:
    assert judged(suite(later(), own("tern-doc"))) == ""


@pytest.mark.parametrize(
    ("replaced", "said"),
    [
        ("libc6 (>= 2.37)", "tern needs libc6 (>= 2.37)"),
        ("libc6 (<< 2.36)", "tern needs libc6 (<< 2.36)"),
        ("libc6 (= 2.36-9)", ""), ("libc6 (>> 2.36-8)", ""), ("libc6 (<= 2.36-9)", ""),
        ("bird (>= 1)", "tern needs bird (>= 1)"),
        ("kite | skua (= 1)", "tern needs kite | skua (= 1)"),
    ],
)  # fmt: skip
def test_a_need_that_nothing_meets_is_said(replaced: str, said: str) -> None:
    assert judged({}, status=STATUS.replace("libc6 (>= 2.36)", replaced)) == said


@pytest.mark.parametrize(
    ("package", "said"),
    [
        (own("auk"), "auk may be what is asked for as auk"),
        (own("kite", Provides="auk (= 2), raptor"), "kite may be what is asked for as auk"),
        (own("kite", Priority="important"), "kite is of priority important"),
        (own("kite", Essential="yes"), "kite is of priority required"),
        (own("plover"), ""),
        (own("kite", Provides="raptor"), ""),
    ],
)  # fmt: skip
def test_a_package_of_ours_that_apt_may_have_taken_is_said_unless_it_was_there_before(
    package: OwnPackage, said: str
) -> None:
    assert judged(suite(package)) == said
    assert judged(suite(package), before=suite(package)) == ""


def test_what_is_recommended_counts_where_the_recipe_says_so() -> None:
    assert judged(suite(own("plover")), recommends=True) == "plover may be what is asked for as plover"


def test_maintainer_scripts_must_be_the_same_and_ask_nothing_that_the_recipe_answers() -> None:
    was = {"control": b"1", "postinst": b"a", "md5sums": b"x"}
    assert list(other_scripts("tern", was, {**was, "control": b"2", "md5sums": b"y"}, has_preseed=True)) == []
    assert list(other_scripts("tern", was, {"postinst": b"b", "prerm": b""}, has_preseed=False)) == [
        "tern has another postinst", "tern has another prerm",
    ]  # fmt: skip
    asking = {**was, "config": b"c", "templates": b"t"}
    assert list(other_scripts("tern", asking, asking, has_preseed=False)) == []
    assert list(other_scripts("tern", asking, asking, has_preseed=True)) == [
        "tern asks what the recipe answers in preseed/"
    ]
