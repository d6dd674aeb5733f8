# SPDX-License-Identifier: MIT
"""A name server on loopback, UDP and TCP, that answers TXT questions with the records given, and does what a hostile one might.

Names are the keys of `records`; a value is a list of texts, or one of the functions below, which gets (server, id, question, by TCP)
and returns the message or None."""
import os
import socket
import struct
import threading

TXT, CLASS_IN, TRUNCATED = 16, 1, 0x0200
UDP_MAX = 1232


def encode_txt(text):
    data = text.encode() if isinstance(text, str) else text
    parts = [data[i:i + 255] for i in range(0, len(data), 255)] or [b""]
    return b"".join(bytes([len(part)]) + part for part in parts)


def message(number, question, texts, flags=0x8180, code=0):
    head = struct.pack(">HHHHHH", number, flags | code, 1, len(texts), 0, 0) + question
    for text in texts:
        data = encode_txt(text)
        head += b"\xc0\x0c" + struct.pack(">HHIH", TXT, CLASS_IN, 1, len(data)) + data
    return head


def silent(server, number, question, tcp):
    return None


def wrong_id(server, number, question, tcp):
    return message(number ^ 1, question, ["dnsaddr=/ip4/203.0.113.1/tcp/1", "dnslink=/ipfs/bafkqaaa"])


def noise(server, number, question, tcp):
    return struct.pack(">H", number) + os.urandom(40)


def failure(server, number, question, tcp):
    return message(number, question, [], code=2)


class NameServer:
    def __init__(self, records=None):
        self.records = records or {}
        self.asked, self.by_tcp = {}, 0
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.port = self.tcp.getsockname()[1]
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", self.port))
        for serve in (self.serve_udp, self.serve_tcp):
            threading.Thread(target=serve, daemon=True).start()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def answer(self, data, tcp):
        labels, at = [], 12
        while data[at]:
            labels.append(data[at + 1:at + 1 + data[at]].decode().lower())
            at += 1 + data[at]
        name, question, number = ".".join(labels), data[12:at + 5], struct.unpack(">H", data[:2])[0]
        self.asked[name] = self.asked.get(name, 0) + 1
        self.by_tcp += tcp
        records = self.records.get(name)
        if struct.unpack(">H", data[at + 1:at + 3])[0] != TXT or records is None:
            return message(number, question, [], code=0 if name in self.records else 3)
        if callable(records):
            return records(self, number, question, tcp)
        whole = message(number, question, records)
        return whole if tcp or len(whole) <= UDP_MAX else message(number, question, [], 0x8180 | TRUNCATED)

    def serve_udp(self):
        while True:
            try:
                data, peer = self.udp.recvfrom(4096)
                reply = self.answer(data, False)
                if reply is not None:
                    self.udp.sendto(reply, peer)
            except OSError:
                return
            except (IndexError, struct.error, UnicodeDecodeError):
                continue

    def serve_tcp(self):
        while True:
            try:
                stream, _ = self.tcp.accept()
            except OSError:
                return
            with stream:
                try:
                    stream.settimeout(5)
                    size = struct.unpack(">H", stream.recv(2, socket.MSG_WAITALL))[0]
                    reply = self.answer(stream.recv(size, socket.MSG_WAITALL), True)
                    if reply is not None:
                        stream.sendall(struct.pack(">H", len(reply)) + reply)
                except (OSError, IndexError, struct.error):
                    continue

    def close(self):
        self.udp.close()
        self.tcp.close()
