"""The page of hosts says the same as the command: how each is, and of a silent one since when."""

from pathlib import Path

from tests.worlds.commands import CONFIG, command_line
from tests.worlds.times import NOW
from tests.worlds.web import Browser

from distwright.app import open_app
from distwright.model.digests import sha256_of
from distwright.model.records import HostHealth
from distwright.site.applied import apply_config
from distwright.site.hosts import exchange
from distwright.store.hosts import offer_enrolment, see_host
from distwright.web.application import web_application

HOSTS = '[host.anvil]\nrole = "runner"\nslots = 4\n[host.tongs]\nrole = "runner"\n'


def test_page_json_and_command_say_the_same(tmp_path: Path) -> None:
    line = command_line(tmp_path)
    app = open_app(str(line.state))
    assert "No other machine works for this one." in Browser(web_application(app)).get("/host").text
    files = {"distwright.toml": CONFIG + HOSTS}
    apply_config(files, {}, "1" * 40, database=app.database, objects=app.objects, paths=app.paths, now=app.now())
    with app.database.write() as tx:
        offer_enrolment(tx, "anvil", sha256_of(b"once"), NOW.replace(year=NOW.year + 99))
    exchange(app.database, app.config(), "anvil", "once", "<i>0.5</i>", NOW)
    with app.database.write() as tx:
        see_host(tx, "anvil", "<i>0.5</i>", NOW.replace(year=2025), HostHealth(3 << 30, 1.25))
    rows = Browser(web_application(app)).get("/host.json").json()
    page = Browser(web_application(app)).get("/host").text
    app.database.close()
    assert rows == line.run("host", "list", as_json=True).answer
    anvil, tongs = rows
    assert (anvil["state"], anvil["free disk"], anvil["load"], anvil["slots"]) == ("silent", "3.0 GiB", "1.25", 4)
    assert anvil["note"].startswith(f"not heard of since {NOW.replace(year=2025):%Y-%m-%d %H:%M:%S} UTC; look whether")
    assert (tongs["state"], tongs["note"], tongs["free bytes"]) == ("not enrolled", "", None)
    assert ("3.0 GiB" in page, "not heard of since" in page, "<i>" in page) == (True, True, False)
