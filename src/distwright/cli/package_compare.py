"""`distwright package compare`."""

from collections.abc import Iterator

import click

from distwright.app import App, open_app
from distwright.checks.contents import Contents
from distwright.checks.delta import Delta, FieldDelta, FileDelta, PackageDelta, compare_sets, installed_size
from distwright.cli.options import json_option, print_json, say, state_option
from distwright.cli.watch import TerminalWatcher
from distwright.errors import quoted
from distwright.formats.packagetree import TreeMember
from distwright.formats.tar import TarKind
from distwright.model.digests import Json, Sha256
from distwright.site.comparing import explanation, order_of_explanation
from distwright.site.package_sets import (
    PackageSet,
    first_difference,
    is_on_disk,
    pairs_that_differ,
    read_set,
    set_of_job,
    set_of_suite,
    set_on_disk,
)

_LISTED = 200  # files of one kind; --json has all
_VALUE = 200


@click.command("compare")
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@state_option
@click.option("--explain", is_flag=True, help="Have diffoscope look at two builds, and print all that it says.")
@json_option
def compare(first: str, second: str, state: str | None, explain: bool, as_json: bool) -> None:
    """List what changed from A to B: files, modes, owners, fields, dependencies, sizes.

    Each is a .deb, .changes or .dsc on disk, a package of a suite (ARCHIVE/SUITE:NAME or ARCHIVE/SUITE:NAME=VERSION), or the number
    of a build or rebuild. Files on disk need no installation. Exit codes: 0 the same bytes, 1 they differ, 10 no such thing.
    """
    app = None if is_on_disk(first) and is_on_disk(second) else open_app(state)
    sets = _set_of(app, first), _set_of(app, second)
    delta = compare_sets(*(read_set(one) for one in sets))
    pairs = pairs_that_differ(*sets)
    explained = "" if app is None or not pairs else _explained(app, sets[0].repo, pairs, is_asked=explain)
    untold = {
        package.name: first_difference(*sets, package.first, package.second)
        for package in delta.packages
        if not package.is_same and not package.is_told and package.first and package.second
    }
    if as_json:
        print_json(_as_json(delta, untold, explained))
    else:
        _print(delta, untold, explained, all_lines=explain)
    if not delta.is_same:
        raise click.exceptions.Exit(1)


def _set_of(app: App | None, name: str) -> PackageSet:
    if app is None or is_on_disk(name):
        return set_on_disk(name)
    if name.isdigit():
        return set_of_job(app.command_context(), int(name))
    return set_of_suite(app.command_context(), app.ground(), name)


def _explained(app: App, repo: str, pairs: dict[str, tuple[Sha256, Sha256]], *, is_asked: bool) -> str:
    if is_asked:
        order = order_of_explanation(app.database, app.ground(), repo, pairs)
        job = app.place(order, app.applied()[1])
        app.tell = say
        app.run_until_done(TerminalWatcher(app.paths.job_log, follow=False), [job])
    return explanation(app.database, app.objects, app.config(), repo, pairs)


def _as_json(delta: Delta, untold: dict[str, str], explained: str) -> Json:
    return {
        "same": delta.is_same,
        "packages": [package.to_json() for package in delta.packages],
        "moved_between": [{"path": path, "from": one, "to": other} for path, one, other in delta.between],
        "first_differences": dict(untold),
        "explained": explained,
    }


def _print(delta: Delta, untold: dict[str, str], explained: str, *, all_lines: bool) -> None:
    for package in delta.packages:
        for line in _lines_of(package, untold.get(package.name, "")):
            click.echo(line)
    for path, one, other in delta.between[:_LISTED]:
        click.echo(f"moved from package {one} to {other}: {_clean(path)}")
    if explained:
        lines = explained.splitlines()
        for line in lines if all_lines else lines[:1]:
            click.echo(line)
        if len(lines) > 1 and not all_lines:
            click.echo(f"diffoscope said {len(lines)} lines of it: --explain prints them")


def _lines_of(package: PackageDelta, untold: str) -> Iterator[str]:
    first, second = package.first, package.second
    there = second or first
    if there is None:
        return
    name = f"{_clean(there.name)} ({_clean(there.architecture)})"
    if first is None or second is None:
        yield f"{name}: {'new' if first is None else 'gone'}, {_clean(there.version)}, {len(there.files)} files"
        return
    if package.is_same:
        yield f"{name}: the same, {_clean(first.version)}"
        return
    yield f"{name}: {_arrow(_clean(first.version), _clean(second.version))}"
    yield f"  size {_arrow(f'{first.size_bytes:,}', f'{second.size_bytes:,}')} bytes{_installed(first, second)}"
    for field in package.fields:
        yield from _field_lines(field)
    yield from _cut(f"  + {_file_line(member)}" for member in package.added)
    yield from _cut(f"  - {_file_line(member)}" for member in package.removed)
    yield from _cut(f"  > {_clean(before)} → {_clean(after)}" for before, after in package.moved)
    yield from _cut(f"  ~ {_delta_line(one)}" for one in package.changed)
    yield from _cut(f"  ~ control file {_delta_line(one)}" for one in package.control)
    if untold:
        yield f"  its fields and files are the same; {untold}"


def _installed(first: Contents, second: Contents) -> str:
    sizes = [installed_size(one) for one in (first, second)]
    if None in sizes:
        return ""
    return f", installed {_arrow(*(f'{size:,}' for size in sizes))} KiB"


def _arrow(first: str, second: str) -> str:
    return first if first == second else f"{first} → {second}"


def _field_lines(field: FieldDelta) -> Iterator[str]:
    if field.gone or field.new:
        yield f"  {field.name}:"
        yield from (f"    - {_clean(member)}" for member in field.gone)
        yield from (f"    + {_clean(member)}" for member in field.new)
        return
    before, after = ("(none)" if one is None else quoted(one, _VALUE)[1:-1] for one in (field.first, field.second))
    yield f"  {_clean(field.name)}: {before} → {after}"


def _file_line(member: TreeMember) -> str:
    uid, gid, user, group = member.owner
    sign = {TarKind.FOLDER: "d", TarKind.SYMLINK: "l", TarKind.HARDLINK: "h"}.get(member.kind, "-")
    link = f" → {_clean(member.link)}" if member.link else ""
    owner = f"{user or uid}/{group or gid}"
    return f"{sign}{member.mode:04o} {_clean(owner)} {member.size:>9,} {_clean(member.path)}{link}"


def _delta_line(one: FileDelta) -> str:
    return f"{_clean(one.path)}: " + ", ".join(
        f"{name} {before} → {after}" for name, (before, after) in one.what.items()
    )


def _clean(text: str) -> str:
    return quoted(text, 400)[1:-1]


def _cut(lines: Iterator[str]) -> Iterator[str]:
    for number, line in enumerate(lines):
        if number == _LISTED:
            yield "    … and more: --json has all"
            return
        yield line
