"""Is this machine able to do the work? Each question is tried for real, and answered with what to type."""

import os
import pwd
import shutil
import stat
import tempfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from distwright.config.model import Config
from distwright.errors import DistwrightError, NotFound
from distwright.images.forms import missing_tools
from distwright.model.outcomes import JobState
from distwright.repos.configured import hosting_changes
from distwright.site.applied import load_applied
from distwright.site.away import away_of, refuse_other_schema
from distwright.site.endings import what_ends
from distwright.site.examining_hosts import NO_BUILDERS, NO_OTHERS, examine_builders, examine_hosts
from distwright.site.health import HealthFinding
from distwright.site.keys import Keys, said_missing
from distwright.site.programs import PATH, missing_programs
from distwright.site.views import unknown_kind
from distwright.store.database import Database, damages
from distwright.store.jobs import list_jobs
from distwright.store.migrations import version_of
from distwright.store.objects import FileObjects
from distwright.store.paths import StatePaths
from distwright.tools.apt import configured_sources
from distwright.tools.architectures import look_at_machine, way_to_run
from distwright.tools.run import Command, run
from distwright.tools.sandbox import RootFolders, Sandbox, sandbox_for
from distwright.worker.cgroups import base_of, look_for_groups
from distwright.worker.watchdog import has_children_files

SPACE_WANTED_BYTES = 12 << 30
INODES_WANTED = 300_000


def examine_machine(paths: StatePaths, now: datetime) -> list[HealthFinding]:
    """Ask every question about this machine and a state folder (which need not exist); of a host, what the work there needs."""
    if paths.home.exists():
        return _asked(paths, _home, _programs, _user, _sandbox, _architectures, _space, _kvm, _limits)
    return [
        *_asked(
            paths,
            _programs,
            _user,
            _sandbox,
            _architectures,
            _images,
            _hosting,
            _space,
            _sources,
            _kvm,
            _limits,
            _jobs,
            _hosts,
            _builders,
        ),
        *examine_state(paths, now),
    ]


def examine_state(paths: StatePaths, now: datetime) -> list[HealthFinding]:
    """Ask who may read and change a state, whether its database is whole, and what ends soon; nothing is made or changed."""

    def endings(paths: StatePaths) -> HealthFinding:
        return _endings(paths, now)

    return _asked(paths, _state, _database, _keys, endings)


def _asked(paths: StatePaths, *checks: Callable[[StatePaths], HealthFinding]) -> list[HealthFinding]:
    findings = []
    for check in checks:
        try:
            findings.append(check(paths))
        except DistwrightError as error:
            findings.append(HealthFinding(check.__name__.strip("_"), "wrong", error.message, error.hint))
    return findings


def _home(paths: StatePaths) -> HealthFinding:
    """Greet the server that this machine works for, and its database. Raises what they have against us."""
    database = Database(paths.database_url)
    try:
        away = away_of(paths, database, may_be_away=True)
        if away is None:
            raise NotFound(f"{paths.home} is gone", hint="run distwright host join again")
        refuse_other_schema(database, away.place)
        pools, slots = away.table()
    finally:
        database.close()
    what = f"host {away.place.host} of {away.place.url}: {slots} jobs at a time of {', '.join(pools)}"
    return HealthFinding("home", "well", what, "")


def _programs(_paths: StatePaths) -> HealthFinding:
    missing = missing_programs()
    if not missing:
        return HealthFinding("programs", "well", "all programs are here", "")
    named = ", ".join(f"{name} ({package})" for name, package in sorted(missing.items()))
    packages = " ".join(sorted(set(missing.values())))
    return HealthFinding("programs", "wrong", f"missing: {named}", f"sudo apt-get install {packages}")


def _user(_paths: StatePaths) -> HealthFinding:
    who = sandbox_for(os.geteuid()).user
    name = who or _own_name()
    for file in (Path("/etc/subuid"), Path("/etc/subgid")):
        ranges = [line.split(":") for line in file.read_text().splitlines()] if file.exists() else []
        if not any(row[0] == name and len(row) == 3 and int(row[2]) >= 65536 for row in ranges):
            hint = f"sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {name}"
            return HealthFinding("user", "wrong", f"{name} has no 65536 subordinate ids in {file}", hint)
    return HealthFinding("user", "well", f"sandboxed programs run as {name}", "")


