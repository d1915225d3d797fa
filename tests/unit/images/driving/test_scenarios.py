"""What is decided about scenarios without a machine: tags, hands of workers, hardware, ports and tables."""

import json
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from distwright.images.driving.__main__ import deal, usable
from distwright.images.driving.hardware import Firmware, Hardware, Medium, arguments
from distwright.images.driving.machine import Machine
from distwright.images.driving.packets import Sent
from distwright.images.driving.patience import DrivingError
from distwright.images.driving.results import Results, Scenario
from distwright.images.driving.session import (
    FILE_LIMIT_BYTES,
    Session,
    Settings,
    Upgrade,
    bounded,
    is_for,
    is_quarantined,
    limit_of,
)
from distwright.images.driving.shell import Answer
from distwright.images.driving.steps import STEPS, open_ports

STEP: dict[str, Callable[..., None]] = dict(STEPS)


def test_a_scenario_takes_as_long_as_its_tag_says() -> None:
    assert limit_of(["fresh", "limit:90", "limits"], 120) == 90
    assert limit_of(["fresh"], 120) == 120
    for tag in ("limit:", "limit:0", "limit:1.5", "limit:-3", "limit:9999999", "limit:²"):
        with pytest.raises(DrivingError, match=f"@{tag}: want whole seconds"):
            limit_of([tag], 120)


def test_a_scenario_is_for_all_firmwares_or_those_of_its_tags() -> None:
    assert is_for(["fresh"], Firmware.BIOS)
    assert is_for(["only:uefi", "only:bios"], Firmware.BIOS)
    assert not is_for(["only:uefi"], Firmware.BIOS)
    assert not is_for(["only:uefi"], Firmware.SECURE_BOOT)


def test_a_topic_puts_nothing_into_quarantine_that_its_base_has_not() -> None:
    assert is_quarantined(["fresh", "quarantine"], "F: a", None)
    assert is_quarantined(["quarantine"], "F: a", ["F: a"])
    assert not is_quarantined(["quarantine"], "F: a", ["F: b"])
    assert not is_quarantined(["fresh"], "F: a", ["F: a"]), "who takes it out may"


def scenarios(*names: str) -> list[Scenario]:
    return [Scenario("F", name, f"a.feature:{line}") for line, name in enumerate(names, start=1)]


def test_scenarios_are_dealt_so_that_all_workers_are_done_at_about_the_same_time() -> None:
    seconds = {"F: a": 10, "F: b": 200, "F: c": 90, "F: d": 100}
    hands = deal(scenarios("a", "b", "c", "d"), seconds, 2)
    assert [[one.scenario for one in hand] for hand in hands] == [["b"], ["a", "c", "d"]]
    assert [[one.scenario for one in hand] for hand in deal(scenarios("a", "b"), {}, 8)] == [["a"], ["b"]]
    assert deal(scenarios("a", "new", "b"), seconds, 1) == [scenarios("a", "new", "b")]


def test_a_saved_machine_goes_on_only_with_the_accelerator_that_it_was_made_with(tmp_path: Path) -> None:
    hardware = Hardware(Firmware.BIOS, Medium.CD, accelerator="kvm")
    assert not usable(tmp_path, hardware)
    for content, is_usable in (
        ('{"accelerator": "kvm"}', True),
        ('{"accelerator": "tcg"}', False),
        ("[]", False),
        ("{", False),
    ):
        (tmp_path / "made.json").write_text(content)
        assert usable(tmp_path, hardware) is is_usable, content


SETTINGS: dict[str, Any] = {
    "firmware": "uefi", "medium": "cd", "accelerator": "tcg", "memory_mb": 2048, "cpus": 2, "expect": "greets", "boot_limit_s": 900,
    "limit_s": 120, "user": "user", "password": "live",
}  # fmt: skip


def words(hardware: Hardware) -> str:
    return " ".join(arguments(hardware, Path("/work/a,b"), 7, 8))


def test_the_medium_is_never_written_to_and_the_network_leads_nowhere() -> None:
    for medium, device in (Medium.CD, "ide-cd"), (Medium.USB, "usb-storage,bus=usb.0"):
        said = words(Hardware(Firmware.BIOS, medium, image=Path("/work/image")))
        assert "-drive id=medium,if=none,format=raw,readonly=on,file=/work/image " in said
        assert f"-device {device},drive=medium,bootindex=0" in said
        assert "-netdev user,id=net0,restrict=on" in said
        assert "file=/work/a,,b/packets.pcap" in said
        assert "pflash" not in said


