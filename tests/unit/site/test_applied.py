"""The applied configuration: everything it names exists afterwards, once; what is wrong changes nothing."""

from pathlib import Path

import pytest
from tests.worlds.archive import DAY
from tests.worlds.installation import CONFIG, WorldContext, config, make_context
from tests.worlds.repos import commit

from distwright.archive.tree import EMPTY_ROOT
from distwright.config.difference import Change
from distwright.errors import BadConfig, NotFound, Refused
from distwright.model.digests import Json, canonical_json, sha256_of
from distwright.model.events import EventKind
from distwright.site.applied import applied_keyring, apply_config, files_of_commit, load_applied, open_repo
from distwright.store.embargoes import list_private_names
from distwright.store.holds import holds_of
from distwright.store.refs import AppliedConfig, applied_config, keep_applied_config
from distwright.store.suites import list_suites

FIRST, SECOND = "1" * 40, "2" * 40


@pytest.fixture
def context(tmp_path: Path) -> WorldContext:
    return make_context(tmp_path)


def apply(
    context: WorldContext, text: str = CONFIG, commit_name: str = FIRST, keyrings: dict[str, bytes] | None = None
) -> list[Change]:
    files = {"distwright.toml": text}
    return apply_config(
        files,
        keyrings or {},
        commit_name,
        database=context.database,
        objects=context.objects,
        paths=context.paths,
        now=context.clock,
    )


def suites(context: WorldContext) -> list[str]:
    with context.database.read() as tx:
        return [row.name for row in list_suites(tx)]


def applied(context: WorldContext) -> list[dict[str, Json]]:
    return [dict(event.body) for event in context.events() if event.kind is EventKind.CONFIG_APPLIED]


def test_before_the_first_apply_there_is_no_configuration(context: WorldContext) -> None:
    assert load_applied(context.database, context.objects) is None


def test_applying_makes_repos_and_suites_and_keeps_the_files_with_their_commit(context: WorldContext) -> None:
    changes = apply(context)
    assert {change.action for change in changes} == {"add"}
    assert suites(context) == ["devel"]
    assert sorted(path.name for path in context.paths.repos.iterdir()) == ["greeter.git", "live.git"]
    assert load_applied(context.database, context.objects) == (config(), FIRST)
    [body] = applied(context)
    assert body["commit"] == FIRST


def test_what_is_applied_is_held_with_its_keyrings_and_so_are_empty_suites(context: WorldContext) -> None:
    for number in ("1", "2"):
        apply_config(
            {"distwright.toml": CONFIG}, {"keys/debian.asc": b"key"}, number * 40,
            database=context.database, objects=context.objects, paths=context.paths, now=context.clock,
        )  # fmt: skip
    with context.database.read() as tx:
        applied_now = applied_config(tx)
        held = {number: {hold.target for hold in holds_of(tx, f"config {number}")} for number in (1, 2)}
        assert [hold.target for hold in holds_of(tx, "suite petrel/devel")] == [EMPTY_ROOT.revision]
    assert applied_now is not None
    assert held == {number: {applied_now.config, sha256_of(b"key")} for number in (1, 2)}


def test_whoever_builds_as_the_project_does_needs_no_git_user(context: WorldContext) -> None:
    text = CONFIG.replace('name = "Petrel"', 'name = "Petrel"\ngit_user = "no-such-user"', 1)
    apply(context, text)
    assert apply(context, text) == []
    assert sorted(path.name for path in context.paths.repos.iterdir()) == ["greeter.git", "live.git"]
    assert not context.paths.hosting.exists()


def test_applying_the_same_again_changes_and_announces_nothing(context: WorldContext) -> None:
    apply(context)
    events = context.events()
    context.clock += DAY
    assert apply(context) == []
    assert context.events() == events


def test_another_commit_with_the_same_files_is_announced_without_a_change(context: WorldContext) -> None:
    apply(context)
    assert apply(context, commit_name=SECOND) == []
    assert [body["commit"] for body in applied(context)] == [FIRST, SECOND]
    found = load_applied(context.database, context.objects)
    assert found is not None
    assert found[1] == SECOND


def test_a_change_is_named_and_made(context: WorldContext) -> None:
    apply(context)
    changes = apply(context, CONFIG + '[suite.next]\narchive = "petrel"\n', SECOND)
    assert changes == [Change("add", "suite", "next", "")]
    assert suites(context) == ["devel", "next"]


def test_what_is_in_force_is_parsed_once_until_something_else_is(context: WorldContext) -> None:
    """A worker asks before each job."""
    apply(context)
    first, again = (load_applied(context.database, context.objects) for _ in range(2))
    assert first is not None
    assert again is not None
    assert first[0] is again[0]
    apply(context, CONFIG.replace("[suite.devel]", '[suite.next]\narchive = "petrel"\n[suite.devel]'), SECOND)
    changed = load_applied(context.database, context.objects)
    assert changed is not None
    assert "next" in changed[0].suites


