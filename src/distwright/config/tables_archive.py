"""The tables about package sets: archives and suites."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from distwright.config.values import (
    Architecture,
    Component,
    CredentialName,
    FetchUrl,
    Fingerprint,
    KeptCount,
    Language,
    Line,
    LiveUrl,
    NamePattern,
    NotEmpty,
    OnceEach,
    OurName,
    PackageName,
    PathBelow,
    PathHere,
    SuiteName,
    SuiteOfArchive,
    TimeOfDay,
    ValidDays,
)


class Table(BaseModel, frozen=True, extra="forbid", strict=True, populate_by_name=True, defer_build=True):
    """One table of the configuration.

    These stay pydantic models all the way inside instead of becoming dataclasses: frozen, strict and made of tuples
    they are as plain as a frozen dataclass (hashable, compared by value), and each setting keeps its type, bounds,
    default, description and example in one place, from which the reference and the messages are made. A twin
    dataclass would state every field a second time. STYLE rule 2 holds where it matters: they are made at the edge
    only, by `load.parse_config`, and nothing inside validates again.
    """


class Credential(Table, frozen=True):
    """A secret that is kept outside of the configuration, by its name."""

    credential: CredentialName = Field(description="Name of the credential.", examples=["ours-signing"])


class UpstreamArchive(Table, frozen=True):
    """Somebody else's archive that is recorded here as snapshots."""

    kind: Literal["upstream"] = Field(description="An archive that is recorded.", examples=["upstream"])
    suites: Annotated[tuple[SuiteName, ...], NotEmpty, OnceEach] = Field(
        description="Suites to record.", examples=[["trixie", "trixie-updates"]]
    )
    components: Annotated[tuple[Component, ...], NotEmpty, OnceEach] = Field(
        default=("main",), description="Components to record."
    )
    architectures: Annotated[tuple[Architecture, ...], NotEmpty, OnceEach] = Field(
        default=("amd64",), description="Architectures to record; packages for all architectures come along."
    )
    sources: bool = Field(default=True, description="Whether source packages are recorded too.")
    translations: Annotated[tuple[Language, ...], OnceEach] = Field(
        default=("en",), description="Languages of package descriptions to record; may be empty."
    )
    keyring: PathHere = Field(
        description="OpenPGP keyring that upstream's InRelease must be signed with: absolute on this machine, or "
        "relative to the folder of the configuration.",
        examples=["/usr/share/keyrings/debian-archive-keyring.gpg"],
    )
    origin: Line | None = Field(
        default=None, description="What upstream's Release must say as Origin; unset: anything.", examples=["Debian"]
    )
    label: Line | None = Field(
        default=None, description="What upstream's Release must say as Label; unset: anything.", examples=["Debian"]
    )
    accept_expired: bool = Field(default=False, description="Whether an upstream past its Valid-Until may be recorded.")
    fetch_from: FetchUrl | None = Field(
        default=None,
        exclude=True,
        description="Where this machine fetches; unset: as this machine's own apt sources say. Enters no digest and "
        "no output.",
        examples=["https://mirror.example.org/debian"],
    )
    live_url: LiveUrl | None = Field(
        default=None, description="What an image names as its source.", examples=["https://archive.example.org/debian"]
    )
    record_at: Annotated[tuple[TimeOfDay, ...], OnceEach] = Field(
        default=(),
        description="Times of day, UTC, at which a worker records it. Those that nobody was there for are made up for by one. "
        "Unset: it is recorded when somebody says distwright archive record.",
        examples=[["00:15", "06:15", "12:15", "18:15"]],
    )
    udebs: bool = Field(default=False, description="Whether the lists of the installer's packages are recorded too.")
    contents: bool = Field(default=False, description="Whether the lists of files (Contents, for apt-file) are too.")
    installer: bool = Field(
        default=False,
        description="Whether the present images of the Debian installer are recorded too (netboot, cdrom, …: about 1 GB for each "
        "architecture); what is not recorded comes when it is asked for, as long as upstream has it.",
    )
    all_forms: bool = Field(
        default=False,
        description="Whether the lists are kept in every compression that upstream has, with the Release of each folder, for "
        "programs that mirror: debmirror takes all of them, aptly asks for gzip first. Twice the size of a record.",
    )
    pool: Literal["lazy", "listed", "full"] = Field(
        default="lazy",
        description="Which package files come with a record. lazy: none, each comes when it is asked for; listed: packages "
        "and all that they need; full: everything.",
    )
    packages: Annotated[tuple[PackageName, ...], OnceEach] = Field(
        default=(),
        description='The packages of pool = "listed"; another pool does not ask for them.',
        examples=[["nginx", "postgresql"]],
    )
    together_with: Annotated[tuple[SuiteOfArchive, ...], OnceEach] = Field(
        default=(),
        description='Suites of other archives, `archive/suite`, that clients use too: what the packages of pool = "listed" need is '
        "asked of apt with all of them at once, for packages that those archives list as well, and this archive keeps its part. "
        "packages may name theirs.",
        examples=[["ours/next"]],
    )
    recommends: bool = Field(default=False, description="Whether a listed pool has what its packages recommend too.")
    pool_sources: bool = Field(default=False, description="Whether a listed pool has the sources of its packages too.")
    serve: Literal["upstream", "filtered"] = Field(
        default="upstream",
        description="What clients see. upstream: everything that was recorded, with upstream's signature; filtered: the "
        "packages of a listed pool only, signed by key.",
    )
    key: Credential | None = Field(
        default=None,
        description="The key that signs what upstream's signature does not cover: filtered records, snapshots past their "
        "Valid-Until, tagged snapshots.",
        examples=[{"credential": "mirror-signing"}],
    )
    stays_latest: bool = Field(
        default=False, description="Whether a frozen branch follows it all the same, as is usual for security updates."
    )
    keep: KeptCount | None = Field(
        default=None,
        description="How many of its newest snapshots `snapshot retire` leaves alone, needed or not.",
        examples=[10],
    )
    keep_days: ValidDays | None = Field(
        default=None,
        description="For how many days it leaves every snapshot alone; keep and keep_days unset: for ever.",
        examples=[90],
    )


