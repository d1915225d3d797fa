"""What trials of the archive's operations begin from and are held against, made once in a run."""

import pytest
from tests.worlds.trials import Ground, make_ground
from tests.worlds.undisturbed import UndisturbedRuns


@pytest.fixture(scope="session")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    return make_ground(tmp_path_factory.mktemp("trials") / "ground")


@pytest.fixture(scope="session")
def undisturbed(ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> UndisturbedRuns:
    return UndisturbedRuns(ground, tmp_path_factory.mktemp("undisturbed"))
