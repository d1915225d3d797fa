"""Source packages without debhelper: one that writes down in which circumstances it was built, and one whose rebuild fails."""

from collections.abc import Mapping

from tests.worlds.repos import changelog

_CONTROL = """\
Source: {name}
Section: misc
Priority: optional
Maintainer: Ada Example <ada@example.org>
Standards-Version: 4.6.2
Rules-Requires-Root: no

Package: {name}
Architecture: all
Description: what a build sees

Package: {name}-quiet
Architecture: all
Description: what no build sees
"""
# As dpkg-deb makes a package by hand. What must not differ has its mode set; `mode` has not.
_RULES = """\
#!/usr/bin/make -f
T = debian/{name}/usr/share/{name}
Q = debian/{name}-quiet/usr/share/{name}-quiet
clean build build-arch build-indep binary-arch:
binary-indep:
	rm -rf debian/{name} debian/{name}-quiet debian/files
	mkdir -p $(T) $(Q) debian/{name}/DEBIAN debian/{name}-quiet/DEBIAN
	echo "nothing to tell" > $(Q)/silence
{tells}
	find debian/{name} debian/{name}-quiet -print0 | xargs -0 chmod go-w
{more}
	for p in {name} {name}-quiet; do dpkg-gencontrol -p$$p -Pdebian/$$p; done
	for p in {name} {name}-quiet; do dpkg-deb --root-owner-group --build debian/$$p .. || exit 1; done
binary: binary-indep
.PHONY: clean build build-arch build-indep binary-arch binary-indep binary
"""
TELLS: Mapping[str, str] = {
    "clock": "date +%s",
    "day": "date +%Y-%m-%d",
    "home": "echo $$HOME",
    "hostname": "hostname",
    "locale": "locale | grep ^LC_COLLATE",
    "nproc": "nproc",
    "path": "pwd",
    "sorted": "printf 'tern\\nArctic\\narctic\\nTern\\n' | sort",
    "timezone": "date +%Z",
    "uid": "id -u",
    "umask": "umask",
    "user": "id -un",
}


def telltale(name: str = "tell") -> dict[str, str]:
    """Give the files of the package that tells: a file of each name in TELLS below usr/share, and one whose mode tells."""
    tells = "\n".join(f"\t{command} > $(T)/{file}" for file, command in TELLS.items())
    more = "\techo always > $(T)/mode"
    return _source(name, tells, more)


def once(name: str = "once") -> dict[str, str]:
    """Give the files of a package that is built in UTC only."""
    return _source(name, '\ttest "$$(date +%Z)" = UTC', "")


def _source(name: str, tells: str, more: str) -> dict[str, str]:
    return {
        "debian/changelog": changelog(name, "1.0"),
        "debian/control": _CONTROL.format(name=name),
        "debian/rules*": _RULES.format(name=name, tells=tells, more=more),
        "debian/source/format": "3.0 (native)\n",
    }
