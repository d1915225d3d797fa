"""The tables about the site, its repositories, build roots, images and people."""

from typing import Annotated, Literal

from pydantic import Field

from distwright.config.tables_archive import Credential, Table
from distwright.config.values import (
    ActiveDays,
    AheadOf,
    Architecture,
    BootSeconds,
    Branch,
    BranchPattern,
    BuildHours,
    Fingerprint,
    KeptCount,
    KernelWord,
    Line,
    MailAddress,
    Megabytes,
    MegabytesOrNone,
    NotEmpty,
    OnceEach,
    OurName,
    PackageName,
    PathBelow,
    PathHere,
    PathPattern,
    PollMinutes,
    Processes,
    ShownName,
    ShownText,
    SshKey,
    SuiteOfArchive,
    TrackerUrl,
    UserName,
    VolumeLabel,
    WebUrl,
    Who,
    WithIso,
)


class Site(Table, frozen=True):
    """This installation as a whole."""

    name: ShownName = Field(description="Name of the system that is made here.", examples=["Example Live"])
    url: WebUrl | None = Field(
        default=None, description="Where its web pages are.", examples=["https://build.example.org"]
    )
    contact: MailAddress | None = Field(
        default=None, description="Whom to write about it.", examples=["release@example.org"]
    )
    incoming: PathHere | None = Field(
        default=None,
        description="Folder of this machine where uploads are dropped; unset: `incoming` in the state.",
        examples=["/srv/incoming"],
    )
    git_user: UserName | None = Field(
        default=None,
        description="System user at whose ssh login Gitolite serves the repos, on the machine where that was begun by distwright "
        "repo host; everywhere else they are folders.",
        examples=["git"],
    )


class Repo(Table, frozen=True):
    """A git repository that is hosted here."""

    description: Line | None = Field(default=None, description="What it holds.", examples=["The image's configuration"])
    url: WebUrl | None = Field(
        default=None,
        description="Where it is kept, if not here: its branches and tags are fetched from that address of another forge, and "
        "nobody pushes to it here. Tags that are moved there stay here what they were.",
        examples=["https://forge.example.org/petrel/petrel.git"],
    )
    fetch_minutes: PollMinutes = Field(
        default=60, description="Each so many minutes a worker fetches it; for a repo with url."
    )
    webhook: Credential | None = Field(
        default=None,
        description="Secret that the other forge signs its webhooks with; they are sent to URL/repo/NAME/pushed, and have it "
        "fetched at once. Unset: none is listened to.",
        examples=[{"credential": "webhook-petrel"}],
    )
    package: bool = Field(default=False, description="Whether tags of this repo build a Debian package.")
    suite: OurName | None = Field(
        default=None, description="The [suite.NAME] where its packages go; required for a package.", examples=["next"]
    )
    environment: OurName | None = Field(
        default=None,
        description="The [environment.NAME] that its packages are built in; required for a package.",
        examples=["build"],
    )
    rebuild: bool = Field(
        default=True,
        description="Whether what is built of its tags and its default branch is built once more in other circumstances, "
        "on one CPU, and compared. For what takes many hours, a person can ask for it: distwright package rebuild.",
    )
    default_branch: Branch = Field(default="main", description="The branch that a clone checks out.")
    frozen: Annotated[tuple[BranchPattern, ...], OnceEach] = Field(
        default=(),
        description="Branches that must be frozen: no image is made of one that pins an archive at its newest state, unless that "
        "archive stays latest.",
        examples=[["stable", "release/*"]],
    )
    thawed: Annotated[tuple[BranchPattern, ...], OnceEach] = Field(
        default=(),
        description="Branches that must not be frozen. A name counts before a pattern, and frozen before thawed.",
        examples=[["main"]],
    )
    public: bool = Field(
        default=False,
        description="Whether everybody may read it: without an account over HTTP, and each person by ssh.",
    )
    private: bool = Field(
        default=False,
        description="Whether only persons that are named here may read it, and see what is made of it, for work under embargo; "
        "its packages go to a private archive. Neither of both: each person may read it by ssh.",
    )
    private_twin_of: OurName | None = Field(
        default=None,
        description="The [repo.NAME] whose fixes are prepared here in secret, and go to in the end; both have the same package and "
        "default_branch.",
        examples=["petrel"],
    )
    protected: Annotated[tuple[BranchPattern, ...], OnceEach] = Field(
        default=(),
        description="Its base branches beside the default branch: nobody rewinds or deletes them.",
        examples=[["stable", "release/*"]],
    )
    only_ahead: Annotated[tuple[AheadOf, ...], OnceEach] = Field(
        default=(),
        description="Bases that are built only while they have commits that another one has not, as `branch:other`.",
        examples=[["testing:stable"]],
    )
    active_days: ActiveDays = Field(
        default=30,
        description="Days after its newest commit that a branch which is no base, and not merged into one, is still built.",
    )
    documentation: Annotated[tuple[PathPattern, ...], OnceEach] = Field(
        default=(),
        description="Paths that are documentation: an image of a topic that changes nothing else is tested by its "
        "documentation_features alone.",
        examples=[["docs/**", "**/*.md"]],
    )
    read: Annotated[tuple[Who, ...], OnceEach] = Field(
        default=(), description="Who may read it, and no more; says nothing unless it is private.", examples=[["ada"]]
    )
    write: Annotated[tuple[Who, ...], OnceEach] = Field(
        default=(),
        description="Who may read it, and push to branches that exist and are no base. @ and a role: each person with it.",
        examples=[["ada"]],
    )
    create: Annotated[tuple[Who, ...], OnceEach] = Field(
        default=(), description="Who may do that, and make branches.", examples=[["ada"]]
    )
    rewind: Annotated[tuple[Who, ...], OnceEach] = Field(
        default=(), description="Who may do that, and rewind and delete branches that are no base.", examples=[["ada"]]
    )
    maintain: Annotated[tuple[Who, ...], OnceEach] = Field(
        default=(),
        description="Who may do that, push to bases and make tags, which nobody moves or deletes.",
        examples=[["@release-manager"]],
    )


