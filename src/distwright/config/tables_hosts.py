"""The table about other machines that work for this installation."""

from typing import Annotated, Literal

from pydantic import Field

from distwright.config.tables_archive import Table
from distwright.config.values import Architecture, NotEmpty, OnceEach, OurName, Slots, SshAddress


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
