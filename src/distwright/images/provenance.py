"""What an image was made of, as provenance: the commit, the states of the archives, every package file, the tools."""

from collections.abc import Iterator, Mapping

from distwright.builds.environment import EnvironmentRecipe
from distwright.formats.provenance import Making, Material, statement
from distwright.formats.sbom import Component
from distwright.images.bills import url_below
from distwright.images.forms import form_of
from distwright.jobs.step import Inputs
from distwright.model import plain
from distwright.model.digests import Json, Sha256


def provenance(
    inputs: Inputs, subjects: Mapping[str, Sha256], manifest: Sha256, components: list[Component], tools: Sha256,
    programs: Mapping[str, str],
) -> bytes:  # fmt: skip
    """Give the statement. manifest: the object that names every package file; components: those that are installed.

    tools: the root whose programs made the image. programs: those of the machine that made both roots, package -> version.
    """
    external: dict[str, Json] = {key: inputs[key] for key in ("image", "repo", "branch", "commit")}
    internal: dict[str, Json] = {key: inputs[key] for key in ("name", "epoch")}
    if programs:
        internal["made_by"] = dict(programs)
    kind = "image.build"
    if "base" in inputs:
        kind, internal["layer_on"] = "image.layer", plain.text(plain.mapping(inputs, "base"), "name")
    making = Making(
        url_below(inputs, f"build-types/{kind}/form-{form_of(inputs)}"),
        url_below(inputs, "builder"),
        external,
        internal,
        [*_materials(inputs, manifest, tools), *map(_of_package, components)],
    )
    return statement(subjects, making)


def _materials(inputs: Inputs, manifest: Sha256, tools: Sha256) -> Iterator[Material]:
    repo, name = plain.text(inputs, "repo"), plain.text(inputs, "name")
    url = plain.text(inputs, "url")
    where = f"git+{url}/repo/{repo}@{inputs['branch']}" if url else url_below(inputs, f"repo/{repo}")
    yield Material(where, "gitCommit", plain.text(inputs, "commit"), repo)
    yield Material(url_below(inputs, f"images/{name}/{name}.manifest.json"), "sha256", manifest, "manifest")
    yield Material(url_below(inputs, "environment/tools"), "sha256", tools, "root of the tools")
    for purpose in ("root", "tools"):
        for entry in EnvironmentRecipe.from_json(plain.mapping(inputs, purpose)).shelf:
            where = url_below(inputs, f"{entry.archive}/dists/{entry.suite}")
            what = "revision" if entry.is_own else "snapshot"
            yield Material(where, "sha256", entry.document, f"{what} of {entry.name}, for {purpose}")


def _of_package(package: Component) -> Material:
    return Material(package.purl, "sha256", package.sha256, f"{package.name} {package.version}")
