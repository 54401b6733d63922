"""A line from every process to the first: what it tells, who waits for whom, and who is gone.

What the first process does alone, such as reading a set for the first time, may take days, and
collective operations have deadlines. Here a process waits without one, and learns at once when
another has ended: the system closes that one's sockets, however it ends. Of several that are gone
the one that went first is named, for the others ended because of it.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NamedTuple, Protocol

from clipbench.errors import LostProcess
from clipbench.parallel.messages import framed, received
from clipbench.system.streams import print_text
from clipbench.text.visible import visible

KEY = "clipbench/line"  # in the store: port and password of the first process
PATIENCE_S = 2.0  # of a failed operation for the news of who is gone
GIVE_UP_S = 15.0  # after that news, where nothing has failed: on a GPU operations hang
_TOLD, _HERE, _GONE, _FAILED, _BYE = b"T", b"H", b"G", b"F", b"B"
_LONGEST_FIRST = 4096  # bytes of what one says who has not shown the password yet
_LONGEST = 500  # characters of another process's message that are quoted


class Store(Protocol):
    """What of torch's stores is used here."""

    def get(self, key: str, /) -> bytes:
        """Return a value, as soon as somebody has set it."""

    def set(self, key: str, value: str, /) -> None:
        """Set a value."""


class Peer(NamedTuple):
    """A process: as messages name it, and among those that torchrun started together."""

    host: str
    pid: int
    node: str


class Line:
    """The line of one process.

    Args:
        rank: number of this process.
        peers: all processes, by their number.
        sockets: connections: of the first process, to each other one; of those, to the first.
    """

    def __init__(self, rank: int, peers: Sequence[Peer], sockets: dict[int, socket.socket]) -> None:
        self.rank, self.peers = rank, tuple(peers)
        self.advice = "Start the same command again."
        self._sockets = sockets
        self._sending = {other: threading.Lock() for other in sockets}
        self._news = threading.Condition()
        self._told: deque[bytes] = deque()
        self._here: dict[int, deque[bytes]] = {other: deque() for other in sockets}
        self._gone: tuple[int, str] | None = None  # who went first, and what of
        self._is_noted = False  # that one is gone, though the others may not have been told yet
        self._left: set[int] = set()  # those who had nothing left to do
        self._closed = self._bound = False
        for other in sockets:
            threading.Thread(target=self._listen, args=(other,), daemon=True).start()

    @property
    def nodes(self) -> set[str]:
        """The machines, or what torchrun takes for one."""
        return {peer.node for peer in self.peers}

    # ------------------------------------------------------------------ what is said

    def told(self, content: bytes = b"") -> bytes:
        """Return the first process's content in all of them; what the others give is not looked at.

        Raises:
            LostProcess: another process is gone.
        """
        if self.rank == 0:
            if self._gone:
                raise self.lost()
            for other in self._sockets:
                self._send(other, _TOLD, content)
            return content
        with self._news:
            self._news.wait_for(lambda: self._told or self._gone)
            if self._told:
                return self._told.popleft()
        raise self.lost()

    def collected(self, own: bytes = b"") -> list[bytes]:
        """Return in the first process what each gives, by their numbers; in the others nothing.

        Raises:
            LostProcess: another process is gone.
        """
        if self.rank:
            self._send(0, _HERE, own)
            return []
        with self._news:
            self._news.wait_for(lambda: all(self._here.values()) or self._gone)
            if all(self._here.values()):
                return [own, *(self._here[other].popleft() for other in sorted(self._here))]
        raise self.lost()

    def barrier(self) -> None:
        """Wait for all processes, however long that takes.

        Raises:
            LostProcess: another process is gone.
        """
        self.collected()
        self.told()

    def fail(self, why: str) -> None:
        """Tell the others that this process ends, and why."""
        for other in self._sockets:
            self._post(other, _FAILED, why[:_LONGEST].encode(errors="replace"))

    def leave(self) -> None:
        """End the line: this process has nothing left to do with the others."""
        self._closed = True
        for other in self._sockets:
            self._post(other, _BYE)
        for connection in self._sockets.values():
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    # ------------------------------------------------------------------ who is gone

    def lost(self, error: BaseException | None = None) -> LostProcess:
        """Return the error of what cannot go on without another process.

        Args:
            error: of an operation that failed; the news of who is gone may come after it.
        """
        with self._news:
            self._news.wait_for(lambda: self._gone, PATIENCE_S)
            gone = self._gone
        reason = "" if error is None else f"{str(error).splitlines()[0].rstrip('.')}"
        if gone is not None:
            who, why = gone
            reason = f"{self.name(who)} {f'failed: {why}' if why else 'ended'}"
        elif reason:
            self.fail(reason)  # lest it be this process that is blamed
        told = "" if gone and gone[1] else f" {self.advice}"  # else its own message says what to do
        return LostProcess(
            f"Process {self.rank} of {len(self.peers)} of this run cannot go on:"
            f" {reason.rstrip('.')}.{told}"
        )

    def name(self, rank: int) -> str:
        """Return a process as a person finds it, e.g. ``process 1 (pid 730)``."""
        peer = self.peers[rank]
        where = "" if peer.host == self.peers[self.rank].host else f" on {peer.host}"
        return f"process {rank} (pid {peer.pid}{where})"

    @contextmanager
    def bound(self) -> Iterator[None]:
        """End this process soon after another is gone, wherever it is, while this lasts.

        Where every step needs all processes and an operation waits for one that is gone: gloo's
        fail at once, those of a GPU only after their deadline.
        """
        self._bound = True
        try:
            yield
        finally:
            self._bound = False

    def _note_gone(self, rank: int, why: str) -> None:
        with self._news:
            if self._is_noted or self._closed:
                return
            self._is_noted = True
        if self.rank == 0:  # the others have no line to each other, and it may end once it knows
            news = json.dumps([rank, why]).encode()
            for other in self._sockets:
                self._post(other, _GONE, news)
        with self._news:
            self._gone = rank, why
            self._news.notify_all()
        threading.Thread(target=self._give_up, daemon=True).start()

    def _give_up(self) -> None:
        """End this process if it still waits for one that is gone."""
        until = time.monotonic() + GIVE_UP_S
        while time.monotonic() < until:
            time.sleep(0.05)
            if not self._bound or self._closed:
                return
        print_text(f"clipbench: error: {visible(str(self.lost()))}", sys.stderr)
        os._exit(LostProcess.exit_status)

    # ------------------------------------------------------------------ messages

    def _send(self, other: int, kind: bytes, content: bytes) -> None:
        try:
            with self._sending[other]:
                self._sockets[other].sendall(framed(kind, content))
        except OSError as error:
            raise self.lost(error) from error

    def _post(self, other: int, kind: bytes, content: bytes = b"") -> None:
        """Send to whoever is still there."""
        with suppress(OSError), self._sending[other]:
            self._sockets[other].sendall(framed(kind, content))

    def _listen(self, other: int) -> None:
        """Take in what another process says until it ends."""
        connection = self._sockets[other]
        while (message := received(connection)) is not None:
            kind, content = message
            if kind == _BYE:
                with self._news:
                    self._left.add(other)
            elif kind == _FAILED:
                self._note_gone(other, content.decode(errors="replace"))
            elif kind == _GONE:
                self._note_gone(*json.loads(content))
            else:
                with self._news:
                    (self._told if kind == _TOLD else self._here[other]).append(content)
                    self._news.notify_all()
        if other not in self._left:
            self._note_gone(other, "")


