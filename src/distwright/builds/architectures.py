"""A build for another architecture than the repo's own: its packages alone, for the source is there already."""

from dataclasses import replace

from distwright.archive.resolve import Ground, resolve_suites
from distwright.builds.resolve import environment_recipe, table_from
from distwright.config.tables_archive import OwnArchive
from distwright.errors import NotFound, Refused, quoted
from distwright.jobs.order import JobOrder
from distwright.model import plain
from distwright.store.database import Database


def order_elsewhere(database: Database, ground: Ground, order: JobOrder, environment: str) -> JobOrder:
    """Have what an order builds be built in another environment.

    If that is of another architecture, only packages of that architecture come out of it: the source, and packages for all
    architectures, are those of the build in the repo's own environment. Raises NotFound for an environment that is not configured,
    Refused if the archive has no such architecture, NotReadyError while an archive has no snapshot.
    """
    config = ground.config
    table = config.environments.get(environment)
    if table is None:
        raise NotFound(f"environment {quoted(environment)} is not configured", hint="distwright config show")
    archive_name = plain.text(order.inputs, "archive")
    archive = config.archives.get(archive_name)
    if isinstance(archive, OwnArchive) and table.architecture not in archive.architectures:
        wanted = ", ".join(f'"{name}"' for name in (*archive.architectures, table.architecture))
        raise Refused(
            f"archive {archive_name} has no architecture {table.architecture}, which environment {environment} is of",
            hint=f"set architectures = [{wanted}] in [archive.{archive_name}]",
        )
    with database.read() as tx:
        resolved = resolve_suites(tx, ground, table_from(config, environment))
    recipe = environment_recipe(config, environment, resolved)
    usual = plain.text(plain.mapping(order.inputs, "environment"), "architecture")
    inputs = {**order.inputs, "environment": recipe.to_json()}
    if recipe.architecture == usual:
        return replace(order, inputs=inputs, holds=resolved.holds)
    title = f"{order.title} for {recipe.architecture}"
    return replace(order, inputs={**inputs, "binary_only": True}, title=title, holds=resolved.holds)
