"""Ctrl-C: noted in steps, at once elsewhere, and the second one kills."""

from __future__ import annotations

import os
import signal

import pytest

from gzsl_dist.training.stop_signal import stop_signal


def test_in_steps_it_is_noted_and_a_second_one_would_kill() -> None:
    with pytest.raises(KeyboardInterrupt), stop_signal([]) as stop, stop.in_steps():  # noqa: PT012
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.interrupted
        assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_signal_in_a_long_step_is_acknowledged_once(capfd: pytest.CaptureFixture[str]) -> None:
    with stop_signal(["SIGTERM"]) as stop, stop.in_steps():
        os.kill(os.getpid(), signal.SIGTERM)
        told = capfd.readouterr()
        os.kill(os.getpid(), signal.SIGTERM)
    assert told.out[8:] == " SIGTERM: stopping after this step, with a checkpoint\n"
    assert capfd.readouterr().out + told.err == ""


def test_elsewhere_it_ends_at_once() -> None:
    with pytest.raises(KeyboardInterrupt), stop_signal(["SIGUSR1"]):
        os.kill(os.getpid(), signal.SIGINT)


def test_what_the_shell_ignores_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stop_signal(["SIGUSR1"]) as stop:
            os.kill(os.getpid(), signal.SIGINT)
            assert stop.name is None
            os.kill(os.getpid(), signal.SIGUSR1)
            assert stop.name == "SIGUSR1"
            assert not stop.interrupted
    finally:
        signal.signal(signal.SIGINT, before)