def _sandbox(_paths: StatePaths) -> HealthFinding:
    sandbox = sandbox_for(os.geteuid())
    with tempfile.TemporaryDirectory(prefix="distwright-doctor-") as base:
        root = Path(base)
        root.chmod(0o755)
        folders = RootFolders(*(root / name for name in ("lower", "upper", "scratch", "merged", "work")))
        for folder in (folders.lower, folders.upper, folders.scratch, folders.merged, folders.work):
            sandbox.make_folder(folder)
        ran = _enter(sandbox, folders)
        sandbox.remove(root / "upper")
        sandbox.remove(root / "scratch")
    return ran


def _enter(sandbox: Sandbox, folders: RootFolders) -> HealthFinding:
    argv = sandbox.rooted_argv(folders, ("/nothing",))
    ended = run(Command(argv, timeout_s=20))
    # The root is empty, so the program cannot be found: getting that far means that all of the sandbox works.
    if b"sandbox: /nothing" in ended.stderr:
        return HealthFinding("sandbox", "well", "user, mount, pid and network namespaces and overlay work", "")
    reason = ended.stderr.decode(errors="replace").strip() or f"exit {ended.exit_code}"
    return HealthFinding(
        "sandbox", "wrong", reason, "sysctl kernel.unprivileged_userns_clone=1; is this a container without namespaces?"
    )


def _architectures(paths: StatePaths) -> HealthFinding:
    """Ask whether programs of each architecture that the configured environments are of can run here."""
    names = _environments_by_architecture(paths)
    ways = {name: way_to_run(look_at_machine(), name) for name in names}
    wrong = {name: way for name, way in ways.items() if not way.is_there}
    if not wrong:
        return HealthFinding(
            "architectures", "well", "; ".join(way.what for way in ways.values()) or "no environment yet", ""
        )
    what = "; ".join(f"{way.what} (for environment {', '.join(names[name])})" for name, way in wrong.items())
    return HealthFinding("architectures", "wrong", what, "; ".join(dict.fromkeys(way.hint for way in wrong.values())))


def _environments_by_architecture(paths: StatePaths) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    config = _applied_config(paths)
    for name, table in sorted(config.environments.items()) if config else ():
        found.setdefault(table.architecture, []).append(name)
    return found


def _applied_config(paths: StatePaths) -> Config | None:
    if not paths.has_database:
        return None
    database = Database(paths.database_url)
    try:
        applied = load_applied(database, FileObjects(paths.objects))
    finally:
        database.close()
    return applied[0] if applied else None


def _images(paths: StatePaths) -> HealthFinding:
    """Ask whether the tools of each image have the packages that its outputs need beyond those of an ISO."""
    config = _applied_config(paths)
    wanted = missing_tools(config) if config else {}
    if not wanted:
        return HealthFinding("images", "well", "their tools have what their outputs need", "")
    what = "; ".join(f"environment {name} does not include {', '.join(found)}" for name, found in wanted.items())
    return HealthFinding("images", "note", f"USB images need more tools: {what}", "add them to include of its table")


def _hosting(paths: StatePaths) -> HealthFinding:
    """Ask whether Gitolite serves the repos as configured, if it shall."""
    config = _applied_config(paths)
    if config is None or config.site.git_user is None or not paths.hosting.exists():
        return HealthFinding("hosting", "well", "repos are folders of this machine", "")
    missing = {"gitolite": "gitolite3", "sshd": "openssh-server"}
    missing = {name: package for name, package in missing.items() if shutil.which(name, path=PATH) is None}
    if missing:
        hint = f"sudo apt-get install {' '.join(missing.values())}"
        return HealthFinding("hosting", "wrong", f"missing: {', '.join(missing)}", hint)
    changes = hosting_changes(config, paths)
    if changes:
        what = "; ".join(f"{change.name}: {change.detail}" for change in changes[:3])
        return HealthFinding("hosting", "wrong", what, "distwright config plan, then config apply COMMIT --repo REPO")
    return HealthFinding("hosting", "well", f"Gitolite serves {len(config.repos)} repos as configured", "")


