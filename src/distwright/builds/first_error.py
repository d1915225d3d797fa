"""The first real error in the log of a build: the line that says why, not the last ones, which only say that.

Pure, and takes any text: what a package prints may make it name a wrong line, and nothing worse. Whose fault a failure is follows
from elsewhere (judging_builds.py).
"""

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from distwright.formats.log_text import LEFT_OUT

_LONGEST = 300
_BEFORE, _AFTER = 3, 4

BEGUN = re.compile(r"dpkg-buildpackage: info: source package ")
_FINAL = re.compile(r"dpkg-buildpackage: error: |Build finished at ")
_MARK = re.compile(
    r"   (?:debian/rules )?((?:override_|execute_before_|execute_after_)?dh_\w+)|^ debian/rules (\w+)| dpkg-source (--\S+)"
)
_STAGES = (
    (re.compile(r"dh_auto_test"), "test"),
    (re.compile(r"dh_auto_build"), "build"),
    (re.compile(r"dh_auto_configure|dh_autoreconf|dh_update_autotools"), "configure"),
    (re.compile(r"dh_auto_install|dh_install|dh_missing|dh_movefiles|dh_link"), "install"),
    (re.compile(r"dh_(?:auto_)?clean|clean$"), "clean"),
    (re.compile(r"--before-build|--build|-b$"), "source"),
    (re.compile(r"dh_"), "package"),
)  # fmt: skip

# apt says its error (`E: Unable to correct problems`) piece by piece, and the first of them may come before this list.
_TOO_EARLY = re.compile(r"[EW](?:: ?)?(?= +\S+ : | +\w+: |The following)")
_UNMET = re.compile(rf"(?:{_TOO_EARLY.pattern})?The following packages have unmet dependencies:")
_TRACEBACK = re.compile(r"\s*Traceback \(most recent call last\):")
_VERDICT_OF_MAKE = re.compile(r"g?make\S*: (?:\*\*\* )?\[")
_IGNORED = re.compile(r"g?make\S*: .*\(ignored\)$")
# Each is tried at the beginning of a line. A compiler names a place; a tool names itself.
_COMPILE = r"""
    [^\s:][^:]*:\d+(?::\d+)?:\s(?:fatal\s|internal\scompiler\s)?error:   # gcc, clang, javac, valac, ghc
  | \S*(?:cc|\+\+|clang|cc1\w*|cpp|rustc|javac|ld|ar|as|collect2)(?:-\d+)?:\s(?:fatal\s)?error:
  | error(?:\[E\d+\])?:\s                                               # rustc, cargo
  | \S+\.go:\d+:\d+:\s
  | .*\bundefined\sreference\sto\b | .*\bcannot\sfind\s-l | .*\bmultiple\sdefinition\sof\b | .*\bundefined\ssymbol:
"""
_CONFIGURE = r"""
    configure(?:\.ac:\d+)?:\serror: | CMake\sError | \S*meson\.build:\d+:\d+:\sERROR: | \S+:\d+:\s\S+\serror: | aclocal:\serror
"""
_MAKE = r"""
    .*\bNo\srule\sto\smake\starget\b | \S+:\d+:\s\*\*\*\s | g?make\S*:\s[^*\s]\S*:\s(?:No\ssuch|Permission|command\snot)
  | .*\*\*\*.*\]\s(?:Killed|Segmentation\sfault|Aborted|Bus\serror|Terminated|Illegal\sinstruction|Floating\spoint|File\ssize)
"""
_MACHINE = r"""
    .*\bNo\sspace\sleft\son\sdevice | .*\bDisk\squota\sexceeded | .*\bvirtual\smemory\sexhausted | .*\bCannot\sallocate\smemory
  | .*\bstd::bad_alloc | .*\bKilled\ssignal\sterminated\sprogram | .*\bTemporary\sfailure\sin\sname\sresolution
  | .*\bBuild\skilled\swith\ssignal
"""
_SHELL = r"\S*(?:sh|rules|bash|dash)(?::\s(?:line\s)?\d+)?:\s.*(?:not\sfound|Permission\sdenied|No\ssuch\sfile\sor\sdirectory)$"
_PACKAGING = r"""
    dh_\w+:\swarning:\s(?:Cannot\sfind\s|.*\smissing\sfiles:|.*exists\sin\s.*\sbut\sis\snot\sinstalled)
  | dh_\w+:\serror:\s(?!.*\sreturned\sexit\scode) | dpkg-[\w-]+:\serror:\s(?!.*\ssubprocess\s) | patch:\s\*{4}\s
  | Hunk\s\#\d+\sFAILED | \d+\sout\sof\s\d+\shunks?\sFAILED | dpkg-source:\sinfo:\sthe\spatch\shas\sfuzz
"""
_TEST = r"""
    (?:FAIL|ERROR|XPASS|TIMEOUT):\s\S | (?:FAILED|ERROR)\s\S+(?:\.py\b|::)                 # automake, unittest, pytest
  | \s*\d+/\d+\s.*(?:\*\*\*|\s)(?:Failed|Exception|Timeout|Not\sRun|FAIL|TIMEOUT|ERROR)\b  # ctest, meson
  | \s*not\sok\b(?!.*\#\s(?:TODO|SKIP|todo|skip)) | \#\s+Failed\s(?:test|\(TODO\))         # TAP
  | \[\s\sFAILED\s\s\]\s | \s*---\sFAIL:\s | test\s.*\s\.\.\.\sFAILED$ | .*\bTests\srun:.*(?:Failures|Errors):\s[1-9]
"""
_STRONG = re.compile("|".join((_COMPILE, _CONFIGURE, _MAKE, _MACHINE, _SHELL, _PACKAGING)), re.VERBOSE)
_OF_A_TEST = re.compile(_TEST, re.VERBOSE)
_OF_A_COMPILER = re.compile(_COMPILE, re.VERBOSE)
_SETUP = re.compile(
    r"E: (?!Package build dependencies not satisfied)|W: Failed to fetch|dpkg: error |dpkg-checkbuilddeps: error: "
)
_SOURCE = re.compile(r"dpkg-source: error: ")
_HUNK = re.compile(r"Hunk #\d+ FAILED|\d+ out of \d+ hunks? FAILED")
_PATCH = re.compile(r".*\b(?:applying|patch) '?([^\s']+\.\w+)'?")
_WEAK = re.compile(
    r"(?i)(?!.*\b(?:0 (?:errors?|failed|failures)|no errors?|-werror|warning:))"
    r".*\b(?:errors?|fail(?:ed|ures?)?|fatal|abort(?:ed)?|cannot|panic(?:ked)?)\b"
)
# What only repeats that something failed.
_ECHO = re.compile(
    r"(?:g?make(?:\[\d+\])?: (?:\*\*\* |Entering|Leaving)|dh_\w+: error: .* returned exit code|dpkg-buildpackage: |collect2: "
    r"|E: (?:pybuild|Build failure)|ninja: build stopped|cc1\w*: (?:all|some) warnings|compilation terminated|\s|-{8}|={8}|$)"
)


