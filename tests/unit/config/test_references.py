"""Names that one table gives of another."""

import pytest
from tests.unit.config.worlds import GOOD, good_config, good_with, problems_of, problems_with

from distwright.config.model import Config
from distwright.config.problems import Fault
from distwright.config.references import reference_faults


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            'archive = "petrel"',
            'archive = "debian"',
            (
                "15 suite.devel.archive: archive 'debian' is an upstream one, which has its own suites; "
                'want the name of an archive with kind = "own": petrel'
            ),
        ),
        (
            'suite = "devel"',
            'suite = "devle"',
            (
                "19 repo.greeter.suite: suite 'devle' does not exist; "
                "want the name of a [suite.NAME] table; did you mean devel?"
            ),
        ),
        (
            'suite = "devel"\nenvironment',
            "environment",
            (
                "17 repo.greeter.suite: is missing, and package = true needs it; "
                "want the name of a [suite.NAME] table: devel"
            ),
        ),
        (
            'environment = "build"\n',
            "",
            (
                "17 repo.greeter.environment: is missing, and package = true needs it; "
                "want the name of a [environment.NAME] table: build"
            ),
        ),
        (
            'from = ["debian/bookworm", "petrel/devel"]\n[image',
            'from = ["debian/bookwork",\n"petrel/next"]\n[image',
            (
                "23 environment.build.from[0]: archive 'debian' has no suite 'bookwork'; "
                "want archive/suite that exists; did you mean debian/bookworm?"
            ),
        ),
        (
            'from = ["debian/bookworm", "petrel/devel"]\n[image',
            'from = ["debian/bookworm",\n"petral/devel"]\n[image',
            (
                "24 environment.build.from[1]: archive 'petral' does not exist; "
                "want archive/suite of an archive that exists; did you mean petrel/devel?"
            ),
        ),
        (
            "boot_expect",
            'architecture = "arm64"\nboot_expect',
            (
                "27 image.petrel.from[1]: archive 'petrel' has no architecture 'arm64'; "
                'want "arm64" among the architectures of [archive.petrel]'
            ),
        ),
        (
            'fetch_from = "http://mirror.example/debian"',
            'together_with = ["petrel/devil"]',
            (
                "8 archive.debian.together_with[0]: suite 'petrel/devil' does not exist; "
                "want archive/suite that exists; did you mean petrel/devel?"
            ),
        ),
        (
            'fetch_from = "http://mirror.example/debian"',
            'together_with = ["debian/bookworm"]',
            (
                "8 archive.debian.together_with[0]: is of this archive, whose suites are together anyway; "
                "want a suite of another archive"
            ),
        ),
        (
            'archive = "petrel"',
            'archive = "petrel"\nenvironment = "bild"',
            (
                "16 suite.devel.environment: environment 'bild' does not exist; "
                "want the name of a [environment.NAME] table; did you mean build?"
            ),
        ),
        (
            'repo = "live"',
            'repo = "lively"',
            (
                "25 image.petrel.repo: repo 'lively' does not exist; "
                "want the name of a [repo.NAME] table; did you mean live?"
            ),
        ),
        (
            'tools = "build"',
            'tools = "zzz"',
            (
                "28 image.petrel.tools: environment 'zzz' does not exist; "
                "want the name of a [environment.NAME] table: build"
            ),
        ),
        (
            'tools = "build"',
            'tools = "build"\ntesters = "zzz"',
            (
                "29 image.petrel.testers: environment 'zzz' does not exist; "
                "want the name of a [environment.NAME] table: build"
            ),
        ),
        (
            'tools = "build"',
            'tools = "build"\nfeatures = ["features"]',
            "24 image.petrel.testers: is missing, and features need it; want the name of an [environment.NAME]",
        ),
        (
            "valid_days = 30",
            'kind = "release"',
            (
                "19 repo.greeter.suite: suite 'devel' is a release and takes no packages; "
                "want a suite that is not a release; there is none yet"
            ),
        ),
        (
            "[repo.greeter]",
            (
                '[suite."dev.el"]\narchive = "petrel"\n[suite.dev_el]\narchive = "petrel"\n'
                '[suite.dev-el]\narchive = "petrel"\n[repo.greeter]'
            ),
            "19 suite.dev_el: stands for the same branches as suite 'dev-el'; want one suite of that name",
        ),
        (
            "[person.ada]",
            (
                '[person.eve]\nname = "Eve"\nemail = "e@example.org"\n'
                'keys = ["0123456789ABCDEF0123456789ABCDEF01234567"]\n[person.ada]'
            ),
            "33 person.eve.keys[0]: is already a key of person 'ada'; want a key of their own",
        ),
    ],
)
def test_a_name_that_does_not_fit_is_named_with_the_nearest(old: str, new: str, problem: str) -> None:
    assert f"a.toml:{problem}" in problems_with((old, new))


