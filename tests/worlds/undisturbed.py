"""How operations of the archive go if nothing happens: what trials with a fault are held against."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.worlds.tracing import Call, calls_of
from tests.worlds.trials import OPERATIONS, Ground, Trial

DONE_ALREADY = {"drop": 10}  # what a command says that was done already: there is no such snapshot


@dataclass(frozen=True)
class Undisturbed:
    """One operation. calls: those that change the state. Before and after: links, what clients see; recorded, of upstream."""

    calls: list[Call]
    after: Mapping[str, object]
    links: tuple[Mapping[str, list[str]], Mapping[str, list[str]]]
    recorded: tuple[object, object]
    kept: Mapping[str, list[str]]

    @property
    def decisive(self) -> list[int]:
        """Say which calls decide: the renamed public pointers, and what makes transactions of the database last."""
        return [
            number
            for number, call in enumerate(self.calls)
            if (call.name == "rename" and "/.new-" in call.text)
            or (call.name == "fdatasync" and "db.sqlite-wal" in call.text)
        ]

    def assert_one_whole_state_is_served(self, trial: Trial) -> None:
        """Clients see a whole state of each suite: the old one or the new one; and no lock is held."""
        trial.assert_no_lock_is_held()
        packages = trial.packages()
        for link, present in packages.items():
            assert present in (self.links[0].get(link), self.links[1].get(link)), link
        assert self.links[0].keys() & self.links[1].keys() <= packages.keys()
        assert trial.recorded() in self.recorded

    def assert_done_by_the_same_command(self, operation: str, trial: Trial) -> None:
        """Run it again; then all is as if nothing had happened, whole, and nothing is left of the first try."""
        trial.retry_broken_jobs()
        again = trial.run(*OPERATIONS[operation])
        assert again.exit_code in (0, DONE_ALREADY.get(operation, 0)), again.stdout + again.stderr
        assert trial.state() == self.after
        assert trial.damages() == []
        if operation == "collect":
            assert trial.kept() == self.kept
        assert trial.leftovers() == []


@dataclass
class UndisturbedRuns:
    """Runs each operation once, when it is asked for."""

    ground: Ground
    folder: Path
    _done: dict[str, Undisturbed] = field(default_factory=dict)

    def __getitem__(self, operation: str) -> Undisturbed:
        """Give how an operation goes."""
        if operation not in self._done:
            self._done[operation] = self._run(operation)
        return self._done[operation]

    def _run(self, operation: str) -> Undisturbed:
        trial = self.ground.copy(self.folder / operation)
        links, recorded, before = trial.packages(), trial.recorded(), trial.state()
        calls = calls_of(trial.words(operation), trial.folder)
        after = trial.state()
        assert (after != before) == (operation != "collect")
        assert trial.damages() == []
        return Undisturbed(calls, after, (links, trial.packages()), (recorded, trial.recorded()), trial.kept())
