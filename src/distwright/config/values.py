"""What a single value may be: types that check themselves, and say in plain words what they want."""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from distwright.errors import BadInput, quoted
from distwright.model.names import installable_name, our_name

# An archive is served at /NAME, beside the pages, and below public/: these are, or will be, something else there.
TAKEN_NAMES = frozenset({
    "api", "archive", "attestation", "backup", "baseline", "branch", "build", "builder", "by-hash", "calendar", "candidate",
    "check", "config", "db", "demo", "dists", "doctor", "embargo", "environment", "event", "exception", "finding", "flow",
    "health", "healthz", "help", "hold", "host", "image", "images", "impact", "index", "job", "key", "kit", "log",
    "login", "logout", "manifest", "metrics", "mirror", "notice", "openapi", "overlay", "package", "person",
    "pin", "pool", "private", "propose", "public", "push", "reader", "recorded", "release", "repo", "restore", "robots", "search",
    "serve", "snapshot", "source", "static", "suite", "sweep", "tag", "transparency", "trees", "upload", "worker",
})  # fmt: skip
SSH_KEYS = frozenset({
    "ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com",
})  # fmt: skip
TAKEN_ENDINGS = (".json", ".atom", ".html", ".txt")


@dataclass(frozen=True, slots=True)
class Want:
    """How a person is told what a value must be: one of them, and several in a list."""

    one: str
    many: str


def _segments(signs: str) -> str:
    """Give the pattern of segments joined by '/': letters, digits and `signs`, a letter or digit first."""
    return f"[A-Za-z0-9][A-Za-z0-9{signs}]*(/[A-Za-z0-9][A-Za-z0-9{signs}]*)*"


def _matching(pattern: str, what: str) -> AfterValidator:
    compiled = re.compile(pattern)

    def check(text: str) -> str:
        if len(text) > 200 or ".." in text or not compiled.fullmatch(text):
            raise ValueError(f"{quoted(text)} is not {what}")
        return text

    return AfterValidator(check)


def _name(text: str) -> str:
    try:
        return our_name(text, "table")
    except BadInput:
        raise ValueError(f"{quoted(text)} cannot be a name") from None


def _name_unseen(text: str) -> str:
    """Check a name without ever showing it: somebody may have put the secret itself there."""
    try:
        return our_name(text, "credential")
    except BadInput:
        raise ValueError("cannot be a name") from None


def _package(text: str) -> str:
    try:
        return installable_name(text)
    except BadInput as error:
        raise ValueError(error.message) from None


