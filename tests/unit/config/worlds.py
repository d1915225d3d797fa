"""A small configuration that is right, to be changed one line at a time."""

from textwrap import dedent

from distwright.config.load import parse_config
from distwright.config.model import Config
from distwright.errors import BadConfig

GOOD = dedent("""\
    format = 1
    [site]
    name = "Petrel"
    [archive.debian]
    kind = "upstream"
    suites = ["bookworm", "bookworm-updates"]
    keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
    fetch_from = "http://mirror.example/debian"
    [archive.petrel]
    kind = "own"
    origin = "Petrel"
    label = "Petrel"
    key = { credential = "petrel-signing" }
    [suite.devel]
    archive = "petrel"
    valid_days = 30
    [repo.greeter]
    package = true
    suite = "devel"
    environment = "build"
    [repo.live]
    [environment.build]
    from = ["debian/bookworm", "petrel/devel"]
    [image.petrel]
    repo = "live"
    recipe = "config"
    from = ["debian/bookworm", "petrel/devel"]
    tools = "build"
    boot_expect = "petrel login:"
    [person.ada]
    name = "Ada"
    email = "ada@example.org"
    keys = ["0123456789abcdef0123456789ABCDEF01234567"]
""")


def good_with(*replacements: tuple[str, str]) -> str:
    """Give the good text with each first text replaced by the second; each must be there."""
    text = GOOD
    for old, new in replacements:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


def good_config(*replacements: tuple[str, str]) -> Config:
    return parse_config([("d.toml", good_with(*replacements))])


def problems_of(*texts: str) -> list[str]:
    """The problem lines of files a.toml, b.toml, …; none if they are right."""
    try:
        parse_config([(f"{letter}.toml", text) for letter, text in zip("abcdef", texts, strict=False)])
    except BadConfig as error:
        return [line.removeprefix("  ") for line in error.message.split("\n")[1:]]
    return []


def problems_with(*replacements: tuple[str, str]) -> list[str]:
    return problems_of(good_with(*replacements))