def _space(paths: StatePaths) -> HealthFinding:
    place = next(folder for folder in (paths.root, *paths.root.parents) if folder.exists())
    free, status = shutil.disk_usage(place).free, os.statvfs(place)
    what = f"{free >> 30} GiB and {status.f_favail} inodes are free for {paths.root}"
    is_low = free < SPACE_WANTED_BYTES or (status.f_files and status.f_favail < INODES_WANTED)
    if is_low:
        return HealthFinding(
            "space",
            "wrong",
            what,
            f"want {SPACE_WANTED_BYTES >> 30} GiB and {INODES_WANTED} inodes; name another place with --state DIR",
        )
    return HealthFinding("space", "well", what, "")


def _state(paths: StatePaths) -> HealthFinding:
    """Look at who may read keys and who may change what we believe."""
    if not paths.root.exists():
        return HealthFinding("state", "note", f"there is no state in {paths.root} yet", "distwright demo makes one")
    limits = [
        (paths.root, 0o022),
        (paths.objects, 0o022),
        (paths.keys, 0o077),
        (paths.database, 0o077),
        (paths.database_place, 0o077),
    ]
    limits += [(key, 0o077) for key in _listed(paths.keys)]
    wrong = [(path, mode) for path, forbidden in limits if (mode := _mode(path)) is not None and mode & forbidden]
    if not wrong:
        return HealthFinding("state", "well", "keys and database are ours alone, nobody else changes the state", "")
    what = ", ".join(f"{path} has mode {mode:04o}" for path, mode in wrong)
    return HealthFinding("state", "wrong", what, "; ".join(_closed(paths, path) for path, _ in wrong))


def _closed(paths: StatePaths, path: Path) -> str:
    if path in (paths.root, paths.objects):
        return f"chmod go-w {path}"
    return f"chmod {700 if path == paths.keys else 600} {path}"


def _keys(paths: StatePaths) -> HealthFinding:
    """Ask whether the keys are there that the configuration needs, and can be used by whoever asks."""
    config = _applied_config(paths)
    if config is None:
        return HealthFinding("keys", "well", "no configuration says yet which keys are needed", "")
    keys = Keys(paths)
    if not keys.may_look:
        return HealthFinding("keys", "note", f"{paths.keys} is not ours to look into", "run as the state's owner")
    if missing := keys.missing(config):
        hint = f"distwright key make {' '.join(one.credential for one in missing)}"
        return HealthFinding("keys", "wrong", said_missing(missing), hint)
    wrong = [state for state in keys.look(config) if state.problem]
    if wrong:
        what = "; ".join(f"key {state.needed.credential}: {state.problem}" for state in wrong)
        return HealthFinding("keys", "wrong", what, "distwright key list")
    named = ", ".join(state.needed.credential for state in keys.look(config))
    return HealthFinding("keys", "well", f"those that the configuration needs are here: {named or 'none'}", "")


def _mode(path: Path) -> int | None:
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return None


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _database(paths: StatePaths) -> HealthFinding:
    return _postgresql(paths.database_url) if paths.database_place.exists() else _file(paths)


def _postgresql(url: str) -> HealthFinding:
    database = Database(url)
    try:
        with database.read() as tx:
            version_of(tx)
    except DistwrightError as error:
        return HealthFinding("database", "wrong", error.message, "look whether PostgreSQL runs, and lets us in")
    finally:
        database.close()
    return HealthFinding("database", "well", "PostgreSQL answers", "")


def _file(paths: StatePaths) -> HealthFinding:
    try:
        is_here = paths.database.stat().st_size > 0
    except FileNotFoundError:
        is_here = False
    except OSError as error:
        return HealthFinding("database", "wrong", f"{paths.database}: {error.strerror}", "run as the state's owner")
    if not is_here and any(_listed(paths.objects)):
        what = f"{paths.database} is empty or gone, but there are objects"
        return HealthFinding("database", "wrong", what, "restore it from a backup")
    if not is_here:
        return HealthFinding(
            "database", "note", f"there is no database in {paths.root} yet", "distwright demo makes one"
        )
    database = Database(paths.database_url)
    try:
        found = damages(database)
    finally:
        database.close()
    if found:
        return HealthFinding("database", "wrong", f"{paths.database}: {'; '.join(found)}", "restore it from a backup")
    return HealthFinding("database", "well", f"{paths.database} is whole", "")


