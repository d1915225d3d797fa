"""The package build: environment, source package, sbuild without network, a signed .changes."""

from datetime import datetime

from distwright.builds.changes_with_source import hashes_of, with_source
from distwright.builds.destinations import BUILD_KIND
from distwright.builds.environment import EnvironmentRecipe, environment_step, in_environment, root_of
from distwright.builds.judging_builds import conclude_failed_build, judge_build, judge_source
from distwright.builds.limiting_builds import LOG, within_limits
from distwright.builds.source_step import dsc_of, plan_source
from distwright.errors import BadInput, WorkFailed, quoted
from distwright.formats.changes import parse_changes
from distwright.jobs.step import (
    Action,
    Conclusion,
    Context,
    Earlier,
    Inputs,
    JobKind,
    Plan,
    PlannedCommand,
    Step,
    StepResult,
    Where,
)
from distwright.model import plain
from distwright.model.digests import Json
from distwright.model.events import Event, EventKind

KIND = BUILD_KIND
BUILDER_CREDENTIAL = "builder"
# sbuild unpacks the root with the host's tar, and has the host's libraries of dpkg judge dependencies and versions.
SBUILD_PROGRAMS = ("apt", "dpkg", "libdpkg-perl", "libsbuild-perl", "perl-base", "sbuild", "tar")
_LOOK = "distwright job log JOB"
_BUILD_TIMEOUT_S = 4 * 3600

# What the machine's owner set in /etc/sbuild/sbuild.conf must not shape a package. sbuild has no option to leave it out, but keeps
# its place in a variable: ours is read in its stead, and no other.
_SBUILD = """#!/usr/bin/perl
use Sbuild::Sysconfig;
$Sbuild::Sysconfig::paths{'SBUILD_CONF'} = '{work}/sbuildrc';
$0 = '/usr/bin/sbuild';
do $0;
die $@ || "$0: $!\\n";
"""
_SBUILDRC = "$unshare_tmpdir_template = '{work}/tmp/sbuild.XXXXXXXXXX';\n1;\n"

# inputs: source, version, suite, archive, environment, repo; from git: tag or (perhaps) branch, commit, tree (digest of the source
# tree as tar), epoch, perhaps changelog, origs, upstream (builds/source_step.py); of a source that came as files: source_files
# (name -> digest), "" as repo, and brings_source if its suite does not have it yet. binary_only (absent: false): the source and the
# packages for all architectures come from the build for another architecture (builds/architectures.py). See docs/design/0008.


def plan_build(inputs: Inputs, earlier: Earlier) -> Plan:
    """Plan sbuild: dependencies from the shelf, the build itself without network, everything below the work folder.

    What is built of an uploaded source comes without it: the suite has it.
    """
    recipe = EnvironmentRecipe.from_json(plain.mapping(inputs, "environment"))
    is_uploaded = "source_files" in inputs
    if is_uploaded:
        files = plain.digest_map(inputs, "source_files")
    else:
        files = {name.partition("/")[2]: digest for name, digest in earlier["source"].outputs.items()}
    is_alone = is_uploaded or _is_binary_only(inputs)
    with_source = ("--no-source", "--arch-all", "--arch-any") if is_alone else ("--source", "--force-orig-source")
    if _is_binary_only(inputs):
        with_source = ("--no-source", "--no-arch-all", "--arch-any")
    of_source = {} if is_alone else {"source": "out/*.dsc", "tar": "out/*.tar.*"}
    if (
        any(name.endswith(".diff.gz") for name in files) and not is_alone
    ):  # format 1.0, which orders of form 1 never had
        of_source["diff"] = "out/*.diff.gz"
    sources = "\\n".join(recipe.source_lines())
    argv = (
        "./sbuild", "--chroot-mode=unshare", "--chroot={work}/root.tar", f"--dist={inputs['suite']}",
        f"--arch={recipe.architecture}", *with_source, "--build-dir={work}/out",
        f"--build-path=/build/{inputs['source']}", "--nolog", "--no-run-lintian", "--no-run-piuparts", "--no-run-autopkgtest",
        "--no-apt-upgrade", "--no-apt-distupgrade", "--bd-uninstallable-explainer=none",
        f"--chroot-setup-commands=printf '{sources}\\n' > /etc/apt/sources.list",
        "--chroot-setup-commands=echo 'Acquire::Check-Valid-Until false;' > /etc/apt/apt.conf.d/90distwright",
        f"{{work}}/in/{dsc_of(files)}",
    )  # fmt: skip
    environment = (("TMPDIR", "{work}/tmp"), ("HOME", "{work}/home"))
    plan = Plan(
        commands=(PlannedCommand(argv, _BUILD_TIMEOUT_S, reads_shelf=True, environment=environment),),
        place={f"in/{name}": digest for name, digest in files.items()} | {"root.tar": root_of(earlier["environment"])},
        templates={"sbuild": _SBUILD, "sbuildrc": _SBUILDRC},
        write={
            "tmp/.keep": "",
            "home/.keep": "",
            "out/.keep": "",
        },
        collect={
            "changes": "out/*.changes", "deb": "out/*.deb", "buildinfo": "out/*.buildinfo", **of_source,
        },
        shelf=recipe.shelf,
        programs=SBUILD_PROGRAMS,
    )  # fmt: skip
    return within_limits(plan, inputs)