def test_a_machine_that_is_emulated_has_one_processor() -> None:
    hardware = Hardware(Firmware.BIOS, Medium.CD, accelerator="kvm", cpus=2)
    assert " -smp 2 " in words(hardware)
    assert " -smp 1 " in words(replace(hardware, accelerator="tcg,thread=multi"))


def test_a_stick_that_is_upgraded_takes_what_is_written_and_its_file_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text(json.dumps({**SETTINGS, "upgrade": ["petrel-1", "petrel-2"]}))
    settings = Settings.read(tmp_path)
    assert settings.upgrade == Upgrade("petrel-1", "petrel-2", tmp_path / "kit.tar")
    said = words(settings.stick)
    assert f"-drive id=medium,if=none,format=raw,snapshot=on,file={tmp_path}/before.img " in said
    assert "-device usb-storage,bus=usb.0,drive=medium,bootindex=0" in said
    assert words(settings.hardware) == words(
        replace(settings.stick, medium=Medium.CD, image=tmp_path / "image", keeps_writes=False)
    )
    (tmp_path / "settings.json").write_text(json.dumps(SETTINGS))
    assert Settings.read(tmp_path).upgrade is None


def test_secure_boot_has_keys_and_protects_its_variables() -> None:
    said = words(Hardware(Firmware.SECURE_BOOT, Medium.CD))
    assert "-machine q35,smm=on" in said
    assert "property=secure,value=on" in said
    assert "OVMF_CODE_4M.secboot.fd" in said
    assert "secure" not in words(Hardware(Firmware.UEFI, Medium.CD))


def test_settings_that_we_do_not_write_are_refused(tmp_path: Path) -> None:
    for text in (
        "",
        "{",
        "[]",
        "{}",
        json.dumps({"firmware": "coreboot"}),
        json.dumps({**SETTINGS, "upgrade": ["one"]}),
    ):
        (tmp_path / "settings.json").write_text(text)
        with pytest.raises(DrivingError, match=r"settings\.json cannot be used"):
            Settings.read(tmp_path)


def test_results_are_whole_after_each_scenario_and_go_on_after_a_restart(tmp_path: Path) -> None:
    known = scenarios("a", "b", "c")
    Results(tmp_path, 3).expect(known)
    again = Results(tmp_path, 3)
    again.add(Scenario("F", "b", "a.feature:2", "passed"), {})
    rows = json.loads((tmp_path / "results-3.json").read_text())["scenarios"]
    assert [(row["scenario"], row["outcome"]) for row in rows] == [("a", "not-run"), ("b", "passed"), ("c", "not-run")]
    assert [file.name for file in tmp_path.iterdir()] == ["results-3.json"]


