"""Which programs of the machine made the root of an image: they are of no recorded archive, so what was used is said.

Another apt may choose other packages, another dpkg or tar write other bytes. Results of steps are known by these versions, so those
of the machine that ends a build are those that its root was made with.
"""

from collections.abc import Iterable, Mapping

from distwright.builds.environment import MMDEBSTRAP_PROGRAMS
from distwright.errors import BadInput, quoted
from distwright.images.forms import form_of
from distwright.jobs.step import Inputs
from distwright.model import plain
from distwright.model.versions import DebVersion
from distwright.tools.dpkg import installed_versions

KEY = "made_by"


def programs_here() -> dict[str, str]:
    """Give Debian package -> version of this machine's programs that make roots; without those that are not installed."""
    return installed_versions(MMDEBSTRAP_PROGRAMS)


def programs_of(inputs: Inputs) -> dict[str, str]:
    """Say what made the root: what the order of a second build says, else the programs of this machine; before form 5: {}."""
    if form_of(inputs) < 5:
        return {}
    return plain.text_map(inputs, KEY) if KEY in inputs else programs_here()


def parse_programs(values: plain.Plain) -> dict[str, str]:
    """Read what somebody else says; {} if nothing is said. Raises BadInput for a package that makes no root, and for no version."""
    said = plain.text_map(values, KEY) if KEY in values else {}
    if strange := sorted(said.keys() - set(MMDEBSTRAP_PROGRAMS)):
        raise BadInput(f"{quoted(strange[0])} makes no root of an image", hint="fetch the bundle again")
    return {name: str(DebVersion(said[name])) for name in sorted(said)}


def other_programs(first: Mapping[str, str], here: Mapping[str, str]) -> tuple[str, ...]:
    """Say which programs are others here than where the first build was, a sentence for each; nothing of what nobody said."""
    return tuple(_sentences(first, here))


def _sentences(first: Mapping[str, str], here: Mapping[str, str]) -> Iterable[str]:
    for name, version in sorted(first.items()):
        if here.get(name) != version:
            yield f"{name} is {here.get(name, 'not installed')} here, and was {version} where the image was made"
