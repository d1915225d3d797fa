"""Every error says what to type next: it has an exit code of its cause, and a hint that can be followed."""

import ast
import builtins
import importlib
import inspect
import re
from collections.abc import Iterator, Mapping
from functools import cache

import click
import pytest
from tests.habits.source import Module, modules

from distwright.cli.main import NOUNS, cli
from distwright.errors import DistwrightError

# Meaning of each exit code, as the help of the command line says it.
EXIT_CODES = {1, 2, 3, 10, 11, 12, 20, 70, 130}
PROGRAMS = {"apt-get", "chmod", "distwright", "file", "git", "gpg", "ls", "make", "mkdir", "ps", "sq", "sudo"}
VERBS = {
    "add", "begin", "build", "check", "choose", "compare", "convert", "correct", "decode", "delete", "drop", "edit", "end", "fetch",
    "free", "give", "install", "leave", "list", "look", "merge", "mount", "name", "pass", "publish", "push", "put",
    "recode", "record", "remove", "rename", "report", "restore", "run", "see", "send", "set", "sign", "tell", "try",
    "upload", "use", "write",
}  # fmt: skip
# At the beginning, or after something that ends a part of a sentence: "install the distwright that …" is none.
_COMMAND = re.compile(r"(?:^|[:;,] |\bor |\bthen )distwright ((?:[a-zA-Z0-9-]+(?:=\S+)? ?)*)")


@cache
def error_classes() -> Mapping[str, type[DistwrightError]]:
    """Find every class of the tree of errors, by its name."""
    for module in modules():
        if not module.path.name.startswith(("enter_root", "open_door", "m0")):
            importlib.import_module(module.name)
    found: dict[str, type[DistwrightError]] = {}
    waiting = [DistwrightError]
    while waiting:
        one = waiting.pop()
        found[one.__name__] = one
        waiting += one.__subclasses__()
    return found


def raised() -> Iterator[tuple[Module, ast.Call]]:
    """Yield every place that makes one of our errors."""
    for module in modules():
        for node in ast.walk(module.tree):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            one = error_classes().get(node.func.id)
            if one is not None and "hint" in inspect.signature(one.__init__).parameters:  # else it has its own
                yield module, node


def text_of(module: Module, node: ast.expr | None) -> str | None:
    """Give a text with X for what is filled in; None if it is not written as one."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "X" for part in node.values)  # type: ignore[misc]
    if isinstance(node, ast.Name):
        for statement in module.tree.body:
            if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == node.id:
                return text_of(module, statement.value)
    return None


def hints() -> Iterator[tuple[str, str]]:
    """Yield where and what, for each hint that is written at its place or as a constant of its module."""
    for module, call in raised():
        for word in call.keywords:
            text = text_of(module, word.value) if word.arg == "hint" else None
            if text is not None:
                yield module.at(call), text


def test_every_error_has_the_exit_code_of_a_cause() -> None:
    assert error_classes()
    for name, one in error_classes().items():
        assert one.exit_code in EXIT_CODES, name
        assert (one.exit_code == 70) == (one is DistwrightError), f"{name} would look like a bug of ours"
        assert inspect.getdoc(one), name


def test_errors_have_no_name_of_a_builtin_one() -> None:
    assert [name for name in error_classes() if hasattr(builtins, name)] == []


def test_every_error_that_is_raised_has_a_hint() -> None:
    without = [
        f"{module.at(call)} {ast.unparse(call.func)}"
        for module, call in raised()
        if not any(word.arg == "hint" or word.arg is None for word in call.keywords)
    ]
    assert without == []


def test_a_hint_is_one_line_that_tells_to_do_something() -> None:
    """It begins with a program or a verb of VERBS; a new verb is added there, a question or a lament is written anew."""
    wrong = [
        f"{place} {text!r}"
        for place, text in hints()
        if len(text.split()) < 2
        or "\n" in text
        or text.endswith((".", "!", "?", " "))
        or text.partition(" ")[0].rstrip(":,") not in PROGRAMS | VERBS
    ]
    assert wrong == []


def test_a_hint_can_be_looked_into() -> None:
    """Hints that come from elsewhere (a parameter) are few; every other one is checked by these tests."""
    unseen = [
        f"{module.at(call)} {ast.unparse(word.value)}"
        for module, call in raised()
        for word in call.keywords
        if word.arg == "hint" and text_of(module, word.value) is None
    ]
    assert len(unseen) <= 10, unseen


def problem_of(words: list[str]) -> str | None:
    """Say why `distwright WORDS` cannot be typed; None if it can. Words in capitals and X stand for values."""
    context = click.Context(cli)
    command: click.Command | None = cli
    while isinstance(command, click.Group):
        if not words or words[0] not in command.list_commands(context):
            return f"no such noun or verb: {' '.join(words[:1]) or '(nothing)'}"
        command, words = command.get_command(context, words[0]), words[1:]
    assert command is not None
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    for word in words:
        if word.startswith("-") and word.partition("=")[0] not in known:
            return f"no such option: {word}"
    wanted = sum(parameter.required for parameter in command.params if isinstance(parameter, click.Argument))
    values = [word for word in words if not word.startswith("-")]
    if len(values) < wanted:
        return f"{wanted} arguments are missing or one of them"
    return None


def test_every_command_in_a_hint_exists() -> None:
    problems = []
    for place, text in hints():
        for match in _COMMAND.finditer(text):
            words = match[1].split()
            problem = problem_of(words)
            if problem is not None:
                problems.append(f"{place} {text!r}: {problem}")
    assert problems == []


@pytest.mark.parametrize(
    ("text", "is_right"),
    [
        ("job list", True), ("job log JOB", True), ("serve --port X", True), ("demo", True), ("job log", False),
        ("archive nothing", False), ("serve --prot X", False), ("nothing", False), ("", False),
    ],
)  # fmt: skip
def test_the_look_at_commands_sees_what_is_wrong(text: str, *, is_right: bool) -> None:
    assert (problem_of(text.split()) is None) == is_right


def test_every_noun_has_a_module_with_a_command() -> None:
    for noun in NOUNS:
        assert isinstance(importlib.import_module(f"distwright.cli.{noun}").command, click.Command)
