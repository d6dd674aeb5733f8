# SPDX-License-Identifier: MIT
"""A name server for one case, and processes that ask nobody else.

Zone answers A, AAAA and TXT over UDP from a table, on port 53 of a loopback
address of its own. A process that is started behind its prefix() has an
/etc/resolv.conf that names only this server, in a mount namespace of its own:
so Kubo, node and hearth are met with the resolvers that they really use. Both
need root; without it the case is skipped.
"""
import errno
import ipaddress
import os
import random
import shutil
import socket
import struct
import threading

from harness import Skip

A, TXT, AAAA = 1, 16, 28
ANSWER, NAME_ERROR = 0x8580, 0x8583  # response, authoritative, recursion both ways; the second with NXDOMAIN


def rdata(kind, value):
    if kind == TXT:
        text = value.encode()
        return bytes([len(text)]) + text
    return ipaddress.ip_address(value).packed


def question_of(packet):
    """(name, kind, end of the question) of a query with one question."""
    labels, at = [], 12
    while packet[at]:
        labels.append(packet[at + 1:at + 1 + packet[at]].decode())
        at += 1 + packet[at]
    return ".".join(labels).lower(), struct.unpack_from("!H", packet, at + 1)[0], at + 5


class Zone:
    label = "zone"

    def __init__(self, lab):
        self.lab = lab
        self.records = {}  # (name, kind) -> [value]
        self.asked = []  # (name, kind)
        self.address = f"127.{random.randint(2, 250)}.{random.randint(1, 250)}.53"
        self.config = lab.path("resolv.conf")
        self.socket = None

    def add(self, name, kind, value):
        self.records.setdefault((name, kind), []).append(value)

    def start(self):
        if os.geteuid() != 0 or shutil.which("unshare") is None:
            raise Skip("a name server on port 53 and a mount namespace need root and unshare")
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self.socket.bind((self.address, 53))
        except OSError as problem:
            if problem.errno in (errno.EACCES, errno.EPERM):
                raise Skip(f"port 53 of loopback: {problem}") from None
            raise
        with open(self.config, "w", encoding="ascii") as out:
            out.write(f"nameserver {self.address}\noptions timeout:2 attempts:1\n")
        threading.Thread(target=self.serve, daemon=True).start()

    def stop(self):
        if self.socket is not None:
            self.socket.close()

    def prefix(self):
        return ["unshare", "--mount", "--propagation", "private", "sh", "-c",
                'mount --bind "$0" "$(readlink -f /etc/resolv.conf)" && exec "$@"', self.config]

    def answer(self, packet):
        name, kind, end = question_of(packet)
        self.asked.append((name, kind))
        values = self.records.get((name, kind), [])
        known = any(name == other for other, _ in self.records)
        head = packet[:2] + struct.pack("!5H", ANSWER if known else NAME_ERROR, 1, len(values), 0, 0)
        body = b"".join(struct.pack("!HHHIH", 0xc00c, kind, 1, 1, len(data)) + data
                        for data in (rdata(kind, value) for value in values))
        return head + packet[12:end] + body

    def serve(self):
        while True:
            try:
                packet, asker = self.socket.recvfrom(2048)
                self.socket.sendto(self.answer(packet), asker)
            except OSError:
                return  # closed with the case
            except (IndexError, UnicodeDecodeError, struct.error):
                continue  # not a query