class OwnArchive(Table, frozen=True):
    """Our archive: what the [suite.NAME] tables put packages into."""

    kind: Literal["own"] = Field(description="An archive that is published here.", examples=["own"])
    components: Annotated[tuple[Component, ...], NotEmpty, OnceEach] = Field(
        default=("main",), description="Components of its suites."
    )
    architectures: Annotated[tuple[Architecture, ...], NotEmpty, OnceEach] = Field(
        default=("amd64",), description="Architectures of its suites."
    )
    origin: Line = Field(description="Origin in its Release files.", examples=["Example"])
    label: Line = Field(description="Label in its Release files.", examples=["Example"])
    description: Line | None = Field(
        default=None, description="Description in its Release files.", examples=["Packages of the Example system"]
    )
    live_url: LiveUrl | None = Field(
        default=None, description="What an image names as its source.", examples=["https://deb.example.org/ours"]
    )
    live_key: PathBelow | None = Field(
        default=None,
        description="OpenPGP certificate, as a file in the repository, that images trust for this archive.",
        examples=["config/ours.asc"],
    )
    key: Credential = Field(description="The key that signs it.", examples=[{"credential": "ours-signing"}])
    next_key: Credential | None = Field(
        default=None,
        description="The key that comes after it: both sign, until every client has the new one and it becomes `key`.",
        examples=[{"credential": "ours-signing-2027"}],
    )

    signed_by: bool = Field(
        default=False,
        description="Whether its Release files name the keys that sign it (Signed-By). Where a source names no key, apt then "
        "takes these only, until the valid_days of the suite are over; so change keys by next_key.",
    )
    contents: bool = Field(
        default=False,
        description="Whether its suites list the files of their packages, for apt-file (Contents-ARCHITECTURE).",
    )
    keep: KeptCount | None = Field(
        default=None,
        description="How many of its newest snapshots `snapshot retire` leaves alone, needed or not.",
        examples=[10],
    )
    keep_days: ValidDays | None = Field(
        default=None,
        description="For how many days it leaves every snapshot alone; keep and keep_days unset: for ever.",
        examples=[90],
    )
    private: bool = Field(
        default=False,
        description="Whether only those see it who may read every private repo whose packages are in it, by their tokens. "
        "No archive that was private becomes another one later.",
    )
    pdiffs: bool = Field(
        default=False,
        description="Whether apt may fetch what changed since one of the last 20 publications instead of whole indexes.",
    )

    @property
    def credentials(self) -> tuple[str, ...]:
        """The names of all keys that sign it."""
        return tuple(key.credential for key in (self.key, self.next_key) if key is not None)


