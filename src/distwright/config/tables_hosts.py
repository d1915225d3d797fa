"""The tables about other machines that work for this installation, and about pools of jobs."""

from typing import Annotated, Literal

from pydantic import Field

from distwright.config.tables_archive import Table
from distwright.config.values import (
    Architecture,
    Argument,
    NotEmpty,
    OnceEach,
    OurName,
    PoolMinutes,
    ProgramFirst,
    Slots,
    SshAddress,
)


class Host(Table, frozen=True):
    """Another machine that works for this one. It is enrolled once: distwright host enrol NAME."""

    role: Literal["runner", "builder"] = Field(
        description="What it is trusted with. A runner reaches the database and runs jobs by itself; no key leaves the server. A "
        "builder is trusted with nothing: the server has it run programs, by ssh, and takes what they made as it takes any build.",
        examples=["runner"],
    )
    address: SshAddress | None = Field(
        default=None,
        description="Where a builder's sshd answers, and as whom; required for a builder. A runner comes to us.",
        examples=["ssh://builder@192.0.2.7:22"],
    )
    pools: Annotated[tuple[OurName, ...], NotEmpty, OnceEach] = Field(
        default=("local",), description="Pools whose jobs it takes, those of them that can run elsewhere."
    )
    slots: Slots = Field(
        default=1, description="Jobs that it runs at a time, if its worker is not told another number."
    )
    architecture: Architecture = Field(default="amd64", description="Architecture of the machine.")


class Pool(Table, frozen=True):
    """A pool of jobs that machines are started for when there is work, and stopped when there is none."""

    scale_command: Annotated[tuple[Argument, ...], NotEmpty, ProgramFirst] = Field(
        description="Program of the server with its arguments, no shell; `grow` or `shrink` is added, and a JSON object "
        "on stdin says how many jobs wait and run. The server's worker runs it, as its own user.",
        examples=[("/usr/local/bin/builders", "cloud")],
    )
    wait_minutes: PoolMinutes = Field(
        default=5, description="A job has waited so long, and no machine of the pool had a free slot: `grow`."
    )
    idle_minutes: PoolMinutes = Field(
        default=30, description="Nothing has waited or run for so long since: `shrink`, once."
    )
    every_minutes: PoolMinutes = Field(
        default=10, description="Between two starts of the command, however each of them ended."
    )
    timeout_minutes: PoolMinutes = Field(default=10, description="After so long the command is ended, and has failed.")
