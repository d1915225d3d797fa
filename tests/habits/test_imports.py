"""Importing does no work: nothing is opened, written, started or connected, and the command line loads only what it needs."""

import json
import subprocess
import sys

from tests.habits.source import ROOT, modules

HEAVY = (
    "sqlalchemy",
    "pydantic",
    "alembic",
    "pysequoia",
    "starlette",
    "uvicorn",
    "jinja2",
    "rich",
    "urllib3",
    "subprocess",
)

_IMPORT_ALL = """
import importlib, json, os, sys
names = json.loads(sys.argv[1])
libraries = {name.split(".")[0] for name in sys.modules}
for name in ("sqlalchemy", "pydantic", "alembic", "alembic.command", "pysequoia", "starlette.applications",
             "uvicorn", "jinja2", "rich.console", "rich.progress", "urllib3", "click", "starlette.staticfiles",
             "psycopg", "procrastinate"):
    importlib.import_module(name)
seen = []
writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT
def watch(event, arguments):
    if event in ("subprocess.Popen", "socket.connect", "socket.bind", "os.mkdir", "os.rename", "os.remove", "os.fork",
                 "sqlite3.connect", "os.system", "os.exec", "os.posix_spawn"):
        seen.append([event, repr(arguments)[:200]])
    elif event == "open" and isinstance(arguments[2], int) and arguments[2] & writing and "__pycache__" not in str(arguments[0]):
        seen.append([event, repr(arguments)[:200]])
sys.addaudithook(watch)
for name in names:
    importlib.import_module(name)
print(json.dumps([entry for entry in seen if "__pycache__" not in entry[1]]))
"""


def test_importing_every_module_of_ours_touches_nothing() -> None:
    names = [module.name for module in modules() if not module.path.name.startswith(("enter_root", "open_door", "m0"))]
    ran = subprocess.run(
        [sys.executable, "-c", _IMPORT_ALL, json.dumps(names)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == []


def test_the_command_line_loads_only_what_its_help_needs() -> None:
    code = "import json, sys, distwright.cli.main; print(json.dumps(sorted(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in json.loads(ran.stdout)}
    assert sorted(loaded & set(HEAVY)) == []
    ours = sorted(name for name in json.loads(ran.stdout) if name.startswith("distwright"))
    assert ours == ["distwright", "distwright.cli", "distwright.cli.main", "distwright.errors"]


def test_the_resident_server_is_given_the_command_line_and_does_not_import_it() -> None:
    code = "import json, sys, distwright.cli.resident; print(json.dumps(sorted(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {name for name in json.loads(ran.stdout) if name.startswith("distwright.cli.")}
    assert loaded == {"distwright.cli.resident", "distwright.cli.resident_code", "distwright.cli.resident_terms"}
