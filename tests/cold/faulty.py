# SPDX-License-Identifier: MIT
"""An HTTP proxy that breaks what passes through it.

It stands between a client and one server, keeps a log of the requests, and does to each what the first fault says that fits it and is not
used up.
"""
import http.client
import http.server
import socket
import ssl
import struct
import threading
import urllib.parse


class Fault:
    """What is done to the next `count` requests whose method and path?query fit."""

    def __init__(self, kind, method=None, part="", count=1, **more):
        self.kind, self.method, self.part, self.count, self.more = kind, method, part, count, more

    def fits(self, method, target):
        return self.count > 0 and self.method in (None, method) and self.part in target


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except (ConnectionError, TimeoutError, ssl.SSLError, ValueError):
            self.close_connection = True

    def reset(self):
        """RST instead of FIN."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def answer(self, status, headers, body):
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def forward(self, body):
        """Passes the request on as it is, Host included: it is signed."""
        proxy = self.server.proxy
        server = http.client.HTTPConnection(*proxy.target, timeout=30)
        server.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() != "expect":
                server.putheader(name, value)
        server.endheaders(body)
        response = server.getresponse()
        data = response.read()
        headers = [(n, v) for n, v in response.getheaders() if n.lower() not in ("connection", "transfer-encoding", "content-length")]
        length = response.getheader("Content-Length") if self.command == "HEAD" else None
        headers.append(("Content-Length", length if length is not None else str(len(data))))
        server.close()
        return response.status, headers, data

    def broken(self, fault, status, headers, data):
        if fault.kind == "lose":  # it was done, and nobody hears of it
            self.reset()
        elif fault.kind == "cut":
            self.answer(status, headers, data[:len(data) // 2])
            self.close_connection = True
        elif fault.kind == "flip":
            middle = len(data) // 2
            self.answer(status, headers, data[:middle] + bytes([data[middle] ^ 4]) + data[middle + 1:])
        elif fault.kind == "stall":
            self.answer(status, headers, data[:len(data) // 2])
            self.wfile.flush()
            self.server.proxy.over.wait(fault.more.get("seconds", 30))
            self.close_connection = True
        elif fault.kind == "headers":
            changed = fault.more["headers"]
            headers = [(n, changed.get(n.lower(), v)) for n, v in headers]
            self.answer(fault.more.get("status", status), headers, data)
        elif fault.kind == "body":
            data = fault.more["body"]
            headers = [(n, str(len(data)) if n.lower() == "content-length" else v) for n, v in headers]
            self.answer(fault.more.get("status", status), headers, data)
        else:
            raise AssertionError(fault.kind)

    def handle_request(self):
        proxy = self.server.proxy
        if proxy.server is None:  # a connection that was kept
            self.reset()
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = proxy.take(self)
        if fault is not None and fault.kind == "reset":
            self.reset()
            return
        if fault is not None and fault.kind == "status":
            data = fault.more.get("body", b"")
            more = list(fault.more.get("headers", {}).items())
            self.answer(fault.more["status"], more + [("Content-Length", str(len(data)))], b"" if self.command == "HEAD" else data)
            return
        if fault is not None and fault.kind == "flip_sent":
            middle = len(body) // 2
            body = body[:middle] + bytes([body[middle] ^ 4]) + body[middle + 1:]
            fault = None
        status, headers, data = self.forward(body)
        if fault is None:
            self.answer(status, headers, data)
        else:
            self.broken(fault, status, headers, data)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_request


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        pass

    def verify_request(self, request, client_address):
        """Whether a connection is let in; else it is reset, before a handshake."""
        cut = self.proxy.cuts > 0
        self.proxy.cuts -= cut
        if cut:
            request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return not cut


class Proxy:
    def __init__(self, target, certificate=None):
        self.target, self.certificate = target, certificate
        self.port, self.server, self.cuts = 0, None, 0
        self.faults, self.log, self.lock = [], [], threading.Lock()
        self.over = threading.Event()
        self.start()

    def start(self):
        self.server = Server(("127.0.0.1", self.port), Handler)
        if self.certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self.certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.server.proxy = self
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self):
        """Nobody listens any more; a connection that was kept is reset by its next request."""
        server, self.server = self.server, None
        server.shutdown()
        server.server_close()

    def url(self):
        return f"{'https' if self.certificate else 'http'}://127.0.0.1:{self.port}"

    def take(self, handler):
        """Notes a request; the fault that it meets, or None."""
        with self.lock:
            fault = next((f for f in self.faults if f.fits(handler.command, handler.path)), None)
            if fault is not None:
                fault.count -= 1
            self.log.append((handler.command, urllib.parse.unquote(handler.path), dict(handler.headers)))
        return fault

    def clear(self):
        with self.lock:
            self.faults, self.log = [], []

    def seen(self, method, part=""):
        with self.lock:
            return sum(1 for m, path, _ in self.log if m == method and part in path)
