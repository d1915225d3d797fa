"""Are the machines that work for us able to? Runners are asked of the rows, builders themselves."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from distwright import __version__
from distwright.builds.environment import MMDEBSTRAP_PROGRAMS
from distwright.builds.package import SBUILD_PROGRAMS
from distwright.config.model import Config
from distwright.config.tables_hosts import Host
from distwright.errors import BadInput, ProgramFailed, Unreachable, quoted
from distwright.formats.frames import Note
from distwright.jobs.order import DEFAULT_POOL
from distwright.jobs.pools import pools_of, shared_pools
from distwright.model import plain
from distwright.site.builders import every_builder
from distwright.site.health import HealthFinding
from distwright.site.hosts import host_rows, note_of, version_problem
from distwright.site.waiting import SOON, nobody_takes
from distwright.store.database import Database
from distwright.store.objects import ObjectStore
from distwright.store.paths import StatePaths
from distwright.store.pools import loads_of_pools
from distwright.tools.architectures import known_architectures
from distwright.tools.dpkg import installed_versions
from distwright.tools.link import Link, refused_note
from distwright.tools.run import Command, conversing
from distwright.worker.builders import Builder

NO_OTHERS, NO_BUILDERS = "no other machine works for this one", "no builder is enrolled"
_ANSWER_S, _NOTE_BYTES, _AT_ONCE = 60.0, 1 << 16, 8
_COMPARED = tuple(sorted({*SBUILD_PROGRAMS, *MMDEBSTRAP_PROGRAMS, "qemu-system-x86"}))
_ONLY = {True: "while rows are in a file, all are of local", False: "it is no architecture"}
_LISTED = 20  # of what a builder says, in words


def examine_hosts(database: Database, config: Config) -> HealthFinding:
    """Say who is silent, not enrolled or of another version, and which pools have jobs that nobody takes, or never have any."""
    now = database.now()
    rows = host_rows(database, config, now)
    if not rows and not config.pools:
        return HealthFinding("hosts", "well", NO_OTHERS, "")
    with database.read() as tx:
        loads = loads_of_pools(tx, now)
    stuck = [
        f"{load.waiting} jobs wait: {said}"
        for pool, load in sorted(loads.items())
        if load.since is not None
        and not load.running
        and now - load.since >= SOON
        and (said := nobody_takes(pool, rows))
    ]
    if stuck:
        return HealthFinding("hosts", "wrong", "; ".join(stuck), "distwright host list")
    odd = [f"{row.name}: {note_of(row)}" for row in rows if row.state == "silent"]
    odd += [f"{row.name} is {row.state}" for row in rows if row.state not in ("silent", "ready", "draining")]
    odd += [
        f"{row.name}: {problem}"
        for row in rows
        if row.state == "ready"
        and row.known is not None
        and (problem := version_problem(row.known.version, __version__))
    ]
    odd += [f"no job is ever of pool {pool}: {_ONLY[database.is_of_one_machine]}" for pool in _idle(database, config)]
    if odd:
        return HealthFinding("hosts", "note", "; ".join(odd), "distwright host list; see docs/how-to/many-machines.md")
    return HealthFinding("hosts", "well", f"{len(rows)} hosts are enrolled, of this version, and none is silent", "")


def _idle(database: Database, config: Config) -> list[str]:
    """Name the pools of tables that no order is ever of (jobs/pools.py)."""
    had = {DEFAULT_POOL, *known_architectures()} & set(shared_pools(database, config))
    return sorted(set(pools_of(config)) - had)


@dataclass(frozen=True, slots=True)
class BuilderLook:
    """What a builder said when it was asked what it is. problems: why it would refuse steps; notes: steps of what it refuses."""

    name: str
    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()
    said: str = ""


def examine_builders(database: Database, objects: ObjectStore, paths: StatePaths, config: Config) -> HealthFinding:
    """Go to every builder that is enrolled and not draining, as steps do, and ask; several at once. Takes up to a minute."""
    try:
        builders = every_builder(database, objects, paths, config)
    except OSError as error:
        return HealthFinding("builders", "wrong", f"{error.filename}: {error.strerror}", "run as the state's owner")
    if not builders:
        return HealthFinding("builders", "well", NO_BUILDERS, "")
    ours = installed_versions(_COMPARED)
    tables = config.hosts
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        look = partial(_look, config, tables, ours)
        looks = list(threads.map(look, builders))
    wrong = [f"{look.name}: {problem}" for look in looks for problem in look.problems]
    notes = [f"{look.name}: {note}" for look in looks for note in look.notes]
    said = "; ".join(f"{look.name}: {look.said}" for look in looks if not look.problems)
    if wrong:
        hint = "see that its sshd answers and has the same versions: docs/how-to/many-machines.md"
        return HealthFinding("builders", "wrong", "; ".join(wrong), hint)
    if notes:
        return HealthFinding("builders", "note", "; ".join(notes), "see distwright doctor, there")
    return HealthFinding("builders", "well", said, "")


def _look(config: Config, tables: Mapping[str, Host], ours: Mapping[str, str], builder: Builder) -> BuilderLook:
    return look_at(builder, _architectures(config, tables[builder.name]), ours)


def _architectures(config: Config, table: Host) -> list[str]:
    """Give the architectures whose steps a builder may be sent: of the environments that its pools are for."""
    all_of_them = sorted({environment.architecture for environment in config.environments.values()})
    return [name for name in all_of_them if DEFAULT_POOL in table.pools or name in table.pools]


def look_at(builder: Builder, architectures: Sequence[str], ours: Mapping[str, str]) -> BuilderLook:
    """Ask a builder what it is, and say what is wrong with that. ours: versions here of the packages that plans name."""
    try:
        with conversing(Command(builder.argv, 0, grace_s=1)) as pipes, Link(
            pipes.back, pipes.to, said=pipes.said, note_limit_bytes=_NOTE_BYTES, silence_s=_ANSWER_S
        ) as link:  # fmt: skip
            link.say("look", programs=list(_COMPARED), architectures=list(architectures))
            note = link.hear(_ANSWER_S)
            if not isinstance(note, Note) or note.says != "looked":
                raise refused_note(note, "looked")
            look = _read(builder.name, note.values, ours)
            link.part("bye")
    except (BadInput, Unreachable, ProgramFailed) as error:
        return BuilderLook(builder.name, (error.message,))
    return look


def _read(name: str, said: plain.Plain, ours: Mapping[str, str]) -> BuilderLook:
    """Read an answer, which may be hostile. Raises BadInput."""
    version, architecture = plain.text(said, "version"), plain.text(said, "architecture")
    programs, free = plain.text_map(said, "programs"), plain.number(said, "free_bytes")
    problems = [problem] if (problem := version_problem(version, __version__)) else []
    for package in _COMPARED:
        here, there = ours.get(package, "not"), programs.get(package, "not")
        if here != there:
            problems.append(
                f"{package} is {quoted(there, 40) if there != 'not' else there} installed there, {here} here"
            )
    notes = tuple(quoted(text, 200)[1:-1] for text in plain.texts(said, "cannot")[:_LISTED])
    told = f"{quoted(architecture, 20)[1:-1]}, {min(free, 1 << 62) >> 30} GiB free"
    return BuilderLook(name, tuple(problems), notes, told)
