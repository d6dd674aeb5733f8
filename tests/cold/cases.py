# SPDX-License-Identifier: MIT
"""What the S3 client must do, one function each. A case has a prefix, a proxy and probes of its own."""
import os
import re
import select
import subprocess
import time

from faulty import Fault, Proxy

MIB = 1 << 20
SLOW_DOWN = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
INTERNAL = b"<?xml version='1.0'?><Error><Code>InternalError</Code><Message>We encountered an internal error.</Message></Error>"
CASES = []


def case(function):
    CASES.append(function)
    return function


class Answer:
    def __init__(self, line, seconds):
        words = line.split(" ", 3)
        self.line, self.seconds, self.ok = line, seconds, words[0] == "ok"
        self.text = line[3:].strip() if self.ok else ""
        self.error = "" if self.ok else words[1]
        self.retry_ms = 0 if self.ok else int(words[2])
        self.why = "" if self.ok or len(words) < 4 else words[3]


class Probe:
    def __init__(self, scene, url, *flags, bucket="tier", **env):
        keys = {"AWS_ACCESS_KEY_ID": scene.lab.key_id, "AWS_SECRET_ACCESS_KEY": scene.lab.secret}
        full = {**os.environ, "HOME": scene.lab.work, **keys, **env}
        self.output = []
        self.process = subprocess.Popen([scene.binary, url, bucket, scene.prefix, "--stall", "1", *flags], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, env={k: v for k, v in full.items() if v is not None})

    def ask(self, line, seconds=60):
        at = time.monotonic()
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.hear(at, seconds)

    def hear(self, at, seconds=60):
        ready, _, _ = select.select([self.process.stdout], [], [], seconds)
        assert ready, "no answer in time"
        line = self.process.stdout.readline().rstrip("\n")
        assert line, f"the probe ended ({self.process.poll()})"
        self.output.append(line)
        return Answer(line, time.monotonic() - at)

    def good(self, line, text=None, within=60):
        answer = self.ask(line)
        assert answer.ok, f"{line}: {answer.line}"
        assert text is None or answer.text == text, f"{line}: {answer.line}, not {text}"
        assert answer.seconds <= within, f"{line}: {answer.seconds:.1f} s"
        return answer

    def bad(self, line, error, why="", within=60):
        answer = self.ask(line)
        assert answer.error == error and why in answer.why, f"{line}: {answer.line}, not {error} {why}"
        assert answer.seconds <= within, f"{line}: {answer.seconds:.1f} s"
        return answer

    def counters(self):
        return {k: int(v) for k, v in (pair.split("=") for pair in self.good("counters").text.split())}

    def kill(self):
        self.process.kill()
        self.process.wait()

    def end(self):
        assert self.counters()["account"] == 0, "memory is still charged"
        self.process.stdin.close()
        assert self.process.wait(10) == 0, f"the probe ended with {self.process.returncode}"


class Scene:
    def __init__(self, lab, binary, name):
        self.lab, self.binary, self.prefix = lab, binary, name + "/"
        self.probes, self.proxies = [], []
        self.proxy = self.make_proxy()

    def make_proxy(self, **more):
        proxy = Proxy(self.lab.target, **more)
        self.proxies.append(proxy)
        return proxy

    def probe(self, *flags, url=None, **more):
        probe = Probe(self, url or self.proxy.url(), *flags, **more)
        self.probes.append(probe)
        return probe

    def fault(self, *args, **more):
        self.proxy.faults.append(Fault(*args, **more))

    def uploads(self):
        return self.lab.s3.list_multipart_uploads(Bucket="tier", Prefix=self.prefix).get("Uploads", [])

    def objects(self):
        return {o["Key"][len(self.prefix):]: o["Size"] for o in self.lab.s3.list_objects_v2(Bucket="tier", Prefix=self.prefix).get("Contents", [])}

    def end(self):
        for proxy in self.proxies:
            proxy.over.set()
        for probe in self.probes:
            if probe.process.poll() is None:
                probe.end()
            assert not any(self.lab.secret in line for line in probe.output), "a secret was told"

    def kill(self):
        for proxy in self.proxies:
            proxy.over.set()
        for probe in self.probes:
            probe.kill()


# ---- what works ----

@case
def libcurl_is_loaded_by_the_first_request(scene):
    probe = scene.probe()
    probe.good("loaded", "no")
    probe.bad("size nothing", "not_found")
    probe.good("loaded", "yes")


