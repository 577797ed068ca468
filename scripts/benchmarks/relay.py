"""A TCP relay that counts what passes and can cut every connection once."""

import contextlib
import selectors
import socket
import threading

BLOCK = 1 << 18


class Relay:
    """Stands between a client and 127.0.0.1:`target` while it is entered; `port` is its own."""

    def __init__(self, target, cut_after=None):
        self.target, self.cut_after = target, cut_after
        self.up = self.down = self.cuts = 0
        self.pairs = {}  # socket: (its other end, whether it is the client's)
        self.selector = selectors.DefaultSelector()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.wake, self.woken = socket.socketpair()
        for watched in (self.listener, self.woken):
            self.selector.register(watched, selectors.EVENT_READ)
        self.thread = threading.Thread(target=self.carry, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.wake.close()
        self.thread.join()
        for near in [*self.pairs, self.listener, self.woken]:
            near.close()

    def carry(self):
        while True:
            for key, _ in self.selector.select():
                if key.fileobj is self.woken:
                    return
                if key.fileobj is self.listener:
                    self.connect()
                elif key.fileobj in self.pairs:
                    self.pass_on(key.fileobj)

    def connect(self):
        near, _ = self.listener.accept()
        far = socket.create_connection(("127.0.0.1", self.target))
        for end, other, is_client in ((near, far, True), (far, near, False)):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.pairs[end] = (other, is_client)
            self.selector.register(end, selectors.EVENT_READ)

    def pass_on(self, source):
        other, is_client = self.pairs[source]
        try:
            block = source.recv(BLOCK)
            other.sendall(block)
        except OSError:
            block = b""
        if not block:
            return self.close(source)
        if is_client:
            self.up += len(block)
        else:
            self.down += len(block)
        if self.cut_after and self.up >= self.cut_after:
            self.cut_after, self.cuts = None, self.cuts + 1
            for end in list(self.pairs):
                self.close(end)

    def close(self, source):
        other, _ = self.pairs.get(source, (None, None))
        for end in (source, other):
            if self.pairs.pop(end, None):
                self.selector.unregister(end)
                with contextlib.suppress(OSError):
                    end.close()
