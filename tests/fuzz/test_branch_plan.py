"""Whatever is pushed, deleted, filled, retired and configured: no two names share a suite, and nothing with packages is lost."""

from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.worlds.installation import config
from tests.worlds.times import NOW

from distwright.archive.branch_plan import is_settled, plan_branches, seats_of
from distwright.archive.tree import EMPTY_ROOT
from distwright.config.model import Config
from distwright.model.digests import sha256_of
from distwright.model.records import BranchSuite, SuiteState

BRANCHES = [
    "main",
    "topic",
    "Topic",
    "to/pic",
    "to-pic",
    "stable",
    "Stable",
    "devel",
    "wip/topic",
    "1.0",
    "_",
    "x" * 65,
]
TAGS = ["1.0", "topic", "to-pic"]
REPOS = ["greeter", "live"]
_CROWDED = ["refs/heads/topic", "refs/heads/Topic", "refs/tags/topic", "refs/heads/stable", "refs/heads/devel"]
FILLED = sha256_of(b"packages")
_PROTECTED = st.sampled_from([(), ("stable",), ("st*", "devel"), ("topic",)])
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("push"), st.sampled_from(REPOS), st.sampled_from([f"refs/heads/{name}" for name in BRANCHES])),
        st.tuples(st.just("push"), st.sampled_from(REPOS), st.sampled_from([f"refs/tags/{name}" for name in TAGS])),
        st.tuples(st.just("delete"), st.sampled_from(REPOS), st.integers(0, 99)),
        st.tuples(st.just("fill"), st.just(""), st.integers(0, 99)),
        st.tuples(st.just("retire"), st.just(""), st.integers(0, 99)),
        st.tuples(st.just("look"), st.sampled_from(REPOS), st.just(0)),
        st.tuples(st.just("look"), st.sampled_from(REPOS), st.just(1)),
        st.tuples(st.just("push"), st.sampled_from(REPOS), st.sampled_from(_CROWDED)),
        st.tuples(st.just("protect"), st.sampled_from(REPOS), _PROTECTED),
    ),
    min_size=20,
    max_size=60,
)  # fmt: skip


@cache
def whole() -> Config:
    return config()


@dataclass
class Rows:
    """Rows and refs as an installation has them, without one."""

    config: Config = field(default_factory=whole)
    refs: dict[str, set[str]] = field(default_factory=lambda: {repo: set() for repo in REPOS})
    new: dict[str, dict[str, str]] = field(default_factory=lambda: {repo: {} for repo in REPOS})
    rows: dict[tuple[str, str, str], BranchSuite] = field(default_factory=dict)
    suites: dict[str, SuiteState] = field(
        default_factory=lambda: {"devel": SuiteState("petrel", "devel", "base", FILLED, NOW)}
    )
    clock: int = 0

    def look(self, repo: str) -> None:
        """Carry a plan out, in its order, as the transaction does."""
        self.clock += 1
        plan = self.plan(repo, self.new[repo])
        for suite in plan.ended:
            assert suite == self.suites.pop(suite.name)
            assert (suite.kind, suite.revision) == ("overlay", EMPTY_ROOT.revision)
        for row in plan.dropped:
            del self.rows[row.repo, row.ref, row.archive]
        for suite in plan.begun:
            assert suite.name not in self.suites
            self.suites[suite.name] = suite
        for row in plan.written:
            self.rows[row.repo, row.ref, row.archive] = row
        assert {row.problem for row, _ in plan.warned} <= {str(why) for _, why in plan.warned}
        self.new[repo] = {}

    def plan(self, repo: str, tagged: dict[str, str]):  # type: ignore[no-untyped-def]  # what plan_branches gives
        now = NOW + timedelta(seconds=self.clock)
        return plan_branches(self.config, repo, self.refs[repo], tagged, self.rows.values(), self.suites.values(), now)

    def step(self, what: str, repo: str, which: object) -> None:
        if what == "push":
            self.refs[repo].add(str(which))
            if str(which).startswith("refs/tags/"):
                self.new[repo][str(which)] = "main"
        elif what == "delete" and self.refs[repo]:
            ref = sorted(self.refs[repo])[int(str(which)) % len(self.refs[repo])]
            self.refs[repo].remove(ref)
            self.new[repo].pop(ref, None)
        elif what in ("fill", "retire"):
            name = sorted(self.suites)[int(str(which)) % len(self.suites)]
            if what == "fill" and not self.suites[name].is_sealed:
                self.suites[name] = replace(self.suites[name], revision=FILLED)
            elif what == "retire" and self.may_retire(name):
                del self.suites[name]
        elif what == "protect":
            table = self.config.repos[repo].model_copy(update={"protected": which})
            self.config = replace(self.config, repos={**self.config.repos, repo: table})
        elif what == "look":
            self.look(repo)

    def may_retire(self, name: str) -> bool:
        """Say whether `suite retire` does it."""
        in_use = {row.suite for row in self.rows.values() if row.gone_at is None and row.ref.startswith("refs/heads/")}
        return name != "devel" and name not in in_use and name not in {suite.parent for suite in self.suites.values()}

    def check(self) -> None:
        """See what is always true."""
        names: dict[str, set[str]] = {}
        for row in self.rows.values():
            assert bool(row.suite) != bool(row.problem)
            if row.suite and row.gone_at is None and row.suite in self.suites:
                names.setdefault(row.suite, set()).add(row.ref)
                assert self.suites[row.suite].kind == row.kind, "a topic never has the configured suite"
        for name, refs in names.items():
            assert len(refs) == 1 or name == "devel", f"{name} belongs to {refs}"


@settings(deadline=None, max_examples=200)
@given(steps=_STEPS)
def test_no_two_names_share_a_suite_whatever_happens(steps: list[tuple[str, str, object]]) -> None:
    rows = Rows()
    for step in steps:
        rows.step(*step)
        rows.check()
    for _ in range(3):  # what one branch frees, another may have waited for
        for repo in REPOS:
            rows.look(repo)
    rows.check()
    assert not any(rows.plan(repo, {}) for repo in REPOS), "nothing is left to do"
    for repo in REPOS:
        heads = {ref for ref in rows.refs[repo] if ref.startswith("refs/heads/")}
        here = {
            (row.ref, row.archive): (row.kind, row.suite)
            for row in rows.rows.values()
            if row.repo == repo and row.gone_at is None
        }
        problems = [row for row in rows.rows.values() if row.repo == repo and row.problem]
        assert is_settled(rows.config, repo, rows.refs[repo], here) or problems
        assert {ref for ref, _ in here if ref.startswith("refs/heads/")} == heads - {"refs/heads/wip/topic"}
        assert seats_of(rows.config, repo) == {"petrel": "devel"}
