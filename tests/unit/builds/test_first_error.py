"""The first real error of logs: of builds that really failed, shortened (logs/)."""

from pathlib import Path

import pytest

from distwright.builds.first_error import first_error, has_begun, stage_reached

LOGS = Path(__file__).with_name("logs")
ERRORS = {
    "autoconf": ("configure", "configure: error: libnothere is needed"),
    "automake-test": ("test", "FAIL: bad.sh"),
    "bad-rules": ("clean", "debian/rules:3: *** missing separator (did you mean TAB instead of 8 spaces?).  Stop."),
    "checkbuilddeps": ("dependencies", "dpkg-checkbuilddeps: error: Unmet build dependencies: libnothere-dev debhelper (>= 99)"),
    "cmake": (
        "configure",
        ('CMake Error at CMakeLists.txt:3 (find_package): By not providing "FindNothere.cmake" in CMAKE_MODULE_PATH this '
        "project has"),
    ),
    "ctest": ("test", "2/2 Test #2: bad ..............................***Failed    0.01 sec"),
    "cxx": (
        "build",
        "a.cc:3:53: error: no matching function for call to ‘std::vector<std::__cxx11::basic_string<char> >::push_back(int)’",
    ),
    "dh-install": ("install", 'dh_install: warning: Cannot find (any matches for) "usr/bin/nothere" (tried in ., debian/tmp)'),
    "dh-missing": ("install", "dh_missing: warning: usr/bin/extra exists in debian/tmp but is not installed to anywhere"),
    "full-disk": ("build", "cat: write error: No space left on device"),
    "gcc": ("build", "a.c:5:27: error: ‘missing’ undeclared (first use in this function)"),
    "ignored": ("build", "bad.c:1:22: error: ‘nope’ undeclared (first use in this function)"),
    "killed": ("build", "make[1]: *** [Makefile:2: all] Killed"),
    "make-check": ("test", "checking two ... FAILED"),
    "meson": (
        "configure",
        ("../meson.build:2:0: ERROR: Dependency lookup for nothere with method 'pkgconfig' failed: Pkg-config binary for "
        "machine 1 not found. Giving up."),
    ),
    "meson-test": ("test", "2/2 bad  FAIL            0.02s   exit status 1"),
    "network": ("test", "socket.gaierror: [Errno -3] Temporary failure in name resolution"),
    "no-header": ("build", "a.c:1:10: fatal error: zlib.h: No such file or directory"),
    "no-library": ("build", "/usr/bin/ld: cannot find -lnothere: No such file or directory"),
    "no-orig": (
        "source",
        ("dpkg-source: error: can't build with source format '3.0 (quilt)': no upstream tarball found at "
        "../noorig_1.0.orig.tar.{bz2,gz,lzma,xz}"),
    ),
    "no-program": ("build", "make[1]: frobnicate: No such file or directory"),
    "no-target": ("build", "make[1]: *** No rule to make target 'thing.o', needed by 'all'.  Stop."),
    "patch": ("source", "patch fix.patch: Hunk #1 FAILED at 1."),
    "perl-test": ("test", "#   Failed test 'two is one'"),
    "pytest": ("test", "FAILED tests/test_mod.py::test_odd - assert 2 == 2.5"),
    "segfault": ("build", "make[1]: *** [Makefile:2: all] Segmentation fault"),
    "shlibdeps": (
        "package",
        ("dpkg-shlibdeps: error: cannot find library libq.so.1 needed by debian/shlibs/usr/bin/prog (ELF format: "
        "'elf64-x86-64' abi: '0201003e00000000'; RPATH: '')"),
    ),
    "traceback": ("build", "FileNotFoundError: [Errno 2] No such file or directory: 'missing.json'"),
    "undefined": ("build", "././a.c:2: undefined reference to `used'"),
    "unittest": ("test", "FAIL: test_a (tests.test_a.T.test_a)"),
    "upstream-changes": (
        "source", "dpkg-source: error: aborting due to unexpected upstream changes, see /tmp/unrepr_1.0-1.diff.81APEC",
    ),
    "werror": ("build", "a.c:1:19: error: unused variable ‘unused’ [-Werror=unused-variable]"),
}  # fmt: skip


def test_every_log_is_looked_into() -> None:
    assert {path.stem for path in LOGS.glob("*.log")} - set(SBUILD) == set(ERRORS)
    assert all(path.stat().st_size < 4096 for path in LOGS.iterdir())


SBUILD: dict[str, tuple[str, str]] = {}


@pytest.mark.parametrize(("name", "want"), [*ERRORS.items(), *SBUILD.items()], ids=[*ERRORS, *SBUILD])
def test_first_error_of_a_log_is_the_cause(name: str, want: tuple[str, str]) -> None:
    log = (LOGS / f"{name}.log").read_text()
    error = first_error(log)
    assert error is not None
    assert (error.stage, error.line) == want
    assert error.line.endswith(log.splitlines()[error.number - 1].strip()[-20:]) or len(error.around) > 1
    assert error.around == tuple(line[:300] for line in log.splitlines()[max(0, error.number - 4) : error.number + 4])


