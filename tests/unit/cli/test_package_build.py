"""`package build`: one source, the name that it needs, and only options that mean something for it."""

from pathlib import Path

import pytest
from tests.worlds.commands import CommandLine, command_line


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    return command_line(tmp_path_factory.mktemp("line"))


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ((), "nothing says what to build; want one of --tag, --ref, --dsc, --from"),
        (("greeter",), "nothing says what to build"),
        (("greeter", "--tag", "1.0", "--ref", "main"), "--tag and --ref says what to build"),
        (("greeter", "--dsc", "x.dsc"), "--dsc needs no name"),
        (("--tag", "1.0"), "--tag needs a name"),
        (("--from", "debian/stable"), "--from needs a name"),
        (("greeter", "--tag", "1.0", "--serial", "2024011001"), "--serial means nothing with --tag"),
        (("hello", "--from", "debian/stable", "--keyring", "x"), "--keyring means nothing with --from"),
    ],
)
def test_what_does_not_fit_together_is_named(line: CommandLine, words: tuple[str, ...], problem: str) -> None:
    typed = line.run("package", "build", *words)
    assert (typed.exit_code, typed.said.startswith(problem)) == (2, True), typed.said


@pytest.mark.parametrize(
    ("words", "exit_code", "problem"),
    [
        (("greeter", "--tag", "1.0"), 10, "repo 'greeter' is not configured"),
        (("greeter", "--ref", "main"), 10, "repo 'greeter' is not configured"),
        (("--dsc", "/nowhere/x.dsc"), 10, "'/nowhere/x.dsc' does not exist, or is no file"),
        (("--dsc", "/nowhere/x.dsc", "--keyring", "/nowhere/ada.asc"), 10, "keyring /nowhere/ada.asc does not exist"),
        (("hello", "--from", "petrel/devel"), 10, "archive 'petrel' is no upstream archive"),
    ],
)
def test_what_is_not_there_is_named(line: CommandLine, words: tuple[str, ...], exit_code: int, problem: str) -> None:
    typed = line.run("package", "build", *words)
    assert (typed.exit_code, typed.said) == (exit_code, problem)


def test_a_source_that_may_be_built_anywhere_asks_for_its_environment(line: CommandLine, tmp_path: Path) -> None:
    from tests.worlds.packages import make_source

    source = make_source("greeter")
    for name, content in source.files.items():
        (tmp_path / name).write_bytes(content)
    typed = line.run("package", "build", "--dsc", str(tmp_path / source.dsc_name))
    assert typed.exit_code in (2, 10)
    assert "environment" in typed.said
