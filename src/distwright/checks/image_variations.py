"""What a second build of an image has otherwise than the first: the circumstances of a package's, as far as an image meets them.

The clock is moved by the library that moves that of packages, for all programs of a root by /etc/ld.so.preload: hooks and tools
start others with an environment of their own. It and the locale are made once, in an environment from the archives that the tools
are from. A hook that lists /etc sees the file. The path of work folders is another by itself, for it has the number of the job.
Not varied: the order of files in folders (disorderfs needs a device of FUSE), the kernel but for its number, the CPU model.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from distwright.builds.environment import EnvironmentRecipe, environment_plan, judge_environment, root_of
from distwright.checks.variations import Variation, variation_of
from distwright.errors import BadInput
from distwright.jobs.step import Earlier, Inputs, Plan, PlannedCommand, Step
from distwright.model import plain
from distwright.model.digests import Sha256

COMPILER, CIRCUMSTANCES, TAR = "compiler", "circumstances", "circumstances.tar"
_UMASK = 0o077
_CLOCK_SOURCE = Path(__file__).with_name("other_clock.c")
_COMPILER_PACKAGES = ("gcc", "libc6-dev", "locales")
_TIMEOUT_S = 300
# What is not told to a step. Packages that look at the number of the kernel refuse 2.6: libc6 before it is installed, and what a
# hook installs. mkinitramfs packs every library that ldd(1) names, and it names what is loaded before all others. FAT has local
# time: the medium is what it is because every runner says UTC.
_TRUE_KERNEL, _TRUE_CLOCK, _TRUE_ZONE = (
    frozenset({"root", "customise"}),
    frozenset({"initrd"}),
    frozenset({"iso", "usb"}),
)

_MAKE = """#!/bin/sh
set -eu
umask 022
mkdir -p made/locale
gcc -std=gnu11 -shared -fPIC -O2 -DAHEAD={ahead}L -o made/clock.so other_clock.c -ldl
localedef --no-archive --inputfile={locale_name} --charmap=UTF-8 "$PWD/made/locale/{locale_name}.utf8" || test $? = 1  # warnings
test "$(LOCPATH=$PWD/made/locale LC_ALL={locale} locale charmap 2>&1)" = UTF-8
tar --create --directory made --sort=name --owner=0 --group=0 --numeric-owner --file circumstances.tar .
"""

# In front of each program of a root, and of the machine's mmdebstrap. @CHANGES@: what only root of a namespace can change.
_START = """#!/bin/sh
set -eu
umask 022
mkdir -p @FOLDER@
tar --extract --file circumstances.tar --directory @FOLDER@ --no-same-owner
@CHANGES@first=$(awk '/^Cpus_allowed_list:/ { sub(/[,-].*/, "", $2); print $2 }' /proc/self/status)
export LOCPATH="$PWD/@FOLDER@/locale"
umask @UMASK@
echo "second build: $(date +%s) $(date +%Z) $LC_ALL $(umask) $(uname -n) $HOME $USER"
exec @KERNEL@taskset --cpu-list "$first" "$@"
"""
_OTHER_CLOCK = """[ -e /etc/ld.so.preload ] || echo "$PWD/@FOLDER@/clock.so" >/etc/ld.so.preload
"""
_OTHER_KERNEL = "setarch --uname-2.6 "

# In the image, the first and the last of its hooks. /etc has the time of this build in any case: the first one writes there, too.
_HOOKS = "recipe/hooks"
_CLOCK_HOOKS = {
    f"{_HOOKS}/!clock.hook.chroot": """#!/bin/sh
[ -e /etc/ld.so.preload ] || echo /dev/recipe/second/clock.so >/etc/ld.so.preload
""",
    f"{_HOOKS}/~clock.hook.chroot": """#!/bin/sh
[ "$(cat /etc/ld.so.preload)" != /dev/recipe/second/clock.so ] || rm /etc/ld.so.preload
""",
}

# Called by mmdebstrap in its namespaces: before the packages, and when they are all there.
_SET_UP = (
    'mkdir -p "$1/etc/second-build" && tar --extract --file {work}/circumstances.tar --directory "$1/etc/second-build" '
    '--no-same-owner && echo /etc/second-build/clock.so >"$1/etc/ld.so.preload" && hostname @HOST@'
)
_TAKE_AWAY = 'rm -r "$1/etc/second-build" "$1/etc/ld.so.preload"'


def image_variation(build: Sha256, image: str) -> Variation:
    """Choose the circumstances of the second build of an image's order; the path says nothing here."""
    return replace(variation_of(build, image), umask=_UMASK)


