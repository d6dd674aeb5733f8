# SPDX-License-Identifier: MIT
"""REQ of the scalability protocols over a Unix socket, by hand, so that tests need no nng and see each byte.

The IPC mapping: both sides greet with eight bytes; then each message is 1, its length in eight bytes, and its body, which begins with the
request's number.
"""
import socket
import struct

GREETING = b"\0SP\0\0\x30\0\0"


class Requester:
    """One connection to a REP socket; open at once, opened again by open()."""

    def __init__(self, path, timeout):
        self.path, self.timeout, self.number, self.socket = path, timeout, 0, None
        self.open()

    def open(self):
        self.close()
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(self.timeout)
        try:
            self.socket.connect(self.path)
            self.socket.sendall(GREETING)
            self._take(len(GREETING))
        except OSError:
            self.close()

    def _take(self, size):
        got = b""
        while len(got) < size:
            part = self.socket.recv(min(size - len(got), 1 << 16))
            if not part:
                raise OSError("closed by the other side")
            got += part
        return got

    def ask(self, payload):
        """The answer's bytes; None when there was none in time or the connection is gone."""
        self.number += 1
        body = struct.pack(">I", 0x80000000 | self.number) + payload
        try:
            self.socket.sendall(b"\x01" + struct.pack(">Q", len(body)) + body)
            return self._take(struct.unpack(">xQ", self._take(9))[0])[4:]
        except (OSError, AttributeError):
            return None

    def close(self):
        if self.socket is not None:
            self.socket.close()
        self.socket = None
