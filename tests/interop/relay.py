# SPDX-License-Identifier: MIT
"""A relay that makes loopback as slow as a far peer, and counts round trips.

Every byte is held for half a round trip in each direction. What the relay
cannot hold back is TCP's own handshake: the kernel answers it at once. So a
case adds one round trip for each connection that was accepted; see trips().
"""
import queue
import socket
import threading
import time

from harness import Failed


class Pipe(threading.Thread):
    """One direction of one connection."""

    def __init__(self, source, sink, delay_s):
        super().__init__(daemon=True)
        self.source, self.sink, self.delay_s = source, sink, delay_s
        self.held = queue.Queue()

    def run(self):
        writer = threading.Thread(target=self.write, daemon=True)
        writer.start()
        while True:
            try:
                data = self.source.recv(65536)
            except OSError:
                data = b""
            self.held.put((time.monotonic() + self.delay_s, data))
            if not data:
                break
        writer.join()

    def write(self):
        while True:
            due, data = self.held.get()
            time.sleep(max(0.0, due - time.monotonic()))
            try:
                if not data:
                    self.sink.shutdown(socket.SHUT_WR)
                    return
                self.sink.sendall(data)
            except OSError:
                return


class Relay:
    """Listens on loopback and passes connections on to aim(port)."""

    label = "relay"

    def __init__(self, round_trip_s):
        self.round_trip_s = round_trip_s
        self.accepted_ns = []
        self.sockets = []
        self.target = None
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]

    def start(self):
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def aim(self, port):
        self.target = ("127.0.0.1", port)

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return  # stop() closed it
            self.accepted_ns.append(time.monotonic_ns())
            self.sockets.append(client)
            try:
                server = socket.create_connection(self.target, timeout=5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            self.sockets.append(server)
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            Pipe(client, server, self.round_trip_s / 2).start()
            Pipe(server, client, self.round_trip_s / 2).start()

    def forget(self):
        """Starts a new count."""
        self.accepted_ns.clear()

    def trips(self, arrived_ns):
        """Round trips from the dial to the first byte of the answer to a request that
        reached the far side at arrived_ns: one for each TCP handshake, the time that
        passed, and the half that the answer still needs."""
        if not self.accepted_ns:
            raise Failed("nobody came through the relay")
        passed_s = (arrived_ns - self.accepted_ns[0]) / 1e9
        return len(self.accepted_ns) + passed_s / self.round_trip_s + 0.5

    def stop(self):
        self.listener.close()
        for one in self.sockets:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            one.close()
