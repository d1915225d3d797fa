"""What a second build has otherwise than the first: values, chosen by the build itself, and how sbuild is told.

The list is reprotest's, as far as a user namespace has it: clock, locale, time zone, umask, user, path, number of CPUs, host name,
HOME. Not varied: kernel, CPU model, order of files in folders (disorderfs needs a device of FUSE).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from distwright.errors import BadInput
from distwright.jobs.step import Plan, PlannedCommand
from distwright.model import plain
from distwright.model.digests import Json, Sha256

DAY_S = 86_400
LEAST_AHEAD_S = 8 * DAY_S
_MOST_DAYS = 390  # most go into another month, many into another year; certificates of test suites seldom last longer
_ODD_TIME_S = 7 * 3600 + 13 * 60
# Each sorts, capitalises or writes numbers and dates otherwise than C.
_LOCALES = ("et_EE.UTF-8", "fr_CH.UTF-8", "cs_CZ.UTF-8", "sv_SE.UTF-8")
# POSIX names, which mean the same without tzdata; east of Greenwich is negative.
_TIMEZONES = ("DWA-14", "DWB+12", "DWC-13:45", "DWD+9:30")
_FIRST_UID = 5000
_UIDS = 20_000  # below what a range of subordinate ids has (65,536)


@dataclass(frozen=True, slots=True)
class Variation:
    """The circumstances of a second build. clock_ahead_s: at least LEAST_AHEAD_S. cpus: what nproc says and how many may work.

    home, build_path: absolute; neither is below a folder that the first build has.
    """

    clock_ahead_s: int
    locale: str
    timezone: str
    umask: int
    user: str
    uid: int
    build_path: str
    cpus: int
    hostname: str
    home: str

    def to_json(self) -> Json:
        """Give the part of a job's inputs."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_json(cls, given: plain.Plain) -> Self:
        """Read what `to_json` gave; raise BadInput."""
        values = plain.with_defaults(given, cls.__slots__, {})
        return cls(
            clock_ahead_s=plain.number(values, "clock_ahead_s"),
            locale=plain.text(values, "locale"),
            timezone=plain.text(values, "timezone"),
            umask=plain.number(values, "umask"),
            user=plain.text(values, "user"),
            uid=plain.number(values, "uid"),
            build_path=plain.text(values, "build_path"),
            cpus=plain.number(values, "cpus"),
            hostname=plain.text(values, "hostname"),
            home=plain.text(values, "home"),
        )

    @property
    def timezone_name(self) -> str:
        """The name of the zone, as `date +%Z` gives it."""
        return self.timezone.rstrip("0123456789:+-")

    def in_words(self) -> dict[str, str]:
        """Say what is varied, by name, for people."""
        return {
            "clock": f"{self.clock_ahead_s // DAY_S} days ahead",
            "locale": self.locale,
            "time zone": self.timezone,
            "umask": f"{self.umask:04o}",
            "user": f"{self.user} ({self.uid})",
            "build path": self.build_path,
            "CPUs": str(self.cpus),
            "host name": self.hostname,
            "HOME": self.home,
        }


