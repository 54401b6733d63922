"""The line between processes: waits have no deadline, and who went first is the one that is named.

The processes are threads here, with the sockets that processes have.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

import pytest

from clipbench.errors import BadSetting, LostProcess
from clipbench.parallel import group as distributed
from clipbench.parallel import line as lines
from clipbench.parallel import messages
from clipbench.parallel.group import Processes
from clipbench.parallel.line import Line, connect

COUNT = 3


class Store:
    """What all processes see."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self._news = threading.Condition()

    def get(self, key: str) -> bytes:
        with self._news:
            assert self._news.wait_for(lambda: key in self.values, 10)
        return self.values[key].encode()

    def set(self, key: str, value: str) -> None:
        with self._news:
            self.values[key] = value
            self._news.notify_all()


def joined(store: Store) -> list[Line]:
    with ThreadPoolExecutor(COUNT) as pool:
        made = [pool.submit(connect, rank, COUNT, store, 10.0) for rank in range(COUNT)]
        return [one.result() for one in made]


@pytest.fixture
def three(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Line]]:
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    found = joined(Store())
    yield found
    for one in found:
        one.leave()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(COUNT) as found:
        yield found


def together(
    pool: ThreadPoolExecutor, call: Callable[[Line], object], among: Iterable[Line]
) -> list[Future[object]]:
    return [pool.submit(call, one) for one in among]


def die(line: Line) -> None:
    """End as a process does that is killed: the system closes its sockets."""
    line._closed = True
    for connection in line._sockets.values():
        with suppress(OSError):  # the other end may be gone already
            connection.shutdown(socket.SHUT_RDWR)


def test_all_hear_what_the_first_tells(three: list[Line], pool: ThreadPoolExecutor) -> None:
    """In its order, of any length; what the others give goes to the first alone."""
    long = os.urandom(1 << 20)
    for content in (b"", b"one", long):
        told = [pool.submit(one.told, content) for one in three]
        assert [one.result(10) for one in told] == [content] * COUNT
    given = together(pool, lambda one: one.collected(b"%d" % one.rank), three)
    assert [one.result(10) for one in given] == [[b"0", b"1", b"2"], [], []]


def test_a_wait_ends_when_the_last_has_come(three: list[Line], pool: ThreadPoolExecutor) -> None:
    """And not before, whoever that is."""
    for last in three:
        others = [one for one in three if one is not last]
        waiting = together(pool, Line.barrier, others)
        time.sleep(0.05)
        assert not any(one.done() for one in waiting)
        last.barrier()
        assert [one.result(10) for one in waiting] == [None, None]


@pytest.mark.parametrize("victim", [0, 1])
def test_who_is_gone_is_told_at_once(
    three: list[Line], pool: ThreadPoolExecutor, victim: int
) -> None:
    """To those who wait for it, and to those who wait for somebody who does."""
    others = [one for one in three if one.rank != victim]
    waiting = together(pool, Line.barrier, others)
    time.sleep(0.05)
    killed = time.monotonic()
    die(three[victim])
    for one in waiting:
        with pytest.raises(LostProcess, match=rf"process {victim} \(pid {os.getpid()}\) ended"):
            one.result(10)
    assert time.monotonic() - killed < 2


def test_who_went_first_is_named(three: list[Line]) -> None:
    """Not those who ended because of it, though they are gone, too."""
    die(three[1])
    with pytest.raises(LostProcess, match=r"process 1 .* ended"):
        three[0].barrier()
    die(three[0])
    with pytest.raises(LostProcess, match=r"process 1 .* ended"):
        three[2].barrier()


def test_a_process_that_fails_says_why(three: list[Line]) -> None:
    """Then nothing is said of starting again, which would end in the same way."""
    three[1].fail("data must be a folder.")
    die(three[1])
    with pytest.raises(LostProcess) as raised:
        three[2].barrier()
    assert str(raised.value) == (
        "Process 2 of 3 of this run cannot go on: process 1"
        f" (pid {os.getpid()}) failed: data must be a folder."
    )


