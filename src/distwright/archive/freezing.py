"""Freeze and thaw as the configuration says: which archives, at which serials, and what a branch may be. Pure."""

from collections.abc import Mapping, Sequence

from distwright.archive.pinning import latest_archives, upstream_archives
from distwright.archive.pins import Freedom, Pins, check_pins, freedom_of, freeze, thaw
from distwright.config.model import Config
from distwright.errors import BadUsage, NotFound, quoted
from distwright.model.serials import Serial


def known_archive(config: Config, name: str) -> str:
    """Give the name back if it is of an archive that can be pinned; raise NotFound."""
    if name not in upstream_archives(config):
        raise NotFound(f"{quoted(name)} is no upstream archive", hint="distwright archive list")
    return name


def frozen_pins(
    config: Config,
    pins: Pins,
    newest: Mapping[str, Serial],
    *,
    names: Sequence[str] = (),
    at: Mapping[str, Serial] | None = None,
    also_security: bool = False,
) -> dict[str, Serial | None]:
    """Say what freezing makes of pins. newest: of each archive that was recorded. names: these only; none: all.

    at: archives that a person names a serial for. also_security: those too that stay latest otherwise, unless they are in `names`.
    Raises NotFound for an archive without a snapshot.
    """
    given = at or {}
    wanted = [known_archive(config, name) for name in names] or upstream_archives(config)
    loose = [] if also_security else [name for name in latest_archives(config) if name not in names]
    for name in wanted:
        if not (pins.get(name) or name in newest or name in given or name in loose):
            raise NotFound(f"archive {name} has no snapshot", hint=f"distwright archive record {name}")
    chosen = {name: serial for name, serial in newest.items() if name in wanted}
    return freeze(pins, chosen, stay_latest=loose, at=given)


def thawed_pins(config: Config, pins: Pins, names: Sequence[str] = ()) -> dict[str, Serial | None]:
    """Say what thawing makes of pins. names: these only; none: all that there are."""
    chosen = {known_archive(config, name): pins.get(name) for name in names} if names else pins
    return {**pins, **thaw(chosen)}


def check_branch(config: Config, pins: Pins, branch: str | None, repo: str | None) -> Freedom:
    """Refuse pins that a branch must not have, and say what it may be; None, no branch, may be anything.

    repo: whose rules count; None: as `repo_of_rules` finds it. Only archives that its images use are looked at, and those that are
    pinned; one without a pin is the newest. Raises Refused, naming every archive; NotFound for the repo, BadUsage if several may
    be meant.
    """
    name = repo_of_rules(config, repo)
    if branch is None or name is None:
        return Freedom.ANY
    table = config.repos[name]
    freedom = freedom_of(branch, table.frozen, table.thawed)
    used = {
        source.partition("/")[0] for image in config.images.values() if image.repo == name for source in image.from_
    }
    every = {**dict.fromkeys(archive for archive in upstream_archives(config) if archive in used), **pins}
    check_pins(every, branch, freedom, stay_latest=latest_archives(config))
    return freedom


def repo_of_rules(config: Config, repo: str | None) -> str | None:
    """Say which repo's rules count if `repo` is named, or none is: the one with recipes, else the only one. None: nobody can tell.

    Raises NotFound for the repo, BadUsage if several with recipes may be meant and one of them has rules.
    """
    if repo is not None:
        if repo not in config.repos:
            raise NotFound(f"repo {quoted(repo)} is not configured", hint="distwright repo list")
        return repo
    named = sorted({image.repo for image in config.images.values()}) or sorted(config.repos)
    if len(named) == 1:
        return named[0]
    if config.images and any(config.repos[name].frozen or config.repos[name].thawed for name in named):
        raise BadUsage(f"these repos have recipes: {', '.join(named)}", hint="name the one that this is, with --repo")
    return None
