"""A desktop as people ship it, of more than a thousand packages: built, built again in other circumstances, and started."""

import json
from collections.abc import Iterator

import pytest
from tests.system.imaging import Imaging, imaging, small_config

pytestmark = [pytest.mark.system, pytest.mark.full]
TIMEOUT_S = 2 * 3600

# Nobody is logged in by itself, so what there is to see is the display manager.
CONFIG = small_config(
    "desktop",
    """\
recommends = true
kernel_options = ["console=tty0", "console=ttyS0,115200", "noautologin"]
boot_expect = "login:"
features = ["features"]
testers = "testers"
[environment.testers]
from = ["debian/bookworm"]
variant = "minbase"
include = ["qemu-system-x86", "ovmf", "python3-behave", "tesseract-ocr", "tesseract-ocr-eng", "zstd"]
""",
)
FILES = {
    "image/package-lists/desktop.list.chroot": "linux-image-amd64 live-boot live-config live-config-systemd systemd-sysv\n"
    "sudo user-setup zstd\ntask-xfce-desktop\n",
    "image/includes.chroot/etc/lightdm/lightdm.conf.d/50-users.conf": "[Seat:*]\ngreeter-hide-users=false\n",
    # A key that is made when its package is installed would be everybody's; live-build removes it by the same hook.
    "image/hooks/live/0100-no-snakeoil.hook.chroot*": "#!/bin/sh\nset -e\nrm -f /etc/ssl/certs/ssl-cert-snakeoil.pem "
    "/etc/ssl/private/ssl-cert-snakeoil.key\nfind -L /etc/ssl/certs -type l -delete\n",
    "features/desktop.feature": '''\
Feature: a desktop

  @limit:900
  Scenario: its display manager runs
    When I run
      """
      is_up() { systemctl is-active --quiet display-manager && pgrep -x lightdm-gtk-gre; }
      for i in $(seq 300); do is_up && break; sleep 2; done
      is_up
      """
    Then it succeeds
    And no unit has failed

  @limit:900
  Scenario: its user is offered to log in
    Then the screen shows "Debian Live user"
    And I keep a picture as "the greeter"
''',
}


@pytest.fixture(scope="module")
def desktop() -> Iterator[Imaging]:
    with imaging("desktop", FILES, CONFIG, timeout_s=TIMEOUT_S) as made:
        made.must("image", "build", "desktop")
        yield made


def test_it_is_as_large_as_the_real_ones(desktop: Imaging) -> None:
    manifest = json.loads(desktop.published("*.manifest.json").read_text())
    assert sum(1 for one in manifest["packages"] if one["installed"]) > 1000


def test_its_display_manager_can_be_used(desktop: Imaging) -> None:
    desktop.must("image", "test", "desktop", "--follow")
    report = next(desktop.published("*.iso").parent.parent.glob("*-test-bios/report.html")).read_text()
    assert "the-greeter.png" in report
    assert "data:image/png;base64," in report


def test_it_comes_out_the_same_in_other_circumstances(desktop: Imaging) -> None:
    desktop.must("image", "rebuild", "desktop", "--follow")
    assert desktop.row()["built again"] == "same"
