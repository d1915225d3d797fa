"""The step that makes the source package: by the environment's own dpkg-source, of a tree and upstream's tarballs."""

from collections.abc import Iterable, Sequence

from distwright.builds.environment import EnvironmentRecipe, root_of
from distwright.builds.origs import Upstream
from distwright.jobs.step import Earlier, Inputs, Plan, PlannedCommand
from distwright.model import plain
from distwright.model.digests import Sha256
from distwright.model.versions import DebVersion

_TIMEOUT_S = 300
_GENERATE_TIMEOUT_S = 900  # pristine-tar packs with the options that upstream had: xz -9 of a large tree takes minutes

# In a root of its own, which is gone afterwards: what is built later sees nothing of it.
_GENERATE = """#!/bin/sh
set -eu
umask 022
install -m 0644 sources.list /etc/apt/sources.list
install -m 0644 apt.conf /etc/apt/apt.conf.d/90distwright
export DEBIAN_FRONTEND=noninteractive
apt-get update
apt-get install --yes --no-install-recommends pristine-tar
for name in "$@"; do
    mkdir "upstream/$name.content"
    tar --extract --file "upstream/$name.tree" --directory "upstream/$name.content"
    (cd "upstream/$name.content" && pristine-tar gentar "../$name.delta" "../../$name")
done
"""
_APT_CONF = 'Acquire::Check-Valid-Until "false";\nAcquire::Languages "none";\n'

_ASSEMBLE = """#!/bin/sh
set -eu
umask 022
folder=$1
shift
tar --extract --file tree.tar
if [ -e changelog ]; then
    rm -f "$folder/debian/changelog"
    cp changelog "$folder/debian/changelog"
    chmod 0644 "$folder/debian/changelog"
fi
if [ -d origs ]; then
    cp origs/* .
fi
for name in "$@"; do
    case $name in
        *.xz) xz -6 --threads=1 ;;
        *.bz2) bzip2 -9 ;;
        *.lzma) xz --format=lzma -6 ;;
        *) gzip -9 --no-name ;;
    esac <"upstream/$name.tree" >"$name"
done
dpkg-source --build "$folder"
"""


def plan_source(inputs: Inputs, earlier: Earlier) -> Plan:
    """Plan the source package: dpkg-source inside the environment, so that its version cannot differ.

    One that was uploaded, or given as a .dsc, is unpacked, to see that it can be, and stays what its maker has signed.
    """
    root = root_of(earlier["environment"])
    if "source_files" in inputs:
        files = plain.digest_map(inputs, "source_files")
        argv = ("dpkg-source", "--no-check", "--extract", f"in/{dsc_of(files)}", "tree")
        return Plan(
            (PlannedCommand(argv, _TIMEOUT_S, root=root),),
            place={f"in/{name}": digest for name, digest in files.items()},
        )
    version = DebVersion(plain.text(inputs, "version"))
    folder = f"{inputs['source']}-{version.without_epoch}"  # as the order named it in the tar
    clock = (("SOURCE_DATE_EPOCH", str(plain.number(inputs, "epoch"))),)
    if not {"origs", "upstream", "changelog"} & inputs.keys():
        argv = ("sh", "-euc", 'tar --extract --file tree.tar; dpkg-source --build "$1"', "source", folder)
        return Plan(
            commands=(PlannedCommand(argv, _TIMEOUT_S, root=root, environment=clock),),
            place={"tree.tar": plain.digest(inputs, "tree")},
            collect={"source": "*.dsc", "tar": "*.tar.*"},
        )
    return _plan_with_more(inputs, root, folder, clock)


def _plan_with_more(inputs: Inputs, root: Sha256, folder: str, clock: tuple[tuple[str, str], ...]) -> Plan:
    """Plan a source package that is more than its tree: tarballs of upstream beside it, a changelog of its own."""
    upstream = [Upstream.from_json(one) for one in plain.members(inputs, "upstream")] if "upstream" in inputs else []
    generated = [one.name for one in upstream if one.delta is not None]
    packed = [one.name for one in upstream if one.delta is None]
    origs = plain.digest_map(inputs, "origs") if "origs" in inputs else {}
    assemble = PlannedCommand(("./assemble", folder, *packed), _TIMEOUT_S, root=root, environment=clock)
    place = {"tree.tar": plain.digest(inputs, "tree"), **_places(upstream)}
    place |= {f"origs/{name}": digest for name, digest in origs.items()}
    if "changelog" in inputs:
        place["changelog"] = plain.digest(inputs, "changelog")
    collect = {"source": "*.dsc", "tar": "*.tar.*", "diff": "*.diff.gz"}
    if not generated:
        return Plan((assemble,), place=place, write={"assemble": _ASSEMBLE}, collect=collect)
    recipe = EnvironmentRecipe.from_json(plain.mapping(inputs, "environment"))
    generate = PlannedCommand(("./generate", *generated), _GENERATE_TIMEOUT_S, root=root, reads_shelf=True)
    return Plan(
        (generate, assemble),
        place=place,
        write={"assemble": _ASSEMBLE, "generate": _GENERATE, "apt.conf": _APT_CONF},
        templates={"sources.list": "".join(f"{line}\n" for line in recipe.source_lines())},
        collect=collect,
        shelf=recipe.shelf,
    )


def _places(upstream: Sequence[Upstream]) -> dict[str, Sha256]:
    trees = {f"upstream/{one.name}.tree": one.tree for one in upstream}
    return trees | {f"upstream/{one.name}.delta": one.delta for one in upstream if one.delta is not None}


def dsc_of(files: Iterable[str]) -> str:
    """Give the one among the files of a source package that describes it."""
    return next(name for name in files if name.endswith(".dsc"))
