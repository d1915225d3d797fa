"""The driver of behaviour tests, with real machines: as small as can be, and emulated."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.worlds.small_machine import PASSWORD, SCREEN, USER, small_machine

from distwright.images.driving.film import Film
from distwright.images.driving.hardware import Firmware
from distwright.images.driving.machine import Machine
from distwright.images.driving.packets import Sent, sent
from distwright.images.driving.patience import DrivingError, OutOfPatience
from distwright.images.driving.pictures import Needle, Picture, find_part
from distwright.images.driving.reading import has_words, words_on
from distwright.images.driving.shell import Shell

pytestmark = [pytest.mark.system, pytest.mark.full]
BOOT_S, ANSWER_S = 120, 30


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a machine that was saved where it asks for a login."""
    folder = tmp_path_factory.mktemp("saved")
    machine = Machine.start(small_machine(), folder / "machine")
    try:
        machine.wait_for("a login", lambda: machine.serial.find("login:"), machine.patience(BOOT_S))
        machine.save(folder / "saved")
    finally:
        machine.stop()
    return folder / "saved"


@pytest.fixture
def machine(saved: Path, tmp_path: Path) -> Iterator[Machine]:
    """Give a machine that goes on from there."""
    restored = Machine.restore(small_machine(), saved, tmp_path / "a, folder")
    yield restored
    restored.stop()


@pytest.fixture
def shell(machine: Machine) -> Shell:
    """Give its shell."""
    shell = Shell(machine)
    shell.log_in(USER, PASSWORD, machine.patience(ANSWER_S))
    return shell


def test_a_command_gives_its_output_and_its_exit_code_exactly(machine: Machine, shell: Shell) -> None:
    patience = machine.patience(ANSWER_S)
    answer = shell.run("printf 'a\\r\\n\\n\\0\\377 \\n\\n'; echo \"it's\" '$HOME' >&2; exit 42", patience)
    assert (answer.exit_code, answer.output) == (42, b"a\r\n\n\0\xff \n\nit's $HOME\n")
    assert shell.run("true", patience).output == b""
    many = shell.run("seq 20000", machine.patience(ANSWER_S))
    assert many.output == b"".join(b"%d\n" % number for number in range(1, 20001))
    long = "x" * 9000
    assert shell.run(f"echo {long} | wc -c", patience).output == b"9001\n"


def test_output_is_exact_while_the_kernel_prints_over_it(machine: Machine, shell: Shell) -> None:
    shell.run("echo 7 >/proc/sys/kernel/printk", machine.patience(ANSWER_S))
    shell.run(
        "(while :; do echo '<1>a word of the kernel' >/dev/kmsg; sleep 0.2; done) >/dev/null 2>&1 &",
        machine.patience(ANSWER_S),
    )
    for _ in range(10):
        assert shell.run("seq 100", machine.patience(ANSWER_S)).output == b"".join(b"%d\n" % n for n in range(1, 101))
    assert "a word of the kernel" in machine.serial.text


def test_a_command_that_does_not_end_is_cut_and_the_shell_goes_on(machine: Machine, shell: Shell) -> None:
    with pytest.raises(OutOfPatience, match=r"'while :; do :; done' did not end: .*has had 2 s"):
        shell.run("while :; do :; done", machine.patience(2))
    shell.listen(machine.patience(ANSWER_S))
    assert shell.run("echo well", machine.patience(ANSWER_S)).output == b"well\n"


def test_a_wrong_password_is_said(machine: Machine) -> None:
    with pytest.raises(DrivingError, match="the login of user was refused"):
        Shell(machine).log_in(USER, "wrong", machine.patience(ANSWER_S))


def test_a_saved_machine_goes_on_as_often_as_one_likes_and_forgets_what_was_done(saved: Path, tmp_path: Path) -> None:
    for number in range(2):
        again = Machine.restore(small_machine(), saved, tmp_path / str(number))
        try:
            shell = Shell(again)
            shell.log_in(USER, PASSWORD, again.patience(ANSWER_S))
            assert shell.run("ls /tmp; touch /tmp/mine", again.patience(ANSWER_S)).output == b""
        finally:
            again.stop()


def test_a_saved_machine_that_goes_on_can_be_restarted(machine: Machine) -> None:
    machine.serial.seen = len(machine.serial.text)
    machine.reset()
    machine.wait_for("a login", lambda: machine.serial.find("login:"), machine.patience(BOOT_S))


