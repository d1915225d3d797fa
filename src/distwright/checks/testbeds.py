"""Testbeds: where packages are installed and tested. Roots of their own, inside the root of the checkers, which has the programs.

Both are in the sandbox's namespaces, as root of the user namespace: no device can be made and no disk mounted, but devices that
are there can be bound. The door leads to the shelf only.
"""

from dataclasses import replace

from distwright.builds.environment import EnvironmentRecipe
from distwright.model.digests import Sha256

# Of the state that is asked about; the testbed itself may be older, and is upgraded to it.
APT_CONF = 'Acquire::Check-Valid-Until "false";\nAcquire::Languages "none";\n'
# $1: the folder. No service of a tested package is started: there is no init.
UNPACK = """#!/bin/sh
set -eu
mkdir "$1"
tar --extract --numeric-owner --file root.tar --directory "$1"
install -m 0644 sources.list "$1/etc/apt/sources.list"
install -m 0644 apt.conf "$1/etc/apt/apt.conf.d/90distwright"
printf '#!/bin/sh\\nexit 101\\n' >"$1/usr/sbin/policy-rc.d"
chmod 0755 "$1/usr/sbin/policy-rc.d"
mkdir -p "$1/dev"
touch /etc/resolv.conf
"""


def testbed_of(recipe: EnvironmentRecipe) -> EnvironmentRecipe:
    """Give the recipe of a testbed: what every Debian system has and apt, so that what a package forgot to ask for is missing."""
    return replace(recipe, variant="minbase", include=())


def sources_list(recipe: EnvironmentRecipe) -> str:
    """Give the sources.list of a state, as a template."""
    return "".join(f"{line}\n" for line in recipe.source_lines())


def files_of(recipe: EnvironmentRecipe, root: Sha256) -> tuple[dict[str, Sha256], dict[str, str], dict[str, str]]:
    """Give what a plan places, writes and fills in so that `unpack.sh FOLDER` makes the testbed ready."""
    return {"root.tar": root}, {"apt.conf": APT_CONF, "unpack.sh": UNPACK}, {"sources.list": sources_list(recipe)}
