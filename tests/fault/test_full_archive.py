"""A disk that is really full: operations of the archive say so, clients go on, and with space the same command does it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.fault.test_full_disk import small_disk
from tests.worlds.trials import OPERATIONS, Ground, Trial
from tests.worlds.undisturbed import UndisturbedRuns

pytestmark = pytest.mark.system

SIZE, FILLER = "24m", "filler"
SAYS_SO = ("no space left", "is full", "No space left", "does not work (disk I/O error)")


@pytest.fixture(scope="module")
def disk() -> Iterator[Path]:
    with small_disk(SIZE) as disk:
        yield disk.seen


@pytest.fixture
def trial(ground: Ground, disk: Path) -> Iterator[Trial]:
    yield ground.copy(disk / "trial")
    shutil.rmtree(disk / "trial")
    (disk / FILLER).unlink(missing_ok=True)


def fill(folder: Path, left: int) -> Path:
    """Fill a disk but for some bytes."""
    file = folder / FILLER
    with file.open("wb", buffering=0) as filler:
        try:
            while filler.write(bytes(4096)):
                pass
        except OSError:
            pass
        filler.truncate(filler.tell() - left)
    return file


@pytest.mark.parametrize(
    "left", [0, 160 << 10, *(pytest.param(kib << 10, marks=pytest.mark.full) for kib in (16, 48, 96, 320))]
)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_on_a_full_disk_it_says_so_and_does_it_once_there_is_space(
    trial: Trial, undisturbed: UndisturbedRuns, operation: str, left: int
) -> None:
    plain = undisturbed[operation]
    filler = fill(trial.folder.parent, left)
    ended = trial.run(*OPERATIONS[operation])
    said = ended.stdout + ended.stderr
    assert "Traceback" not in said, said
    if ended.exit_code:
        assert ended.exit_code in (1, 20), said
        assert any(text in said for text in SAYS_SO), said
    trial.packages()  # each link shows one whole state
    filler.unlink()
    plain.assert_one_whole_state_is_served(trial)
    plain.assert_done_by_the_same_command(operation, trial)
