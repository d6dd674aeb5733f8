# SPDX-License-Identifier: MIT
"""A bucket on loopback that answers after a stated time, and counts: what of S3 hearth's cold tier uses, in memory, without checking signatures.

It runs in a process of its own, so that it takes no turn from whoever measures: `slow_bucket.py SECONDS` prints its port, then answers a line for
each command on standard input, and ends with that. tests/cold has a real server, with faults between; here only time and the number of requests
matter.
"""
import collections
import hashlib
import http.server
import re
import subprocess
import sys
import threading
import time
import urllib.parse
from xml.sax.saxutils import escape


class Bucket:
    """The process, from the outside."""

    def __init__(self, latency_s):
        # pylint: disable=consider-using-with  # until close
        self.process = subprocess.Popen([sys.executable, __file__, str(latency_s)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.endpoint = f"http://127.0.0.1:{int(self.process.stdout.readline())}"

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def keep(self):
        """Remembers what is stored now, for back()."""
        self.ask("keep")

    def back(self):
        """What was kept is stored again, and nothing else; requests are counted from here."""
        self.ask("back")

    def requests(self):
        return self.ask("count")

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, latency_s):
        super().__init__(("127.0.0.1", 0), Handler)
        self.latency_s, self.objects, self.uploads, self.kept = latency_s, {}, {}, {}
        self.lock, self.counts = threading.Lock(), collections.Counter()

    def run(self, command):
        with self.lock:
            if command == "keep":
                self.kept = dict(self.objects)
            elif command == "back":
                self.objects, self.uploads = dict(self.kept), {}
                self.counts.clear()
            return sum(self.counts.values())


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or a body would wait for the other side's delayed acknowledgement of its headers
    wbufsize = -1

    def log_message(self, *_):
        pass

    def handle_expect_100(self):
        told = super().handle_expect_100()
        self.wfile.flush()  # the other side waits for it
        return told

    def begin(self, kind):
        """(key, query, body), after the stated time."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with self.server.lock:
            self.server.counts[kind] += 1
        time.sleep(self.server.latency_s)
        path, _, query = self.path.partition("?")
        key = urllib.parse.unquote(path).lstrip("/").partition("/")[2]
        return key, dict(urllib.parse.parse_qsl(query, keep_blank_values=True)), body

    def answer(self, status, body=b"", **headers):
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def missing(self):
        self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")

    def do_PUT(self):
        key, query, body = self.begin("put")
        tag = f'"{hashlib.md5(body).hexdigest()}"'
        if "uploadId" in query:
            self.server.uploads[query["uploadId"]][int(query["partNumber"])] = body
        else:
            self.server.objects[key] = (body, tag)
        self.answer(200, ETag=tag)

    def do_POST(self):
        key, query, _ = self.begin("post")
        uploads = self.server.uploads
        if "uploads" in query:
            name = hashlib.md5(f"{key}{time.monotonic()}".encode()).hexdigest()
            uploads[name] = {}
            self.answer(200, f"<InitiateMultipartUploadResult><UploadId>{name}</UploadId></InitiateMultipartUploadResult>".encode())
            return
        parts = [uploads[query["uploadId"]][number] for number in sorted(uploads[query["uploadId"]])]
        del uploads[query["uploadId"]]
        tag = f'"{hashlib.md5(b"".join(hashlib.md5(part).digest() for part in parts)).hexdigest()}-{len(parts)}"'
        self.server.objects[key] = (b"".join(parts), tag)
        self.answer(200, f"<CompleteMultipartUploadResult><ETag>{escape(tag)}</ETag></CompleteMultipartUploadResult>".encode())

    def do_HEAD(self):
        key, _, _ = self.begin("head")
        if key not in self.server.objects:
            self.missing()
            return
        body, tag = self.server.objects[key]
        self.answer(200, Content_Length=str(len(body)), ETag=tag)

    def do_DELETE(self):
        key, query, _ = self.begin("delete")
        if "uploadId" in query:
            self.server.uploads.pop(query["uploadId"], None)
        else:
            self.server.objects.pop(key, None)
        self.answer(204)

    def do_GET(self):
        key, query, _ = self.begin("get" if "list-type" not in self.path and "uploads" not in self.path else "list")
        if "uploads" in query:
            self.answer(200, b"<ListMultipartUploadsResult><IsTruncated>false</IsTruncated></ListMultipartUploadsResult>")
        elif "list-type" in query:
            self.list(query)
        elif key not in self.server.objects:
            self.missing()
        else:
            self.give(*self.server.objects[key])

    def give(self, body, tag):
        found = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if found is None:
            self.answer(200, body, ETag=tag)
            return
        first = int(found[1]) if found[1] else max(0, len(body) - int(found[2]))
        last = min(int(found[2]), len(body) - 1) if found[1] and found[2] else len(body) - 1
        self.answer(206, body[first:last + 1], ETag=tag, Content_Range=f"bytes {first}-{last}/{len(body)}")

    def list(self, query):
        after = query.get("continuation-token") or query.get("start-after", "")
        keys = sorted(key for key in self.server.objects if key.startswith(query.get("prefix", "")) and key > after)
        page = keys[:int(query.get("max-keys", 1000))]
        more = len(keys) > len(page)
        rows = "".join(f"<Contents><Key>{escape(key)}</Key><Size>{len(self.server.objects[key][0])}</Size></Contents>" for key in page)
        token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
        self.answer(200, f"<ListBucketResult><IsTruncated>{str(more).lower()}</IsTruncated>{token}{rows}</ListBucketResult>".encode())


def main():
    server = Server(float(sys.argv[1]))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    for line in sys.stdin:
        print(server.run(line.strip()), flush=True)


if __name__ == "__main__":
    main()