Archive = UpstreamArchive | OwnArchive


class Suite(Table, frozen=True):
    """A named package set in an archive of our own."""

    archive: OurName = Field(description="The own archive that it belongs to.", examples=["ours"])
    kind: Literal["base", "overlay", "release"] = Field(
        default="base", description="base: a whole set; overlay: only what a topic branch adds; release: read-only."
    )
    description: Line | None = Field(
        default=None, description="What it is for.", examples=["Packages of the next release"]
    )
    environment: OurName | None = Field(
        default=None,
        description="The [environment.NAME] in which sources that are uploaded without packages are built; unset: they are not. "
        "Suites of branches follow the suite that they were made of.",
        examples=["build"],
    )
    codename: OurName | None = Field(
        default=None,
        description="Its second name: Codename in its Release, and clients may write it in their sources instead of the "
        "first. Unset: there is only one.",
        examples=["petrel-2"],
    )
    version: Line | None = Field(default=None, description="Version in its Release; unset: none.", examples=["2.1"])
    not_automatic: bool = Field(
        default=False, description="Whether apt installs from it only when asked (NotAutomatic in Release)."
    )
    but_automatic_upgrades: bool = Field(
        default=False,
        description="Whether apt upgrades by itself what was once asked for, as with backports (ButAutomaticUpgrades); "
        "needs not_automatic.",
    )
    valid_days: ValidDays | None = Field(
        default=None, description="Days until apt stops trusting a published state; unset: never.", examples=[30]
    )


class Upload(Table, frozen=True):
    """A grant to upload: whose signatures count, and what may come with them. The builder has one of its own."""

    keyring: PathHere = Field(
        description="OpenPGP certificates, as a file: absolute on this machine, or relative to the folder of the "
        "configuration.",
        examples=["keys/uploaders.asc"],
    )
    keys: Annotated[tuple[Fingerprint, ...], OnceEach] = Field(
        default=(),
        description="Which certificates of the keyring it is about; empty: all.",
        examples=[["0123456789ABCDEF0123456789ABCDEF01234567"]],
    )
    suites: Annotated[tuple[NamePattern, ...], NotEmpty, OnceEach] = Field(
        description="Suites that may be uploaded to; a pattern means suites of branches as well.",
        examples=[["next", "topic-*"]],
    )
    sources: Annotated[tuple[NamePattern, ...], NotEmpty, OnceEach] = Field(
        default=("*",), description="Source packages that may be uploaded."
    )
    new: bool = Field(default=True, description="Whether a source may come that the archive never had.")
    binaries: bool = Field(default=True, description="Whether binary packages may come along; false: source only.")
    architectures: Annotated[tuple[Architecture, ...], OnceEach] = Field(
        default=(),
        description="Architectures of the binary packages, beside `all`; empty: those of the archive.",
        examples=[["amd64"]],
    )
    take_over: bool = Field(
        default=False, description="Whether a binary package may come that belongs to another source so far."
    )
    max_age_days: ValidDays = Field(
        default=90, description="How old the Date of a .changes and its signature may be, against replays."
    )
    token: Credential | None = Field(
        default=None,
        description="What opens HTTP uploads to its holder, with the name of this table as user name; unset: none.",
        examples=[{"credential": "upload-ada"}],
    )
