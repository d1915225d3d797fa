"""An image whose hook installs a package that no archive has: the hook reaches nobody, and the image fails."""

import shutil
from pathlib import Path

import pytest
from tests.system.line import EXAMPLE, Line, keep_in_cache, state_folder

pytestmark = [pytest.mark.system, pytest.mark.full]
HOOK = """#!/bin/sh
set -eu
mkdir -p /tmp/stranger/DEBIAN
cat >/tmp/stranger/DEBIAN/control <<END
Package: stranger
Version: 6.6
Architecture: all
Maintainer: Somebody <somebody@example.org>
Description: comes from nowhere
END
dpkg-deb --build /tmp/stranger /tmp/stranger.deb
dpkg --install /tmp/stranger.deb
rm -r /tmp/stranger /tmp/stranger.deb
for address in 127.0.0.1/22 1.1.1.1/80; do
    ! timeout 5 bash -c "exec 3<>/dev/tcp/$address" 2>/dev/null || { echo "reached $address"; exit 1; }
done
"""


def test_image_with_a_package_from_nowhere_fails_with_its_name() -> None:
    with state_folder() as folder:
        project = folder / "petrel"
        shutil.copytree(EXAMPLE, project, symlinks=True)
        hook = Path(project, "images/petrel/hooks/0900-strange.hook.chroot")
        hook.write_text(HOOK)
        hook.chmod(0o755)
        line = Line(folder / "state")
        done = line.call("demo", str(project), "--state", str(line.state), timeout_s=1500)
        keep_in_cache(line.state)
        [image] = [row for row in line.answer("job", "list") if row["kind"] == "image.build"]
        assert (done.returncode, image["state"]) == (1, "failed"), done.stderr
        assert "holds packages that came from no archive of its recipe" in done.stdout + done.stderr
        assert "stranger 6.6 all" in done.stdout + done.stderr
        assert not list((line.state / "public" / "images").glob("*"))