def test_a_machine_whose_qemu_breaks_is_not_taken_for_one_that_is_off(machine: Machine) -> None:
    os.kill(machine.pid, signal.SIGSEGV)
    with pytest.raises(DrivingError, match=r"a login: QEMU has broken \(exit code -11\)"):
        machine.wait_for("a login", lambda: machine.serial.find("never"), machine.patience(ANSWER_S))


def test_a_machine_of_other_hardware_does_not_go_on_from_a_saved_one(saved: Path, tmp_path: Path) -> None:
    other = small_machine(Firmware.UEFI)
    with pytest.raises(DrivingError, match=r"cannot be saved or restored|QEMU"):
        Machine.restore(other, saved, tmp_path / "other")


def test_a_disk_is_plugged_in_and_keeps_what_is_written(machine: Machine, shell: Shell, tmp_path: Path) -> None:
    patience = machine.patience(ANSWER_S)
    machine.attach_disk("stick", tmp_path / "stick", 8)
    script = """for i in $(seq 50); do [ -b /dev/sda ] && break; sleep 0.2; done
    cat /sys/block/sda/size; printf kept >/dev/sda; sync"""
    assert shell.run(script, patience).text == "16384\n"
    machine.detach_disk("stick")
    gone = "for i in $(seq 50); do [ -b /dev/sda ] || exit 0; sleep 0.2; done; exit 1"
    assert shell.run(gone, machine.patience(ANSWER_S)).exit_code == 0
    assert (tmp_path / "stick").read_bytes()[:5] == b"kept\0"


def test_packets_show_what_left_the_machine_before_it_was_saved_and_since(machine: Machine, shell: Shell) -> None:
    assert Sent("udp", "255.255.255.255", 67) in sent(machine.packets()[:1])
    shell.run(
        "ip addr add 10.0.2.15/24 dev eth0; ip route add default via 10.0.2.2; echo nameserver 10.0.2.3 >/etc/resolv.conf\n"
        "timeout 3 nslookup tracker.example; timeout 2 nc 198.51.100.7 443",
        machine.patience(ANSWER_S),
    )
    found = set(sent(machine.packets()))
    assert Sent("udp", "10.0.2.3", 53, "tracker.example") in found
    assert Sent("tcp", "198.51.100.7", 443) in found


def test_the_screen_is_read_compared_and_filmed(machine: Machine, shell: Shell, tmp_path: Path) -> None:
    picture = machine.picture()
    assert has_words(words_on(picture, tmp_path), SCREEN)
    assert not has_words(words_on(picture, tmp_path), "Petrel sleeps")
    rows = [row[: 3 * 200] for row in picture.rows()[:16]]
    part = Needle.from_png(Picture(200, 16, b"".join(rows)).to_png())
    assert find_part(picture, part) == (0, 0)
    film = Film()
    machine.watch = film.add
    shell.run("clear >/dev/tty0; sleep 3", machine.patience(ANSWER_S))
    assert find_part(machine.picture(), part) is None
    assert find_part(film.frames[-1][0], part) is None


def test_a_machine_that_goes_off_says_its_last_words(tmp_path: Path) -> None:
    machine = Machine.start(small_machine(more="off"), tmp_path / "machine")
    try:
        with pytest.raises(DrivingError, match=r"(?s)a login: the machine is off.*going off"):
            machine.wait_for("a login", lambda: machine.serial.find("login:"), machine.patience(BOOT_S))
    finally:
        machine.stop()


def test_a_uefi_starts_a_machine_and_it_is_saved_with_its_variables(tmp_path: Path) -> None:
    hardware = small_machine(Firmware.UEFI)
    machine = Machine.start(hardware, tmp_path / "machine")
    try:
        machine.wait_for("a login", lambda: machine.serial.find("login:"), machine.patience(BOOT_S))
        machine.save(tmp_path / "saved")
    finally:
        machine.stop()
    again = Machine.restore(hardware, tmp_path / "saved", tmp_path / "again")
    try:
        shell = Shell(again)
        shell.log_in(USER, PASSWORD, again.patience(ANSWER_S))
        assert shell.run("[ -d /sys/firmware/efi ]", again.patience(ANSWER_S)).exit_code == 0
    finally:
        again.stop()