def variation_of(build: Sha256, source: str) -> Variation:
    """Choose the circumstances of the second build of an order: the same for the same order, others for others."""
    seed = int(build[:16], 16)
    word = build[:6]
    return Variation(
        clock_ahead_s=LEAST_AHEAD_S + seed % _MOST_DAYS * DAY_S + _ODD_TIME_S,
        locale=_LOCALES[seed % len(_LOCALES)],
        timezone=_TIMEZONES[seed // 7 % len(_TIMEZONES)],
        umask=0o002,  # reprotest's; a stricter one makes dpkg-deb refuse packages that are made by hand
        user=f"second-{word}",
        uid=_FIRST_UID + seed % _UIDS,
        build_path=f"/srv/elsewhere-{word}/{source}",
        cpus=1,
        hostname=f"host-{word}",
        home=f"/home-{word}",
    )


# Where the files below are seen in the build root, and what becomes of one of them.
_CLOCK_SOURCE = Path(__file__).with_name("other_clock.c")
_MOUNTED, _CLOCK = "/second-build", "/usr/local/lib/second-build-clock.so"

# After the build dependencies are chosen, so that it has no say in that, from the same pinned archives, and with the network that
# they came by. dpkg-genbuildinfo names what Build-Depends need and nothing else, so the package does not get into the record.
_PREPARE = """#!/bin/sh
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get --yes --no-install-recommends install locales
localedef --no-archive --inputfile={locale_name} --charmap=UTF-8 /usr/lib/locale/{locale_name}.utf8 || test $? = 1  # warnings
test "$(LC_ALL={locale} locale charmap 2>&1)" = UTF-8
gcc -std=gnu11 -shared -fPIC -O2 -DAHEAD={ahead}L -o {clock} {mounted}/other_clock.c -ldl
"""

# What sbuild starts dpkg-buildpackage by, as the user who builds. --sanitize-env would undo the umask. dpkg counts all CPUs, not
# those that it may use, hence parallel.
_START = """#!/bin/sh
set -eu
for word do
    shift
    test "$word" = --sanitize-env || set -- "$@" "$word"
done
umask {umask}
export HOME={home} TZ={timezone} LANG={locale} LC_ALL={locale} LANGUAGE={language} USER={user} LOGNAME={user}
export DEB_BUILD_OPTIONS="${{DEB_BUILD_OPTIONS:+$DEB_BUILD_OPTIONS }}parallel={cpus}"
export LD_PRELOAD="{clock}${{LD_PRELOAD:+:$LD_PRELOAD}}"
first=$(awk '/^Cpus_allowed_list:/ {{ sub(/[,-].*/, "", $2); print $2 }}' /proc/self/status)
echo "second build: $(date +%s) $(date +%Z) $LC_ALL $(umask) $(id -un) $(id -u) $PWD $(hostname) $HOME"
exec taskset --cpu-list "$first" "$@"
"""

# sbuild names every build root the same and has no say in numbers of users; there is no setting for either. Where it does so in
# another way than here, the build ends: a check that does not vary what it says would be worse than none.
_PATCH = """require Sbuild::ChrootUnshare;
{
    no warnings 'redefine';
    my $argv = \\&Sbuild::ChrootUnshare::_get_exec_argv;
    *Sbuild::ChrootUnshare::_get_exec_argv = sub {
        my @words = $argv->(@_);
        my $named = grep { s/hostname sbuild;/hostname <HOST>;/ && s/127\\.0\\.1\\.1 sbuild/127.0.1.1 <HOST>/ } @words;
        die "this sbuild names its build roots in another way\\n" if $named != 1;
        return @words;
    };
    my $add = \\&Sbuild::ChrootUnshare::useradd;
    *Sbuild::ChrootUnshare::useradd = sub {
        my ($self, @words) = @_;
        return $add->($self, @words) if $words[-1] ne '<USER>';
        # sbuild measures the tree as the user who started it, whom it makes only where he builds too.
        my $starter = $self->get_conf('USERNAME');
        my $failed = $starter ne 'sbuild' && $add->($self, @words[0 .. $#words - 1], $starter);
        return $failed || $add->($self, @words[0 .. $#words - 1], '--uid', '<UID>', '--home-dir', '<HOME>', '<USER>');
    };
}
"""
_SBUILDRC = """$build_user = '{user}';
$build_env_cmnd = '{mounted}/start';
$unshare_bind_mounts = [{{directory => '{{work}}/second-build', mountpoint => '{mounted}'}}];
"""


def varied(plan: Plan, variation: Variation) -> Plan:
    """Give the plan of a build (`builds.package.plan_build`) with other circumstances, and nothing else about it changed."""
    command, *others = plan.commands or (PlannedCommand((), 0),)
    at = next((n for n, word in enumerate(command.argv) if word.startswith("--build-path=")), None)
    if at is None or others or variation.cpus != 1:
        raise BadInput("the plan is not that of a package build", hint="report this as a bug of distwright")
    argv = (
        *command.argv[:at],
        f"--build-path={variation.build_path}",
        f"--starting-build-commands={_MOUNTED}/prepare",
        *command.argv[at + 1 :],
    )
    return replace(
        plan,
        commands=(replace(command, argv=argv),),
        write={**plan.write, **_scripts(variation)},
        templates=_told(plan.templates, variation),
    )


def _scripts(variation: Variation) -> dict[str, str]:
    values = {
        "home": variation.home,
        "user": variation.user,
        "locale": variation.locale,
        "locale_name": variation.locale.partition(".")[0],
        "language": variation.locale.partition("_")[0],
        "timezone": variation.timezone,
        "umask": f"{variation.umask:04o}",
        "ahead": variation.clock_ahead_s,
        "cpus": variation.cpus,
        "clock": _CLOCK,
        "mounted": _MOUNTED,
    }
    scripts = {"prepare": _PREPARE, "start": _START}
    written = {f"second-build/{name}": text.format(**values) for name, text in scripts.items()}
    return {**written, "second-build/other_clock.c": _CLOCK_SOURCE.read_text()}


def _told(templates: Mapping[str, str], variation: Variation) -> dict[str, str]:
    """Tell sbuild: its settings come first in ours, for they end with `1;`."""
    begin, sign, rest = templates["sbuild"].partition("\n$0 =")
    if not sign:
        raise BadInput("the plan does not start sbuild as it did", hint="report this as a bug of distwright")
    patch = _PATCH
    values = {"HOST": variation.hostname, "UID": str(variation.uid), "USER": variation.user, "HOME": variation.home}
    for word, value in values.items():
        patch = patch.replace(f"<{word}>", value)
    settings = _SBUILDRC.format(user=variation.user, mounted=_MOUNTED)
    return {
        **templates,
        "sbuild": f"{begin}\n{patch}{sign.lstrip()}{rest}",
        "sbuildrc": settings + templates["sbuildrc"],
    }
