"""Which signals ask a run to stop, and what a second one does."""

import os
import signal
import threading

import pytest

from train import signals


def send(name):
    os.kill(os.getpid(), getattr(signal, name))


@pytest.fixture
def defaults():
    """Handlers that only take note, in place of the system's, which would end the process."""
    heard = []
    before = {name: signal.getsignal(getattr(signal, name)) for name in signals.STOP}
    for name in before:
        signal.signal(getattr(signal, name), lambda number, _: heard.append(number))
    yield heard
    for name, handler in before.items():
        signal.signal(getattr(signal, name), handler)


@pytest.mark.parametrize("name", signals.STOP)
def test_a_signal_is_noted_and_a_second_one_is_impatience_or_an_echo(defaults, name):
    with signals.collected() as received:
        send(name)
        assert received == [getattr(signal, name)]
        assert not defaults
        send(name)
        assert bool(defaults) == (name in ("SIGINT", "SIGTERM"))
    defaults.clear()
    send(name)
    assert defaults == [getattr(signal, name)]


def test_what_nohup_ignores_stays_ignored(defaults):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with signals.collected() as received:
        send("SIGHUP")
        assert received == []
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_outside_the_main_thread_nothing_is_changed(defaults):
    def collect():
        with signals.collected() as received:
            seen.append(received)
            send("SIGUSR1")

    seen = []
    thread = threading.Thread(target=collect)
    thread.start()
    thread.join()
    assert seen == [[]]
    assert defaults == [signal.SIGUSR1]
