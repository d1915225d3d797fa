"""A planted canary: work of a private repo is on no public face, whole for who may read it, and each gate is needed."""

import base64
import gzip
import hashlib
import lzma
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from starlette.routing import Route
from tests.worlds.apt import make_apt_of
from tests.worlds.embargoed import CANARY, TOPIC, Embargoed, embargoed
from tests.worlds.servers import free_port, our_server
from tests.worlds.web import Browser
from tests.worlds.work import Onlooker

from distwright.checks.inquiries import advance_inquiries, get_inquiry, placed_jobs
from distwright.checks.looks import LOOKS
from distwright.jobs import order
from distwright.model.embargo import PUBLIC
from distwright.model.outcomes import Outcome
from distwright.site import readers
from distwright.site.impacts import ask_impact
from distwright.store import events
from distwright.store.embargoes import list_embargoes
from distwright.store.jobs import find_job, list_jobs
from distwright.web.application import web_application
from distwright.worker.kinds import KINDS

pytestmark = pytest.mark.system
_NUMBERS = range(1, 31)  # there are fewer jobs and events
_BRANCHES = ("main", TOPIC, f"{TOPIC}-broken", f"{TOPIC}-refused")
_UNPACKED: Mapping[str, Callable[[bytes], bytes]] = {".gz": gzip.decompress, ".xz": lzma.decompress}


@dataclass(frozen=True)
class Said:
    """An answer, all of it as text, and the sum of what it brings."""

    status: int
    text: str
    sum: str


@pytest.fixture(scope="module")
def world() -> Iterator[Embargoed]:
    with embargoed() as world:
        world.token("ada")
        world.token("bob")
        yield world


def web_of(world: Embargoed) -> Browser:
    return Browser(web_application(world.open()))


