"""What comes through a guest's ports is taken for what it is, in whatever pieces it comes."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import time

import pytest

from builder.vm.channels import CONTROL, ERR, OUT, Channels


def heard(name: str, *pieces: bytes, expect: str | None = None) -> tuple[Channels, bytes]:
    """What comes of a port that says `pieces`: the state of all, and standard output."""
    nothing, own = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC), os.memfd_create("own")
    try:
        channels = Channels(nothing, own, nothing, show_console=False, expect=expect)
        for piece in pieces:
            os.write(channels.ports[name], piece)
            time.sleep(0.05)
        channels.handed_over()
        channels.finish()
        return channels, os.pread(own, 1 << 20, 0)
    finally:
        os.close(nothing)
        os.close(own)


@pytest.mark.parametrize("pieces", [(b"status 137\n",), (b"status 1", b"37\n"), (b"sta", b"tus 137", b"\n")])
def test_a_status_is_read_when_it_is_whole(pieces: tuple[bytes, ...]) -> None:
    assert heard(CONTROL, *pieces)[0].status == 137


def test_half_a_status_is_none() -> None:
    assert heard(CONTROL, b"status 1")[0].status is None


@pytest.mark.parametrize("said", [b"status " + b"1" * 5000, b"status -1", b"status 1 ", b"status ", b"status \xb2"])
def test_what_is_no_status_is_passed_over_and_what_follows_is_read(said: bytes) -> None:
    assert heard(CONTROL, said + b"\nstatus 7\n")[0].status == 7


def test_an_expected_text_is_found_across_pieces_and_all_is_shown() -> None:
    channels, shown = heard(OUT, b"it is re", b"ady now", expect="ready")
    assert (channels.expected, shown) == (True, b"it is ready now")


def test_an_expected_text_may_be_one_of_standard_error_as_servers_log_there() -> None:
    assert heard(ERR, b"it is re", b"ady now", expect="ready")[0].expected


def test_output_that_takes_no_more_is_said_and_the_guest_asked_to_end() -> None:
    nothing, full = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC), os.open("/dev/full", os.O_WRONLY | os.O_CLOEXEC)
    try:
        channels = Channels(nothing, full, full, show_console=True)
        for name in (OUT, ERR, OUT):
            os.write(channels.ports[name], b"lost")
        with socket.socket(fileno=os.dup(channels.ports[CONTROL])) as control:
            assert control.recv(100) == b"stop\n"
            os.write(channels.console, b"init's last words")
            control.sendall(b"status 7\n")
        channels.handed_over()
        channels.finish()
    finally:
        os.close(nothing)
        os.close(full)
    assert channels.lost is not None
    assert (channels.lost.errno, channels.status, channels.last_words) == (errno.ENOSPC, 7, ["init's last words"])


def test_the_kernels_own_word_that_it_goes_no_further_is_one() -> None:
    for words, over in (
        (b"[    9.000000] reboot: System halted\r\n", True),
        (b"[    9.000000] reboot: Restarting system\r\n", True),
        (b"[    9.000000] sysrq: Resetting\r\n", True),
        (b"[   19.000000] Kernel panic - not syncing: no root\r\n", True),
        (b"[    9.000000] reboot: Power down\r\n", False),
        (b"somebody says: Kernel panic - not syncing\r\n", False),
    ):
        nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        channels = Channels(nothing, nothing, nothing, show_console=False)
        os.write(channels.console, words)
        channels.handed_over()
        channels.finish()
        os.close(nothing)
        assert (channels.halted is not None) == over, words


def test_a_long_trace_behind_a_panic_leaves_its_reason() -> None:
    nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    channels = Channels(nothing, nothing, nothing, show_console=False)
    os.write(channels.console, b"[ 9.000000] no memory\r\n[ 9.000001] Kernel panic - not syncing: x\r\n")
    os.write(channels.console, b"[ 9.000002]  trace\r\n" * 100)
    channels.handed_over()
    channels.finish()
    os.close(nothing)
    assert channels.last_words == ["[ 9.000000] no memory", "[ 9.000001] Kernel panic - not syncing: x"]


# A job in the background of a terminal, as `boot &` is; what it is given there, and whether that stopped it.
_JOB = """
import os, signal, sys, time
from builder.vm.channels import IN, Channels

terminal = os.open(sys.argv[1], os.O_RDWR)  # that of this session from here on
job = os.fork()
if job == 0:
    os.setpgid(0, 0)
    channels = Channels(terminal, 1, 2, show_console=False)
    time.sleep(0.3)
    os.write(1, b"works\\n")
    os.write(1, os.read(channels.ports[IN], 100))
    os._exit(0)
while os.getpgid(job) != job:
    pass
time.sleep(0.6)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
os.tcsetpgrp(terminal, job)
sys.exit(os.WIFSTOPPED(os.waitpid(job, os.WUNTRACED)[1]))
"""


@pytest.mark.heavy
def test_a_job_in_the_background_goes_on_and_reads_its_terminal_in_the_foreground() -> None:
    ours, theirs = os.openpty()
    try:
        os.write(ours, b"typed\n")
        argv = [sys.executable, "-c", _JOB, os.ttyname(theirs)]
        ran = subprocess.run(argv, start_new_session=True, capture_output=True, check=False, timeout=60)
    finally:
        os.close(ours)
        os.close(theirs)
    assert (ran.returncode, ran.stdout) == (0, b"works\ntyped\n"), ran.stderr