class Environment(Table, frozen=True):
    """A build root: where its packages come from and what is in it."""

    from_: Annotated[tuple[SuiteOfArchive, ...], NotEmpty, OnceEach] = Field(
        validation_alias="from",
        serialization_alias="from",
        description="Where its packages come from, in the order that apt is told: suites of upstream archives and "
        "[suite.NAME] of own ones.",
        examples=[["debian/trixie", "ours/next"]],
    )
    variant: Literal["buildd", "minbase", "essential", "apt"] = Field(
        default="buildd", description="Which packages it begins with, as mmdebstrap(1) defines its variants."
    )
    include: Annotated[tuple[PackageName, ...], OnceEach] = Field(
        default=(), description="Packages to add.", examples=[["debhelper", "fakeroot"]]
    )
    architecture: Architecture = Field(default="amd64", description="Architecture of its packages.")
    checkers: OurName | None = Field(
        default=None,
        description="The [environment.NAME] whose programs look at what is built in this one, as far as it has them: lintian, "
        "blhc, diffoscope, dose-debcheck, autopkgtest, piuparts. Unset: nothing looks.",
        examples=["build"],
    )
    build_hours: BuildHours = Field(default=4, description="Hours that a build in it may take.")
    build_memory_mb: Megabytes = Field(
        default=8192, description="MiB of memory that the programs of a build in it may take together."
    )
    build_disk_mb: Megabytes = Field(default=32768, description="MiB that a build in it may add to the disk.")
    build_processes: Processes = Field(
        default=4096, description="Processes and threads that a build in it may have at a time."
    )
    build_output_mb: Megabytes = Field(default=256, description="MiB that a build in it may print.")
    sweep: bool = Field(
        default=True,
        description="Whether our packages that are built in it are tried with each new snapshot of its archives.",
    )