def named(person: str, token: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{person}:{token}'.encode()).decode()}"}


def places(world: Embargoed) -> list[str]:
    """Give every address that the web face might answer, whoever asks."""
    repos, archives = ("greeter", "greeter-twin", "notes"), ("petrel", "vault", "debian")
    found = [
        "/",
        "/index.json",
        "/job",
        "/job.json",
        "/branch",
        "/branch.json",
        "/host",
        "/host.json",
        "/images/",
        "/images.json",
        "/images/petrel/",
        "/images/petrel.json",
        "/upload.json",
        "/reader",
        "/static/style.css",
    ]
    for number in _NUMBERS:
        found += [f"/job/{number}", f"/job/{number}.json", f"/job/{number}/log", f"/upload/{number}.json"]
    for repo in repos:
        found += [f"/branch/{repo}/{branch}{end}" for branch in _BRANCHES for end in ("", "/", ".json")]
        found += [f"/repo/{repo}.git/info/refs?service=git-upload-pack", f"/repo/{repo}/pushed"]
    for archive in archives:
        found += [f"/archive/{archive}", f"/archive/{archive}.json", f"/archive/{archive}/{world.serial}.sources"]
        for other in ("public", "private"):
            tree = world.line.state / other / archive
            files = (path for path in tree.rglob("*") if path.is_file()) if tree.exists() else ()
            found += [f"/{archive}/{quote(str(path.relative_to(tree)))}" for path in files]
    found += [f"/vault/snapshots/{world.serial}/pool/main/z/{CANARY}/{CANARY}_1.0_amd64.deb", "/images/x", "/vault/x"]
    found += ["/petrel/../../private/vault/dists/fixes/InRelease", "/private/vault/dists/fixes/InRelease"]
    return found


def crawled(web: Browser, world: Embargoed, headers: Mapping[str, str] | None = None) -> dict[str, Said]:
    """Ask for everything."""
    return {place: asked(web, place, headers) for place in places(world)}


def asked(web: Browser, place: str, headers: Mapping[str, str] | None = None) -> Said:
    answer = web.get(place, headers=headers)
    content = _unpacked(place, answer.content) if answer.status_code == 200 else answer.content
    text = f"{dict(answer.headers)}\n{content.decode(errors='replace')}"
    return Said(answer.status_code, _without_echo(place, answer.status_code, text), _sum(answer.content))


def _unpacked(name: str, content: bytes) -> bytes:
    ending = next((ending for ending in _UNPACKED if name.endswith(ending)), "")
    return _UNPACKED[ending](content) if ending else content


def _without_echo(place: str, status: int, text: str) -> str:
    """Leave out what was asked: errors repeat it, quoted."""
    text = text.replace(place, "")
    return re.sub(rf"'[^']*{CANARY}[^']*'", "''", text) if status == 404 and CANARY in place else text


def _sum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def leaks(world: Embargoed, said: Mapping[str, Said]) -> list[str]:
    """Name the addresses whose answers have the canary, or are a file that only the private archive has."""
    sums = {
        root: {_sum(path.read_bytes()) for path in (world.line.state / root).rglob("*") if path.is_file()}
        for root in ("private", "public")
    }
    private = sums["private"] - sums["public"]
    return [place for place, one in said.items() if CANARY in one.text or one.sum in private]


def test_no_public_page_file_log_or_answer_has_the_canary(world: Embargoed) -> None:
    said = crawled(web_of(world), world)
    assert leaks(world, said) == []
    assert [place for place, one in said.items() if one.status >= 500] == []
    shown = [place for place, one in said.items() if "greeter 1.0" in one.text]
    assert {"/", "/job", "/job.json", "/job/2", "/job/2/log", "/branch/greeter/main"} <= set(shown), (
        "public work is there"
    )
    assert not [place for place in ("/", "/index.json", "/upload.json", "/branch.json") if "vault" in said[place].text]


def test_counts_count_what_is_shown(world: Embargoed) -> None:
    web = web_of(world)
    for headers in ({}, named("bob", world.token("bob")), named("ada", world.token("ada"))):
        [counted] = re.findall(r"jobs: (.*?)\.</p>", web.get("/", headers=headers).text, re.DOTALL)
        assert sum(map(int, re.findall(r"\d+", counted))) == len(web.get("/job.json", headers=headers).json())


def test_every_route_is_crawled(world: Embargoed) -> None:
    routes = [route for route in web_application(world.open()).routes if isinstance(route, Route)]
    reading = [
        route for route in routes if route.methods and "GET" in route.methods and not route.path.startswith("/host/")
    ]
    paths = [place.partition("?")[0] for place in places(world)]
    missed = [route.path for route in reading if not any(route.path_regex.match(path) for path in paths)]
    assert missed == []


def test_what_is_hidden_is_told_like_what_is_not_there(world: Embargoed) -> None:
    web = web_of(world)
    for hidden, absent in (
        ("/job/9.json", "/job/999.json"), ("/job/9/log", "/job/999/log"), ("/upload/11.json", "/upload/999.json"),
        ("/archive/vault.json", "/archive/nowhere.json"), ("/vault/dists/fixes/InRelease", "/nowhere/dists/fixes/InRelease"),
        (f"/archive/vault/{world.serial}.sources", f"/archive/nowhere/{world.serial}.sources"),
        ("/branch/greeter-twin/main.json", "/branch/nowhere/main.json"),
        ("/repo/greeter-twin.git/info/refs?service=git-upload-pack", "/repo/nowhere.git/info/refs?service=git-upload-pack"),
    ):  # fmt: skip
        names = {"nowhere": "X", "vault": "X", "greeter-twin": "X", "999": "N", "11": "N", "9": "N"}
        told = []
        for place in (hidden, absent):
            answer = web.get(place)
            text = answer.text
            for name, other in names.items():
                text = re.sub(rf"\b{name}\b", other, text)
            told.append((answer.status_code, text, {key for key, _ in answer.headers.items()}))
        assert told[0] == told[1], hidden
        assert told[0][0] in (404, 403)


def test_nothing_below_the_public_root_and_no_public_configuration_has_it(world: Embargoed) -> None:
    public = world.line.state / "public"
    for path in public.rglob("*"):
        assert CANARY not in str(path.relative_to(public))
        assert not path.is_symlink() or "private" not in str(path.resolve())
        if path.is_file():
            content = _unpacked(path.name, path.read_bytes())
            assert CANARY.encode() not in content, path
    assert (world.line.state / "private").stat().st_mode & 0o777 == 0o700
    assert CANARY not in world.line.run("config", "show").text


def test_who_may_read_the_repo_sees_all_of_it(world: Embargoed) -> None:
    headers = named("ada", world.token("ada"))
    said = crawled(web_of(world), world, headers)
    found = set(leaks(world, said))
    assert {
        "/", "/index.json", "/job", "/job.json", "/job/9", "/job/9.json", "/job/9/log", "/upload.json", "/upload/11.json",
        "/branch", "/branch.json", f"/branch/greeter-twin/{TOPIC}", "/archive/vault", "/archive/vault.json",
        f"/vault/pool/main/z/{CANARY}/{CANARY}_1.0_amd64.deb",
    } <= found  # fmt: skip
    [broken] = [one for place, one in said.items() if place == f"/branch/greeter-twin/{TOPIC}-broken.json"]
    assert "nothing of zzcanary works" in broken.text
    assert all("'cache-control': 'private, no-store'" in one.text for one in said.values())
    assert said["/reader"].text.endswith("you are ada\n")


def test_others_see_nothing_of_what_a_reader_sees(world: Embargoed) -> None:
    web, ada = web_of(world), named("ada", world.token("ada"))
    shown = leaks(world, crawled(web, world, ada))
    assert len(shown) > 30
    for headers in (
        named("bob", world.token("bob")),  # a person with a token, who may read another private repo
        named("ada", world.token("bob")),
        named("nobody", world.token("ada")),
        {**ada, "X-Forwarded-For": "192.0.2.1"},  # by a proxy that has no TLS
        {**ada, "Via": "1.1 somebody"},
        {"Authorization": "Basic \x7f\x00"},
    ):
        assert leaks(world, {place: asked(web, place, headers) for place in shown}) == [], headers


def test_a_token_that_was_dropped_or_replaced_and_a_person_who_is_gone_see_nothing(world: Embargoed) -> None:
    old = world.tokens.pop("ada")
    new = world.token("ada")
    web = web_of(world)
    assert [web.get("/job/9", headers=named("ada", token)).status_code for token in (old, new)] == [404, 200]
    assert world.line.run("reader", "drop", "ada").exit_code == 0
    assert web.get("/job/9", headers=named("ada", new)).status_code == 404
    assert web.get("/reader", headers=named("ada", new)).status_code == 401
    world.tokens.pop("ada")
    assert web.get("/job/9", headers=named("ada", world.token("ada"))).status_code == 200


def test_git_over_http_has_the_public_twin_alone(world: Embargoed) -> None:
    with our_server(world.line.state, free_port()) as url:
        done = {repo: git("ls-remote", f"{url}/repo/{repo}.git") for repo in ("greeter", "greeter-twin")}
    assert (done["greeter"].returncode, CANARY in done["greeter"].stdout) == (0, False)
    assert done["greeter-twin"].returncode != 0
    assert CANARY not in done["greeter-twin"].stdout + done["greeter-twin"].stderr


def git(*words: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": "/nonexistent",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_NOSYSTEM": "1",
    }
    return subprocess.run(["git", *words], env=environment, capture_output=True, text=True, timeout=60)


def test_apt_reads_the_private_archive_with_a_token_and_not_without(world: Embargoed, tmp_path: Path) -> None:
    with our_server(world.line.state, free_port()) as url:
        page: Any = web_of(world).get("/archive/vault.json", headers=named("ada", world.token("ada"))).json()
        apt = make_apt_of(tmp_path / "apt", page["sources"].replace("http://127.0.0.1:8080", url))
        assert apt.update().exit_code != 0
        login = tmp_path / "apt" / "etc" / "auth.conf"
        login.write_text(f"machine {url} login ada password {world.token('ada')}\n")
        updated = apt.update()
        assert (updated.exit_code, updated.complaints) == (0, [])
        assert [line.partition("~")[0] for line in apt.candidates()] == [f"{CANARY} 1.1"]
        assert apt.download(CANARY).exit_code == 0


def test_what_a_private_package_breaks_is_no_public_question(world: Embargoed) -> None:
    """Titles and logs of its orders say the package, and some name it by nothing but an index that was made for the question."""
    app = world.open()
    tables = {**app.config().environments}
    tables["build"] = tables["build"].model_copy(update={"checkers": "build"})
    ground = replace(app.ground(), config=replace(app.config(), environments=tables))
    with app.database.read() as tx:
        jobs = list_jobs(tx, kind="package.build", limit=100)
    built = next(job for job in jobs if job.inputs["source"] == CANARY and job.outcome is Outcome.OK)
    number = ask_impact(app.database, ground, CANARY, [str(built.id)], suite="next", depth=1, limit=5, actor="user ada")
    worker = app.worker(Onlooker(), may_wait_to_retry=False)
    for _ in range(2):
        advance_inquiries(app.database, ground, LOOKS, lambda _pool: None)
        worker.kinds = {"package.dependents": KINDS["package.dependents"]}
        while worker.run_one():
            pass
    said = crawled(web_of(world), world)
    with app.database.read() as tx:
        asked = [find_job(tx, job) for job in placed_jobs(get_inquiry(tx, number))]
    titles = [job.title for job in asked if job is not None]
    assert any(title.startswith(f"check what is installable with {CANARY} ") for title in titles), titles
    assert leaks(world, said) == []
    app.database.close()


def _let_all_see(viewer: readers.Viewer, _embargo: object) -> bool:
    return True


def _all(_viewer: readers.Viewer, tx: Any) -> set[str]:
    return {"", *(one.text for one in list_embargoes(tx))}


def _branches(viewer: readers.Viewer, repo: str) -> bool:
    return repo in viewer.config.repos


def _archive(_viewer: readers.Viewer, _name: str) -> bool:
    return True


def _job(_viewer: readers.Viewer, tx: Any, number: int) -> Any:
    return order.get_job(tx, number)


def _everybody(_config: Any, _name: str) -> frozenset[str]:
    return frozenset({"", "ada", "bob"})


GATES = {
    "what is under an embargo": (readers.Viewer, "sees", _let_all_see, "/job/9"),
    "lists": (readers.Viewer, "embargoes", _all, "/job.json"),
    "branches": (readers.Viewer, "sees_branches_of", _branches, f"/branch/greeter-twin/{TOPIC}.json"),
    "archives": (readers.Viewer, "sees_archive", _archive, f"/vault/pool/main/z/{CANARY}/{CANARY}_1.0_amd64.deb"),
    "jobs": (readers.Viewer, "job", _job, "/job/9/log"),
    "who may read": (readers, "audience", _everybody, "/job/9"),
}


@pytest.mark.parametrize("gate", GATES)
def test_without_any_one_gate_the_canary_sings(world: Embargoed, gate: str, monkeypatch: pytest.MonkeyPatch) -> None:
    where, name, opened, place = GATES[gate]
    web = web_of(world)
    assert leaks(world, {place: asked(web, place)}) == []
    monkeypatch.setattr(where, name, opened)
    assert leaks(world, {place: asked(web, place)}) == [place]


def test_without_marks_of_rows_or_a_place_of_its_own_the_canary_sings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(*_words: object) -> Any:
        return PUBLIC

    def public(_config: object, paths: Any, archive: str) -> Path:
        return Path(paths.public / archive)

    monkeypatch.setattr(order, "named_in", nothing)
    monkeypatch.setattr(order, "embargo_of_event", nothing)
    monkeypatch.setattr(events, "named_in", nothing)
    monkeypatch.setattr(events, "embargo_of_job", nothing)
    monkeypatch.setattr("distwright.archive.publish.tree_root", public)
    with embargoed() as world:
        sung = leaks(world, crawled(web_of(world), world))
        assert {"/", "/job.json", "/job/9/log", "/upload.json"} <= set(sung)
        assert list((world.line.state / "public").rglob(f"*{CANARY}*"))
