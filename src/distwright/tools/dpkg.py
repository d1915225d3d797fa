"""dpkg: which version of a Debian package is installed here."""

from collections.abc import Sequence

from distwright.tools.run import Command, run


def installed_versions(packages: Sequence[str]) -> dict[str, str]:
    """Give package -> version for those of `packages` that are installed."""
    if not packages:
        return {}
    argv = ("dpkg-query", "--show", "--showformat", "${db:Status-Status} ${Package} ${Version}\\n", "--", *packages)
    lines = run(Command(argv, timeout_s=30)).stdout.decode(errors="replace").splitlines()
    rows = [line.split(" ") for line in lines]
    return {row[1]: row[2] for row in rows if len(row) == 3 and row[0] == "installed"}