# ---------------------------------------------------------------------- connecting


def connect(rank: int, count: int, store: Store, timeout_s: float) -> Line:
    """Connect the processes of a run; all of them call this.

    Args:
        rank: number of this process.
        count: how many there are.
        store: that all of them see.
        timeout_s: how long one waits for the others to come.

    Raises:
        LostProcess: they do not.
    """
    host = socket.gethostname()
    own = Peer(host, os.getpid(), f"{host} {os.environ.get('GROUP_RANK', '')}")
    try:
        if rank == 0:
            return _answer(own, count, store, timeout_s)
        port, password = json.loads(store.get(KEY))
        connection = socket.create_connection((_place(), port), timeout_s)
        connection.sendall(framed(_HERE, json.dumps([password, rank, *own]).encode()))
        message = received(connection)
        if message is None:
            raise ConnectionError("process 0 ended")
        return Line(rank, [Peer(*peer) for peer in json.loads(message[1])], {0: _kept(connection)})
    except (OSError, RuntimeError) as error:  # of sockets, of the store
        raise LostProcess(
            f"Process {rank} of {count} of this run cannot reach the others at {_place()}:"
            f" {str(error).splitlines()[0].rstrip('.')}. Start the same command again."
        ) from error


def _place() -> str:
    return os.environ["MASTER_ADDR"]


def _answer(own: Peer, count: int, store: Store, timeout_s: float) -> Line:
    """Wait as the first process for all others."""
    password, found = secrets.token_hex(16), dict[int, tuple[socket.socket, Peer]]()
    until = time.monotonic() + timeout_s
    with _listening() as server:
        store.set(KEY, json.dumps([server.getsockname()[1], password]))
        while len(found) < count - 1:
            server.settimeout(max(0.001, until - time.monotonic()))
            connection, _ = server.accept()
            connection.settimeout(10.0)
            message = received(connection, _LONGEST_FIRST)
            if message is None or password.encode() not in message[1]:
                connection.close()  # of a stranger
                continue
            _, rank, *peer = json.loads(message[1])
            found[rank] = _kept(connection), Peer(*peer)
    peers = [own, *(found[rank][1] for rank in sorted(found))]
    sockets = {rank: found[rank][0] for rank in sorted(found)}
    for connection in sockets.values():
        connection.sendall(framed(_TOLD, json.dumps(peers).encode()))
    return Line(0, peers, sockets)


def _listening() -> socket.socket:
    """Return a socket that the others reach: of one machine, at the place where they meet.

    Of several machines at all of this one's addresses: to itself its name may mean a loopback one.
    """
    if os.environ.get("LOCAL_WORLD_SIZE") == os.environ.get("WORLD_SIZE"):
        for family, _, _, _, address in socket.getaddrinfo(_place(), 0, type=socket.SOCK_STREAM):
            with suppress(OSError):
                return socket.create_server(address[:2], family=family, backlog=1024)
    if socket.has_dualstack_ipv6():
        family = socket.AF_INET6
        return socket.create_server(("", 0), family=family, backlog=1024, dualstack_ipv6=True)
    return socket.create_server(("", 0), backlog=1024)


def _kept(connection: socket.socket) -> socket.socket:
    """Let a connection last for days, and end when the other machine does."""
    connection.settimeout(None)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    options: dict[str, int] = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}
    for name, value in options.items():
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return connection
