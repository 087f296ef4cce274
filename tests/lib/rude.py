"""Clients of the control socket without manners, as many as are wanted: silent ones, ones that send a
byte at a time, half-closed ones, ones that send headers or bodies without an end, and ones that ask
and do not read. Each connects again when it is hung up on.

    with RudeClients(socket_path, 1000) as rude:
        ...
        rude.connected, rude.cut
"""

import contextlib
import errno
import random
import selectors
import socket
import threading

ENDLESS = b"x" * 4096
BEGIN = b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\n"


class Rude:
    """What it says next, each time that its socket takes something; b"" is for ever silent."""

    def __init__(self, kind):
        self.kind = kind
        self.said = 0

    def words(self):
        self.said += 1
        if self.kind == "silent":
            return b""
        if self.kind == "slow":
            return BEGIN[self.said % len(BEGIN) :][:1]
        if self.kind == "half":
            return BEGIN if self.said == 1 else b""
        if self.kind == "header":
            return BEGIN if self.said == 1 else b"X-%d: %s\r\n" % (self.said, ENDLESS)
        if self.kind == "body":
            first = b"POST /v1/wait HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            return first if self.said == 1 else b"1000\r\n" + ENDLESS + b"\r\n"
        return b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"  # deaf


KINDS = ("silent", "slow", "half", "header", "body", "deaf")


class RudeClients:
    def __init__(self, path, count, seed=1):
        self.path, self.count = path, count
        self.random = random.Random(seed)
        self.connected = self.cut = 0
        self._open = {}
        self._selector = selectors.DefaultSelector()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exc):
        self._stop.set()
        self._thread.join()
        for one in list(self._open):
            one.close()
        self._selector.close()

    @property
    def hanging_on(self):
        return len(self._open)

    def _connect(self):
        one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        one.setblocking(False)
        try:
            one.connect(self.path)
        except OSError as error:
            one.close()
            if error.errno in (errno.EAGAIN, errno.ECONNREFUSED):
                return False  # the queue is full
            raise
        rude = Rude(self.random.choice(KINDS))
        self._open[one] = rude
        self.connected += 1
        self._selector.register(one, selectors.EVENT_READ | selectors.EVENT_WRITE, rude)
        return True

    def _leave(self, one):
        self._selector.unregister(one)
        self._open.pop(one).said = 0
        one.close()
        self.cut += 1

    def _speak(self, one, rude):
        words = rude.words()
        if not words:
            self._selector.modify(one, selectors.EVENT_READ, rude)
            if rude.kind == "half":
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_WR)
            return
        one.send(words)

    def _serve(self, one, rude, events):
        try:
            # Who is deaf notices a hang-up only when it speaks.
            if events & selectors.EVENT_READ and rude.kind != "deaf" and not one.recv(4096):
                self._leave(one)
                return
            if events & selectors.EVENT_WRITE:
                self._speak(one, rude)
        except BlockingIOError:
            pass
        except OSError:
            self._leave(one)

    def _run(self):
        while not self._stop.is_set():
            for _ in range(50):
                if len(self._open) >= self.count or not self._connect():
                    break
            for key, events in self._selector.select(0.01):
                self._serve(key.fileobj, key.data, events)
            self._stop.wait(0.01)
