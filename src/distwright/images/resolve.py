"""From an image's table to the order of its build: recipe and states by digest, names and times that follow from git."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from distwright.archive.pinning import latest_archives, pins_at, upstream_archives
from distwright.archive.pins import check_pins, freedom_of
from distwright.archive.resolve import Ground, Resolved, check_date, resolve_suites
from distwright.builds.environment import EnvironmentRecipe
from distwright.builds.resolve import environment_recipe, table_from
from distwright.builds.versions_of_commits import tag_of_version
from distwright.config.model import Config
from distwright.config.tables import Image
from distwright.config.tables_archive import OwnArchive
from distwright.errors import BadInput, NotFound, listed, quoted
from distwright.formats.changelog import ChangelogEntry, top_entry
from distwright.images.boot import KIND as BOOT_KIND
from distwright.images.branch_sources import Subject, is_release, sources_of
from distwright.images.build import KIND
from distwright.images.forms import Purpose, form_inputs
from distwright.images.mentions import mentioned_names
from distwright.images.merged_branch import made_of
from distwright.images.own_packages import with_own_packages
from distwright.images.recipe import Recipe, includes_tar, parse_recipe
from distwright.images.recipe_archives import unknown_sources
from distwright.images.recipe_files import ImageFile
from distwright.images.recipe_inputs import recipe_inputs
from distwright.images.recipe_lists import Values, condition_values
from distwright.images.recorded import recorded_archives
from distwright.jobs.order import PRIORITY_BASE, PRIORITY_RELEASE, PRIORITY_TOPIC, JobOrder
from distwright.model import plain
from distwright.model.digests import Json, digest_of
from distwright.repos.branches import is_base
from distwright.store.database import Database
from distwright.tools.git import Blob, file_at, files_at, refs, resolve

CHANGELOG = "debian/changelog"
_VERSION = "@VERSION@"
_LABEL_LENGTH = 32  # ECMA-119
_PRIORITIES = {Purpose.TAG: PRIORITY_RELEASE, Purpose.BASE: PRIORITY_BASE, Purpose.TOPIC: PRIORITY_TOPIC}


def image_order(
    database: Database, ground: Ground, name: str, *, revision: str | None = None, subject: Subject | None = None
) -> JobOrder:
    """Order the build of an image from a commit (default: the newest of a branch).

    subject: the branch or tag that it is of (default: the default branch of its repo), which says what suites of ours it uses.
    Archives are those that the commit pins; the environment of its tools is pinned apart. Raises NotReadyError while a suite or
    snapshot is missing, or the changelog is dated ahead; NotFound or BadInput for a recipe or pins that are not there or wrong,
    Refused for a changelog dated far ahead, and for a branch that must be frozen and is not, or the other way round.
    """
    config, objects = ground.config, ground.objects
    table = config.images[name]
    repo = config.repos[table.repo]
    where = ground.paths.repo(table.repo)
    subject = subject or Subject(repo.default_branch)
    ref = f"refs/tags/{subject.tag}" if subject.tag else f"refs/heads/{subject.branch}"
    commit = resolve(where, revision or (refs(where).get(ref) if where.exists() else None) or ref)
    made = made_of(ground, table.repo, subject, commit)
    where, built, choices, base = made.where, made.commit, made.choices, made.base
    entry = _changelog(file_at(where, built, CHANGELOG), table.repo, ground.now)
    blobs = files_at(where, built, f"{table.recipe}/")
    if not blobs:
        raise NotFound(f"{table.repo} has no folder {table.recipe}", hint=f"look at recipe in [image.{name}]")
    recipe = parse_recipe([_image_file(blob, table.recipe) for blob in blobs], _values(config, table))
    if subject.tag and not is_release(subject.tag, str(entry.version)):
        raise BadInput(
            f"tag {quoted(subject.tag)} of {table.repo} holds version {entry.version}",
            hint=f"git tag {tag_of_version(entry.version)}, or correct {CHANGELOG}",
        )
    keys = {
        archive: _certificate(file_at(where, built, path), path, table.repo)
        for archive, path in _live_keys(config, table).items()
    }
    rules_of = base if subject.tag else subject.branch
    pinned = replace(ground, pins={**_pins(ground, name, where, built, rules_of), **ground.pins})
    with database.read() as tx:  # after git, which may take long
        sources = sources_of(tx, config, name, subject, choices).names
        resolved = resolve_suites(tx, pinned, sources)
        resolved_tools = resolve_suites(tx, ground, table_from(config, table.tools))
    _check_sources(config, sources, recipe)
    tools = environment_recipe(config, table.tools, resolved_tools)
    upstream = [item.archive for item in (*resolved.shelf, *resolved_tools.shelf) if not item.is_own]
    recorded = recorded_archives(database, config, objects, upstream) if "bundle" in table.outputs else {}
    inputs = _inputs(ground, name, (commit, made.base_commit), subject, entry, recipe, resolved, tools, keys, recorded)
    if base != subject.label:
        inputs["base_branch"] = base
    if made.base_commit:
        inputs["base_commit"] = made.base_commit
    includes = objects.put(includes_tar(recipe, int(entry.date.timestamp())))
    hooks = {name: objects.put(script.encode()) for name, script in recipe.hooks.items()}
    inputs["includes"], inputs["hooks"] = str(includes), {name: str(digest) for name, digest in hooks.items()}
    inputs["asked_at"] = dict(recipe.asked_at)
    if mentioned := mentioned_names(recipe):
        inputs["mentioned"] = list(mentioned)
    holds = (*resolved.holds, *resolved_tools.holds)
    priority = _PRIORITIES[_purpose(config, table, subject)]
    return JobOrder(KIND, inputs, f"build image {inputs['name']}", priority, holds=holds)


def _pins(ground: Ground, name: str, where: Path, commit: str, branch: str) -> dict[str, str]:
    """Read which serials a commit pins; only the archives that the image is made of must be as its branch must be."""
    config, table = ground.config, ground.config.images[name]
    repo = config.repos[table.repo]
    pinnable = upstream_archives(config)
    written = pins_at(where, commit, pinnable)
    used = {source.partition("/")[0] for source in table.from_}
    pins = {archive: written.get(archive) for archive in pinnable if archive in used}
    freedom = freedom_of(branch, repo.frozen, repo.thawed)
    check_pins(pins, branch, freedom, stay_latest=latest_archives(config))
    return {archive: serial for archive, serial in pins.items() if serial is not None}


def version_at(where: Path, commit: str) -> str:
    """Give the version of an image's repo at a commit; "" if its changelog cannot be read, which who orders it hears of."""
    content = file_at(where, commit, CHANGELOG)
    try:
        return "" if content is None else str(top_entry(content.decode(errors="replace")).version)
    except BadInput:
        return ""


