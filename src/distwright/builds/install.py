"""The proof of a publication: a real apt, knowing only our key, installs what was published into a clean root."""

import json
from datetime import datetime

from distwright.archive.indexes import pool_of
from distwright.archive.tree import parse_root
from distwright.builds.environment import EnvironmentRecipe, environment_step, in_environment, root_of
from distwright.jobs.order import JobOrder
from distwright.jobs.step import (
    Action,
    Conclusion,
    Context,
    Earlier,
    Inputs,
    JobKind,
    KindName,
    Plan,
    PlannedCommand,
    Step,
    StepResult,
    Where,
)
from distwright.model import plain
from distwright.model.digests import Json, Sha256
from distwright.model.events import Event, EventKind
from distwright.store.holds import Hold

KIND = KindName("suite.install", 1)
_TIMEOUT_S = 900
_SCRIPT = """#!/bin/sh
set -eu
install -m 0644 sources.list /etc/apt/sources.list
install -m 0644 apt.conf /etc/apt/apt.conf.d/90distwright
export DEBIAN_FRONTEND=noninteractive
apt-get update
apt-get install --yes --no-install-recommends -- "$@"
dpkg-query --show --showformat '${Package} ${Version} ${db:Status-Status}\\n' -- "$@"
apt-cache policy -- "$@"
"""

# inputs: archive, suite, components, revision, tree (document of the published files), certificate, packages, environment.


def install_order(
    recipe: EnvironmentRecipe,
    *,
    archive: str,
    suite: str,
    components: tuple[str, ...],
    tree: Sha256,
    revision: Sha256,
    certificate: bytes,
    packages: tuple[str, ...],
    holds: tuple[Hold, ...] = (),
) -> JobOrder:
    """Order the installation of `packages` from the published tree `tree`. holds: the serials behind the recipe."""
    inputs: dict[str, Json] = {
        "archive": archive,
        "suite": suite,
        "components": list(components),
        "tree": str(tree),
        "revision": str(revision),
        "certificate": certificate.decode(),
        "packages": list(packages),
        "environment": recipe.to_json(),
    }
    return JobOrder(KIND, inputs, f"install {', '.join(packages)} from {archive}/{suite}", holds=holds)


def _find_files(context: Context, inputs: Inputs, _earlier: Earlier) -> StepResult:
    """Name the published files by digest: index files from the tree's document, pool files from the revision."""
    document = json.loads(context.objects.read(plain.digest(inputs, "tree")))
    files = {f"dists/{inputs['suite']}/{path}": Sha256(digest) for path, digest in document["files"].items()}
    root = parse_root(context.objects.read(plain.digest(inputs, "revision")))
    values: dict[str, Json] = {"pool": {file.path: str(file.sha256) for file in pool_of(root, context.objects.read)}}
    return StepResult(files, values=values)


def _plan(inputs: Inputs, earlier: Earlier) -> Plan:
    recipe = EnvironmentRecipe.from_json(plain.mapping(inputs, "environment"))
    published = earlier["published"]
    placed = {f"archive/{path}": digest for path, digest in published.outputs.items()}
    placed |= {f"archive/{path}": digest for path, digest in plain.digest_map(published.values, "pool").items()}
    own = f"deb [signed-by=/work/archive.asc] copy:/work/archive {inputs['suite']} {' '.join(plain.texts(inputs, 'components'))}"
    return Plan(
        commands=(
            PlannedCommand(
                ("./install.sh", *plain.texts(inputs, "packages")),
                _TIMEOUT_S,
                root=root_of(earlier["environment"]),
                reads_shelf=True,
            ),
        ),
        place=placed,
        write={
            "install.sh": _SCRIPT,
            "archive.asc": plain.text(inputs, "certificate"),
            "apt.conf": 'Acquire::Check-Valid-Until "false";\nAcquire::Languages "none";\n',
        },
        templates={"sources.list": "".join(f"{line}\n" for line in (own, *recipe.source_lines()))},
        shelf=recipe.shelf,
    )


def _conclude(inputs: Inputs, _earlier: Earlier, now: datetime, job: int) -> Conclusion:
    named = ", ".join(plain.texts(inputs, "packages"))
    body = {key: inputs[key] for key in ("archive", "suite", "revision", "packages")}
    event = Event(EventKind.SUITE_INSTALLED, now, f"{inputs['archive']}/{inputs['suite']}", body, job)
    return Conclusion({"packages": inputs["packages"]}, f"apt installed {named} in a clean root", [event])


SUITE_INSTALL = JobKind(
    KIND,
    (
        environment_step("environment", "environment"),
        Action("published", _find_files, Where.ANYWHERE),
        Step("install", in_environment(_plan), repeat=True),
    ),
    _conclude,
)