@case
def objects_are_written_read_listed_and_removed(scene):
    probe = scene.probe()
    for name, size, requests in (("small", 1000, 2), ("one-part", 5 * MIB, 2), ("two", 5 * MIB + 1, 5), ("three", 12 * MIB, 6), ("none", 0, 2)):
        before = len(scene.proxy.log)
        probe.good(f"put {name} {size} 7", "proved")
        assert len(scene.proxy.log) - before == requests, scene.proxy.log[before:]
        probe.good(f"size {name}", str(size))
        if size:
            probe.good(f"get {name} 0 1 7", "same")
            probe.good(f"get {name} {size - 1} 1 7", "same")
            probe.good(f"get {name} {size // 3} {size // 2} 7", "same")
            probe.good(f"get {name} 0 {size} 7", "same")
            probe.bad(f"get {name} {size} 1 7", "corrupt", "416")
            probe.bad(f"get {name} {size - 1} 2 7", "corrupt")
    assert scene.objects() == {"small": 1000, "one-part": 5 * MIB, "two": 5 * MIB + 1, "three": 12 * MIB, "none": 0}
    assert not scene.uploads()
    probe.good("list -", f"none=0 one-part={5 * MIB} small=1000 three={12 * MIB} two={5 * MIB + 1} end")
    probe.good("list small", f"three={12 * MIB} two={5 * MIB + 1} end")
    probe.good("remove small")
    probe.good("remove small")
    probe.bad("size small", "not_found")
    probe.bad("get small 0 1 7", "not_found")
    counters = probe.counters()
    assert counters["put"] == 3 and counters["upload_create"] == 2 and counters["upload_part"] == 5 and counters["upload_complete"] == 2
    assert counters["again"] == 0 and counters["delete"] == 2 and counters["bytes_out"] >= 22 * MIB


@case
def packs_are_written_and_read(scene):
    probe = scene.probe()
    probe.bad("ask", "unavailable", "mounted")
    probe.good("claim")
    probe.good("claim")
    probe.bad("claim other", "denied", "mark")
    probe.good("ask")
    probe.good("pack 4711 2500 3")  # two parts
    for i in range(0, 2500, 97):
        probe.good(f"block {i} 3", "same")
    probe.good("check 4711")
    assert list(scene.objects()) == ["0000000000001267.pack", "hearth-tier"]
    gets = probe.counters()["get"]
    probe.good("block 5 3", "same")
    assert probe.counters()["get"] == gets + 1  # one block, one request
    probe.good("drop 4711")
    probe.bad("block 0 3", "not_found")


@case
def listings_come_in_pages_and_leave_out_others(scene):
    probe = scene.probe()
    for i in range(1100):
        scene.lab.put_quickly(f"{scene.prefix}Foreign/{i:04}")
    for i in range(1050):
        scene.lab.put_quickly(f"{scene.prefix}{i:04}")
    names, after = [], "-"
    while True:
        answer = probe.good(f"list {after}")
        *entries, end = answer.text.split()
        names += [entry.split("=")[0] for entry in entries]
        after = names[-1]
        if end == "end":
            break
    assert names == [f"{i:04}" for i in range(1050)], names[:3]


# ---- who we are ----

@case
def wrong_credentials_are_refused_at_once(scene):
    probe = scene.probe(AWS_SECRET_ACCESS_KEY="wrong" * 8)
    probe.bad("size x", "denied", "403", within=10)
    probe.bad("get x 0 1 1", "denied", "SignatureDoesNotMatch", within=10)
    probe.bad("put x 10 1", "denied", "SignatureDoesNotMatch", within=10)
    probe.bad("list -", "denied", "SignatureDoesNotMatch", within=10)
    assert probe.counters()["again"] == 0
    stranger = scene.probe(AWS_ACCESS_KEY_ID="AKIAWRONG00000000000")
    stranger.bad("get x 0 1 1", "denied", "InvalidAccessKeyId", within=10)
    assert not scene.objects()


@case
def credentials_are_found_in_the_file_of_the_aws_tools(scene):
    path = os.path.join(scene.lab.work, "credentials")
    with open(path, "w", encoding="ascii") as file:
        file.write(f"# mine\n[default]\naws_access_key_id = nobody\naws_secret_access_key = x\n\n[ tier ]\r\naws_access_key_id={scene.lab.key_id}\r\n"
                   f"aws_secret_access_key = {scene.lab.secret}\r\n[other]\naws_access_key_id=x\n")
    none = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}
    scene.probe(AWS_SHARED_CREDENTIALS_FILE=path, AWS_PROFILE="tier", **none).good("put x 10 1", "proved")
    scene.probe(AWS_SHARED_CREDENTIALS_FILE=path, **none).bad("get x 0 1 1", "denied")
    nobody = scene.probe(AWS_SHARED_CREDENTIALS_FILE=path + "-not", **none)
    assert nobody.hear(time.monotonic()).error == "not_found"
    assert nobody.process.wait(5) == 1


