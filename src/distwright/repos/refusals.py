"""Refuse a push in words that say what to type next: run by Gitolite with the host's Python, beside the list of rules.

A script, not only a module of ours: the git user may be unable to read our files, so Gitolite has a copy of its text. It imports
nothing but the standard library and starts no program: what git knows comes by standard input, and ends with END, or git failed.

    refusals.py suites REPO REF              all refs of the repo, a line each
    refusals.py paths REPO USER OLD NEW      the paths that any commit of OLD..NEW changes, each ended by NUL
    refusals.py denied WHAT REPO USER ACCESS REF RESULT [OLD NEW]     what Gitolite's triggers ACCESS_1 and ACCESS_2 are told

Refuses by a line "VREF/…" on standard output (Gitolite, vref.html); words for people go to standard error.
"""

import json
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

END = "."
HEADS, TAGS = "refs/heads/", "refs/tags/"
_SHOWN = 3
_NOT_IN_SUITE = re.compile(r"[^.a-z0-9-]")
_TOKENS = re.compile(r"\*\*/?|\*|\?|[^*?]+")


def suite_of(ref: str) -> str:
    """Say which suite belongs to a branch or tag; the same as distwright.model.names.suite_of_branch."""
    return _NOT_IN_SUITE.sub("-", short(ref).lower())


def short(ref: str) -> str:
    """Give the name of a branch or tag."""
    return ref.removeprefix(HEADS).removeprefix(TAGS)


def shown(ref: str) -> str:
    """Say what a ref is, with its name."""
    return f"tag {short(ref)}" if ref.startswith(TAGS) else f"branch {short(ref)}" if ref.startswith(HEADS) else ref


def colliding_suite(ref: str, refs: Iterable[str], suites: Mapping[str, str]) -> list[str]:
    """Say why a new branch or tag cannot have a suite of its own; nothing if it can.

    refs: all branches and tags. suites: suite of a branch -> name of the configured suite, which is that of the branch of its name.
    """
    name = suite_of(ref)
    other = next((known for known in refs if known != ref and suite_of(known) == name), None)
    if other is not None:
        what = f"{shown(ref)} would have the suite {name}, which belongs to {shown(other)}"
    elif name in suites and ref != f"{HEADS}{suites[name]}":
        what = f"{shown(ref)} would have the suite {name}, which is configured for branch {suites[name]}"
    else:
        return []
    new = "NAME" if ref.startswith(TAGS) else f"HEAD:{HEADS}NAME"
    return [f"{what}.", f"Choose another name: git push ORIGIN {new}"]


def is_within(path: str, patterns: Iterable[str]) -> bool:
    """Say whether a path is one of the patterns, or below one: ? and * stand for signs but '/', ** for any."""
    return any(re.fullmatch(_regex(pattern), path, re.DOTALL) for pattern in patterns)


def _regex(pattern: str) -> str:
    signs = {"**": ".*", "**/": "(.*/)?", "*": "[^/]*", "?": "[^/]"}
    parts = (signs.get(token) or re.escape(token) for token in _TOKENS.findall(pattern.rstrip("/")))
    return f"{''.join(parts)}(/.*)?"


def outside_of_paths(
    repo: str, user: str, paths: Iterable[str], patterns: Sequence[str], *, updates_branch: bool
) -> list[str]:
    """Say what a robot must not push; nothing if it keeps to its paths."""
    allowed = ", ".join(patterns)
    if not updates_branch:
        return [f"{user} changes only {allowed}, in branches that exist: it makes and deletes no branch and no tag."]
    outside = sorted({path for path in paths if not is_within(path, patterns)})
    if not outside:
        return []
    named = ", ".join(ascii(path) for path in outside[:_SHOWN])
    more = f" and {len(outside) - _SHOWN} more" if len(outside) > _SHOWN else ""
    return [
        f"{user} may change only {allowed} in {repo}; these commits change {named}{more}.",
        "Begin anew from the branch, with these paths only: git reset --soft @{upstream}",
    ]


def words_of_denial(rules: Mapping[str, Any], repo: str, user: str, access: str, ref: str) -> list[str]:
    """Put into words what a rule of Gitolite's own refuses, and what to type instead."""
    table = rules["repos"].get(repo)
    address = rules["address"] or "THIS-SERVER"
    if ref == "any" or table is None:
        return [f"there is no repo {repo} here, or {user} may not do that with it. What you may: ssh {address} info"]
    changes_history = access[:1] in "+D"
    if ref.startswith(TAGS):
        if changes_history:
            return [f"{shown(ref)} is there: tags are never moved or deleted. Make another: git tag -s NAME"]
        return [f"tags of {repo} are made by {_people(table, 'maintain')}. Ask one of them."]
    if not ref.startswith(HEADS):
        return [f"only branches and tags are kept here: git push ORIGIN HEAD:{HEADS}NAME"]
    if any(short(ref) == base or fnmatchcase(short(ref), base) for base in table["bases"]):
        if changes_history:
            return [
                f"{shown(ref)} is a base: it is never rewound or deleted. Take a commit back by another: git revert COMMIT"
            ]
        people = _people(table, "maintain")
        return [f"{shown(ref)} is a base, to which {people} push. Push a topic: git push ORIGIN HEAD:{HEADS}NAME"]
    if changes_history:
        people = _people(table, "rewind")
        return [
            f"topics are rewound and deleted by {people}. Push under another name: git push ORIGIN HEAD:{HEADS}NAME"
        ]
    return [
        f"branches of {repo} are made by {_people(table, 'create')}. Ask one of them, or push to a branch that exists."
    ]


def _people(table: Mapping[str, Sequence[str]], level: str) -> str:
    return ", ".join(table[level]) or "nobody"


def _listed(separator: str) -> list[str] | None:
    """Read standard input; None if it was cut off."""
    *names, end = sys.stdin.buffer.read().decode(errors="surrogateescape").split(separator)
    return [name for name in names if name] if end == END else None


def _refuse(kind: str, words: Sequence[str]) -> None:
    if words:
        print("\n".join(words), file=sys.stderr)  # noqa: T201  # a script
        print(f"VREF/distwright-{kind}")  # noqa: T201  # a script


def main(arguments: Sequence[str]) -> int:
    """Answer one question of Gitolite's; the rules are beside this file. Anything odd is an error, which refuses the push."""
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "rules.json"), encoding="utf-8") as file:  # noqa: PTH118,PTH120,PTH100,PTH123  # quicker
        rules = json.load(file)
    kind, *words = arguments
    if kind == "denied":
        _what, repo, user, access, ref, *_rest = words
        if not ref.startswith("VREF/"):
            print("\n".join(words_of_denial(rules, repo, user, access, ref)), file=sys.stderr)  # noqa: T201  # a script
        return 0
    listed = _listed("\0" if kind == "paths" else "\n")
    if listed is None:
        print("git could not list what this push changes; say so to the administrator", file=sys.stderr)  # noqa: T201  # a script
        return 1
    if kind == "suites":
        _repo, ref = words
        _refuse(kind, colliding_suite(ref, listed, rules["suites"]))
    else:
        repo, user, old, new = words
        updates_branch = old.strip("0") != "" and new.strip("0") != ""
        _refuse(kind, outside_of_paths(repo, user, listed, rules["robots"][user], updates_branch=updates_branch))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
