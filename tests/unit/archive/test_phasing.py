"""Phasing writes a share into what was built from a source, takes it out again, and never stands in the way of a merge."""

import pytest
from tests.worlds.archive import make_deb, make_source

from distwright.archive.merging import plan_merge, plan_pull
from distwright.archive.phasing import phased, plan_phase
from distwright.archive.tree import TreeEntry, TreeRoot, build_tree
from distwright.model.digests import Sha256, sha256_of
from distwright.model.versions import DebVersion

KEPT: dict[Sha256, bytes] = {}
FIELD = "Phased-Update-Percentage: "
DEB, DATA = make_deb("hello", "2.0"), make_deb("hello-data", "2.0", architecture="all", source="hello (1.9)")
OTHER = make_deb("other", "1.0")


def put(content: bytes) -> Sha256:
    KEPT[sha256_of(content)] = content
    return sha256_of(content)


def tree(*percents: int | None) -> TreeRoot:
    """A suite of two sources, and an installer's package; percents: of hello and its data."""
    udeb = make_deb("hello-udeb", "2.0", source="hello")
    stanzas = [
        ("main/binary-amd64", "hello", "2.0", DEB.stanza().encode()),
        ("main/binary-all", "hello-data", "2.0", DATA.stanza().encode()),
        ("main/binary-amd64", "other", "1.0", OTHER.stanza().encode()),
        ("main/source", "hello", "2.0", make_source("hello", "2.0").stanza().encode()),
        ("main/debian-installer/binary-amd64", "hello-udeb", "2.0", udeb.stanza().encode()),
    ]  # fmt: skip
    shares = dict(zip(("hello", "hello-data"), percents, strict=False))
    entries = []
    for list_name, name, version, stanza in stanzas:
        share = None if list_name == "main/source" else shares.get(name)
        entries.append(
            TreeEntry(list_name, name, DebVersion(version), stanza if share is None else phased(stanza, share))
        )
    return build_tree(entries, put)


def test_share_stands_before_the_file_and_goes_without_a_trace() -> None:
    stanza = DEB.stanza().encode()
    once = phased(stanza, 20)
    assert once == stanza.replace(b"\nFilename: ", b"\nPhased-Update-Percentage: 20\nFilename: ")
    assert (phased(once, 0), phased(once, 100)) == (once.replace(b": 20\n", b": 0\n"), stanza)


def test_everything_that_is_installed_of_a_source_is_phased_and_nothing_else() -> None:
    plan = plan_phase(tree(), ["hello"], 20, KEPT.__getitem__)
    assert {(change.list_name, change.name) for change in plan.changes} == {
        ("main/binary-amd64", "hello"), ("main/binary-all", "hello-data"),
    }  # fmt: skip
    assert all(f"\n{FIELD}20\n".encode() in text for names in plan.edits.values() for (text,) in names.values())
    assert plan_phase(tree(20, 20), ["hello"], 20, KEPT.__getitem__).changes == ()
    assert len(plan_phase(tree(20, 20), ["hello"], 100, KEPT.__getitem__).changes) == 2


@pytest.mark.parametrize("name", ["nothing", "hello-data"])
def test_source_that_is_not_there_is_refused(name: str) -> None:
    plan = plan_phase(tree(), [name], 20, KEPT.__getitem__)
    assert plan.refused == (f"{name}: nothing here is built from such a source",)


@pytest.mark.parametrize(("here", "there"), [((20, 20), ()), ((), (0, 0)), ((20, 20), (80, 80))])
def test_same_version_with_another_share_is_no_conflict_and_each_suite_keeps_its_own(
    here: tuple[int, ...], there: tuple[int, ...]
) -> None:
    plan = plan_merge(tree(*here), tree(*there), KEPT.__getitem__)
    assert (plan.edits, plan.refused, len(plan.kept)) == ({}, (), 2)
    assert "hello (main/binary-amd64): 2.0 is offered to another share of the machines there" in plan.kept


def test_share_comes_along_with_a_source_that_is_pulled() -> None:
    plan = plan_pull(TreeRoot({}), tree(20, 20), ["hello"], KEPT.__getitem__)
    assert f"\n{FIELD}20\n".encode() in plan.edits["main/binary-amd64"]["hello"][0]
