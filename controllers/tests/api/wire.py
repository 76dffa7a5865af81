"""A TCP wire to the API server that tests cut, freeze and mend."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

__all__ = ["Wire"]


class Wire:
    """Forwards connections on a free loopback port to an address."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._whole = threading.Event()
        self._whole.set()
        self._refusing = False
        self._lock = threading.Lock()
        self._ends: set[socket.socket] = set()
        self._lost: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Break every connection, and new ones at once."""
        self._refusing = True
        with self._lock:
            ends, self._ends = self._ends | self._lost, set()
        for end in ends:
            _close(end)

    def freeze(self) -> None:
        """Lose every connection without a word, for good, and hold up new ones, as a firewall does that forgets."""
        self._whole.clear()
        with self._lock:
            self._lost |= self._ends

    def mend(self) -> None:
        """Forward again."""
        self._refusing = False
        self._whole.set()

    def close(self) -> None:
        """Close for good."""
        self.cut()
        self.mend()
        _close(self._listener)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self._whole.wait()
            if self._refusing:
                _close(near)
                continue
            try:
                far = socket.create_connection(self._target, timeout=5)
            except OSError:
                _close(near)
                continue
            far.settimeout(None)
            with self._lock:
                self._ends |= {near, far}
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._forward, args=(source, sink), daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if source not in self._lost:
                    sink.sendall(data)
        if source in self._lost:
            return
        for end in (source, sink):
            _close(end)
        with self._lock:
            self._ends -= {source, sink}


def _close(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