def boot_order(config: Config, built: Mapping[str, Json]) -> JobOrder:
    """Order the boot of an image that was just built. built: the event; with vmlinuz and tools, which not every image has."""
    table = config.images[plain.text(built, "image")]
    inputs: dict[str, Json] = {
        **{key: built[key] for key in ("image", "name", "vmlinuz", "tools")},
        "iso": str(plain.digest(plain.mapping(built, "files"), f"{built['name']}.iso")),
        "firmware": "bios",
        "expect": table.boot_expect,
        "timeout_s": table.boot_timeout_s,
    }
    return JobOrder(BOOT_KIND, inputs, f"boot {built['name']} (BIOS)")


def _values(config: Config, table: Image) -> Values:
    archive, _, suite = table.from_[0].partition("/")
    components = config.archives[archive].components
    return condition_values(table.architecture, suite, components, recommends=table.recommends)


def _check_sources(config: Config, sources: Sequence[str], recipe: Recipe) -> None:
    """Refuse a recipe that speaks of sources which the image is not made from."""
    known = []
    for name in sources:
        archive_name, _, suite = name.partition("/")
        archive = config.archives[archive_name]
        known += [(str(archive.live_url or ""), suite, component) for component in archive.components]
    if problems := unknown_sources(recipe.sources, known):
        raise BadInput(
            f"the recipe has problems:\n{listed(problems)}", hint="add the suite to `from`, and live_url to its archive"
        )


def _inputs(
    ground: Ground,
    name: str,
    commits: tuple[str, str],
    subject: Subject,
    entry: ChangelogEntry,
    recipe: Recipe,
    resolved: Resolved,
    tools: EnvironmentRecipe,
    keys: Mapping[str, str],
    recorded: Mapping[str, Json],
) -> dict[str, Json]:
    config, table = ground.config, ground.config.images[name]
    branch, (commit, base_commit) = subject.label, commits
    epoch = int(entry.date.timestamp())
    stamp = entry.date.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    version = entry.version.without_epoch  # a colon in a file name reads as a host to rsync and scp
    states: dict[str, Json] = {item.name: str(item.document) for item in resolved.shelf}
    root = EnvironmentRecipe(
        resolved.shelf, resolved.components, table.variant, recipe.packages, table.architecture, epoch
    )
    root, own = with_own_packages(root, recipe.debs, ground.objects)
    title = (table.title or f"{config.site.name} {_VERSION}").replace(_VERSION, str(entry.version))
    own_label = (table.label or "").replace(_VERSION, version)[:_LABEL_LENGTH].rstrip()
    options = (*table.kernel_options, *(() if table.live_user is None else (f"username={table.live_user}",)))
    more = recipe_inputs(
        recipe,
        table,
        ground.objects,
        own,
        epoch=epoch,
        title=title,
        options=options,
        purpose=_purpose(config, table, subject),
    )

    def named(full_name: str) -> dict[str, Json]:
        return {
            "image": name,
            "name": full_name,
            "commit": commit,
            "epoch": epoch,
            "root": root.to_json(),
            "tools": tools.to_json(),
            "files": dict(_files(config, table, full_name, str(entry.version), branch, commit, keys, tuple(states))),
            "states": states,
            "title": title,
            "label": own_label or f"{name} {version}".upper()[:_LABEL_LENGTH],
            "disk_info": full_name,
            "kernel_options": list(options),
            **more,
            **form_inputs(config, name, str(entry.version), branch),
            **({"recorded": dict(recorded)} if recorded else {}),
        }

    # The same commit on another snapshot, with other tools or another configuration is another image, and so has another name.
    inside = digest_of(named(""))[:8]
    which = f"{commit[:12]}-{base_commit[:12]}" if base_commit else commit[:12]
    return named(f"{name}-{table.architecture}-{version}-{subject.file_label}-{which}-{stamp}-{inside}")


