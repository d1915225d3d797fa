"""Names as Debian, git and we write them, and how one becomes another."""

import re

from distwright.errors import BadInput, quoted

_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_OURS = re.compile(r"[a-z0-9][a-z0-9._+-]{0,63}")
_NOT_IN_SUITE = re.compile(r"[^.a-z0-9-]")


def package_name(text: str) -> str:
    """Return `text` if it is a Debian package name (Policy 5.6.1); raise BadInput otherwise."""
    if not _PACKAGE.fullmatch(text) or len(text) > 128:
        raise BadInput(
            f"{quoted(text)} is not a package name",
            hint="use lower-case letters, digits, '+', '-', '.' (Debian Policy 5.6.1)",
        )
    return text


def installable_name(text: str) -> str:
    """Return `text` if it is a package name that apt installs; raise BadInput for `name-`, which removes (apt-get(8))."""
    if package_name(text).endswith("-"):
        raise BadInput(
            f"{quoted(text)} ends with '-', by which apt would remove the package",
            hint="leave it out: only named packages and what they need are installed",
        )
    return text


def our_name(text: str, what: str) -> str:
    """Return `text` if it may name a `what` of ours (archive, suite, repo, image): safe in paths, URLs and file names."""
    if not _OURS.fullmatch(text) or ".." in text:
        raise BadInput(
            f"{quoted(text)} cannot name a {what}",
            hint="use 1 to 64 of a-z 0-9 . _ + -, beginning with a letter or digit",
        )
    return text


def suite_of_branch(branch: str) -> str:
    """Say which suite belongs to a branch: lower case, everything but a-z 0-9 . - becomes '-' (REQUIREMENTS A1)."""
    return _NOT_IN_SUITE.sub("-", branch.lower())


def suite_of_tag(tag: str) -> str:
    """Say which suite belongs to a tag; as for a branch ('~' becomes '-' like every other sign)."""
    return suite_of_branch(tag)


def pool_folder(component: str, source: str) -> str:
    """Say where Debian keeps the files of a source: `pool/main/libf/libfoo`, `pool/main/h/hello`."""
    package_name(source)
    initial = source[:4] if source.startswith("lib") and len(source) > 3 else source[:1]
    return f"pool/{component}/{initial}/{source}"
