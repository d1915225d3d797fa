"""A real image is built, tagged by its manifest, and built once more from that tag alone.

Without sources, which would be 450 MB to fetch: tests/apt looks at those of tags.
"""

import json
from collections.abc import Iterator

import pytest
from tests.system.imaging import Imaging, imaging, small_config

from distwright.model.digests import sha256_of

pytestmark = [pytest.mark.system, pytest.mark.full]
TIMEOUT_S = 1800
TABLE = 'kernel_options = ["console=ttyS0,115200"]\nboot_expect = "Linux version"\ncompression = "zstd-3"\n'
CONFIG = small_config("small", TABLE).replace(
    'label = "Debian"\n', 'label = "Debian"\nsources = false\nkey = { credential = "mirror" }\n'
)
RECIPE = {
    "image/package-lists/small.list.chroot": "live-boot\nlive-boot-initramfs-tools\nlinux-image-cloud-amd64\nsystemd-sysv\nzstd\n",
}


@pytest.fixture(scope="module")
def built() -> Iterator[Imaging]:
    with imaging("small", RECIPE, CONFIG, timeout_s=TIMEOUT_S) as made:
        made.must("archive", "key", "debian", "--make")
        made.must("image", "build", "small")
        yield made


def test_an_image_is_the_same_from_its_tag_alone(built: Imaging) -> None:
    manifest = built.published("*.manifest.json")
    built.must("snapshot", "tag", "debian", "1.0", "--manifest", str(manifest), "--reason", "release 1.0")
    named = {row["sha256"] for row in json.loads(manifest.read_text())["packages"]}
    pool = (built.line.state / "public" / "debian" / "pool").rglob("*.deb")
    assert {sha256_of(path.read_bytes()) for path in pool} >= named
    done = built.line.call(
        "image", "rehearse", "small", "1.0", "--json", "--state", str(built.line.state), timeout_s=TIMEOUT_S
    )
    assert done.returncode == 0, done.stdout + done.stderr
    answer = json.loads(done.stdout)
    assert (answer["verdict"], answer["differences"]) == ("same", [])
    log = built.line.call("job", "log", str(answer["job"]), "--state", str(built.line.state)).stdout
    assert "I: done" in log, "the root was made anew"
