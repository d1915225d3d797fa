"""Configuration files on this machine: a folder of them, or one."""

import errno
import os
from pathlib import Path

from distwright.config.load import parse_config
from distwright.config.model import Config
from distwright.errors import BadUsage, DistwrightError, NotAllowed, NotFound, OutOfSpace, quoted
from distwright.site.applied import CONFIG_FILE, CONFIG_FOLDER
from distwright.site.places import chosen

_HINT = "choose another place with --config PATH"


def read_files(place: Path) -> dict[str, str]:
    """Read configuration files: of a folder (`distwright.toml`, `distwright.d/*.toml`), or one file; raise NotFound."""
    try:
        if place.is_dir():
            files = (place / CONFIG_FILE, *sorted((place / CONFIG_FOLDER).glob("*.toml")))
            found = [file for file in files if file.is_file()]
        else:
            found = [place] if place.is_file() else []
        if not found:
            raise NotFound(f"there is no {CONFIG_FILE} in {place}", hint="name it with --config PATH")
        base = folder_of(place)
        # What is not UTF-8 is a problem of the configuration like any other, which parse_config names.
        return {str(file.relative_to(base)): file.read_text("utf-8", "surrogateescape") for file in found}
    except OSError as error:
        raise refused_by_system(error, _HINT) from error


def folder_of(place: Path) -> Path:
    """Say which folder the files are in."""
    return place if place.is_dir() else place.parent


def refused_by_system(error: OSError, hint: str) -> DistwrightError:
    """Say what the system says about a place that was named."""
    what = f"{quoted(str(error.filename))}: {error.strerror}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutOfSpace(what, hint="free some space, then run the same command again")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return NotAllowed(what, hint=hint)
    return BadUsage(what, hint=hint)


def config_files(given: str | None) -> dict[str, str]:
    """Read configuration files: of a folder (`distwright.toml`, `distwright.d/*.toml`), or one file; raise NotFound."""
    return read_files(_config_place(given))


def config_folder(given: str | None) -> Path:
    """Say which folder the configuration files are in."""
    return folder_of(_config_place(given))


def read_config(given: str | None) -> Config:
    """Read and check configuration files; raise BadConfig with every problem."""
    return parse_config(sorted(config_files(given).items()))


def _config_place(given: str | None) -> Path:
    return Path(chosen(given, "--config", os.environ, "DISTWRIGHT_CONFIG") or ".")
