"""What a builder says of a step that has ended, read as what it may be: hostile. Values only."""

from collections.abc import Mapping
from dataclasses import dataclass

from distwright.errors import BadInput, quoted
from distwright.formats.frames import Note
from distwright.jobs.step import CommandEnd, Plan
from distwright.model import plain
from distwright.model.digests import Json
from distwright.worker.workfolder import matching

OUTPUTS_LIMIT = 20_000
_TAIL_LINES, _TAIL_LINE_SIGNS = 15, 2000
_TEXT_SIGNS, _NAME_SIGNS = 500, 256
_SIZE_LIMIT = 1 << 62
_HINT = "see what runs on the builder: ours is distwright builder serve"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a step ended there. always, rest: outputs that there are, by name, with their sizes in bytes.

    problem: what is wrong with the outputs that are not kept always; "" if nothing is.
    """

    ends: tuple[CommandEnd, ...]
    always: Mapping[str, int]
    rest: Mapping[str, int]
    problem: str


def read_ended(note: Note, plan: Plan, limit_bytes: int) -> Ended:
    """Read the note that says how a step ended; raise BadInput for what no step of this plan can have given.

    limit_bytes: of all outputs together.
    """
    ends = tuple(_end(value) for value in plain.members(note.values, "ends"))
    if not ends:
        raise BadInput("it has ended and run nothing", hint=_HINT)
    if len(ends) > len(plan.commands) or any(end.cut or end.exit_code for end in ends[:-1]):
        raise BadInput("it has run more commands than there are, or after one that failed", hint=_HINT)
    is_well = not ends[-1].cut and not ends[-1].exit_code
    if is_well and len(ends) != len(plan.commands):
        raise BadInput(f"it has run {len(ends)} of {len(plan.commands)} commands, none of which failed", hint=_HINT)
    given = plain.mapping(note.values, "outputs")
    if len(given) > OUTPUTS_LIMIT:
        raise BadInput(f"it names {len(given)} outputs, {OUTPUTS_LIMIT} are the most", hint=_HINT)
    sizes = {name: _size(given, name) for name in given}
    if sum(sizes.values()) > limit_bytes:
        raise BadInput(f"its outputs have {sum(sizes.values())} bytes, {limit_bytes} are the most", hint=_HINT)
    always = {name: size for name, size in sizes.items() if _is_of(name, plan.collect_always) or name == plan.keep_log}
    rest = {name: size for name, size in sizes.items() if name not in always}
    for name in rest:
        if not _is_of(name, plan.collect):
            raise BadInput(f"it names an output {quoted(name)}, which the step has not", hint=_HINT)
    problem = _text(note.values, "problem")
    wanted = [name for name, pattern in plan.collect.items() if "*" not in pattern.rpartition("/")[2]]
    missing = [name for name in wanted if name not in sizes]
    if not problem and missing:
        raise BadInput(f"it does not give {quoted(missing[0])}, and does not say why", hint=_HINT)
    if plan.keep_log and plan.keep_log not in sizes:
        raise BadInput(f"it does not give the log {quoted(plan.keep_log)}", hint=_HINT)
    return Ended(ends, always, rest, problem)


def _end(value: Json) -> CommandEnd:
    given = plain.mapping({"end": value}, "end")
    exit_code = plain.number(given, "exit")
    if not -255 <= exit_code <= 255:
        raise BadInput(f"it says exit {quoted(str(exit_code)[:20])}", hint=_HINT)
    tail = plain.texts(given, "tail")
    if len(tail) > _TAIL_LINES:
        raise BadInput(f"it gives {len(tail)} last lines, {_TAIL_LINES} are the most", hint=_HINT)
    return CommandEnd(exit_code, _text(given, "cut"), tuple(line[:_TAIL_LINE_SIGNS] for line in tail))


def _size(given: plain.Plain, name: str) -> int:
    size = plain.number(given, name)
    if not 0 <= size < _SIZE_LIMIT:
        raise BadInput(f"it says that {quoted(name)} has {quoted(str(size)[:40])} bytes", hint=_HINT)
    return size


def _text(values: plain.Plain, key: str) -> str:
    """Give a text that goes into messages: one printable line, cut."""
    text = plain.text(values, key)[:_TEXT_SIGNS]
    return "".join(sign if sign.isprintable() else " " for sign in text)


def _is_of(name: str, wanted: Mapping[str, str]) -> bool:
    """Say whether a name is one that these patterns can give (worker/workfolder.py, `collect`)."""
    for base, pattern in wanted.items():
        last = pattern.rpartition("/")[2]
        if "*" not in last:
            if name == base:
                return True
        elif name.startswith(f"{base}/"):
            file = name.removeprefix(f"{base}/")
            is_name = file.isprintable() and "/" not in file and file not in ("", ".", "..")
            if len(file) < _NAME_SIGNS and is_name and matching(last).fullmatch(file):
                return True
    return False