def test_a_wrong_configuration_changes_nothing(context: WorldContext) -> None:
    apply(context)
    with pytest.raises(BadConfig, match=r"distwright\.toml:\d+ suite\.next"):
        apply(context, CONFIG + '[suite.next]\narchive = "nowhere"\n', SECOND)
    assert load_applied(context.database, context.objects) == (config(), FIRST)
    assert suites(context) == ["devel"]


def test_a_keyring_whose_content_changed_is_applied_under_the_same_commit(context: WorldContext) -> None:
    """`config init` and the demo apply a folder, always under the same name."""
    text = CONFIG.replace("/usr/share/keyrings/debian-archive-keyring.gpg", "debian.gpg")
    apply(context, text, keyrings={"debian.gpg": b"old"})
    assert apply(context, text, keyrings={"debian.gpg": b"new"}) == []
    assert applied_keyring(context.database, context.objects, "debian.gpg") == sha256_of(b"new")
    assert len(applied(context)) == 2
    apply(context, text, keyrings={"debian.gpg": b"new"})
    assert len(applied(context)) == 2


def from_another_version(context: WorldContext) -> None:
    """Apply a configuration with a key that only another version of distwright knows."""
    apply(context)
    files = {"distwright.toml": CONFIG + "[holodeck]\nlevel = 1\n"}
    kept = context.objects.put(canonical_json({"files": files, "keyrings": {}}))
    with context.database.write() as tx:
        keep_applied_config(tx, AppliedConfig(SECOND, kept, context.clock))


def test_a_configuration_of_another_version_names_the_way_out(context: WorldContext) -> None:
    from_another_version(context)
    with pytest.raises(BadConfig, match=r"the applied configuration \(commit 222222222222\)") as caught:
        load_applied(context.database, context.objects)
    assert "holodeck" in caught.value.message
    assert "distwright config apply" in caught.value.hint


def test_a_configuration_of_another_version_is_replaced_by_a_good_one(context: WorldContext) -> None:
    from_another_version(context)
    changes = apply(context, commit_name="3" * 40)
    assert {change.action for change in changes} == {"add"}
    assert load_applied(context.database, context.objects) == (config(), "3" * 40)
    assert suites(context) == ["devel"]


def test_the_files_of_a_commit_are_the_tables_wherever_they_are_spread(context: WorldContext) -> None:
    files = {
        "distwright.toml": "format = 1\n",
        "distwright.d/a.toml": "# a\n",
        "distwright.d/README": "x",
        "other.toml": "y",
    }
    head = commit(context.paths, "live", files)
    expected = {"distwright.toml": "format = 1\n", "distwright.d/a.toml": "# a\n"}
    assert files_of_commit(context.paths, "live", "main") == (head, expected)
    assert files_of_commit(context.paths, "live", head[:12]) == (head, expected)


def test_a_commit_without_tables_and_a_repo_that_is_not_here_are_not_found(context: WorldContext) -> None:
    head = commit(context.paths, "live", {"README": "x"})
    with pytest.raises(NotFound, match=rf"commit {head[:12]} of live has no distwright\.toml"):
        files_of_commit(context.paths, "live", "main")
    with pytest.raises(NotFound, match="repo nowhere is not hosted here"):
        files_of_commit(context.paths, "nowhere", "main")
    with pytest.raises(NotFound, match="'topic' is not in repo live"):
        files_of_commit(context.paths, "live", "topic")


def test_what_was_private_is_never_opened_by_a_table(context: WorldContext) -> None:
    twin, key = "[repo.twin]\nprivate = true\n", 'key = { credential = "vault" }'
    vault = f'[archive.vault]\nkind = "own"\norigin = "Vault"\nlabel = "Vault"\n{key}\n'
    secret = f"{twin}{vault}private = true\n"
    for text in (secret, secret, ""):
        apply(context, CONFIG + text)
    for kind, opened in (("repo twin", "[repo.twin]\n"), ("archive vault", vault)):
        with pytest.raises(Refused, match=f"{kind} was private here, and would not be any more"):
            apply(context, CONFIG + opened)
    with context.database.read() as tx:
        assert list_private_names(tx) == {"repo/twin", "archive/vault"}
    apply(context, CONFIG + secret)
    open_repo(context.database, "twin")
    apply(context, f"{CONFIG}[repo.twin]\n", SECOND)
    with context.database.read() as tx:
        assert list_private_names(tx) == {"archive/vault"}
    with pytest.raises(NotFound, match="repo 'twin' was never private here"):
        open_repo(context.database, "twin")


def test_an_archive_that_everybody_reads_is_not_hidden_by_a_table(context: WorldContext) -> None:
    key = 'key = { credential = "other" }'
    other = f'{CONFIG}[archive.other]\nkind = "own"\norigin = "Other"\nlabel = "Other"\n{key}\n'
    apply(context, other)
    with pytest.raises(Refused, match="archive other is public, and would be private"):
        apply(context, f"{other}private = true\n", SECOND)
    apply(context, other)