BUILD = "dpkg-buildpackage: info: source package x\n dpkg-source --before-build .\n   dh_auto_build\n"
END = "make: *** [debian/rules:3: build] Error 25\ndpkg-buildpackage: error: debian/rules build subprocess returned exit status 2\n"
OTHERS = {
    "rustc": "error[E0425]: cannot find value `x` in this scope\n --> src/main.rs:2:5\nerror: could not compile `x`\n",
    "go": "# example.org/x\n./main.go:3:2: undefined: y\n",
    "javac": "src/A.java:3: error: ';' expected\n    int x\n         ^\n1 error\n",
    "clang": "a.c:1:1: error: unknown type name 'foo'\n1 error generated.\n",
    "out of memory": "g++: fatal error: Killed signal terminated program cc1plus\ncompilation terminated.\n",
    "shell": "./build.sh: line 3: frobnicate: command not found\n",
    "sh": "/bin/sh: 1: frobnicate: not found\n",
    "googletest": "[ RUN      ] A.b\n[  FAILED  ] A.b (0 ms)\n",
    "tap": "ok 1 - a\nnot ok 2 - b # TODO later\nnot ok 3 - c\n",
    "stalled": "E: Build killed with signal TERM after 150 minutes of inactivity\n",
}
LINES = {
    "go": "./main.go:3:2: undefined: y", "googletest": "[  FAILED  ] A.b (0 ms)", "tap": "not ok 3 - c",
}  # fmt: skip


@pytest.mark.parametrize(("text", "name"), [(text, name) for name, text in OTHERS.items()], ids=OTHERS)
def test_tools_that_are_not_installed_here_are_known_too(text: str, name: str) -> None:
    error = first_error(f"{BUILD}doing things\n{text}{END}")
    assert error is not None
    assert error.line == LINES.get(name, text.splitlines()[0])


def test_what_went_well_before_the_last_part_of_a_build_is_no_cause() -> None:
    log = f"{BUILD}x.c:1:2: error: of a check that is meant to fail\n   dh_auto_test\nx: boo\nmake[1]: *** [a] Error 1\n{END}"
    error = first_error(log)
    assert error is not None
    assert (error.stage, error.line, error.number) == ("test", "x: boo", 6)


def test_number_of_a_line_counts_those_that_are_left_out() -> None:
    error = first_error(f"{BUILD}[... 1000 lines left out ...]\na.c:1:2: error: x\n{END}")
    assert error is not None
    assert error.number == 1004


UNMET = """
Some packages could not be installed. This may mean that you have
or been moved out of Incoming.
The following information may help to resolve the situation:

The following packages have unmet dependencies:
 libgreeter-dev : Depends: libnothere1 (>= 2) but 1.0-1 is to be installed
 sbuild-build-depends-main-dummy : Depends: libmissing-dev but it is not installable
                                   Depends: libgreeter-dev (>= 3) but it is not going to be installed
E: Unable to correct problems, you have held broken packages.
apt-get failed.
E: Package installation failed
"""


def test_dependencies_that_are_not_met_are_named_in_the_words_of_apt() -> None:
    error = first_error(UNMET)
    assert error is not None
    assert (error.stage, error.line) == (
        "dependencies",
        (
            "libgreeter-dev: Depends: libnothere1 (>= 2) but 1.0-1 is to be installed; libmissing-dev but it is not installable; "
            "libgreeter-dev (>= 3) but it is not going to be installed"
        ),
    )


@pytest.mark.parametrize("early", ["E", "E: "])
@pytest.mark.parametrize(
    "before",
    ["The following packages", " libgreeter-dev :", " sbuild-build-depends", f"{' ' * 35}Depends: libgreeter-dev"],
)
def test_error_that_apt_began_to_say_before_its_list_is_not_the_end_of_the_list(early: str, before: str) -> None:
    """Its output and its errors come through one pipe, the errors in pieces."""
    rest = "E: Unable".removeprefix(early)
    mixed = UNMET.replace("E: Unable", rest).replace(before, f"{early}{before}", 1)
    assert mixed.count(early) == UNMET.count(early)
    found, expected = first_error(mixed), first_error(UNMET)
    assert found is not None
    assert expected is not None
    assert (found.stage, found.line) == (expected.stage, expected.line)


@pytest.mark.parametrize(
    "log", ["", "\n", "all is well\n", BUILD, "\0\xff", "dpkg-buildpackage: info: source package "]
)
def test_log_without_an_error_has_none(log: str) -> None:
    assert first_error(log) is None


def test_stage_that_a_log_reached_is_named() -> None:
    assert [stage_reached(log) for log in ("", UNMET, BUILD, f"{BUILD}   dh_auto_test\nrunning\n")] == [
        "dependencies", "dependencies", "build", "test",
    ]  # fmt: skip
    assert (has_begun(BUILD), has_begun(UNMET), has_begun("[... 9 lines left out ...]\n")) == (True, False, True)


@pytest.mark.parametrize(
    "piece", ["a:", "make: *** [", "1/1 x ", "error:" * 50 + "\n", "Traceback (most recent call last):\n", "/a:1:"]
)
def test_no_log_takes_long(piece: str) -> None:
    first_error(BUILD + piece * (400_000 // len(piece)) + END)


def test_no_number_of_errors_that_make_ignored_takes_long() -> None:
    ignored = "a:1: error: b\n" * 100_000 + "make: [Makefile:1: all] Error 1 (ignored)\n"
    found = first_error(f"{BUILD}{ignored}c:2: error: d\nmake: *** [Makefile:2: b] Error 2\n{END}")
    assert found is not None
    assert found.line == "c:2: error: d"