@dataclass(frozen=True, slots=True)
class FirstError:
    """stage: dependencies, source, clean, configure, build, test, install or package. number: of the line, from 1."""

    stage: str
    line: str
    number: int
    around: tuple[str, ...]


def first_error(log: str) -> FirstError | None:
    """Find the first line that is a cause, in what failed last; None if nothing says so."""
    lines = [line[:_LONGEST] for line in log.splitlines()]
    begin = next((at for at, line in enumerate(lines) if BEGUN.match(line)), None)
    if begin is None:
        return _of_setup(lines)
    end = next((at for at in range(len(lines) - 1, begin, -1) if _FINAL.match(lines[at])), len(lines))
    start, stage = _last_mark(lines, begin, end)
    at = _cause(lines, start, end, stage)
    if at is None:
        return None
    if stage == "build" and _OF_A_TEST.match(lines[at]):
        stage = "test"
    if lines[at].startswith("dpkg-checkbuilddeps: "):
        stage = "dependencies"
    return _shown(lines, at, stage)


def stage_reached(log: str) -> str:
    """Say in which stage a log ends: where a build was when it was ended."""
    lines = log.splitlines()
    begin = next((at for at, line in enumerate(lines) if BEGUN.match(line)), None)
    return "dependencies" if begin is None else _last_mark(lines, begin, len(lines))[1]


def has_begun(log: str) -> bool:
    """Say whether dpkg-buildpackage has begun, which it says before anything of the package runs."""
    return any(BEGUN.match(line) or LEFT_OUT.fullmatch(line) for line in log.splitlines())


def _last_mark(lines: Sequence[str], begin: int, end: int) -> tuple[int, str]:
    """Find where the last part of the build begins, as debhelper and dpkg-buildpackage announce them, and its stage."""
    for at in range(end - 1, begin, -1):
        if found := _MARK.match(lines[at]):
            name = next(filter(None, found.groups()))
            return at, next((stage for pattern, stage in _STAGES if pattern.search(name)), "build")
    return begin, "source"


