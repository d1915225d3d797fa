"""A real image, built twice in other circumstances, and once more by somebody who has its bundle and an address."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest
from tests.system.imaging import Imaging, imaging, small_config
from tests.system.line import CACHE, DISTWRIGHT, state_folder
from tests.worlds.archive import signer
from tests.worlds.keys import key_file

from distwright.app import open_app
from distwright.model.digests import sha256_of
from distwright.signing.verify import Keyring

pytestmark = [pytest.mark.system, pytest.mark.full]
TIMEOUT_S = 1500

CONFIG = small_config(
    "small",
    """\
kernel_options = ["console=ttyS0,115200"]
outputs = ["iso", "bundle"]
boot_expect = "Linux version"
""",
)
# As small as a live system can be; the hook writes down what must be the same each time.
RECIPE = {
    "image/package-lists/small.list.chroot": "live-boot\nlive-boot-initramfs-tools\nlinux-image-amd64\nsystemd-sysv\nzstd\n",
    "image/hooks/0100-small.hook.chroot*": "#!/bin/sh\nset -eu\n"
    'date --utc --date="@$SOURCE_DATE_EPOCH" >/etc/small\numask >>/etc/small\nls /usr/share/doc >>/etc/small\n',
}


@pytest.fixture(scope="module")
def built() -> Iterator[Imaging]:
    with imaging("small", RECIPE, CONFIG, timeout_s=TIMEOUT_S) as made:
        made.must("image", "build", "small")
        yield made


def test_it_comes_out_the_same_in_other_circumstances(built: Imaging) -> None:
    done = built.line.call(
        "image", "rebuild", "small", "--follow", "--json", "--state", str(built.line.state), timeout_s=TIMEOUT_S
    )
    assert done.returncode == 0, done.stdout + done.stderr
    answer = json.loads(done.stdout)
    assert (answer["verdict"], answer["differences"], len(answer["varied"])) == ("same", [], 9)
    told = [line for line in done.stderr.splitlines() if "second build: " in line]
    assert len(told) == 5, "root, customise, initrd, squashfs and iso say what they see"
    zone = answer["varied"]["time zone"][:3]
    assert [line for line in told if zone not in line and " UTC " not in line] == []
    assert sum(" UTC " in line for line in told) == 1, "what writes FAT"
    assert built.row()["built again"] == "same"
    assert built.line.answer("check", "list", "small") == []


def test_somebody_with_the_bundle_and_an_address_gets_the_same_and_says_so(built: Imaging) -> None:
    """In another folder, with a clock that is really another, and nothing of ours but what is served."""
    app = open_app(str(built.line.state))
    certificate = app.keys.certificate("image")
    app.database.close()
    with state_folder() as elsewhere, built.line.serving() as url:
        shutil.copy(built.published("*.bundle"), elsewhere / "small.bundle")
        (elsewhere / "image.asc").write_bytes(certificate)
        (elsewhere / "ada.pgp").write_bytes(key_file("ada"))
        (elsewhere / "ada.pgp").chmod(0o600)
        words = [
            "image",
            "verify",
            "small.bundle",
            "--from",
            url,
            "--keyring",
            "image.asc",
            "--sign-with",
            "ada.pgp",
            "--json",
        ]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DISTWRIGHT_")}
        done = subprocess.run(
            [str(DISTWRIGHT), *words, "--state", "state"], cwd=elsewhere, capture_output=True, text=True, check=False,
            env={**environment, "DISTWRIGHT_ALTERNATES": str(CACHE)}, timeout=TIMEOUT_S,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        answer = json.loads(done.stdout)
        assert (answer["verdict"], answer["differences"]) == ("same", [])
        assert not (elsewhere / "state").exists()
        text, signature = ((elsewhere / name).read_bytes() for name in answer["statement"])
    Keyring(signer("ada").certificate(), "ada").verify_detached(text, signature, "the statement")
    said = json.loads(text)
    subjects = {one["name"]: one["digest"]["sha256"] for one in said["subject"]}
    iso = built.published("*.iso")
    assert subjects[iso.name] == sha256_of(iso.read_bytes())
    assert said["predicate"]["result"] == "PASSED"
    assert said["predicate"]["passedTests"] == sorted(subjects)