def test_nothing_is_called_missing_that_an_unreadable_file_may_have() -> None:
    cut = GOOD.index("[archive.petrel]")
    rest = GOOD[GOOD.index("[suite.devel]") :].replace('"petrel/devel"', '"petrel/devel", "debian/bookwork"', 1)
    problems = problems_of(GOOD[:cut], rest, "[archive.petrel\n")
    assert [problem.split(":")[:2] for problem in problems] == [
        ["b.toml", "10 environment.build.from[2]"],
        ["c.toml", "1 TOML"],
    ]


def test_right_settings_of_a_wrong_table_are_still_checked() -> None:
    problems = problems_with(('repo = "live"', 'repo = "lve"'), ('"petrel login:"', "3"))
    assert [problem.split(":")[1] for problem in problems] == ["25 image.petrel.repo", "29 image.petrel.boot_expect"]


def test_a_right_config_has_no_faults_and_the_check_takes_it_as_it_is() -> None:
    assert list(reference_faults(good_config())) == []


def test_the_check_is_a_function_of_the_config_alone() -> None:
    config = good_config()
    without = Config(
        site=config.site,
        archives=config.archives,
        suites=config.suites,
        repos={},
        environments={},
        images=config.images,
        persons={},
        origins={},
    )
    assert list(reference_faults(without)) == [
        Fault(
            ("image", "petrel", "repo"),
            "repo 'live' does not exist",
            "the name of a [repo.NAME] table; there is none yet",
        ),
        Fault(
            ("image", "petrel", "tools"),
            "environment 'build' does not exist",
            "the name of a [environment.NAME] table; there is none yet",
        ),
    ]


def test_suites_of_two_files_count_for_each_other() -> None:
    extra = '[suite.next]\narchive = "petrel"\n'
    assert problems_of(good_with(('"petrel/devel"]', '"petrel/devel", "petrel/next"]')), extra) == []


def test_a_grant_names_suites_that_exist_or_patterns() -> None:
    grant = '[upload.ada]\nkeyring = "keys/ada.asc"\nsuites = [%s]\n[person.ada]'
    assert problems_with(("[person.ada]", grant % '"devel", "topic-*"')) == []
    assert problems_with(("[person.ada]", grant % '"topic-*", "devl"')) == [
        "a.toml:32 upload.ada.suites[1]: suite 'devl' does not exist; want the name of a [suite.NAME] table; did you mean devel?"
    ]


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ('pool = "listed"', 'packages: is missing, and pool = "listed" needs it; want package names'),
        ("recommends = true", 'recommends: says nothing for pool = "lazy"; want pool = "listed"'),
        ('pool = "full"\npool_sources = true', 'pool_sources: says nothing for pool = "full"; want pool = "listed"'),
        (
            'pool = "listed"\npackages = ["a1"]\npool_sources = true\nsources = false',
            "pool_sources: needs the lists of sources; want sources = true",
        ),
        ('serve = "filtered"\nkey = { credential = "m" }', 'serve: has nothing to filter by; want pool = "listed"'),
        (
            'pool = "listed"\npackages = ["a1"]\nserve = "filtered"',
            'key: is missing, and serve = "filtered" needs it; want key = { credential = "NAME" }',
        ),
    ],
)
def test_a_pool_that_cannot_be_what_it_says_is_named(settings: str, problem: str) -> None:
    problems = problems_with(('fetch_from = "http://mirror.example/debian"', settings))
    assert len(problems) == 1
    assert problems[0].endswith(f"archive.debian.{problem}")