def _cause(lines: Sequence[str], start: int, end: int, stage: str) -> int | None:
    """Find the cause among these lines: the failed test in a test; else what a tool calls an error; else what sounds like one."""
    order = (_tests, _strong, _weak) if stage == "test" else (_strong, _tests, _weak)
    for search in order:
        if (at := next(search(lines, start, end), None)) is not None:
            return at
    # Nothing sounds like it: what was said last, before it was only repeated.
    failed = next((at for at in range(start, end) if _ECHO.match(lines[at]) and "***" in lines[at]), end)
    said = (at for at in range(failed - 1, start, -1) if not _ECHO.match(lines[at]))
    return next(said, failed if failed < end else None)


def _strong(lines: Sequence[str], start: int, end: int) -> Iterator[int]:
    verdicts = [at for at in range(start, end) if _VERDICT_OF_MAKE.match(lines[at])]
    for at in range(start, end):
        if _TRACEBACK.match(lines[at]):
            yield _end_of_traceback(lines, at, end)
        elif _STRONG.match(lines[at]) and not _is_ignored(lines, at, verdicts):
            yield at


def _tests(lines: Sequence[str], start: int, end: int) -> Iterator[int]:
    return (at for at in range(start, end) if _OF_A_TEST.match(lines[at]))


def _weak(lines: Sequence[str], start: int, end: int) -> Iterator[int]:
    return (at for at in range(start + 1, end) if not _ECHO.match(lines[at]) and _WEAK.match(lines[at]))


def _end_of_traceback(lines: Sequence[str], begin: int, end: int) -> int:
    """Give the line of a traceback that names the exception: the first that is not indented more than its beginning."""
    indent = len(lines[begin]) - len(lines[begin].lstrip())
    for at in range(begin + 1, end):
        if lines[at].strip() and len(lines[at]) - len(lines[at].lstrip()) <= indent:
            return at
    return begin


def _is_ignored(lines: Sequence[str], at: int, verdicts: Sequence[int]) -> bool:
    """Say whether make went on after this error: `make: [Makefile:3: all] Error 1 (ignored)`. verdicts: of make, in order."""
    if not _OF_A_COMPILER.match(lines[at]):
        return False
    later = bisect_left(verdicts, at)
    return later < len(verdicts) and _IGNORED.match(lines[verdicts[later]]) is not None


def _of_setup(lines: Sequence[str]) -> FirstError | None:
    """Find why a build did not even begin: what apt says of dependencies, what is wrong with the source, or what failed first."""
    for at, line in enumerate(lines):
        if _UNMET.match(line):
            return _shown(lines, at, "dependencies", "; ".join(_unmet(lines[at + 1 :])))
    for search, stage in ((_SETUP, "dependencies"), (_SOURCE, "source")):
        if (at := next((at for at, line in enumerate(lines) if search.match(line)), -1)) >= 0:
            return _shown(lines, next(_strong(lines, 0, at), at) if stage == "source" else at, stage)
    return None


def _unmet(lines: Sequence[str]) -> Iterator[str]:
    """Give what apt says of each dependency that is not met, in its words: `libx-dev but it is not installable`."""
    package = ""
    for line in (_TOO_EARLY.sub("", line, count=1) for line in lines):
        if not line.startswith(" "):
            return
        before, separator, rest = line.partition(" : ")
        package = before.strip() if separator else package
        reason = (rest if separator else line).strip()
        yield reason.partition(": ")[2] if package.startswith("sbuild-build-depends") else f"{package}: {reason}"


def _shown(lines: Sequence[str], at: int, stage: str, line: str = "") -> FirstError:
    """Give a line with those around it; one that ends in a colon with what it announces."""
    text = line or lines[at].strip()
    if not line and text.endswith(":"):
        text = " ".join((text, next((later.strip() for later in lines[at + 1 : at + 3] if later.strip()), ""))).strip()
    if _HUNK.match(text):
        near = map(_PATCH.match, lines[max(0, at - 8) : at + 8])
        text = f"{next((f'patch {found[1]}: ' for found in near if found), '')}{text}"
    left_out = sum(int(match[1]) - 1 for before in lines[:at] if (match := LEFT_OUT.fullmatch(before)))
    around = tuple(lines[max(0, at - _BEFORE) : at + _AFTER + 1])
    return FirstError(stage, text[:_LONGEST], at + 1 + left_out, around)
