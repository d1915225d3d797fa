"""What tests of other people's programs share: one world of everything that they read."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.worlds.published import Published, published


@pytest.fixture(scope="session")
def world() -> Iterator[Published]:
    """Serve it once for all; nobody changes it."""
    with published() as world:
        yield world


@pytest.fixture
def place(world: Published) -> Path:
    """Give a new folder that every user can look into, as programs that step down to another want it."""
    folder = Path(tempfile.mkdtemp(dir=world.folder))
    folder.chmod(0o755)
    return folder