def _endings(paths: StatePaths, now: datetime) -> HealthFinding:
    found = what_ends(paths, now)
    if not found:
        return HealthFinding("endings", "well", "no key and nothing that is needed ends soon", "")
    what = "; ".join(f"{ending.subject} {ending.what}" for ending in found)
    hints = "; ".join(dict.fromkeys(ending.hint for ending in found))
    return HealthFinding("endings", "wrong" if any(ending.is_past for ending in found) else "note", what, hints)


def _sources(_paths: StatePaths) -> HealthFinding:
    sources = configured_sources()
    labelled = sorted({f"{source.label} {source.suite}" for source in sources if source.label})
    if not labelled:
        return HealthFinding(
            "apt sources",
            "wrong",
            "apt knows no archive yet",
            "sudo apt-get update; or set fetch_from in the archives' tables",
        )
    return HealthFinding("apt sources", "well", f"archives can be fetched as apt does: {', '.join(labelled)}", "")


def _kvm(_paths: StatePaths) -> HealthFinding:
    sandbox = sandbox_for(os.geteuid())
    opens = ("sh", "-c", "exec 3<>/dev/kvm")
    if run(Command(sandbox.argv(opens), timeout_s=20)).exit_code == 0:
        return HealthFinding("kvm", "well", "/dev/kvm can be opened; the first boot tries whether it works", "")
    return HealthFinding(
        "kvm",
        "note",
        "no KVM for the sandbox user: images boot under emulation, about 90 s each",
        f"sudo adduser {sandbox.user or _own_name()} kvm",
    )


def _limits(_paths: StatePaths) -> HealthFinding:
    """Say who keeps programs within their limits here; docs/design/0003 says how well each does."""
    always = "time and output are counted, the disk is watched"
    base = base_of(look_for_groups())
    if base.folder is not None:
        what = f"the kernel keeps memory and processes of each job, in groups below {base.folder}; {always}"
        return HealthFinding("limits", "well", what, "")
    if not has_children_files():
        what = f"nothing keeps memory and processes of a job: {base.reason}, and the kernel does not list children"
        return HealthFinding("limits", "wrong", what, "use a kernel with CONFIG_PROC_CHILDREN")
    what = f"memory and processes of each job are watched, several times a second: {base.reason}; {always}"
    return HealthFinding(
        "limits", "note", what, "run the worker as a systemd service with Delegate=yes, and the kernel keeps them"
    )


def _jobs(paths: StatePaths) -> HealthFinding:
    if not paths.has_database:
        return HealthFinding("jobs", "well", "no job yet", "")
    database = Database(paths.database_url)
    try:
        with database.read() as tx:
            queued = list_jobs(tx, states=[JobState.QUEUED], limit=10000)
    finally:
        database.close()
    unknown = sorted({f"{job.kind} {job.version}" for job in queued if unknown_kind(job)})
    if unknown:
        what = f"queued jobs are of kinds that this version does not know: {', '.join(unknown)}"
        return HealthFinding("jobs", "note", what, "distwright job list; install the version that ordered them")
    return HealthFinding("jobs", "well", f"{len(queued)} queued, each of a kind that this version knows", "")


def _hosts(paths: StatePaths) -> HealthFinding:
    """Ask whether the machines that work for us live, and whether jobs wait where nobody works."""
    return _with_rows(paths, HealthFinding("hosts", "well", NO_OTHERS, ""), examine_hosts)


def _builders(paths: StatePaths) -> HealthFinding:
    """Go to each builder, and ask what it is."""

    def examine(database: Database, config: Config) -> HealthFinding:
        return examine_builders(database, FileObjects(paths.objects), paths, config)

    return _with_rows(paths, HealthFinding("builders", "well", NO_BUILDERS, ""), examine)


def _with_rows(
    paths: StatePaths, unconfigured: HealthFinding, examine: Callable[[Database, Config], HealthFinding]
) -> HealthFinding:
    """Examine what the configuration in force and the rows say; `unconfigured` where there is none."""
    config = _applied_config(paths)
    if config is None:
        return unconfigured
    database = Database(paths.database_url)
    try:
        return examine(database, config)
    finally:
        database.close()


def _own_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        raise NotFound(f"user {os.geteuid()} has no name here", hint="run as a user of /etc/passwd") from None
