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
from distwright.model.digests import Json

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
    name = plain.text(inputs, "name")
    tools = EnvironmentRecipe.from_json(plain.mapping(inputs, "tools"))
    states: dict[str, Mapping[str, Json]] = {
        "states": plain.mapping(inputs, "states"),
        "tools": {entry.name: str(entry.document) for entry in tools.shelf},
    }
    answers = earlier["installed" if form_of(inputs) < 3 else "customise"].outputs
    installed = parse_installed(context.objects.read(answers["installed"]))
    packages = EnvironmentRecipe.from_json(plain.mapping(inputs, "root")).include
    mentioned = {*map(package_of, packages), *(plain.texts(inputs, "mentioned") if "mentioned" in inputs else ())}
    is_whole = form_of(inputs) >= 2
    manifest = manifest_of(
        name, earlier["root"].fetched, installed, states, context.objects, mentioned, with_built_using=is_whole
    )
    read = json.loads(manifest)
    papers = {"manifest": manifest, "packages": package_list(read)}
    if is_whole:
        with context.objects.open(answers["copyrights"]) as tar:
            components = components_of(inputs, installed_packages(read), read_copyrights(tar))
        papers |= bills(inputs, manifest, components)
        with context.database.read() as tx:
            serials = serials_of(tx, inputs)
        papers["sources"] = apt_sources(inputs, serials)
        papers["source-packages"] = source_packages(inputs, read, context.objects)
    return StepResult({paper: context.objects.put(content) for paper, content in papers.items()})