def _purpose(config: Config, table: Image, subject: Subject) -> Purpose:
    if subject.tag:
        return Purpose.TAG
    is_of_base = is_base(config.repos[table.repo], subject.branch) and not subject.on_top
    return Purpose.BASE if is_of_base else Purpose.TOPIC


def _files(
    config: Config,
    table: Image,
    full_name: str,
    version: str,
    branch: str,
    commit: str,
    keys: Mapping[str, str],
    sources: Sequence[str],
) -> dict[str, str]:
    more = {"IMAGE_ID": full_name, "IMAGE_VERSION": version, "DISTWRIGHT_BRANCH": branch, "DISTWRIGHT_COMMIT": commit}
    files = {
        "hostname": f"{table.repo}\n",
        "hosts": f"127.0.0.1 localhost\n127.0.1.1 {table.repo}\n::1 localhost ip6-localhost ip6-loopback\n",
        "os-release-more": "".join(f"{name}={shlex.quote(value)}\n" for name, value in more.items()),
        "live.sources": live_sources(config, sources),
    }
    return files | {_key_file(archive): text for archive, text in keys.items()}


def live_sources(config: Config, sources: Sequence[str]) -> str:
    """Give the sources that the image itself uses: each archive's `live_url`, never a snapshot nor this machine's mirror.

    sources: `archive/suite` names.
    """
    stanzas = []
    for name in sources:
        archive_name, _, suite = name.partition("/")
        archive = config.archives[archive_name]
        if archive.live_url is None:
            continue
        if isinstance(archive, OwnArchive) and archive.live_key is None:
            continue
        path = archive.live_key if isinstance(archive, OwnArchive) else archive.keyring
        key = path if path is not None and path.startswith("/") else f"/etc/apt/keyrings/{_key_file(archive_name)}"
        stanzas.append(
            f"Types: deb\nURIs: {archive.live_url}\nSuites: {suite}\n"
            f"Components: {' '.join(archive.components)}\nSigned-By: {key}\n"
        )
    return "\n".join(stanzas)


def _live_keys(config: Config, table: Image) -> dict[str, str]:
    """Give archive -> file in the repository for the certificates that the image must bring along."""
    archives = {name.partition("/")[0]: config.archives[name.partition("/")[0]] for name in table.from_}
    paths = {
        name: archive.live_key if isinstance(archive, OwnArchive) else archive.keyring
        for name, archive in archives.items()
        if archive.live_url is not None
    }
    return {name: path for name, path in paths.items() if path is not None and not path.startswith("/")}


def _certificate(content: bytes | None, path: str, repo: str) -> str:
    if content is None:
        raise NotFound(f"{repo} has no file {path}", hint="look at live_key or keyring of the archive")
    if not content.startswith(b"-----BEGIN PGP PUBLIC KEY BLOCK-----") or not content.isascii():
        raise BadInput(f"{path} of {repo} is not an armoured OpenPGP certificate", hint=f"sq toolbox armor {path}")
    return content.decode()


def _key_file(archive: str) -> str:
    return f"{archive}.asc"  # by archive: two keys may have one file name in the repo, and apt wants .asc for armoured ones


def _changelog(content: bytes | None, repo: str, now: datetime) -> ChangelogEntry:
    if content is None:
        raise NotFound(f"repo {repo} has no {CHANGELOG}", hint="add one: the image's version and time come from it")
    entry = top_entry(content.decode(errors="replace"))
    check_date(f"{CHANGELOG} of {repo}", entry.date, now)
    return entry


def _image_file(blob: Blob, recipe: str) -> ImageFile:
    path = blob.path.removeprefix(f"{recipe}/")
    if path.startswith("/") or ".." in path.split("/"):
        raise BadInput(f"{quoted(blob.path)} is no path of a recipe", hint="remove it")
    if blob.mode == "120000":
        return ImageFile(path, b"", is_executable=False, link=blob.content.decode(errors="replace"))
    return ImageFile(path, blob.content, blob.mode == "100755")