@case
def a_session_token_is_sent_and_signed(scene):
    probe = scene.probe(AWS_SESSION_TOKEN="a/session+token==")
    probe.ask("size x")
    _, _, headers = scene.proxy.log[0]
    headers = {name.lower(): value for name, value in headers.items()}
    assert headers["x-amz-security-token"] == "a/session+token=="
    assert "x-amz-security-token" in re.search("SignedHeaders=([^,]*)", headers["authorization"]).group(1).split(";")
    assert headers["x-amz-content-sha256"] == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@case
def a_bucket_that_is_not_there_is_told(scene):
    probe = scene.probe(bucket="no-such-bucket")
    probe.bad("get x 0 1 1", "denied", "no-such-bucket", within=10)
    probe.bad("put x 10 1", "denied", "NoSuchBucket", within=10)
    probe.bad("block 0 1", "denied", "NoSuchBucket", within=10)


# ---- a server that has trouble ----

@case
def errors_of_the_server_are_tried_again(scene):
    probe = scene.probe()
    for status in (500, 502, 503, 504, 429, 408):
        scene.fault("status", "PUT", count=2, status=status)
        probe.good(f"put x{status} 1000 1", "proved")
    assert probe.counters()["again"] == 12
    scene.fault("status", "GET", status=500, body=INTERNAL, count=3)
    probe.good("get x500 0 1000 1", "same")
    scene.fault("status", "HEAD", status=500, count=2)
    probe.good("size x500", "1000")
    scene.fault("status", "DELETE", status=503, count=2)
    probe.good("remove x500")
    scene.fault("status", "GET", "list-type", status=503, count=1)
    probe.good("list x504", "end")


@case
def retry_after_is_honoured(scene):
    probe = scene.probe()
    scene.fault("status", "PUT", status=503, headers={"Retry-After": "2"}, body=SLOW_DOWN)
    answer = probe.good("put x 1000 1", "proved")
    assert 2 <= answer.seconds < 15, answer.seconds
    # Longer than the deadline: the caller hears of it at once.
    scene.fault("status", "GET", status=503, headers={"Retry-After": "600"}, body=SLOW_DOWN)
    probe.bad("get x 0 1 1", "unavailable", "SlowDown", within=10)


@case
def a_reset_connection_is_tried_again(scene):
    probe = scene.probe()
    scene.fault("reset", "PUT", count=2)
    probe.good("put x 1000 1", "proved")
    scene.fault("reset", "GET", count=2)
    probe.good("get x 0 1000 1", "same")


@case
def a_cut_body_is_tried_again_and_never_taken(scene):
    probe = scene.probe()
    probe.good("put x 100000 1", "proved")
    scene.fault("cut", "GET", count=2)
    probe.good("get x 0 100000 1", "same")
    scene.fault("cut", "GET", count=1000)
    probe.good("deadline 1500")
    probe.bad("get x 0 100000 1", "unavailable", within=10)


@case
def wrong_bytes_are_read_again_and_then_told(scene):
    probe = scene.probe()
    probe.good("claim")
    probe.good("pack 1 50 9")
    pack = "0000000000000001.pack"
    scene.fault("flip", "GET", pack, count=1)
    probe.good("block 7 9", "same")
    scene.fault("flip", "GET", pack, count=2)
    probe.bad("block 7 9", "corrupt", "is not the block")
    scene.proxy.clear()
    # With the mark gone nothing is called corrupt.
    scene.lab.s3.delete_object(Bucket="tier", Key=scene.prefix + "hearth-tier")
    scene.fault("flip", "GET", pack, count=2)
    probe.bad("block 7 9", "unavailable", "hearth-tier")
    probe.bad("block 4000 9", "unavailable")  # a place of no pack at all


@case
def a_damaged_pack_is_found(scene):
    probe = scene.probe()
    probe.good("claim")
    probe.good("pack 1 50 9")
    key = scene.prefix + "0000000000000001.pack"
    body = scene.lab.s3.get_object(Bucket="tier", Key=key)["Body"].read()
    for at in (3, 5000, len(body) - 2000, len(body) - 10):
        scene.lab.s3.put_object(Bucket="tier", Key=key, Body=body[:at] + bytes([body[at] ^ 1]) + body[at + 1:])
        probe.bad("check 1", "corrupt")
    scene.lab.s3.put_object(Bucket="tier", Key=key, Body=body[:-100])
    probe.bad("check 1", "corrupt")
    scene.lab.s3.put_object(Bucket="tier", Key=key, Body=body)
    probe.good("check 1")


