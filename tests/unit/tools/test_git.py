"""Files at a commit."""

from pathlib import Path

import pytest
from tests.worlds.installation import make_context
from tests.worlds.repos import commit

from distwright.errors import BadInput
from distwright.tools.git import FILE_LIMIT_BYTES, existing_commits, file_at


def test_a_file_that_is_too_large_is_refused_and_not_called_absent(tmp_path: Path) -> None:
    context = make_context(tmp_path)
    head = commit(context.paths, "live", {"large": bytes(FILE_LIMIT_BYTES), "right": bytes(FILE_LIMIT_BYTES - 1)})
    repo = context.paths.repo("live")
    with pytest.raises(BadInput, match="'large' in live has 64 MiB or more"):
        file_at(repo, head, "large")
    assert file_at(repo, head, "right") == bytes(FILE_LIMIT_BYTES - 1)
    assert file_at(repo, head, "absent") is None


def test_only_commits_and_tags_that_are_there_exist(tmp_path: Path) -> None:
    context = make_context(tmp_path)
    head = commit(context.paths, "live", {"a": "1"})
    repo = context.paths.repo("live")
    empty_tree = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
    assert existing_commits(repo, [head, "1" * 40, empty_tree, "--all", ""]) == {head}
    assert existing_commits(repo, []) == set()
