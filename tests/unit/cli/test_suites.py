"""`suite`, `snapshot` and `archive` on the command line: answers, refusals, names that are nobody's, and dry runs."""

import shutil
from pathlib import Path

import pytest
from tests.worlds.archive import make_deb, make_source
from tests.worlds.commands import CommandLine, command_line

from distwright.archive.tree import parse_root
from distwright.model.digests import Sha256
from distwright.store.objects import FileObjects

HELLO, NEWER = make_deb("hello", "1.0"), make_deb("hello", "2.0")


@pytest.fixture
def line(tmp_path: Path) -> CommandLine:
    """Version 1.0 of hello is in devel."""
    line = command_line(tmp_path)
    assert line.run("suite", "add", "devel", line.files(HELLO, make_source("hello"))).exit_code == 0
    return line


def test_add_says_what_became_of_the_files_and_the_same_again_is_no_change(line: CommandLine) -> None:
    place = line.files(NEWER, HELLO)
    done = line.run("suite", "add", "petrel/devel", place, as_json=True)
    expected = {"suite": "petrel/devel", "revision": line.revision("petrel/devel"), "unchanged": 0, "added": 1}
    assert done.answer == {**expected, "passed over": 1}
    again = line.run("suite", "add", "devel", place)
    assert (again.exit_code, again.text) == (0, "0 added, 1 there already, 1 passed over\n")
    assert line.versions("devel")["hello"] in ("1.0", "2.0")


def test_add_refuses_with_every_problem_and_publish_serves(line: CommandLine) -> None:
    refused = line.run(
        "suite", "add", "devel", line.files(make_deb("hello", "0.9"), make_deb("x1", architecture="s390x"))
    )
    assert (refused.exit_code, refused.said.count("\n")) == (3, 2)
    done = line.run("suite", "add", "devel", line.files(NEWER), "--publish", "--reason", "a newer one")
    assert done.exit_code == 0
    assert (line.state / "public" / "petrel" / "dists" / "devel" / "InRelease").is_file()
    served = line.run("suite", "publish", "devel", as_json=True)
    assert [row["suite"] for row in served.answer] == ["petrel/devel"]
    (newest, _) = line.run("suite", "history", "devel", as_json=True).answer
    assert (newest["action"], newest["reason"], newest["revision"]) == (
        "add",
        "a newer one",
        line.revision("petrel/devel"),
    )


def test_list_show_and_history_print_text(line: CommandLine) -> None:
    listed = line.run("suite", "list", "petrel").text
    assert ("petrel/devel" in listed, "petrel/stable" in listed, "other/" in listed) == (True, True, False)
    shown = line.run("suite", "show", "devel").text.splitlines()
    assert [row.split() for row in shown] == [
        ["list", "package", "version"],
        ["main/binary-amd64", "hello", "1.0"],
        ["main/source", "hello", "1.0"],
    ]
    assert line.run("suite", "show", "stable").text == "petrel/stable is empty\n"
    assert "add" in line.run("suite", "history", "devel").text


def test_branch_merge_and_undo_go_there_and_back(line: CommandLine) -> None:
    before = line.revision("petrel/devel")
    made = line.run("suite", "branch", "devel", "topic", "--kind", "base", as_json=True)
    assert made.answer == {"suite": "petrel/topic", "kind": "base", "revision": before}
    line.run("suite", "add", "topic", line.files(NEWER))
    differ = line.run("suite", "diff", "devel", "topic", as_json=True).answer
    change = {"list": "main/binary-amd64", "package": "hello", "old": "1.0", "new": "2.0"}
    assert differ == [change]
    merged = line.run("suite", "merge", "devel", "topic", as_json=True).answer
    assert merged == {
        "suite": "petrel/devel",
        "before": before,
        "after": line.revision("petrel/topic"),
        "changes": [change],
        "kept": [],
    }
    assert line.run("suite", "diff", "devel", "topic").text == "no difference\n"
    assert line.run("suite", "undo", "devel", "--reason", "too early").exit_code == 0
    assert line.revision("petrel/devel") == before
    (row, *_) = line.run("suite", "history", "devel", as_json=True).answer
    assert (row["reason"].startswith("undoes"), row["reason"].endswith(": too early")) == (True, True)