@case
def an_answer_that_was_not_asked_for_is_refused(scene):
    probe = scene.probe()
    probe.good("put x 100000 1", "proved")
    scene.fault("headers", "GET", headers={"content-range": "bytes 1-1000/100000"})
    probe.bad("get x 0 1000 1", "corrupt", "not what was asked for")
    scene.fault("headers", "GET", headers={}, status=200)  # the range was ignored
    probe.bad("get x 0 100000 1", "corrupt", "not what was asked for")
    scene.fault("body", "GET", body=b"y" * 5000)
    probe.bad("get x 0 1000 1", "corrupt", "more than was asked for")
    scene.fault("body", "GET", "list-type", body=b"<html>welcome to our hotel</html>")
    probe.bad("list -", "corrupt", "listing")
    scene.fault("body", "GET", "list-type", body=b"x" * (3 * MIB))
    probe.bad("list -", "corrupt", "more than was asked for")
    scene.fault("status", "GET", status=302, headers={"Location": scene.lab.url + "/tier/elsewhere"})
    probe.bad("get x 0 1000 1", "denied", "302")
    assert probe.counters()["again"] == 0


@case
def a_stalled_body_costs_the_stall_and_no_more(scene):
    probe = scene.probe()  # which calls it one after a second
    probe.good("put x 100000 1", "proved")
    scene.fault("stall", "GET", count=1)
    answer = probe.good("get x 0 100000 1", "same")
    assert 0.9 < answer.seconds < 15, answer.seconds
    scene.fault("stall", "GET", count=1000)
    probe.good("deadline 2500")
    probe.bad("get x 0 100000 1", "unavailable", within=10)


# ---- uploads in parts ----

@case
def an_upload_that_fails_is_aborted(scene):
    probe = scene.probe()
    scene.fault("status", "PUT", "partNumber=2", status=403, count=10)
    probe.bad("put x 12582912 1", "denied", "403")
    assert not scene.uploads() and not scene.objects()
    scene.proxy.clear()
    probe.good("abandon y 12582912 1")
    assert not scene.uploads() and not scene.objects()
    assert scene.proxy.seen("DELETE", "uploadId=") == 1
    # A part that fails twice goes out again and not the whole.
    scene.proxy.clear()
    scene.fault("status", "PUT", "partNumber=2", status=500, count=2)
    probe.good("put z 12582912 1", "proved")
    assert scene.proxy.seen("PUT", "partNumber=1&") == 1 and scene.proxy.seen("PUT", "partNumber=2&") == 3
    probe.good("get z 5000000 1000000 1", "same")


@case
def what_a_killed_process_left_is_swept(scene):
    probe = scene.probe()
    probe.good("leave x 12582912 1")
    probe.kill()
    for i in range(3):
        scene.lab.s3.create_multipart_upload(Bucket="tier", Key=f"{scene.prefix}left-{i}")
    other = scene.lab.s3.create_multipart_upload(Bucket="tier", Key="not-ours/left")
    assert len(scene.uploads()) == 4
    next_life = scene.probe()
    next_life.good("sweep", "4")
    assert not scene.uploads()
    next_life.good("sweep", "0")
    assert len(scene.lab.s3.list_multipart_uploads(Bucket="tier", Prefix="not-ours/")["Uploads"]) == 1
    scene.lab.s3.abort_multipart_upload(Bucket="tier", Key="not-ours/left", UploadId=other["UploadId"])


@case
def answers_that_are_lost_are_found_out(scene):
    probe = scene.probe()
    scene.fault("lose", "PUT", count=1)
    probe.good("put x 1000 1", "proved")
    scene.fault("lose", "POST", "uploadId=", count=1)
    probe.good("put y 6000000 1", "proved")
    assert scene.proxy.seen("POST", "uploadId=") == 2
    probe.good("get y 0 6000000 1", "same")
    scene.fault("lose", "PUT", "partNumber=1", count=1)
    probe.good("put z 6000000 1", "proved")
    scene.fault("lose", "DELETE", count=1)
    probe.good("remove z")
    # An upload whose begin was not heard of is the sweep's.
    scene.fault("lose", "POST", "uploads=", count=1)
    probe.good("put v 6000000 1", "proved")
    probe.good("sweep", "1")
    probe.good("get v 0 6000000 1", "same")


@case
def an_error_under_a_good_status_is_seen(scene):
    probe = scene.probe()
    scene.fault("status", "POST", "uploadId=", status=200, body=INTERNAL, count=1)
    probe.good("put x 6000000 1", "proved")
    probe.good("get x 0 6000000 1", "same")


