"""Bare repositories and their hook. The hook only spools: it starts no Python, and nothing it does can stop a push."""

import os
import shlex
from pathlib import Path

from distwright.store.paths import StatePaths
from distwright.tools.git import make_bare

_HOOK = r"""#!/bin/sh
# Written by distwright. Leaves the updated refs for it to find; never fails, so that a push is never lost to it.
# The pusher is who gitolite, or a web server, says it is.
spool={spool}
at=$(date +%s.%N).$$
set -C
{{ printf '%s\npusher %s\n' {name} "${{GL_USER:-$REMOTE_USER}}"; cat; }} >"$spool/.new.$at" &&
    mv "$spool/.new.$at" "$spool/$at.push"
exit 0
"""


def make_repo(paths: StatePaths, name: str, default_branch: str, *, is_atomic: bool = True) -> Path:
    """Make a hosted repo, or bring an existing one's hook up to date; give its path.

    is_atomic: whether several refs may be pushed all or none. Such refs are not seen when each other is judged (refusals.py).
    """
    path = paths.repo(name)
    make_bare(path, default_branch, {} if is_atomic else {"receive.advertiseAtomic": "false"})
    hook = path / "hooks" / "post-receive"
    text = _HOOK.format(spool=shlex.quote(str(paths.spool)), name=shlex.quote(name))
    if not hook.exists() or hook.read_text() != text:
        hook.parent.mkdir(exist_ok=True)
        partial = hook.with_name(f"post-receive.{os.getpid()}")
        partial.write_text(text)
        partial.chmod(0o755)
        partial.rename(hook)
    return path
