# SPDX-License-Identifier: MIT
"""A daemon with three tiers whose blocks are stored once and then begun with again and again, and clients that read from it."""
import base64
import json
import os
import shutil
import threading
import time

from peers import Hearth
from slow_bucket import Bucket
from sp_client import Requester

WRITERS = 16
SETTINGS = {"HEARTH_TIERS__SETTLETIME": "1s", "HEARTH_TIERS__COLD__PACKBYTES": "1MiB", "HEARTH_TIERS__DEMOTERATE": "64MiB",
            "HEARTH_TIERS__COLD__REQUESTRATE": "10000", "HEARTH_TIERS__COLD__REQUESTBURST": "10000", "HEARTH_MEMORY__BUDGET": "64MiB",
            "HEARTH_DATASTORE__STORAGEGCWATERMARK": "0"}


class Client:
    """A connection to the control socket of a daemon."""

    def __init__(self, node):
        self.requester = Requester(os.path.join(node.peer.repo, "run", "control.sock"), 120)

    def timed(self, op, **args):
        """(answer, seconds). On a busy machine the daemon may open its control socket anew: then once more."""
        request = json.dumps({"op": op, "args": args, "timeout_ms": 100000}).encode()
        for _ in range(2):
            began = time.monotonic()
            answer = self.requester.ask(request)
            took = time.monotonic() - began
            if answer is not None:
                return json.loads(answer), took
            self.requester.open()
        raise RuntimeError(f"{op}: no answer")

    def ask(self, op, **args):
        return self.timed(op, **args)[0]

    def put(self, data):
        """Tried again while room is made; with the disk slow and full of blocks that are not committed yet, the daemon may say that there is none to make."""
        for _ in range(1200):
            answer = self.ask("block put", data="u" + base64.urlsafe_b64encode(data).decode().rstrip("="))
            if answer["ok"]:
                return answer["result"]["cid"]
            if answer["error"]["code"] not in ("busy", "no_space"):
                raise RuntimeError(f"block put: {answer['error']}")
            time.sleep(0.1)
        raise RuntimeError("block put: no room for two minutes")

    def tiers(self):
        return {row["tier"]: row for row in self.ask("tier ls")["result"]["tiers"]}

    def close(self):
        self.requester.close()


def together(clients, work, items):
    """Each client takes the next item when it is done with its last: work(client, item). What went wrong is raised here."""
    rest, lock, problems = iter(items), threading.Lock(), []

    def run(client):
        try:
            while not problems:
                with lock:
                    item = next(rest, None)
                if item is None:
                    return
                work(client, item)
        except Exception as problem:  # told below, by whoever waits
            problems.append(problem)

    threads = [threading.Thread(target=run, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise problems[0]


class TieredNode:
    """Its cold tier is a bucket that answers after latency_s, or a folder when that is None."""

    def __init__(self, lab, name, latency_s, storage_max):
        more = {"HEARTH_DATASTORE__STORAGEMAX": str(storage_max), **SETTINGS}
        self.bucket = None if latency_s is None else Bucket(latency_s)
        if self.bucket is not None:
            lab.stack.callback(self.bucket.close)
            more.update(HEARTH_TIERS__COLD__KIND="s3", HEARTH_TIERS__COLD__ENDPOINT=self.bucket.endpoint, HEARTH_TIERS__COLD__BUCKET="bench",
                        HEARTH_TIERS__COLD__PREFIX=f"{name}/", HEARTH_TIERS__COLD__ACCESSKEY="key", HEARTH_TIERS__COLD__SECRETKEY="secret")
        self.peer = Hearth(lab, name=name, listen=(), **more)
        if self.bucket is None:
            folder = os.path.join(self.peer.home, "cold")
            os.makedirs(folder)
            self.peer.env.update(HEARTH_TIERS__COLD__KIND="directory", HEARTH_TIERS__COLD__PATH=folder)
        self.kept = f"{self.peer.home}-kept"
        self.env = dict(self.peer.env)

    def start(self, count, **settings):
        """Its clients. The settings are of this start alone."""
        self.peer.env = {**self.env, **settings}
        self.peer.start()
        return [Client(self) for _ in range(count)]

    def stop(self, clients):
        for client in clients:
            client.close()
        self.peer.stop()

    def fill(self, blocks):
        """Stores blocks, which fills the disk and the cold tier; what is known of their use is not kept."""
        clients = []
        try:
            clients = self.start(WRITERS)
            together(clients, lambda client, block: client.put(block), blocks)
            for _ in range(900):
                if clients[0].tiers()["disk"].get("waiting", 0) == 0:
                    break
                time.sleep(0.1)
        finally:
            self.stop(clients)
        for name in os.listdir(self.peer.repo):
            if name.startswith("heat.db"):
                os.remove(os.path.join(self.peer.repo, name))
        os.rename(self.peer.home, self.kept)
        if self.bucket is not None:
            self.bucket.keep()

    def back(self):
        """As it was after fill()."""
        shutil.rmtree(self.peer.home, ignore_errors=True)
        shutil.copytree(self.kept, self.peer.home)
        if self.bucket is not None:
            self.bucket.back()