def test_pull_takes_a_source_with_what_was_built_from_it(line: CommandLine) -> None:
    done = line.run("suite", "pull", "stable", "devel", "hello", as_json=True)
    assert [(row["list"], row["new"]) for row in done.answer["changes"]] == [
        ("main/binary-amd64", "1.0"),
        ("main/source", "1.0"),
    ]
    assert line.revision("petrel/stable") == line.revision("petrel/devel")


def test_phase_is_a_step_that_can_be_tried_and_undone(line: CommandLine) -> None:
    before = line.revision("petrel/devel")
    assert "nothing was changed" in line.run("suite", "phase", "devel", "20", "hello", "--dry-run").text
    assert line.revision("petrel/devel") == before
    assert line.run("suite", "phase", "devel", "20", "hello").exit_code == 0
    (newest, _) = line.run("suite", "history", "devel", as_json=True).answer
    assert (newest["action"], newest["reason"]) == ("phase", "hello: 20 %")
    assert line.run("suite", "phase", "devel", "100", "hello").exit_code == 0
    assert line.revision("petrel/devel") == before
    assert [line.run("suite", "undo", "devel").exit_code for _ in range(2)] == [0, 0]
    assert line.revision("petrel/devel") == before
    assert line.run("suite", "phase", "devel", "101", "hello").exit_code == 2
    assert line.run("suite", "phase", "devel", "20", "nothing").exit_code == 3


def test_a_state_is_named_by_the_number_of_its_revision(line: CommandLine) -> None:
    before = line.revision("petrel/devel")
    number = line.run("suite", "history", "devel", as_json=True).answer[0]["number"]
    line.run("suite", "add", "devel", line.files(NEWER))
    refused = line.run("suite", "reset", "devel", f"devel@{number}")
    assert (refused.exit_code, "hello 2.0 to 1.0" in refused.said) == (3, True)
    assert line.run("suite", "reset", "devel", f"devel@{number}", "--downgrade").exit_code == 0
    assert line.revision("petrel/devel") == before


@pytest.mark.parametrize(
    "words",
    [
        ("suite", "remove", "devel", "hello"),
        ("suite", "merge", "stable", "devel"),
        ("suite", "pull", "stable", "devel", "hello"),
        ("suite", "reset", "devel", "stable"),
        ("suite", "undo", "devel"),
    ],
    ids=lambda words: words[1],
)
def test_a_dry_run_says_the_same_and_changes_nothing(line: CommandLine, words: tuple[str, ...]) -> None:
    before = [line.run("suite", "list", as_json=True).text, line.run("suite", "history", "devel", as_json=True).text]
    tried = line.run(*words, "--dry-run", as_json=True)
    text = line.run(*words, "--dry-run", "--publish").text
    assert "nothing was changed (--dry-run)" in text
    assert [
        line.run("suite", "list", as_json=True).text,
        line.run("suite", "history", "devel", as_json=True).text,
    ] == before
    assert not (line.state / "public" / "petrel" / "dists").exists()
    done = line.run(*words, as_json=True)
    assert len(done.answer["changes"]) == 2
    assert tried.answer["changes"] == done.answer["changes"]


def test_a_sealed_suite_takes_no_change_until_it_is_opened(line: CommandLine) -> None:
    assert line.run("suite", "seal", "devel").text == "petrel/devel is read-only\n"
    for words in (("remove", "devel", "hello"), ("undo", "devel"), ("add", "devel", line.files(NEWER))):
        refused = line.run("suite", *words)
        assert (refused.exit_code, "is read-only" in refused.said) == (3, True)
    assert line.run("suite", "seal", "devel", "--open", as_json=True).answer == {
        "suite": "petrel/devel",
        "state": "open",
    }
    assert line.run("suite", "remove", "devel", "hello").exit_code == 0


