"""sbuild: what the machine's owner configured for himself shapes no package."""

import subprocess
from pathlib import Path

import pytest
from tests.unit.builds.test_package import EARLIER, INPUTS

from distwright.builds.package import plan_build

pytestmark = pytest.mark.system
OWNERS = """
$build_environment = {"LEAKS" => "yes"};
$run_lintian = 1;
$extra_packages = ["/srv/evil.deb"];
%mailto = ("stable" => "me");
@toolchain_regex = ("x");
$build_path = "/elsewhere";
1;
"""
SHOW = r"""#!/usr/bin/perl
use Sbuild::Conf; use Data::Dumper;
$Data::Dumper::Sortkeys = 1;
my $conf = Sbuild::Conf::new();
print Dumper({map { $_ => $conf->get($_) } grep { !/^_/ } $conf->get_keys()});
exit 0;
"""


def shown(folder: Path, machine: str, wrapper: str) -> str:
    """Give what sbuild would work with if the machine's sbuild.conf had this text: the wrapper starts SHOW in its stead."""
    (folder / "sbuild.conf").write_text(machine)
    (folder / "show").write_text(SHOW)
    (folder / "wrapper").write_text(wrapper.replace("/usr/bin/sbuild", str(folder / "show")))
    done = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-euc",
         "mount --bind sbuild.conf /etc/sbuild/sbuild.conf; exec perl wrapper"],
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_machines_sbuild_conf_has_no_say(tmp_path: Path) -> None:
    templates = {
        name: text.replace("{work}", str(tmp_path)) for name, text in plan_build(INPUTS, EARLIER).templates.items()
    }
    (tmp_path / "sbuildrc").write_text(templates["sbuildrc"])
    ours = shown(tmp_path, OWNERS, templates["sbuild"])
    assert ours == shown(tmp_path, "1;\n", templates["sbuild"])
    assert "sbuild.XXXXXXXXXX" in ours
    assert "LEAKS" in shown(tmp_path, OWNERS, SHOW), "or this test proves nothing"


def test_sbuild_starts_by_our_wrapper_as_by_its_name(tmp_path: Path) -> None:
    wrapper = plan_build(INPUTS, EARLIER).templates["sbuild"].replace("{work}", str(tmp_path))
    (tmp_path / "wrapper").write_text(wrapper)
    said = [
        subprocess.run([*argv, option], capture_output=True, text=True, check=False)
        for option in ("--version", "--no-such-option")
        for argv in (["sbuild"], ["perl", str(tmp_path / "wrapper")])
    ]
    assert (said[0].stdout, said[0].returncode) == (said[1].stdout, said[1].returncode)
    assert (said[2].stderr, said[2].returncode) == (said[3].stderr, said[3].returncode)
    assert said[3].returncode != 0