def _line(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty")
    if not text.isprintable() or len(text) > 500:
        raise ValueError(f"{quoted(text)} is not one printable line of at most 500 characters")
    return text


def _trimmed(text: str) -> str:
    if text != text.strip():
        raise ValueError(f"{quoted(text)} begins or ends with a space")
    return _line(text)


def _shown_name(text: str) -> str:
    if any(sign in _line(_trimmed(text)) for sign in '"\\$`'):
        raise ValueError(f'{quoted(text)} has one of the signs " $ ` \\, which boot menus read as something else')
    return text


def _kernel_word(text: str) -> str:
    if (
        not text.isascii()
        or not text.isprintable()
        or len(text) > 200
        or any(sign in " \"'$`\\;{}|&<>#" for sign in text)
    ):
        raise ValueError(
            f"{quoted(text)} is not one word without quotes and signs that boot menus read as something else"
        )
    if not text:
        raise ValueError("is empty")
    return text


def _path(text: str) -> str:
    _trimmed(text)
    inner = text.removeprefix("/").removesuffix("/")
    if text != "." and any(segment in ("", ".", "..") for segment in inner.split("/")):
        raise ValueError(f"{quoted(text)} is not a path without '.', '..' and '//'")
    return text


def _path_below(text: str) -> str:
    _path(text)
    if text.startswith("/"):
        raise ValueError(f"{quoted(text)} is an absolute path")
    return text


def _architecture(text: str) -> str:
    if text in ("all", "any", "source") or not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", text):
        raise ValueError(f"{quoted(text)} is not the architecture of a machine")
    return text


def _fingerprint(text: str) -> str:
    if not re.fullmatch(r"[0-9A-Fa-f]{40}", text):
        raise ValueError(f"{quoted(text)} is not a fingerprint of 40 hexadecimal digits")
    return text.upper()


def _ssh_key(text: str) -> str:
    """Give `type base64` of a public key (RFC 4253, 6.6), its comment dropped; a wrong one, which may be secret, is never shown."""
    kind, encoded = (*text.split(" "), "", "")[:2]
    try:
        blob = base64.b64decode(encoded, validate=True)
    except ValueError:
        blob = b""
    name = kind.encode(errors="replace")
    if kind not in SSH_KEYS or not blob.startswith(len(name).to_bytes(4, "big") + name) or len(encoded) > 4000:
        raise ValueError("is not a public key of ssh, as a .pub file has it")
    return f"{kind} {encoded}"


def _url(*schemes: str) -> AfterValidator:
    def check(text: str) -> str:
        if "@" in text:  # first of all, and never shown: it may be a password
            raise ValueError("has a user name or password in the URL")
        if not text.isascii() or not text.isprintable() or " " in text:
            raise ValueError(f"{quoted(text)} has signs that no URL has")
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError:
            raise ValueError(f"{quoted(text)} is not a URL") from None
        if parts.scheme not in schemes or (parts.scheme == "file") == bool(parts.hostname) or port == 0:
            raise ValueError(f"{quoted(text)} is not such a URL")
        if parts.query or parts.fragment or (parts.scheme == "file" and not parts.path.startswith("/")):
            raise ValueError(f"{quoted(text)} is not the URL of a folder")
        return text

    return AfterValidator(check)


_USER_AT_HOST = re.compile(
    r"[a-z_][a-z0-9_-]{0,31}@([A-Za-z0-9][A-Za-z0-9.-]{0,252}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?"
)


def _ssh_address(text: str) -> str:
    rest = text.removeprefix("ssh://")
    port = rest.rpartition(":")[2] if re.search(r":[0-9]+$", rest) else "22"
    if rest == text or not _USER_AT_HOST.fullmatch(rest) or not 0 < int(port) < 1 << 16:
        raise ValueError(f"{quoted(text)} is not written ssh://user@host:port")
    return text


def _each_once(members: Sequence[str]) -> Sequence[str]:
    seen: set[str] = set()
    for member in members:
        if member in seen:
            raise ValueError(f"{quoted(member)} is in the list twice")
        seen.add(member)
    return members


def _with_iso(members: Sequence[str]) -> Sequence[str]:
    if "iso" not in members:
        raise ValueError("does not name iso, which is always made: it is what is booted")
    return members


def _program_first(members: Sequence[str]) -> Sequence[str]:
    if members and not members[0].startswith("/"):
        raise ValueError(f"{quoted(members[0])} is not the whole path of a program, which begins with /")
    return members


OnceEach = AfterValidator(_each_once)
ProgramFirst = AfterValidator(_program_first)
WithIso = AfterValidator(_with_iso)
NotEmpty = Field(min_length=1)

OurName = Annotated[str, AfterValidator(_name), Want("a name of a-z 0-9 . _ + -", "names of a-z 0-9 . _ + -")]
CredentialName = Annotated[str, AfterValidator(_name_unseen), Want("a name of a-z 0-9 . _ + -", "names")]
PackageName = Annotated[str, AfterValidator(_package), Want("a package name", "package names")]
Argument = Annotated[
    str,
    AfterValidator(_line),
    Want("a word of a command line", "words of a command line, first a program's whole path"),
]
Line = Annotated[str, AfterValidator(_trimmed), Want("a string of one line", "strings")]
ShownName = Annotated[
    str,
    AfterValidator(_shown_name),
    Want("a string of one line without double quotes, dollars, backquotes and backslashes", "strings"),
]
KernelWord = Annotated[
    str,
    AfterValidator(_kernel_word),
    Want("a word of a kernel's command line", "words of a kernel's command line"),
]
VolumeLabel = Annotated[
    str,
    _matching(r"[A-Za-z0-9_.~+@-]([ A-Za-z0-9_.~+@:-]{0,62}[A-Za-z0-9_.~+@-])?", "the label of a volume"),
    Want("1 to 64 letters, digits, spaces and _ . ~ + : - of ASCII", "labels"),
]
UserName = Annotated[
    str, _matching(r"[a-z][a-z0-9_-]{0,31}", "the name of a user"), Want("a name of a-z 0-9 _ -", "names of users")
]
ShownText = Annotated[str, AfterValidator(_line), Want("a string that is not empty", "strings that are not empty")]
SuiteName = Annotated[
    str,
    _matching(_segments("._+~-"), "the name of a suite"),
    Want("a suite", "suites"),
]
Component = Annotated[str, _matching(_segments("._+-"), "a component"), Want("a component", "components")]
Architecture = Annotated[
    str, AfterValidator(_architecture), Want("an architecture of machines", "architectures of machines")
]
Language = Annotated[
    str,
    _matching(r"[a-z]{2,3}([_-][A-Za-z]{2,4})?(@[a-z]+)?", "a language code"),
    Want("a language code", "language codes"),
]
SuiteOfArchive = Annotated[
    str,
    _matching(r"[a-z0-9][a-z0-9._+-]{0,63}/" + _segments("._+~-"), "written archive/suite"),
    Want('a string "archive/suite"', 'strings "archive/suite"'),
]
NamePattern = Annotated[
    str,
    _matching(r"[a-z0-9*?][a-z0-9.+*?-]*", "a name, or a pattern of names"),
    Want("a name or a pattern with * and ?", "names or patterns with * and ?"),
]
BranchPattern = Annotated[
    str,
    _matching(r"[A-Za-z0-9*?][A-Za-z0-9._/+*?-]*", "a branch, or a pattern of branches"),
    Want("a branch or a pattern with * and ?", "branches or patterns with * and ?"),
]
Branch = Annotated[
    str,
    _matching(_segments("._+-") + r"(?<!\.)(?<!\.lock)", "the name of a branch"),
    Want("a branch", "branches"),
]
AheadOf = Annotated[
    str,
    _matching(f"{_segments('._+-')}:{_segments('._+-')}", "written branch:branch"),
    Want('a string "branch:branch"', 'strings "branch:branch"'),
]
PathHere = Annotated[
    str,
    AfterValidator(_path),
    Want("a path: absolute, or relative to the folder of the configuration, without '..'", "paths"),
]
PathBelow = Annotated[
    str,
    AfterValidator(_path_below),
    Want("a path relative to the top of the repository, without '..'", "relative paths"),
]
MailAddress = Annotated[
    str,
    _matching(r"[^\s@<>\"(),;:\\-][^\s@<>\"(),;:\\]*@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?", "a mail address"),
    Want("a mail address", "mail addresses"),
]
Fingerprint = Annotated[
    str,
    AfterValidator(_fingerprint),
    Want("a fingerprint of 40 hexadecimal digits", "fingerprints of 40 hexadecimal digits"),
]
SshKey = Annotated[
    str,
    AfterValidator(_ssh_key),
    Want("a public key of ssh on one line, as a .pub file has it", "public keys of ssh"),
]
Who = Annotated[
    str,
    _matching(r"@?[a-z0-9][a-z0-9._+-]{0,63}", "the name of a person, or @ and a role"),
    Want("a person, or @ and a role", "persons and @roles"),
]
PathPattern = Annotated[
    str,
    _matching(r"[A-Za-z0-9._*?][A-Za-z0-9._+*?-]*(/[A-Za-z0-9._+*?-]+)*/?", "a path, or a pattern of paths"),
    Want("a path of the repository; ? and * stand for signs but '/', ** for any", "paths with ?, * and **"),
]
SshAddress = Annotated[
    str, AfterValidator(_ssh_address), Want('a string "ssh://user@host:port"', 'strings "ssh://user@host:port"')
]
WebUrl = Annotated[
    str,
    _url("http", "https"),
    Want("an http:// or https:// URL without a user name or password", "http:// or https:// URLs"),
]
LiveUrl = Annotated[
    str,
    _url("http", "https", "tor+http", "tor+https"),
    Want("an http://, https:// or tor+http(s):// URL without a user name or password", "URLs"),
]
FetchUrl = Annotated[
    str,
    _url("http", "https", "file"),
    Want("an http://, https:// or file:/// URL without a user name or password", "URLs"),
]
TrackerUrl = Annotated[
    str,
    _url("http", "https", "udp"),
    Want("an http://, https:// or udp:// URL without a user name or password", "URLs"),
]
ValidDays = Annotated[int, Field(ge=1, le=3650), Want("a whole number of days, 1 to 3650", "numbers of days")]
KeptCount = Annotated[int, Field(ge=1, le=100_000), Want("a number, 1 to 100000", "numbers")]
ActiveDays = Annotated[int, Field(ge=0, le=3650), Want("a whole number of days, 0 to 3650", "numbers of days")]
BuildHours = Annotated[int, Field(ge=1, le=168), Want("a whole number of hours, 1 to 168", "numbers of hours")]
Megabytes = Annotated[int, Field(ge=1, le=1 << 24), Want("a whole number of MiB, from 1", "numbers of MiB")]
MegabytesOrNone = Annotated[int, Field(ge=0, le=1 << 24), Want("a whole number of MiB, from 0", "numbers of MiB")]
Slots = Annotated[int, Field(ge=1, le=256), Want("a whole number, 1 to 256", "whole numbers")]
Processes = Annotated[int, Field(ge=100, le=1 << 20), Want("a whole number, from 100", "whole numbers")]
BootSeconds = Annotated[int, Field(ge=10, le=7200), Want("a whole number of seconds, 10 to 7200", "numbers of seconds")]
TimeOfDay = Annotated[
    str,
    _matching(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]", "a time of day"),
    Want('a time of day in UTC, "HH:MM"', 'times of day in UTC, "HH:MM"'),
]
PollMinutes = Annotated[int, Field(ge=1, le=1440), Want("a whole number of minutes, 1 to 1440", "numbers of minutes")]
PoolMinutes = Annotated[int, Field(ge=1, le=1440), Want("a whole number of minutes, 1 to 1440", "numbers of minutes")]
