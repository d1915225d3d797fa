"""The account of an image: what is in its root, where it came from, under what terms; before anything is packed."""

import json
from collections.abc import Mapping

from distwright.builds.environment import EnvironmentRecipe
from distwright.images.bills import bills, components_of, installed_packages
from distwright.images.copyrights import read_copyrights
from distwright.images.forms import form_of
from distwright.images.manifest import manifest_of, package_list, parse_installed
from distwright.images.recipe_lists import package_of
from distwright.images.sources import apt_sources, serials_of, source_packages
from distwright.jobs.step import Context, Earlier, Inputs, StepResult
from distwright.model import plain
from distwright.model.digests import Json, Sha256

# What an account consists of, and how its files are called.
ENDINGS = {
    "manifest": "manifest.json",
    "packages": "packages",
    "cdx": "cdx.json",
    "spdx": "spdx.json",
    "licences": "licences.json",
    "sources": "sources",
    "source-packages": "source-packages",
}


def account(context: Context, inputs: Inputs, earlier: Earlier) -> StepResult:
    """Write the manifest, the package list and the bills; nothing is built on a root that holds what no archive gave."""
    answers = earlier["installed" if form_of(inputs) < 3 else "customise"].outputs
    installed = parse_installed(context.objects.read(answers["installed"]))
    is_whole = form_of(inputs) >= 2
    manifest = manifest_of(
        plain.text(inputs, "name"), earlier["root"].fetched, installed, states_of(inputs), context.objects,
        mentioned_in(inputs), with_built_using=is_whole,
    )  # fmt: skip
    if not is_whole:
        return kept(context, {"manifest": manifest, "packages": package_list(json.loads(manifest))})
    return kept(context, papers(context, inputs, manifest, answers["copyrights"]))


def states_of(inputs: Inputs) -> dict[str, Mapping[str, Json]]:
    """Give which state each archive had, by what it was for."""
    tools = EnvironmentRecipe.from_json(plain.mapping(inputs, "tools"))
    return {
        "states": plain.mapping(inputs, "states"),
        "tools": {entry.name: str(entry.document) for entry in tools.shelf},
    }


def mentioned_in(inputs: Inputs) -> set[str]:
    """Give the names of packages that a recipe speaks of."""
    packages = EnvironmentRecipe.from_json(plain.mapping(inputs, "root")).include
    return {*map(package_of, packages), *(plain.texts(inputs, "mentioned") if "mentioned" in inputs else ())}


def papers(
    context: Context, inputs: Inputs, manifest: bytes, copyrights: Sha256, *, known_sources: bytes = b""
) -> dict[str, bytes]:
    """Give what follows from a manifest, and itself. copyrights: object with the files of what is installed."""
    read = json.loads(manifest)
    with context.objects.open(copyrights) as tar:
        components = components_of(inputs, installed_packages(read), read_copyrights(tar))
    with context.database.read() as tx:
        serials = serials_of(tx, inputs)
    return {
        "manifest": manifest,
        "packages": package_list(read),
        **bills(inputs, manifest, components),
        "sources": apt_sources(inputs, serials),
        "source-packages": source_packages(inputs, read, context.objects, known=known_sources),
    }


def kept(context: Context, written: Mapping[str, bytes]) -> StepResult:
    """Keep papers as objects."""
    return StepResult({paper: context.objects.put(content) for paper, content in written.items()})