def in_words(variation: Variation) -> dict[str, str]:
    """Say what is varied, by name, for people."""
    words = variation.in_words()
    return {
        **{name: words[name] for name in ("clock", "locale", "time zone", "umask", "CPUs", "host name", "HOME")},
        "user": variation.user,
        "kernel": "a number of 2.6",
    }


def _compiler(inputs: Inputs) -> EnvironmentRecipe:
    tools = EnvironmentRecipe.from_json(plain.mapping(inputs, "tools"))
    return replace(tools, variant="minbase", include=_COMPILER_PACKAGES)


def _plan_compiler(inputs: Inputs, _earlier: Earlier) -> Plan:
    return environment_plan(_compiler(inputs))


def _plan_circumstances(inputs: Inputs, earlier: Earlier) -> Plan:
    variation = variation_in(inputs)
    script = _MAKE.format(
        ahead=variation.clock_ahead_s, locale=variation.locale, locale_name=variation.locale.partition(".")[0]
    )
    return Plan(
        (PlannedCommand(("./make.sh",), _TIMEOUT_S, root=root_of(earlier[COMPILER])),),
        write={"make.sh": script, "other_clock.c": _CLOCK_SOURCE.read_text()},
        collect={"tar": TAR},
    )


COMPILER_STEP = Step(COMPILER, _plan_compiler, judge_environment)
CIRCUMSTANCES_STEP = Step(CIRCUMSTANCES, _plan_circumstances)


def variation_in(inputs: Inputs) -> Variation:
    """Read the circumstances of an order; raise BadInput."""
    return Variation.from_json(plain.mapping(inputs, "variation"))


def varied_step(step: Step) -> Step:
    """Give a step of an image's build that is made anew, each time, in the circumstances of the order."""

    def plan(inputs: Inputs, earlier: Earlier) -> Plan:
        made = earlier[CIRCUMSTANCES].outputs["tar"]
        return varied(step.name, step.plan(inputs, earlier), variation_in(inputs), made)

    return Step(step.name, plan, step.judge, repeat=True)


def varied(step: str, plan: Plan, variation: Variation, circumstances: Sha256) -> Plan:
    """Give the plan of a step of an image's build with other circumstances, and nothing else about it changed.

    A step that plans nothing stays as it is. Raises BadInput for a plan of another build.
    """
    if not plan.commands:
        return plan
    if variation.cpus != 1 or TAR in {*plan.place, *plan.write}:
        raise BadInput("the plan is not that of an image", hint="report this as a bug of distwright")
    # Not the language of what programs say: step customise reads where `tar --block-number` finds device nodes.
    told = {
        "HOME": variation.home, "LANG": variation.locale, "LANGUAGE": "C", "LC_ALL": variation.locale, "LOGNAME": variation.user,
        "USER": variation.user, **({} if step in _TRUE_ZONE else {"TZ": variation.timezone}),
    }  # fmt: skip
    commands = tuple(_varied_command(command, variation, told) for command in plan.commands)
    is_rooted = all(command.root is not None for command in plan.commands)
    has_hooks = f"{_HOOKS}/.keep" in plan.write
    start = _start(step, variation, "recipe/second" if has_hooks else "second", is_rooted=is_rooted)
    return replace(
        plan,
        commands=commands,
        place={**plan.place, TAR: circumstances},
        write={**plan.write, "start.sh": start, **(_CLOCK_HOOKS if has_hooks else {})},
    )


def _varied_command(command: PlannedCommand, variation: Variation, told: Mapping[str, str]) -> PlannedCommand:
    program, *words = command.argv
    if command.root is None:
        words = [
            "--setup-hook", _SET_UP.replace("@HOST@", variation.hostname), "--customize-hook", _TAKE_AWAY, *words,
        ]  # fmt: skip
    environment = tuple(sorted({**told, **dict(command.environment)}.items()))
    return replace(command, argv=("./start.sh", program, *words), environment=environment)


def _start(step: str, variation: Variation, folder: str, *, is_rooted: bool) -> str:
    """Write what a program is started by. The machine's root and host name are not ours to change: mmdebstrap's hooks do it."""
    changes = f"{'' if step in _TRUE_CLOCK else _OTHER_CLOCK}hostname {variation.hostname}\n" if is_rooted else ""
    kernel = "" if step in _TRUE_KERNEL else _OTHER_KERNEL
    values = {"@CHANGES@": changes, "@KERNEL@": kernel, "@FOLDER@": folder, "@UMASK@": f"{variation.umask:04o}"}
    text = _START
    for word, value in values.items():
        text = text.replace(word, value)
    return text
