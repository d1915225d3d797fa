"""What blhc says of a build log."""

from distwright.checks.blhc import FAULTS_LIMIT, Fault, parse_blhc

REAL = b"""\
CFLAGS missing (-fstack-protector-strong -Wformat -Werror=format-security): gcc -g -O2 -c -o foo.o foo.c
CPPFLAGS missing (-D_FORTIFY_SOURCE=2): gcc -g -O2 -c -o foo.o foo.c
CPPFLAGS missing (-D_FORTIFY_SOURCE=2): gcc -g -O2 -c -o bar.o bar.c
LDFLAGS missing (-Wl,-z,relro): gcc -o foo foo.o bar.o
NONVERBOSE BUILD:   CC baz.o
"""  # of blhc 0.13


def test_faults_are_by_flag_and_not_by_file() -> None:
    assert parse_blhc(REAL).faults == (
        Fault(
            "CFLAGS without -fstack-protector-strong -Wformat -Werror=format-security",
            1,
            ("gcc -g -O2 -c -o foo.o foo.c",),
        ),
        Fault(
            "CPPFLAGS without -D_FORTIFY_SOURCE=2", 2, ("gcc -g -O2 -c -o foo.o foo.c", "gcc -g -O2 -c -o bar.o bar.c")
        ),
        Fault("LDFLAGS without -Wl,-z,relro", 1, ("gcc -o foo foo.o bar.o",)),
        Fault("compiler calls hidden", 1, ("CC baz.o",)),
    )


def test_a_build_without_a_compiler_has_no_fault() -> None:
    assert parse_blhc(b"No compiler commands!\n").faults == ()
    assert not parse_blhc(b"No compiler commands!\n").has_calls
    assert parse_blhc(b"").has_calls


def test_hostile_lines_are_bounded() -> None:
    lines = b"".join(b"CFLAGS missing (-f%d): gcc \x1b]0;\xff%b\n" % (number, b"a" * 9000) for number in range(1000))
    faults = parse_blhc(lines).faults
    assert len(faults) == FAULTS_LIMIT
    assert all(len(call) <= 330 and call.isprintable() for fault in faults for call in fault.calls)