def test_evidence_is_kept_as_far_as_there_is_room_the_first_first(tmp_path: Path) -> None:
    large, half = b"x" * FILE_LIMIT_BYTES, b"y" * (FILE_LIMIT_BYTES // 2)
    assert bounded({"a": b"", "b": large + b"x", "c": large}) == {"c": large}
    many = {f"{number}": large for number in range(8)} | {"half": half}
    assert list(bounded(many)) == [f"{number}" for number in range(8)]


def test_an_archive_of_evidence_has_an_end_and_results_name_only_what_is_in_it(tmp_path: Path) -> None:
    files = dict.fromkeys(("screen.png", "serial.txt", "film.png"), b"x" * 30000)
    results = Results(tmp_path, 0, limit_bytes=190_000)
    for number in range(1, 4):
        one = Scenario("F", f"s{number}", f"a.feature:{number}", "failed", evidence=sorted(files))
        results.add(one, files)
    assert (tmp_path / "evidence-0.tar").stat().st_size <= 190_000
    rows = json.loads((tmp_path / "results-0.json").read_text())["scenarios"]
    assert [row["evidence"] for row in rows] == [sorted(files), ["screen.png", "serial.txt"], []]
    with tarfile.open(tmp_path / "evidence-0.tar") as tar:
        assert tar.getnames() == [f"a-1/{name}" for name in files] + ["a-2/screen.png", "a-2/serial.txt"]


LISTENING = """udp   UNCONN 0      0         127.0.0.54:53        0.0.0.0:*
udp   UNCONN 0      0      127.0.0.53%lo:53        0.0.0.0:*
udp   UNCONN 0      0      10.0.2.15%ens3:68        0.0.0.0:*
tcp   LISTEN 0      128          0.0.0.0:22        0.0.0.0:*
tcp   LISTEN 0      4096   [::ffff:127.0.0.1]:80         *:*
tcp   LISTEN 0      128            [::1]:631         [::]:*
tcp   LISTEN 0      128             [::]:22          [::]:*
tcp   LISTEN 0      128                *:9090           *:*
"""


def test_open_ports_are_those_that_others_can_reach() -> None:
    assert open_ports(LISTENING) == {("udp", "68"), ("tcp", "22"), ("tcp", "9090")}
    assert open_ports("") == set()


@dataclass
class Row:
    cells: dict[str, str]

    def as_dict(self) -> dict[str, str]:
        return self.cells


@dataclass
class FakeMachine:
    """A machine that notes what is plugged in."""

    files: dict[str, Path] = field(default_factory=dict)

    def attach_file(self, name: str, file: Path) -> None:
        self.files[name] = file


@dataclass
class FakeSettings:
    upgrade: Upgrade | None = None


@dataclass
class FakeSession:
    """A session that answers without a machine."""

    answers: dict[str, Answer] = field(default_factory=dict)
    settings: FakeSettings = field(default_factory=FakeSettings)
    machine: FakeMachine = field(default_factory=FakeMachine)
    packets: tuple[Sent, ...] = ()
    answer: Answer = field(default_factory=lambda: Answer(0, b""))

    def run(self, command: str) -> Answer:
        [self.answer] = [answer for words, answer in self.answers.items() if words in command]
        return self.answer

    def sent(self) -> tuple[Sent, ...]:
        return self.packets


@dataclass
class FakeContext:
    session: FakeSession
    table: list[Row] | None = None
    text: str | None = None
    features: Path = Path("/nowhere")


def context(rows: list[dict[str, str]] | None = None, text: str | None = None, **session: Any) -> FakeContext:
    return FakeContext(FakeSession(**session), None if rows is None else [Row(row) for row in rows], text)


def test_the_fake_session_has_what_a_session_has() -> None:
    assert all(hasattr(Session, name) for name in ("run", "sent", "answer", "machine", "settings"))
    assert hasattr(Machine, "attach_file")
    assert Settings.__dataclass_fields__.keys() >= {"upgrade"}


DNS = Sent("udp", "10.0.2.3", 53, "time.example.org")
TABLE = [
    {"protocol": "udp", "destination": "10.0.2.3", "port": "53", "name": "*.example.org"},
    {"protocol": "icmp*", "destination": "ff02:*", "port": "0"},
]


def test_packets_may_go_where_the_table_says_and_nowhere_else() -> None:
    only = STEP["packets went only to"]
    only(context(TABLE, packets=(DNS, Sent("icmp6", "ff02::2", 0))))
    for other in (
        Sent("udp", "10.0.2.3", 53, "ads.example.com"),
        Sent("tcp", "10.0.2.3", 53),
        Sent("udp", "10.0.2.3", 54),
    ):
        with pytest.raises(DrivingError, match="this left the machine, too"):
            only(context(TABLE, packets=(DNS, other)))
    only(context([], packets=()))
    with pytest.raises(DrivingError, match="want a table"):
        only(context(packets=(DNS,)))
    with pytest.raises(DrivingError, match="lacks one of protocol, destination, port"):
        only(context([{"protocol": "udp"}], packets=()))


def test_open_ports_must_be_exactly_those_of_the_table() -> None:
    answers = {"ss -H -l -n -t -u": Answer(0, b"tcp LISTEN 0 128 0.0.0.0:22 0.0.0.0:*\n")}
    STEP["exactly these ports are open"](context([{"protocol": "tcp", "port": "22"}], answers=answers))
    with pytest.raises(DrivingError, match="open and not wanted: tcp 22; wanted and not open: none"):
        STEP["no port is open"](context(answers=answers))
    rows = [{"protocol": "tcp", "port": "22"}, {"protocol": "udp", "port": "68"}]
    with pytest.raises(DrivingError, match="open and not wanted: none; wanted and not open: udp 68"):
        STEP["exactly these ports are open"](context(rows, answers=answers))
    with pytest.raises(DrivingError, match="ss does not tell"):
        STEP["no port is open"](context(answers={"ss -H -l -n -t -u": Answer(127, b"ss: not found\n")}))


def test_output_must_be_exactly_what_is_said() -> None:
    given = context(text="a\nb", answer=Answer(0, b"a\nb\n"))
    STEP["the output is"](given)
    STEP['the output contains "{text}"'](given, text="b")
    STEP['the output does not contain "{text}"'](given, text="c")
    for sentence, text in (
        ('the output is "{text}"', "a"),
        ('the output contains "{text}"', "c"),
        ('the output does not contain "{text}"', "a"),
    ):
        with pytest.raises(DrivingError):
            STEP[sentence](given, text=text)
    with pytest.raises(DrivingError):
        STEP["the output is empty"](given)
    with pytest.raises(DrivingError, match="want a text below"):
        STEP["the output is"](context(answer=Answer(0, b"")))


def test_units_that_failed_are_named_and_so_is_a_system_that_is_not_up() -> None:
    running, failed = "systemctl is-system-running --wait", "systemctl --failed --no-legend --plain"
    STEP["no unit has failed"](context(answers={running: Answer(0, b"running\n"), failed: Answer(0, b"")}))
    with pytest.raises(DrivingError, match=r"systemd is degraded; units that failed:\nb\.service"):
        STEP["no unit has failed"](
            context(answers={running: Answer(1, b"degraded\n"), failed: Answer(0, b"b.service loaded\n")})
        )
    with pytest.raises(DrivingError, match="systemd is offline"):
        STEP["no unit has failed"](context(answers={running: Answer(1, b"offline\n"), failed: Answer(0, b"")}))


def test_a_picture_is_only_looked_for_beside_the_features() -> None:
    for file in ("../secret.png", "/etc/passwd", "missing.png"):
        with pytest.raises(DrivingError, match="there is no picture"):
            STEP['the screen shows the picture "{file}"'](context(), file=file)


UPGRADE = FakeSettings(Upgrade("petrel-1", "petrel-2", Path("/work/kit.tar")))


def test_a_kit_is_plugged_in_and_applied_and_must_say_that_it_was() -> None:
    applied = Answer(0, b"/run/live/medium is petrel-2\n")
    given = context(answers={"kit/apply /run/live/medium": applied}, settings=UPGRADE)
    STEP["the stick is upgraded by the kit"](given)
    assert given.session.machine.files == {"kit": Path("/work/kit.tar")}
    for other in (
        Answer(1, b"has not the files: nothing was changed\n"),
        Answer(0, b"/run/live/medium is petrel-1\n"),
        Answer(0, b""),
    ):
        with pytest.raises(DrivingError, match="the kit was not applied"):
            STEP["the stick is upgraded by the kit"](context(answers={"kit/apply": other}, settings=UPGRADE))
    with pytest.raises(DrivingError, match="wants the tag @upgrade"):
        STEP["the stick is upgraded by the kit"](context())


def test_the_image_that_runs_says_its_name_before_and_after() -> None:
    for name, right, wrong in (
        ("petrel-1", "the image before is running", "the new image is running"),
        ("petrel-2", "the new image is running", "the image before is running"),
    ):
        given = context(answers={"IMAGE_ID": Answer(0, f"{name}\n".encode())}, settings=UPGRADE)
        STEP[right](given)
        with pytest.raises(DrivingError, match=f"{name} is running, and not petrel-"):
            STEP[wrong](given)
    with pytest.raises(DrivingError, match="a system without IMAGE_ID is running"):
        STEP["the new image is running"](context(answers={"IMAGE_ID": Answer(2, b"\n")}, settings=UPGRADE))


def test_a_machine_without_secure_boot_is_one_of_a_uefi_that_says_so() -> None:
    is_off = STEP["Secure Boot is off"]
    for said in (b"   0\n", b""):
        is_off(context(answers={"efivars": Answer(0, said)}))
    for answer in (Answer(0, b"   1\n"), Answer(1, b"")):
        with pytest.raises(DrivingError, match="not one of a UEFI without Secure Boot"):
            is_off(context(answers={"efivars": answer}))