def test_a_listed_and_filtered_pool_is_taken() -> None:
    settings = 'pool = "listed"\npackages = ["a1"]\nserve = "filtered"\nkey = { credential = "m" }\npool_sources = true'
    assert good_config(('fetch_from = "http://mirror.example/debian"', settings)).archives["debian"].kind == "upstream"


TWO = '[suite.devel]\narchive = "petrel"\n%s\n[suite.next]\narchive = "petrel"\n%s\n'


@pytest.mark.parametrize(
    ("devel", "following", "problems"),
    [
        ('codename = "petrel-2"', 'codename = "petrel-3"', []),
        ('codename = "devel"', "", []),
        ('codename = "next"', "", ["devel.codename: is a name of suite 'next' too"]),
        (
            'codename = "petrel-2"',
            'codename = "petrel-2"',
            ["devel.codename: is a name of suite 'next' too", "next.codename: is a name of suite 'devel' too"],
        ),
        ("but_automatic_upgrades = true", "", ["devel.but_automatic_upgrades: says nothing by itself"]),
        ("not_automatic = true\nbut_automatic_upgrades = true", "", []),
    ],
)
def test_names_of_suites_do_not_collide_within_an_archive(devel: str, following: str, problems: list[str]) -> None:
    found = problems_with(('[suite.devel]\narchive = "petrel"\n', TWO % (devel, following)))
    assert [problem.partition(" suite.")[2].partition(";")[0] for problem in found] == problems


def test_two_archives_may_have_suites_of_one_codename() -> None:
    other = '[archive.auk]\nkind = "own"\norigin = "Auk"\nlabel = "Auk"\nkey = { credential = "auk" }\n'
    suites = (
        f'[suite.devel]\narchive = "petrel"\ncodename = "two"\n[suite.auk]\narchive = "auk"\ncodename = "two"\n{other}'
    )
    text = good_with(('[suite.devel]\narchive = "petrel"\nvalid_days = 30\n', suites))
    assert problems_of(text) == []


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (
            'role = "builder"',
            'host.mason.address: is missing, and role = "builder" needs it; want a string "ssh://user@host:port"',
        ),
        ('role = "builder"\naddress = "ssh://build@mason.example.org:2222"', ""),
        ('role = "builder"\naddress = "ssh://build@[2001:db8::7]"', ""),
        (
            'role = "builder"\naddress = "ssh://build@mason:0"',
            "host.mason.address: 'ssh://build@mason:0' is not written",
        ),
        (
            'role = "builder"\naddress = "ssh://build@mason:65536"',
            "host.mason.address: 'ssh://build@mason:65536' is not",
        ),
        ('role = "builder"\naddress = "ssh://build@-oProxyCommand=x"', "host.mason.address: 'ssh://build@-oProxy"),
        ('role = "builder"\naddress = "ssh://-l@mason"', "host.mason.address: 'ssh://-l@mason' is not written"),
        ('role = "builder"\naddress = "ssh://mason"', "host.mason.address: 'ssh://mason' is not written"),
        ('role = "builder"\naddress = "build@mason"', "host.mason.address: 'build@mason' is not written"),
        ('role = "builder"\naddress = "ssh://build@mason/folder"', "host.mason.address: 'ssh://build@mason/folder' is"),
        ('role = "builder"\naddress = "ssh://build@mason\\n:22"', "host.mason.address: 'ssh://build@mason"),
    ],
)
def test_builder_has_the_address_that_it_is_called_at(lines: str, problem: str) -> None:
    found = problems_of(f"{GOOD}\n[host.mason]\n{lines}\n")
    assert len(found) == bool(problem), found
    assert all(each.partition(" ")[2].startswith(problem) for each in found), found
