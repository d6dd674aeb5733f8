# SPDX-License-Identifier: MIT
"""A bucket on loopback that answers after a stated time, and counts: what of S3 hearth's cold tier uses, in memory, without checking signatures.

tests/cold has a real server, with faults between; here only time and the number of requests matter.
"""
import collections
import hashlib
import http.server
import re
import threading
import time
import urllib.parse
from xml.sax.saxutils import escape


class Bucket:
    """Starts at once; `counts` has requests by kind since the last forget()."""

    def __init__(self, latency_s):
        self.latency_s, self.objects, self.uploads = latency_s, {}, {}
        self.lock, self.counts = threading.Lock(), collections.Counter()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.bucket = self
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def forget(self):
        with self.lock:
            self.counts.clear()

    def requests(self):
        with self.lock:
            return sum(self.counts.values())

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def begin(self, kind):
        """(key, query, body), after the stated time."""
        bucket = self.server.bucket
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with bucket.lock:
            bucket.counts[kind] += 1
        time.sleep(bucket.latency_s)
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
            self.server.bucket.uploads[query["uploadId"]][int(query["partNumber"])] = body
        else:
            self.server.bucket.objects[key] = (body, tag)
        self.answer(200, ETag=tag)

    def do_POST(self):
        key, query, _ = self.begin("post")
        uploads = self.server.bucket.uploads
        if "uploads" in query:
            name = hashlib.md5(f"{key}{time.monotonic()}".encode()).hexdigest()
            uploads[name] = {}
            self.answer(200, f"<InitiateMultipartUploadResult><UploadId>{name}</UploadId></InitiateMultipartUploadResult>".encode())
            return
        parts = [uploads[query["uploadId"]][number] for number in sorted(uploads[query["uploadId"]])]
        del uploads[query["uploadId"]]
        tag = f'"{hashlib.md5(b"".join(hashlib.md5(part).digest() for part in parts)).hexdigest()}-{len(parts)}"'
        self.server.bucket.objects[key] = (b"".join(parts), tag)
        self.answer(200, f"<CompleteMultipartUploadResult><ETag>{escape(tag)}</ETag></CompleteMultipartUploadResult>".encode())

    def do_HEAD(self):
        key, _, _ = self.begin("head")
        if key not in self.server.bucket.objects:
            self.missing()
            return
        body, tag = self.server.bucket.objects[key]
        self.answer(200, Content_Length=str(len(body)), ETag=tag)

    def do_DELETE(self):
        key, query, _ = self.begin("delete")
        if "uploadId" in query:
            self.server.bucket.uploads.pop(query["uploadId"], None)
        else:
            self.server.bucket.objects.pop(key, None)
        self.answer(204)

    def do_GET(self):
        key, query, _ = self.begin("get" if "list-type" not in self.path and "uploads" not in self.path else "list")
        if "uploads" in query:
            self.answer(200, b"<ListMultipartUploadsResult><IsTruncated>false</IsTruncated></ListMultipartUploadsResult>")
        elif "list-type" in query:
            self.list(query)
        elif key not in self.server.bucket.objects:
            self.missing()
        else:
            self.give(*self.server.bucket.objects[key])

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
        keys = sorted(key for key in self.server.bucket.objects if key.startswith(query.get("prefix", "")) and key > after)
        page = keys[:int(query.get("max-keys", 1000))]
        more = len(keys) > len(page)
        rows = "".join(f"<Contents><Key>{escape(key)}</Key><Size>{len(self.server.bucket.objects[key][0])}</Size></Contents>" for key in page)
        token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
        self.answer(200, f"<ListBucketResult><IsTruncated>{str(more).lower()}</IsTruncated>{token}{rows}</ListBucketResult>".encode())