class Image(Table, frozen=True):
    """A live image: its recipe, its sources, and how it proves that it boots."""

    repo: OurName = Field(description="The [repo.NAME] that has its recipe.", examples=["live"])
    recipe: PathBelow = Field(description="Folder of the recipe in the repo.", examples=["config"])
    from_: Annotated[tuple[SuiteOfArchive, ...], NotEmpty, OnceEach] = Field(
        validation_alias="from",
        serialization_alias="from",
        description="Where its packages come from, as for an environment.",
        examples=[["debian/trixie", "ours/next"]],
    )
    tools: OurName = Field(description="The [environment.NAME] whose programs build it.", examples=["build"])
    architecture: Architecture = Field(default="amd64", description="Architecture of its packages.")
    boot_expect: ShownText = Field(
        description="What the serial console must show for a boot to count.", examples=["example login:"]
    )
    boot_timeout_s: BootSeconds = Field(default=900, description="Seconds that a boot may take until then.")
    kernel_options: tuple[KernelWord, ...] = Field(
        default=(), description="Words for the kernel's command line.", examples=[["console=ttyS0,115200", "quiet"]]
    )
    variant: Literal["minbase", "important", "standard"] = Field(
        default="minbase",
        description="Which packages it begins with, as mmdebstrap(1) defines its variants; live-build begins with important.",
    )
    recommends: bool = Field(
        default=False, description="Whether what its packages recommend is installed too, as live-build does."
    )
    documentation: bool = Field(
        default=False,
        description="Whether manual pages and /usr/share/doc are kept, as live-build does; false: copyright files only.",
    )
    title: ShownName | None = Field(
        default=None,
        description="What the boot menu calls it; @VERSION@ is its version. Unset: the name of the site and the version.",
        examples=["Example Live @VERSION@"],
    )
    label: VolumeLabel | None = Field(
        default=None,
        description="Volume label of the medium; @VERSION@ is its version, and what is longer than 32 signs is cut. Unset: the "
        "name of the image and the version.",
        examples=["EXAMPLE @VERSION@"],
    )
    live_user: UserName | None = Field(
        default=None,
        description="What live-config calls the user of the live system; unset: `user`, or what the recipe's files in "
        "/etc/live/config.conf.d say.",
        examples=["guest"],
    )
    compression: Literal["zstd-3", "zstd-9", "zstd-19", "xz"] | None = Field(
        default=None,
        description="How its squashfs is packed, for 577 MB of files on one core: zstd-9 gives 134 MB in 12 s; zstd-3 is quicker, "
        "zstd-19 and xz are smaller and take many times as long. Unset: zstd-9 for a base branch, zstd-3 for a topic and a layer, "
        "zstd-19 for a tag.",
        examples=["xz"],
    )
    outputs: Annotated[tuple[Literal["iso", "usb", "netboot", "bundle"], ...], OnceEach, WithIso] = Field(
        default=("iso",),
        description="What is made: the ISO, always; a disk image for USB sticks (its tools need the packages fdisk and e2fsprogs); "
        "kernel, initrd and file system as files, for booting over the network; a bundle with the recipe, by which anybody can "
        "build it again (distwright image verify).",
        examples=[["iso", "usb", "netboot", "bundle"]],
    )
    persistence_mb: MegabytesOrNone = Field(
        default=0,
        description="MiB of the USB image that keep what is changed in the live system; 0: it keeps nothing.",
        examples=[1024],
    )
    upgrade_mb: MegabytesOrNone = Field(
        default=0,
        description="MiB of the USB image that stay free beside the live system, so that a stick can be upgraded in place: as "
        "much as the next squashfs, kernel and initrd take; 0: only a file with what is on a stick can be upgraded.",
        examples=[1024],
    )
    trackers: Annotated[tuple[TrackerUrl, ...], OnceEach] = Field(
        default=(),
        description="Trackers that the BitTorrent file of the ISO names.",
        examples=[["udp://tracker.example.org:6969/announce"]],
    )
    web_seeds: Annotated[tuple[WebUrl, ...], OnceEach] = Field(
        default=(),
        description="Servers that the BitTorrent file names: addresses below which the folder of each image is.",
        examples=[["https://build.example.org/images"]],
    )
    rebuild: bool = Field(
        default=True,
        description="Whether what is built of a base branch of its repo or of a release's tag is built once more in other "
        "circumstances, on one CPU, and compared, which takes longer than the build. A person can ask for it for any: "
        "distwright image rebuild.",
    )
    features: Annotated[tuple[PathBelow, ...], OnceEach] = Field(
        default=(),
        description="Folders of the repo with features, NAME.feature, that the image is tested by. Unset: it is only booted.",
        examples=[["features"]],
    )
    documentation_features: Annotated[tuple[Line, ...], OnceEach] = Field(
        default=(),
        description="Its features, by name or file, that a topic is tested by if it changes nothing but `documentation` of its "
        "repo. Unset: by all.",
        examples=[["manual"]],
    )
    firmwares: Annotated[tuple[Literal["bios", "uefi", "secure-boot"], ...], NotEmpty, OnceEach] = Field(
        default=("bios",), description="What starts the machines of the features.", examples=[["bios", "secure-boot"]]
    )
    keep_mb: Megabytes | None = Field(
        default=None,
        description="MiB that its images of a branch may take, with what tests left of them, before `image retire` drops the "
        "oldest; the newest, the last green and the last red one stay, and what is tagged or held.",
        examples=[200_000],
    )
    keep_files: KeptCount | None = Field(
        default=None,
        description="Files of the disk (inodes) that they may take; keep_mb and keep_files unset: no image is dropped.",
        examples=[20_000],
    )
    testers: OurName | None = Field(
        default=None,
        description="The [environment.NAME] whose programs test it: qemu-system-x86, ovmf, python3-behave, tesseract-ocr, zstd.",
        examples=["build"],
    )


class Person(Table, frozen=True):
    """Somebody who may do something here."""

    name: Line = Field(description="Name, as people write it.", examples=["Ada Example"])
    email: MailAddress = Field(description="Where notices go.", examples=["ada@example.org"])
    keys: Annotated[tuple[Fingerprint, ...], OnceEach] = Field(
        description="OpenPGP keys that prove it is them; may be empty.",
        examples=[["0123456789ABCDEF0123456789ABCDEF01234567"]],
    )
    roles: Annotated[tuple[OurName, ...], OnceEach] = Field(
        default=(), description="What they are trusted with.", examples=[["release-manager"]]
    )
    ssh_keys: Annotated[tuple[SshKey, ...], OnceEach] = Field(
        default=(),
        description="Keys that open the git repos to them.",
        examples=[["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGRpc3R3cmlnaHRkaXN0d3JpZ2h0ZGlzdHdyaWdodGRp ada@laptop"]],
    )
    only_paths: Annotated[tuple[PathPattern, ...], OnceEach] = Field(
        default=(),
        description="For a robot: the paths, in any repo, that each commit of its pushes must keep to. It makes no branch and no "
        "tag, and rewinds nothing. Unset: any path.",
        examples=[["config/APT_snapshots.d/**"]],
    )