def _is_binary_only(inputs: Inputs) -> bool:
    return plain.flag({"binary_only": False, **inputs}, "binary_only")


def sign_changes(context: Context, inputs: Inputs, earlier: Earlier) -> StepResult:
    """Sign the .changes with the builder's key, outside of every sandbox; a source that its suite does not have comes along."""
    built = earlier["build"].outputs
    changes = [(name, digest) for name, digest in built.items() if name.startswith("changes/")]
    if len(changes) != 1:
        raise WorkFailed(f"the build left {len(changes)} .changes files, want one", hint=_LOOK)
    name, digest = changes[0]
    content = context.objects.read(digest)
    _check_order(content, inputs)
    if _brings_source(inputs):
        content = with_source(content, hashes_of(context.objects, plain.digest_map(inputs, "source_files")))
    signed = context.signer(BUILDER_CREDENTIAL).sign_clear(content)
    context.log(f"signed {name.partition('/')[2]}")
    return StepResult({name: context.objects.put(signed)})


def _brings_source(inputs: Inputs) -> bool:
    return "brings_source" in inputs and plain.flag(inputs, "brings_source")


def _check_order(content: bytes, inputs: Inputs) -> None:
    """Sign only what was ordered: the package's own code ran where the .changes was written. Raises WorkFailed."""
    try:
        changes = parse_changes(content)
    except BadInput as error:
        raise WorkFailed(f"the .changes of the build cannot be read: {error.message}", hint=_LOOK) from error
    found = {"Source": changes.source, "Version": str(changes.version), "Distribution": changes.distribution}
    wanted = {"Source": inputs["source"], "Version": inputs["version"], "Distribution": inputs["suite"]}
    wrong = [
        f"{name} {quoted(found[name])} instead of {wanted[name]}" for name in wanted if found[name] != wanted[name]
    ]
    if wrong:
        raise WorkFailed(f"the .changes of the build is not what was ordered: it has {', '.join(wrong)}", hint=_LOOK)


_ANNOUNCED = ("repo", "tag", "branch", "commit", "archive", "suite", "source", "version")


def conclude(inputs: Inputs, earlier: Earlier, now: datetime, job: int) -> Conclusion:
    """Name what was built and announce it."""
    built = earlier["build"].outputs.items()
    files: dict[str, Json] = {
        name.partition("/")[2]: str(digest) for name, digest in built if not name.startswith("changes/") and name != LOG
    }
    if _brings_source(inputs):
        files |= plain.text_map(inputs, "source_files")
    name, changes = next(iter(earlier["sign"].outputs.items()))
    outputs: dict[str, Json] = {"changes": str(changes), "changes_name": name.partition("/")[2], "files": files}
    log: dict[str, Json] = {name: str(digest) for name, digest in built if name == LOG}
    outputs |= log
    body: dict[str, Json] = {
        **{key: inputs[key] for key in _ANNOUNCED if key in inputs},
        "changes": str(changes),
        "files": files,
        **log,
    }
    subject = f"{inputs['source']} {inputs['version']}"
    event = Event(EventKind.BUILD_FINISHED, now, subject, body, job)
    return Conclusion(outputs, f"built {subject}", [event], heir=f"build {job}")


SOURCE_STEP = Step("source", in_environment(plan_source), judge_source)
BUILD_STEP = Step("build", in_environment(plan_build), judge_build)
PACKAGE_BUILD = JobKind(
    KIND,
    (
        environment_step("environment", "environment"),
        SOURCE_STEP,
        BUILD_STEP,
        Action("sign", sign_changes, Where.ASKED),
    ),
    conclude,
    conclude_failed_build,
)
