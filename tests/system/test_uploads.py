"""Uploads as people make them: dput and dput-ng of Debian against `serve`, files dropped while it runs, the command."""

import json
import os
import pty
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.system.line import Line, state_folder
from tests.worlds.archive import MadeUpload, make_deb, make_source, make_upload, signer
from tests.worlds.installation import CONFIG
from tests.worlds.servers import nginx

from distwright.app import open_app
from distwright.signing.signer import make_key
from distwright.site.applied import apply_config

pytestmark = pytest.mark.system
OWN = "\n".join(["format = 1", "[site]", 'name = "Petrel"', "[archive.petrel]", 'kind = "own"', 'origin = "Petrel"',
                 'label = "Petrel"', 'key = { credential = "petrel" }', "[suite.devel]", 'archive = "petrel"',
                 "[upload.ada]", 'keyring = "ada.asc"', 'suites = ["devel"]', "max_age_days = 3650",
                 'token = { credential = "upload-ada" }'])  # fmt: skip


@pytest.fixture
def line() -> Iterator[Line]:
    """Give an installation that takes uploads of ada and builds nothing."""
    assert "[archive.petrel]" in CONFIG
    with state_folder() as folder:
        app = open_app(str(folder / "state"), create=True)
        make_key(app.paths.key("petrel"), "petrel")
        make_key(app.paths.key("builder"), "builder")
        apply_config(
            {"distwright.toml": OWN}, {"ada.asc": signer("uploader").certificate()}, "0" * 40,
            database=app.database, objects=app.objects, paths=app.paths, now=datetime.now(UTC),
        )  # fmt: skip
        app.database.close()
        yield Line(folder / "state")


def upload_of(name: str, version: str = "1.0") -> MadeUpload:
    return make_upload(make_source(name, version), make_deb(name, version))


def put(folder: Path, upload: MadeUpload) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in {**upload.files, upload.changes_name: upload.changes}.items():
        (folder / name).write_bytes(content)
    return folder / upload.changes_name


def token_of(line: Line) -> str:
    done = line.call("upload", "token", "ada", "--state", str(line.state))
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def dput(place: Path, config: Path, password: str) -> tuple[int, str]:
    """Run dput of Debian on a terminal of its own, and type the password when it asks."""
    argv = ["dput", "--unchecked", "--config", str(config), "petrel", str(place)]
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["HOME"] = str(config.parent)
        os.execvp(argv[0], argv)  # noqa: S606  # the child of a terminal
    said = b""
    while True:
        try:
            piece = os.read(terminal, 4096)
        except OSError:  # it has ended
            break
        if not piece:
            break
        said += piece
        if b"Password for" in piece:
            os.write(terminal, f"{password}\n".encode())
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), said.decode(errors="replace")


def dput_ng(place: Path, url: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Have dput-ng's own code upload: its program excludes dput on one machine, its modules do not."""
    skel = folder / "skel"
    for name, content in {
        "uploaders/http": {"path": "dput.uploaders.http.HTTPUploader"},
        "interfaces/cli": {"path": "dput.interfaces.cli.CLInterface"},
        "schemas/plugin": {}, "schemas/config": {}, "profiles/DEFAULT": {},
        "profiles/petrel": {"method": "http", "fqdn": url, "incoming": "/upload/devel", "allow_unsigned_uploads": True},
    }.items():  # fmt: skip
        (skel / name).parent.mkdir(parents=True, exist_ok=True)
        (skel / f"{name}.json").write_text(json.dumps(content))
    script = "import sys, dput; dput.upload(sys.argv[1], 'petrel', no_upload_log=True)"
    return subprocess.run(
        ["/usr/bin/python3", "-W", "ignore", "-c", script, str(place)],
        cwd=folder, capture_output=True, text=True, timeout=60, check=False,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder), "LC_ALL": "C.UTF-8"},
    )  # fmt: skip


def verdicts(line: Line) -> dict[str, str]:
    return {row["name"]: row["result"] for row in line.answer("upload", "list")}


def test_dput_and_dput_ng_upload_with_a_token_and_learn_what_became_of_it(line: Line, tmp_path: Path) -> None:
    token = token_of(line)
    config = tmp_path / "dput.cf"
    with line.serving() as url:
        server = url.removeprefix("http://")
        config.write_text(
            f"[petrel]\nfqdn = {server}\nmethod = http\nlogin = ada\nincoming = upload\nallow_unsigned_uploads = 1\n"
            "run_dinstall = 0\n"
        )
        code, said = dput(put(tmp_path / "one", upload_of("one")), config, token)
        assert code == 0, said
        code, said = dput(put(tmp_path / "two", upload_of("two")), config, "wrong")
        assert code != 0
        assert "401" in said or "unauthorized" in said.lower(), said
        done = dput_ng(put(tmp_path / "three", upload_of("three")), f"http://ada:{token}@{server}", tmp_path)
        assert done.returncode == 0, done.stderr + done.stdout
        done = dput_ng(put(tmp_path / "four", upload_of("four")), f"http://ada:no@{server}", tmp_path)
        assert done.returncode != 0
        argv = ["curl", "--silent", "--fail", f"{url}/upload/1.json"]
        assert json.loads(subprocess.run(argv, capture_output=True, check=True).stdout)["result"] == "waiting"
    assert verdicts(line) == {"one_1.0_amd64.changes": "waiting", "three_1.0_amd64.changes": "waiting"}
    line.call("worker", "--until-idle", "--state", str(line.state), timeout_s=120)
    assert verdicts(line) == {"one_1.0_amd64.changes": "accepted", "three_1.0_amd64.changes": "accepted"}
    messages = [job["message"] for job in line.answer("job", "list") if job["kind"] == "suite.publish"]
    assert messages == [
        "published petrel/devel (publication 1)",
        "petrel/devel has moved on; its present state is published instead",
    ]


