"""Gitolite's reading of its configuration, in a few lines: lib/Gitolite/Conf.pm (parse) and Conf/Load.pm (access) of 3.6.12."""

import re

_RULE = re.compile(r"(-|C|R|RW\+?(?:C?D?|D?C?)M?) (.* )?= (.+)")
_REF = re.compile(r"[-0-9a-zA-Z._@/+\\^$|()\[\]*?{},]+")
_USER = re.compile(r"@?[0-9a-zA-Z][-0-9a-zA-Z._@+]*")
Rules = dict[str, list[tuple[str, str, frozenset[str]]]]


def parsed(text: str) -> Rules:
    """Give the rules of each repo in their order; fail at what Gitolite would warn of, or read as anything but a rule."""
    rules: Rules = {}
    repo = ""
    for written in text.splitlines():
        line = re.sub(r"\s+", " ", written.partition("#")[0].replace("=", " = ", 1)).strip()
        if not line or line.startswith("@distwright-"):
            continue
        if line.startswith("repo "):
            repo = line.removeprefix("repo ")
            assert " " not in repo
            assert repo not in rules
            rules[repo] = []
        elif line.startswith("option "):
            assert line in ("option CREATE_IS_C = 1", "option DELETE_IS_D = 1")
        else:
            found = _RULE.fullmatch(line)
            assert found, line
            users = found[3].split(" ")
            assert all(_USER.fullmatch(user) for user in users), line
            for ref in (found[2] or "refs/.*").split():
                assert _REF.fullmatch(ref), line
                rules[repo].append((found[1], ref, frozenset(users)))
    return rules


def may(rules: Rules, repo: str, user: str, access: str, ref: str) -> bool:
    """Say whether Gitolite lets a user do R, W, + (rewind), C (create) or D (delete); "any" is a ref that is not known yet."""
    for right, pattern, users in rules.get(repo, []):
        if not {user, "@all"} & users or (right == "-" and ref == "any"):
            continue
        if ref != "any" and not re.match(pattern, ref):
            continue
        if right == "-":
            return False
        wanted = {"+": r"\+", "C": "RW.*C"}.get(access, access)
        if re.search(wanted, right):
            return True
    return False