@pytest.mark.parametrize(
    "words",
    [
        ("suite", "show", "nothing"), ("suite", "history", "nothing"), ("suite", "publish", "nothing"),
        ("suite", "add", "nothing", "/"), ("suite", "add", "devel", "/nowhere"), ("suite", "branch", "nothing", "new"),
        ("suite", "diff", "devel", "nothing"), ("suite", "diff", "devel", "devel@77"), ("suite", "merge", "devel", "nothing"),
        ("suite", "pull", "nothing", "devel", "hello"), ("suite", "remove", "nothing", "hello"),
        ("suite", "reset", "devel", "nothing"), ("suite", "undo", "nothing"), ("suite", "seal", "nothing"),
        ("snapshot", "take", "nothing"), ("snapshot", "take", "petrel", "nothing"),
        ("snapshot", "publish", "petrel", "1999010101"), ("snapshot", "drop", "petrel", "1999010101"),
        ("snapshot", "drop", "petrel", "1999010101", "--apply"), ("archive", "key", "nothing"),
        ("archive", "sources", "nothing", "devel"), ("archive", "sources", "petrel", "nothing"),
        ("archive", "sources", "petrel", "devel", "--serial", "1999010101"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_names_that_are_nobodys_are_not_found(line: CommandLine, words: tuple[str, ...]) -> None:
    done = line.run(*words)
    assert (done.exit_code, bool(done.said)) == (10, True)


@pytest.mark.parametrize(
    "words",
    [
        ("suite", "branch", "devel", "stable"),
        ("suite", "undo", "stable"),
        ("suite", "remove", "devel", "nothing"),
        ("suite", "pull", "stable", "devel", "nothing"),
    ],
    ids=" ".join,
)
def test_what_a_rule_forbids_is_refused(line: CommandLine, words: tuple[str, ...]) -> None:
    before = line.run("suite", "list", as_json=True).text
    assert line.run(*words).exit_code == 3
    assert line.run("suite", "list", as_json=True).text == before


@pytest.mark.parametrize(
    "words", [("merge", "devel", "elsewhere"), ("pull", "devel", "elsewhere", "hello"), ("reset", "devel", "elsewhere")],
    ids=lambda words: words[0],
)  # fmt: skip
def test_suites_of_two_archives_do_not_mix(line: CommandLine, words: tuple[str, ...]) -> None:
    before = line.revision("petrel/devel")
    done = line.run("suite", *words)
    assert (done.exit_code, done.said) == (2, "petrel and other are two archives")
    assert line.revision("petrel/devel") == before


def test_snapshots_are_taken_served_and_dropped(line: CommandLine) -> None:
    taken = line.run("snapshot", "take", "petrel", "--serial", "2030010101", "--publish", as_json=True)
    assert (taken.answer["archive"], taken.answer["serial"]) == ("petrel", "2030010101")
    served = line.state / "public" / "petrel" / "snapshots" / "2030010101" / "dists" / "devel" / "InRelease"
    assert served.is_file()
    assert line.run("snapshot", "publish", "petrel", "2030010101").text == "petrel 2030010101: devel, stable\n"
    assert [row["serial"] for row in line.run("snapshot", "list", as_json=True).answer] == ["2030010101"]
    again = line.run("snapshot", "take", "petrel", "--serial", "2030010101", as_json=True)
    assert again.answer == taken.answer, "as somebody does whose command was cut off"
    assert line.run("snapshot", "take", "petrel", "--serial", "2029010101").exit_code == 3
    assert line.run("snapshot", "take", "petrel", "--serial", "yesterday").exit_code == 2
    assert line.run("snapshot", "drop", "petrel", "2030010101").text == "1 would be dropped (--apply)\n"
    assert served.is_file()
    assert line.run("snapshot", "drop", "petrel", "2030010101", "--apply").text == "1 dropped\n"
    assert (served.exists(), line.run("snapshot", "list", as_json=True).answer) == (False, [])


def test_the_key_and_the_sources_text_can_be_pasted(line: CommandLine) -> None:
    key = line.run("archive", "key", "petrel").text
    assert key.startswith("-----BEGIN PGP PUBLIC KEY BLOCK-----\n")
    text = line.run("archive", "sources", "petrel", "devel").text
    head, _, inline = text.partition("Signed-By:\n")
    assert head == "Types: deb deb-src\nURIs: https://deb.petrel.example/petrel\nSuites: devel\nComponents: main\n"
    assert [row[1:].replace(".", "", row == " .") for row in inline.splitlines()] == key.splitlines()
    assert line.run("archive", "sources", "other", "elsewhere").exit_code == 2
    given = line.run("archive", "sources", "other", "elsewhere", "--url", "https://there.example/").text
    assert "URIs: https://there.example\n" in given


def test_fsck_says_of_every_damage_what_it_is_about_and_what_to_type_next(line: CommandLine, tmp_path: Path) -> None:
    line.run("suite", "publish", "devel")
    assert line.run("archive", "fsck").text == "all is well\n"
    shutil.copytree(line.state / "public", tmp_path / "mirror")
    deb = line.state / "objects" / "sha256" / HELLO.sha256[:2] / HELLO.sha256[2:]
    deb.unlink()
    done = line.run("archive", "fsck")
    path = line.state / "public" / "petrel" / HELLO.pool_path()
    assert (done.exit_code, done.text.splitlines()) == (1, [
        f"{path}: it is lost", "  try: distwright archive fsck --repair", "1 damaged, 1 left",
    ])  # fmt: skip
    path.unlink()
    left = line.run("archive", "fsck", "--repair", as_json=True).answer["left"]
    assert [(row["path"], row["hint"].partition(":")[0]) for row in left] == [
        (str(path), "distwright archive fsck --repair --from DIR|URL")
    ]
    assert line.run("archive", "fsck", "--repair", "--from", str(tmp_path / "nowhere")).exit_code == 10
    assert line.run("archive", "fsck", "nobody").exit_code == 10
    assert line.run("archive", "fsck", "--repair", "--from", str(tmp_path / "mirror")).text == "1 damaged, 0 left\n"
    assert line.run("archive", "fsck").text == "all is well\n"
    assert path.read_bytes() == HELLO.content


def test_fsck_mends_what_only_undo_needs_in_one_go(line: CommandLine, tmp_path: Path) -> None:
    objects = FileObjects(line.state / "objects")
    root = parse_root(objects.read(Sha256(line.revision("petrel/devel"))))
    leaves = [leaf.digest for of in root.lists.values() for leaf in of]
    assert line.run("suite", "remove", "petrel/devel", "hello").exit_code == 0
    shutil.copytree(line.state / "objects", tmp_path / "backup")
    for digest in (*leaves, HELLO.sha256):
        objects.path(digest).unlink()
    done = line.run("archive", "fsck", "--quick")
    assert (done.exit_code, done.text.count("undo of suite petrel/devel")) == (1, len(leaves))
    mended = line.run("archive", "fsck", "--repair", "--from", str(tmp_path / "backup"))
    assert mended.text == f"{len(leaves) + 1} damaged, 0 left\n"
    assert line.run("archive", "fsck").text == "all is well\n"


def test_the_keyring_is_not_written_into_a_folder_that_is_not_there(line: CommandLine, tmp_path: Path) -> None:
    done = line.run("archive", "keyring", "petrel", "--output", str(tmp_path / "typo"))
    assert (done.exit_code, done.said) == (10, f"folder '{tmp_path / 'typo'}' does not exist")
    assert not (tmp_path / "typo").exists()