def test_a_token_through_nginx_is_taken_only_if_it_says_that_tls_ended_there(line: Line, tmp_path: Path) -> None:
    token, answers = token_of(line), []
    said = ("", "proxy_set_header X-Forwarded-Proto $scheme;", "proxy_set_header X-Forwarded-Proto https;")
    with line.serving() as url:
        for number, headers in enumerate(said):
            more = f"location /upload {{ proxy_pass {url}; {headers} }}"
            with nginx(tmp_path, tmp_path / str(number), more) as proxy:
                argv = ["curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}", "--user", f"ada:{token}",
                        "--upload-file", "/etc/hostname", f"{proxy}/upload/{number}.deb"]  # fmt: skip
                answers.append(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)
    assert answers == ["403", "403", "201"]


def test_serve_takes_what_is_dropped_piece_by_piece_while_it_runs(line: Line) -> None:
    upload = upload_of("dropped")
    with line.serving():
        for name, content in {**upload.files, upload.changes_name: upload.changes}.items():
            with (line.state / "incoming" / name).open("wb") as file:
                for at in range(0, len(content), 300):
                    file.write(content[at : at + 300])
                    file.flush()
                    time.sleep(0.01)
        deadline = time.monotonic() + 30
        while not line.answer("upload", "list"):
            assert time.monotonic() < deadline
            time.sleep(0.2)
    line.call("worker", "--until-idle", "--state", str(line.state), timeout_s=120)
    assert verdicts(line) == {upload.changes_name: "accepted"}
    told = line.state / "incoming/accepted" / f"{upload.changes_name}.json"
    assert json.loads(told.read_text())["result"] == "accepted"


def test_the_command_says_the_verdict_and_why(line: Line, tmp_path: Path) -> None:
    state = ("--state", str(line.state))
    with line.serving():  # its resident part runs commands, and the jobs that they wait for
        done = line.call("upload", "file", str(put(tmp_path / "other", upload_of("other"))), *state, timeout_s=120)
        assert done.returncode == 0, done.stderr
    done = line.call("upload", "file", str(put(tmp_path / "a", upload_of("hello"))), *state, timeout_s=120)
    assert done.returncode == 0, done.stderr
    stranger = make_upload(make_source("evil"), make_deb("evil"), by=signer("stranger"))
    done = line.call("upload", "file", str(put(tmp_path / "b", stranger)), *state, timeout_s=120)
    assert done.returncode == 1, done.stderr
    rows = line.answer("upload", "list")
    assert [row["result"] for row in rows] == ["rejected", "accepted", "accepted"]
    shown = line.call("upload", "show", str(rows[0]["upload"]), *state)
    assert shown.returncode == 3
    assert "problems: signature: .changes has no valid signature by a key of the uploaders" in shown.stdout
    assert line.call("upload", "show", "999", *state).returncode == 10
    assert line.call("upload", "token", "nobody", *state).returncode == 10


RULES = """#!/usr/bin/make -f
build build-arch build-indep clean:
binary: binary-arch
binary-indep:
binary-arch:
\tmkdir -p debian/hello-there/DEBIAN debian/hello-there/usr/share/hello-there
\techo hello > debian/hello-there/usr/share/hello-there/text
\tdpkg-gencontrol -phello-there -Pdebian/hello-there
\tdpkg-deb --root-owner-group --build debian/hello-there ..
"""
CONTROL = """Source: hello-there
Section: utils
Priority: optional
Maintainer: Ada Example <ada@example.org>
Standards-Version: 4.6.2
Build-Depends: dpkg-dev (>= 1.17) <!nocheck>
Rules-Requires-Root: no

Package: hello-there
Architecture: any
Depends: libc6 (>= 2.30), mail-transport-agent | sensible-utils, ${misc:Depends}
Description: greeting
 It is there.
"""
CHANGELOG = """hello-there (1:1.0-1) devel; urgency=medium

  * Begin.

 -- Ada Example <ada@example.org>  Wed, 10 Jan 2024 12:00:00 +0000
"""


def test_what_dpkg_buildpackage_makes_is_accepted_whole(line: Line, tmp_path: Path) -> None:
    """With its .buildinfo, an epoch, a source of format 3.0 (quilt) and a signed .dsc and .changes, as debsign leaves them."""
    source = tmp_path / "hello-there-1.0"
    (source / "debian/source").mkdir(parents=True)
    (source / "README").write_text("upstream")
    argv = ["tar", "--create", "--gzip", "--file", "hello-there_1.0.orig.tar.gz", "--exclude=debian", source.name]
    subprocess.run(argv, cwd=tmp_path, check=True)
    for name, text in {
        "rules": RULES,
        "control": CONTROL,
        "changelog": CHANGELOG,
        "source/format": "3.0 (quilt)\n",
    }.items():
        (source / "debian" / name).write_text(text)
    (source / "debian/rules").chmod(0o755)
    argv = ["dpkg-buildpackage", "--unsigned-source", "--unsigned-changes", "--no-check-builddeps"]
    done = subprocess.run(argv, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    [changes] = tmp_path.glob("*.changes")
    changes.write_bytes(signer("uploader").sign_clear(changes.read_bytes()))
    done = line.call("upload", "file", str(changes), "--state", str(line.state), timeout_s=120)
    [row] = line.answer("upload", "list")
    assert (row["result"], row["problems"], row["version"]) == ("accepted", [], "1:1.0-1"), done.stderr
    assert sorted(name.rpartition(".")[2] for name in row["files"]) == ["buildinfo", "deb", "dsc", "gz", "xz"]
