"""debian/gbp.conf: what git-buildpackage is told about a repository, as far as it says where upstream's source is.

Whoever pushes writes it, so it is read as text and never obeyed beyond that: names are looked up among the refs that are there.
"""

import configparser
import re
from dataclasses import dataclass

from distwright.builds.versions_of_commits import tag_of_version
from distwright.errors import BadInput, quoted
from distwright.model.versions import DebVersion

LIMIT_BYTES = 64 << 10
_HINT = "write debian/gbp.conf as gbp.conf(5) says, or remove it"
_SECTIONS = ("buildpackage", "git-buildpackage")  # the second is what the first was called before 2012
_TOKEN = re.compile(r"%\((\w+)((?:%[^%()]*%[^%()]*)?)\)s")
_TRUE, _FALSE = frozenset({"1", "yes", "true", "on"}), frozenset({"0", "no", "false", "off"})
_SUFFIXES = {"gzip": "gz", "gz": "gz", "bzip2": "bz2", "bz2": "bz2", "xz": "xz", "lzma": "lzma"}


@dataclass(frozen=True, slots=True)
class GbpConf:
    """Where upstream's source is. The defaults are gbp's; upstream_branch: tried before `upstream/latest` of DEP-14.

    has_branch_tip: the upstream branch itself counts, not a tag (upstream-tree = branch). pristine_tar: None if nothing is said,
    which means: if there is such a branch. suffix: of a tarball that is made ("" if nothing is said).
    """

    upstream_branch: str = "upstream"
    upstream_tag: str = "upstream/%(version)s"
    debian_tag: str = "debian/%(version)s"
    has_branch_tip: bool = False
    pristine_tar: bool | None = None
    suffix: str = ""


def parse_gbp_conf(content: bytes) -> GbpConf:
    """Read the file; what is said for `gbp buildpackage` counts before what is said for all. Raises BadInput.

    Keys that do not say where upstream's source is are passed over. Nothing is interpolated. Source: gbp.conf(5).
    """
    parser = configparser.RawConfigParser(strict=False, empty_lines_in_values=False)
    if len(content) > LIMIT_BYTES:
        raise BadInput(f"debian/gbp.conf has {len(content)} bytes, {LIMIT_BYTES} are allowed", hint=_HINT)
    try:
        parser.read_string(content.decode())
    except (configparser.Error, UnicodeDecodeError) as error:
        raise BadInput(f"debian/gbp.conf cannot be read: {quoted(str(error))}", hint=_HINT) from None
    values = dict(parser.defaults())
    for section in reversed(_SECTIONS):
        if parser.has_section(section):
            values |= dict(parser.items(section))
    said = {name: value.strip() for name, value in values.items()}
    default = GbpConf()
    return GbpConf(
        upstream_branch=said.get("upstream-branch") or default.upstream_branch,
        upstream_tag=said.get("upstream-tag") or default.upstream_tag,
        debian_tag=said.get("debian-tag") or default.debian_tag,
        has_branch_tip=said.get("upstream-tree", "").lower() == "branch",
        pristine_tar=_yes_or_no(said["pristine-tar"]) if "pristine-tar" in said else None,
        suffix=_SUFFIXES.get(said.get("compression", "").lower(), ""),
    )


def tag_name(pattern: str, version: str) -> str:
    """Fill a version into the pattern of a tag, as gbp does: `upstream/%(version)s`, `v%(version%~%-)s` (each ~ becomes -).

    Raises BadInput for anything else that gbp would fill in. Source: gbp-buildpackage(1), "--git-upstream-tag".
    """

    def filled(match: re.Match[str]) -> str:
        name, exchange = match[1], match[2]
        if name not in ("version", "upstreamversion", "hversion"):
            raise BadInput(f"tag {quoted(pattern)} of debian/gbp.conf asks for {quoted(name)}", hint=_HINT)
        _, old, new = exchange.split("%") if exchange else ("", "", "")
        text = version.replace(old, new) if old else version
        mangled = text.replace("~", "_").replace(":", "%")  # DEP-14
        return mangled.replace(".", "-") if name == "hversion" else mangled

    return _TOKEN.sub(filled, pattern)


def tags_of_version(version: DebVersion, conf: GbpConf) -> tuple[str, ...]:
    """Name the tags that a version of the package may have: its own (DEP-14 without a vendor), and gbp's."""
    return tag_of_version(version), tag_name(conf.debian_tag, str(version))


def _yes_or_no(text: str) -> bool:
    if text.lower() not in _TRUE | _FALSE:
        raise BadInput(f"pristine-tar = {quoted(text)} of debian/gbp.conf is neither true nor false", hint=_HINT)
    return text.lower() in _TRUE
