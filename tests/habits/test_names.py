"""Names come from the vocabulary; words that could name anything name nothing."""

import ast
import re
import tomllib

from tests.habits.source import ROOT, modules

import distwright

AVOIDED = {"manager", "helper", "util", "utils", "handler", "data", "info", "misc", "common", "process", "do"}
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
# http.server looks for do_GET, decompressors of Python have unused_data, and a .buildinfo is called so in Debian.
NOT_OURS = {"do_GET", "do_HEAD", "unused_data", "BuildInfo"}


def words_of(name: str) -> set[str]:
    return {word.lower() for word in _WORDS.findall(name)}


def test_words_of_a_name_are_seen_in_both_ways_of_writing() -> None:
    assert words_of("_HTTPHandler2") == {"http", "handler", "2"}
    assert words_of("read_data_of") == {"read", "data", "of"}


def test_no_module_is_named_after_anything() -> None:
    assert [module.name for module in modules() if words_of(module.path.stem) & AVOIDED] == []


def test_no_class_and_no_function_is_named_after_anything() -> None:
    found = [
        f"{module.at(node)} {node.name}"
        for module in modules()
        for node in module.defined()
        if words_of(node.name) & AVOIDED and node.name not in NOT_OURS
    ]
    assert found == []


def test_truth_values_say_so() -> None:
    """A function that is declared to give bool begins with is_, has_, may_ or a verb; never with get_ or check_."""
    found = [
        f"{module.at(node)} {node.name}"
        for module in modules()
        for node in module.defined()
        if isinstance(node, ast.FunctionDef)
        and isinstance(node.returns, ast.Name)
        and node.returns.id == "bool"
        and node.name.lstrip("_").startswith(("get_", "check_"))
    ]
    assert found == []


def test_the_version_is_said_once_in_two_places() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert distwright.__version__ == project["version"]
