# SPDX-License-Identifier: MIT
"""What a node with a cold tier on S3 must do: a real daemon, the real command line, the same server and proxy."""
import glob
import json
import os
import random
import signal
import subprocess
import time

from cases import MIB, case, secure_proxy
from faulty import Fault

READY_S, AWAY_S = 30, 90


class Node:
    """A daemon with a repository of its own. The secret is in its environment alone."""

    def __init__(self, scene, **env):
        self.scene, self.folder = scene, os.path.join(scene.lab.work, f"node{len(os.listdir(scene.lab.work))}")
        self.build = os.path.dirname(os.path.dirname(scene.binary))
        self.secret = env.get("SECRETKEY", scene.lab.secret)
        cold = {"KIND": "s3", "ENDPOINT": scene.proxy.url(), "BUCKET": "tier", "PREFIX": scene.prefix, "ACCESSKEY": scene.lab.key_id,
                "SECRETKEY": self.secret, "PACKBYTES": "8MiB", **env}
        self.env = {**os.environ, "HEARTH_PATH": self.folder, **{"HEARTH_TIERS__COLD__" + name: value for name, value in cold.items()}}
        self.process, self.said = None, []
        self.output = self.said
        self.run("hearthd", "init", "--profile", "test")
        self.start()
        scene.probes.append(self)  # which ends it when a case fails

    def run(self, program, *words, status=0, seconds=120, data=None):
        """The output of a program; the status it must end with, None: any."""
        done = subprocess.run([os.path.join(self.build, program), *words], env=self.env, input=data, capture_output=True, timeout=seconds, check=False)
        text = done.stderr.decode(errors="replace")
        self.said += [text, done.stdout.decode(errors="replace")]
        assert status is None or done.returncode == status, f"{words}: status {done.returncode}: {text}"
        return done.stdout if status == 0 else text

    def hearth(self, *words, **more):
        return self.run("hearth", *words, **more)

    def log(self):
        with open(self.folder + ".log", encoding="utf-8", errors="replace") as file:
            return file.read()

    def start(self):
        backend = ["--backend", os.environ["BACKEND"]] if "BACKEND" in os.environ else []
        with open(self.folder + ".log", "a", encoding="utf-8") as log:
            before = self.log().count("Daemon is ready")
            self.process = subprocess.Popen([os.path.join(self.build, "hearthd"), "daemon", *backend], env=self.env, stdout=log, stderr=log, start_new_session=True)
        until = time.monotonic() + READY_S
        while self.log().count("Daemon is ready") == before:
            assert time.monotonic() < until and self.process.poll() is None, self.log()[-2000:]
            time.sleep(0.05)

    def stop(self):
        self.process.terminate()
        assert self.process.wait(30) == 0, self.log()[-2000:]

    def kill(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def restart(self):
        """Nothing of it is in memory then."""
        self.stop()
        self.start()

    def tier(self, name="cold"):
        return next(t for t in json.loads(self.hearth("tier", "ls", "--enc", "json"))["tiers"] if t["tier"] == name)

    def wait(self, what, true, seconds=AWAY_S):
        until = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < until, f"{what}: {self.hearth('tier', 'ls', status=None)}"
            time.sleep(0.2)

    def requests(self, kind):
        return next(r["count"] for r in self.tier()["requests"] if r["kind"] == kind)

    def month(self):
        """What state.db knows of the cold tier's requests; a sum over no rows is 0."""
        row = json.loads(self.hearth("sql", "--enc", "json", "SELECT sum(writes) AS writes, sum(reads) AS reads, sum(bytes_in) AS bytes FROM v_costs"))
        return {name: value or 0 for name, value in row.items()}

    def add(self, seed, size):
        data = random.Random(seed).randbytes(size)
        return self.hearth("add", "-Q", data=data).decode().strip(), data

    def end(self):
        self.stop()
        files = [path for path in glob.glob(self.folder + "/**", recursive=True) if os.path.isfile(path) and not path.endswith(".seg")]
        for path in files + [self.folder + ".log"]:
            with open(path, "rb") as file:
                assert self.secret.encode() not in file.read(), f"a secret is in {path}"
        assert not any(self.secret in text for text in self.said), "a secret was told"


@case
def a_daemon_moves_blocks_to_the_bucket_and_reads_them_there(scene):
    node = Node(scene)
    assert b"SecretKey: \"\" # is set" in node.run("hearthd", "config", "show")
    cid, data = node.add(1, 20 * MIB)
    node.wait("the claim", lambda: node.tier()["up"])
    said = node.hearth("tier", "move", "-r", "--to", "cold", cid).decode()
    assert said.startswith("20 blocks are in tier cold; 1 stay"), said
    packs = [name for name in scene.objects() if name.endswith(".pack")]
    assert len(packs) >= 3 and not scene.uploads(), packs
    assert node.tier()["packs"] == len(packs) and node.tier()["blocks"] == 20
    node.restart()
    assert node.tier("disk")["blocks"] == 1
    assert node.hearth("cat", cid) == data
    assert node.requests("get") >= 20
    assert node.hearth("tier", "verify").decode().count("is whole") == len(packs)
    node.hearth("tier", "move", "-r", "--to", "disk", cid)
    assert node.tier("disk")["blocks"] == 21
    node.restart()
    node.wait("the claim", lambda: node.tier()["up"])
    before = node.requests("get")
    assert node.hearth("cat", cid) == data and node.requests("get") == before
    node.stop()
    month = node.month()
    assert month["writes"] >= 3 * len(packs) and month["reads"] >= 40 and month["bytes"] > 40 * MIB, month
    node.start()


@case
def a_daemon_that_is_killed_while_it_writes_packs_loses_nothing(scene):
    node = Node(scene)
    cid, data = node.add(2, 20 * MIB)
    node.wait("the claim", lambda: node.tier()["up"])
    scene.fault("stall", "PUT", "partNumber=2", count=1, seconds=20)
    move = subprocess.Popen([os.path.join(node.build, "hearth"), "tier", "move", "-r", "--to", "cold", cid], env=node.env, stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL)
    node.wait("the second part", lambda: scene.proxy.seen("PUT", "partNumber=2") > 0)
    node.kill()
    move.wait(30)
    assert scene.uploads(), "nothing was under way"
    scene.proxy.clear()
    node.start()
    node.wait("the sweep", lambda: not scene.uploads())
    assert node.hearth("cat", cid) == data
    node.hearth("tier", "move", "-r", "--to", "cold", cid)
    node.restart()
    assert node.hearth("cat", cid) == data
    node.wait("packs without a row go", lambda: len([n for n in scene.objects() if n.endswith(".pack")]) == node.tier()["packs"])
    node.hearth("tier", "verify")


@case
def a_daemon_goes_on_while_the_bucket_is_away(scene):
    node = Node(scene)
    cold, data = node.add(3, 5 * MIB)
    hot, other = node.add(4, 3 * MIB)
    node.wait("the claim", lambda: node.tier()["up"])
    node.hearth("tier", "move", "-r", "--to", "cold", cold)
    node.restart()
    scene.proxy.stop()
    said = node.hearth("cat", "--timeout", "40s", cold, status=None)
    assert "cold tier" in said and "asked again" in said, said
    assert node.hearth("cat", hot) == other
    added, more = node.add(5, MIB)
    assert node.hearth("cat", added) == more
    row = node.tier()
    assert not row["up"] and row["why"] and node.hearth("block", "has", cold), row
    said = node.hearth("tier", "move", "-r", "--to", "cold", hot, status=None)
    assert "cold tier" in said, said
    scene.proxy.start()
    node.wait("the bucket is back", lambda: node.hearth("cat", "--timeout", "20s", cold, status=None) == "" and node.tier()["up"])
    assert node.hearth("cat", cold) == data
    node.wait("blocks move again", lambda: node.hearth("tier", "move", "-r", "--to", "cold", hot, status=None) == "")


@case
def a_daemon_that_starts_while_the_bucket_is_away_says_so(scene):
    node = Node(scene)
    hot, data = node.add(8, 3 * MIB)
    node.wait("the claim", lambda: node.tier()["up"])
    node.stop()
    scene.proxy.stop()
    node.start()
    began = time.monotonic()
    said = node.hearth("tier", "move", "-r", "--to", "cold", hot, status=None)
    assert "connect" in said, said
    assert time.monotonic() - began < 60 and node.hearth("cat", hot) == data, "the first claim went on trying"
    scene.proxy.start()
    node.wait("blocks move again", lambda: node.hearth("tier", "move", "-r", "--to", "cold", hot, status=None) == "")


@case
def a_daemon_with_wrong_credentials_says_so_and_keeps_its_blocks(scene):
    node = Node(scene, SECRETKEY="a/secret+that/is+wrong000000000000000000")
    cid, data = node.add(6, 3 * MIB)
    node.wait("the refusal", lambda: node.tier()["why"] and "not asked" not in node.tier()["why"])
    row = node.tier()
    assert not row["up"] and "403" in row["why"], row
    said = node.hearth("tier", "move", "-r", "--to", "cold", cid, status=None)
    assert "SignatureDoesNotMatch" in said or "403" in said, said
    assert node.hearth("cat", cid) == data and not scene.objects()


@case
def a_daemon_trusts_a_server_with_a_certificate_of_its_own_when_it_is_told_to(scene):
    secure, certificate = secure_proxy(scene)
    node = Node(scene, ENDPOINT=secure.url())
    node.wait("the refusal", lambda: "certificate" in node.tier()["why"])
    assert not node.tier()["up"] and not secure.log
    node.stop()
    node.env["HEARTH_TIERS__COLD__CAFILE"] = certificate
    node.start()
    cid, data = node.add(7, 3 * MIB)
    node.wait("the claim", lambda: node.tier()["up"])
    node.hearth("tier", "move", "-r", "--to", "cold", cid)
    node.restart()
    assert node.hearth("cat", cid) == data
