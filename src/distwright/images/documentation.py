"""Which tests an image of a topic needs: all, or those of its documentation if nothing else is changed."""

from collections.abc import Collection, Mapping, Sequence

from distwright.archive.resolve import Ground
from distwright.archive.tree import EMPTY_ROOT
from distwright.images.scenarios import ALL, Chosen
from distwright.jobs.step import Inputs
from distwright.repos.branches import is_base
from distwright.repos.refusals import is_within
from distwright.tools.git import existing_commits, refs
from distwright.tools.git_history import changed_paths, newest_shared


def is_documentation_only(paths: Collection[str], patterns: Sequence[str]) -> bool:
    """Say whether all paths are documentation, and there is one. patterns: ? and * stand for signs but '/', ** for any."""
    return bool(paths) and all(is_within(path, patterns) for path in paths)


def _is_of_base_packages(ground: Ground, inputs: Inputs) -> bool:
    """Say whether every suite that an image is made of, beyond those of its table, is empty."""
    image = ground.config.images[str(inputs["image"])]
    states = inputs.get("states")
    more = (
        {}
        if not isinstance(states, Mapping)
        else {name: state for name, state in states.items() if name not in image.from_}
    )
    return isinstance(states, Mapping) and set(more.values()) <= {str(EMPTY_ROOT.revision)}


def needed_tests(ground: Ground, inputs: Inputs) -> Chosen:
    """Choose what an image is tested by, from the inputs of its build: all, unless it is of a topic that changes documentation.

    What a topic changes is what it has and the commit has not where it left its base. So a base is always tested by all, and so
    is a topic whose base is gone, or where anything else is unknown: less is tested only for a reason.
    """
    image = ground.config.images.get(str(inputs.get("image")))
    table = None if image is None else ground.config.repos.get(image.repo)
    branch, commit = inputs.get("branch"), inputs.get("commit")
    if image is None or table is None or not isinstance(branch, str) or not isinstance(commit, str):
        return ALL
    if not table.documentation or not image.documentation_features or is_base(table, branch):
        return ALL
    if not _is_of_base_packages(ground, inputs):
        return ALL  # the topic has packages of its own, of another repo
    where = ground.paths.repo(image.repo)
    base = str(inputs.get("base_commit") or refs(where).get(f"refs/heads/{table.default_branch}"))
    both = {base, commit}
    shared = newest_shared(where, base, commit) if both == existing_commits(where, sorted(both)) else None
    if shared is None or not is_documentation_only(changed_paths(where, shared, commit), table.documentation):
        return ALL
    return Chosen(features=image.documentation_features)