def test_an_operation_that_fails_waits_for_the_news_of_why(three: list[Line]) -> None:
    """Whose reason is quoted where nobody is gone."""
    threading.Timer(0.1, die, [three[1]]).start()
    assert "process 1" in str(three[2].lost(RuntimeError("Connection closed by peer")))
    assert "process 1" in str(three[0].lost())


def test_messages_say_resume_where_it_does(three: list[Line]) -> None:
    """A training that has a checkpoint resumes; nothing else is said to."""
    processes = Processes(2, COUNT, line=three[2])
    die(three[1])
    before = str(three[2].lost())
    with processes.training():
        processes.can_resume()
        during = str(three[2].lost())
    assert before.endswith("ended. Start the same command again.")
    assert during.endswith("again; the training resumes from its last checkpoint.")
    assert str(three[2].lost()) == before


def test_an_error_that_ends_a_command_is_what_the_others_are_told(
    three: list[Line], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not one that another's end has caused: then that other is the one to be named."""
    monkeypatch.setattr(distributed, "join_processes", lambda _: Processes(1, COUNT, line=three[1]))
    with pytest.raises(BadSetting), distributed.joined("cpu"):
        raise BadSetting("size must be\n positive.")
    with pytest.raises(LostProcess, match=r"process 1 .* failed: size must be positive\.$"):
        three[0].barrier()
    with pytest.raises(LostProcess, match=r"process 1 .* failed"), distributed.joined("cpu"):
        raise three[2].lost()


def test_who_has_left_is_not_missed(three: list[Line]) -> None:
    """What the first does alone at the end needs nobody."""
    for one in three[1:]:
        one.leave()
    time.sleep(0.1)
    assert three[0]._gone is None
    assert three[0]._left == {1, 2}


def test_a_process_that_hangs_when_another_is_gone_ends(
    three: list[Line], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As operations on a GPU do; where no step needs all of them, none is ended."""
    ended: list[int] = []
    monkeypatch.setattr(lines, "GIVE_UP_S", 0.1)
    monkeypatch.setattr(os, "_exit", ended.append)
    with three[2].bound():
        die(three[1])
        time.sleep(0.5)
    assert ended == [1]
    assert "Process 2 of 3 of this run cannot go on: process 1" in capsys.readouterr().err


def test_strangers_are_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who does not know the password takes no place."""
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    store = Store()
    with ThreadPoolExecutor(COUNT) as pool:
        first = pool.submit(connect, 0, COUNT, store, 10.0)
        port = int(store.get(lines.KEY).split(b",")[0].strip(b"["))
        for said in (
            messages.framed(b"H", b'["", 1, "host", 1, "node"]'),
            b"GET / HTTP/1.1\r\n\r\n",  # its length would be five million terabytes
        ):
            with socket.create_connection(("127.0.0.1", port)) as stranger:
                stranger.sendall(said)
                with suppress(ConnectionResetError):  # what was not read is thrown away
                    assert stranger.recv(1) == b""
        others = [pool.submit(connect, rank, COUNT, store, 10.0) for rank in (1, 2)]
        for one in (first, *others):
            one.result(10).leave()


def test_who_does_not_come_is_an_error_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the time that one waits for the others."""
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    with pytest.raises(LostProcess, match="Process 0 of 2 of this run cannot reach the others"):
        connect(0, 2, Store(), 0.05)


def test_a_killed_process_closes_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the tests above make of a thread is what the system does for a process."""
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    store = Store()
    script = (
        "import sys, time\n"
        "from clipbench.parallel.line import connect\n"
        "class Store:\n"
        "    def get(self, key): return sys.argv[1].encode()\n"
        "connect(1, 2, Store(), 10.0).told()\n"
        "print('here', flush=True)\n"
        "time.sleep(60)\n"
    )
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(connect, 0, 2, store, 10.0)
        told = store.get(lines.KEY).decode()
        line = [sys.executable, "-c", script, told]
        with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
            found = first.result(20)
            found.told()
            assert process.stdout is not None
            assert process.stdout.readline() == "here\n"
            process.kill()
            with pytest.raises(LostProcess, match=rf"process 1 \(pid {process.pid}\) ended"):
                found.barrier()
            found.leave()
