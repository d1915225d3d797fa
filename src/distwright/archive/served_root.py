"""Where the tree of an archive lies: among what any web server may serve, or where only ours looks, for those who may read it."""

from pathlib import Path

from distwright.config.embargo import is_private_archive
from distwright.config.model import Config
from distwright.store.paths import StatePaths


def tree_root(config: Config, paths: StatePaths, archive: str) -> Path:
    """Give the folder of an archive's dists/ and pool/; of a private one it is never below `public`."""
    return (paths.private if is_private_archive(config, archive) else paths.public) / archive
