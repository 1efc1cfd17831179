"""A console is told apart: the process's words are those that are nobody else's."""

from __future__ import annotations

import errno
import os

import pytest

from builder.vm.console import Console

INIT = b"rootfs-builder init: "
BOOT = (
    b"[    0.000000] Linux version 6.1.0-50-cloud-amd64\r\n"
    b"2026-11-29T12:00:00.123456789 [anonymous-instance:main] Running Firecracker v1.10.1\r\n"
    b"cloud-hypervisor: 12.3ms: <vmm> WARN:vmm/src/lib.rs:1 -- words\r\n"
)
END = b"[   13.163125] ACPI: PM: Preparing to enter system sleep state S5\r\n[   13.163298] reboot: Power down\r\n"


def heard(*pieces: bytes, expect: str | None = None) -> tuple[Console, bytes, bytes]:
    """What comes of a console that says `pieces`: its state, the process's words, and the others'."""
    own, others = os.memfd_create("own"), os.memfd_create("others")
    console = Console(own, others, expect)
    for piece in pieces:
        os.write(console.end, piece)
    console.finish()
    try:
        return console, os.pread(own, 1 << 23, 0), os.pread(others, 1 << 23, 0)
    finally:
        os.close(own)
        os.close(others)


def ended(status: int) -> bytes:
    return b"rootfs-builder init: the process ended with status %d\r\n" % status


def test_the_process_has_what_is_nobody_elses() -> None:
    console, own, others = heard(BOOT, b"hello\r\n\r\n [ 1.5] mine\r\n", ended(3), END)
    assert own == b"hello\n\n [ 1.5] mine\n"
    assert (console.status, console.panicked, [*console.init_words]) == (3, False, [])
    assert b"Running Firecracker" in others
    assert b"status 3" in others


def test_a_line_that_the_process_left_open_is_its_own() -> None:
    console, own, _ = heard(b"no newline", ended(0))
    assert (own, console.status) == (b"no newline", 0)
    console, own, _ = heard(b"no newline at all")
    assert (own, console.status) == (b"no newline at all", None)


def test_how_the_bytes_come_makes_no_difference() -> None:
    whole = BOOT + b"one\r\ntwo\r\n" + ended(7)
    for size in (1, 2, 7, 1000):
        pieces = [whole[start : start + size] for start in range(0, len(whole), size)]
        console, own, _ = heard(*pieces)
        assert (own, console.status) == (b"one\ntwo\n", 7)


def test_the_last_status_counts() -> None:
    console, _, _ = heard(b"x\r\n", ended(0), ended(137))
    assert console.status == 137


@pytest.mark.parametrize("line", [b"the process ended with status 5", INIT + b"the process ended with status x"])
def test_what_init_did_not_say_so_is_no_status(line: bytes) -> None:
    assert heard(line + b"\r\n")[0].status is None


def test_what_else_init_says_is_kept() -> None:
    console, own, _ = heard(b"rootfs-builder init: /x is not in the image\r\n", ended(127))
    assert (own, console.status, [*console.init_words]) == (b"", 127, ["/x is not in the image"])


def test_who_speaks_for_init_without_end_fills_no_memory() -> None:
    console, _, _ = heard(*[INIT + b"%d\r\n" % n for n in range(1000)], INIT + b"x" * 100_000 + b"\r\n")
    assert list(map(len, console.init_words)) == [3] * 39 + [4096]


def test_a_panic_is_seen() -> None:
    panic = b"[    1.000000] Kernel panic - not syncing: VFS: Unable to mount root fs\r\n"
    console, own, _ = heard(panic, b"[    1.000001]  trace\r\n" * 100)
    assert (console.panicked, console.status, own) == (True, None, b"")
    assert "VFS: Unable to mount root fs" in console.last_words[-1]
    assert not heard(b"I say: Kernel panic - not syncing\r\n")[0].panicked


def test_an_expected_text_is_the_processes_and_needs_no_end_of_line() -> None:
    assert heard(b"it is ready> ", expect="ready>")[0].expected
    assert heard(b"rea", b"dy\r\n", expect="ready")[0].expected
    assert not heard(b"[    1.000000] ready\r\n", expect="ready")[0].expected


def test_a_line_without_end_does_not_fill_the_memory() -> None:
    _, own, _ = heard(*[b"x" * 65536] * 40)
    assert own == b"x" * (65536 * 40)


@pytest.mark.parametrize("gone", [False, True])
def test_output_that_takes_no_more_is_said_and_the_rest_is_heard(gone: bool) -> None:
    full = os.open("/dev/full", os.O_WRONLY | os.O_CLOEXEC)
    source, pipe = os.pipe2(os.O_CLOEXEC)
    os.close(source)
    console = Console(pipe if gone else full, full)
    os.write(console.end, BOOT + b"hello\r\n" + ended(3))
    console.finish()
    os.close(full)
    os.close(pipe)
    assert console.status == 3
    # That nobody reads any more is how programs end whose reader has enough.
    assert (console.lost and console.lost.errno) == (None if gone else errno.ENOSPC)