@case
def what_was_altered_on_its_way_is_not_kept(scene):
    probe = scene.probe()
    probe.good("claim")
    # moto stores a body that its hash does not fit; S3 itself would refuse it.
    scene.fault("flip_sent", "PUT", count=1)
    probe.good("put x 1000 1", "unproved")
    scene.fault("flip_sent", "PUT", count=1)
    probe.bad("pack 1 50 9", "corrupt", "0000000000000001.pack")
    assert "0000000000000001.pack" not in scene.objects()


@case
def a_server_with_tags_of_its_own_has_packs_read_back(scene):
    probe = scene.probe()
    probe.good("claim")
    scene.fault("headers", "HEAD", headers={"etag": '"some-other-tag"'}, count=1)
    before = probe.counters()
    probe.good("pack 1 500 9")
    after = probe.counters()
    assert after["get"] > before["get"] and after["bytes_in"] - before["bytes_in"] >= scene.objects()["0000000000000001.pack"]


@case
def an_object_of_another_size_is_not_taken(scene):
    probe = scene.probe()
    probe.good("claim")
    scene.fault("headers", "HEAD", headers={"content-length": "999"}, count=1)
    probe.bad("pack 1 50 9", "corrupt", "bytes and has 999")
    assert list(scene.objects()) == ["hearth-tier"]


# ---- bounds ----

@case
def an_outage_is_noticed_once_and_its_end_too(scene):
    probe = scene.probe()
    probe.good("put x 1000 1", "proved")
    scene.proxy.stop()
    probe.good("deadline 1500")
    down = probe.bad("get x 0 1000 1", "unavailable", within=10)
    assert 0 < down.retry_ms <= 1000, down.line
    asked = sum(v for k, v in probe.counters().items() if k in ("get", "put", "head"))
    again = probe.bad("get x 0 1000 1", "unavailable", "is asked again in", within=5)
    assert again.retry_ms > 0
    assert sum(v for k, v in probe.counters().items() if k in ("get", "put", "head")) == asked
    scene.proxy.start()
    deadline = time.monotonic() + 10
    while True:
        answer = probe.ask("get x 0 1000 1")
        if answer.ok:
            break
        assert answer.error == "unavailable" and time.monotonic() < deadline, answer.line
        time.sleep(answer.retry_ms / 1000)
    probe.good("get x 0 1000 1", "same")


@case
def the_budget_of_requests_holds(scene):
    probe = scene.probe("--rate", "5", "--burst", "2")
    at = time.monotonic()
    for _ in range(8):
        probe.bad("size x", "not_found")
    took = time.monotonic() - at
    assert took >= 1.1, took  # two at once, six at 5 a second
    slow = scene.probe("--rate", "1", "--burst", "1")
    slow.good("deadline 600")
    answers = [slow.ask("size x") for _ in range(10)]  # of which those within the same second find the budget used up
    assert any(a.error == "unavailable" and "budget" in a.why and a.retry_ms > 0 for a in answers), answers[-1].line


@case
def memory_is_charged_or_refused(scene):
    probe = scene.probe("--account", str(4 * MIB))
    probe.bad("put x 1000 1", "nomem")
    assert not scene.proxy.log
    probe = scene.probe("--account", str(7 * MIB + 4 * MIB))
    probe.good("claim")
    probe.good("pack 1 200 1")


def make_certificate(scene):
    key, certificate = (os.path.join(scene.lab.work, name) for name in ("key.pem", "certificate.pem"))
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
                    "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return certificate, key


def secure_proxy(scene):
    """A proxy that speaks TLS, and the certificate that nobody but a test trusts."""
    certificate, key = make_certificate(scene)
    return scene.make_proxy(certificate=(certificate, key)), certificate


@case
def certificates_are_verified(scene):
    secure, certificate = secure_proxy(scene)
    scene.probe(url=secure.url()).bad("get x 0 1 1", "denied", "certificate", within=10)
    assert not secure.log
    probe = scene.probe("--ca", certificate, url=secure.url())
    probe.good("put x 1000 1", "proved")
    probe.good("get x 0 1000 1", "same")


@case
def a_handshake_that_is_cut_is_tried_again(scene):
    certificate, key = make_certificate(scene)
    secure = scene.make_proxy(certificate=(certificate, key))
    secure.cuts = 2
    probe = scene.probe("--ca", certificate, url=secure.url())
    probe.good("put x 1000 1", "proved")
    assert secure.cuts == 0 and probe.counters()["again"] == 2
