# SPDX-License-Identifier: MIT
"""The peers that the cases drive: Kubo, Helia and hearth, behind one interface.

Each is a private node on loopback with random ports and its own directory. It
runs in a process group of its own, dies with this program (parent-death
signal), and is ended only by its own pid. Every call takes a deadline.

With host=... (segment.py) a peer runs in that network namespace instead and
looks for others by mDNS, unless mdns=False.
"""
import collections
import contextlib
import ctypes
import http.client
import itertools
import json
import os
import re
import signal
import subprocess
import threading
import time
import urllib.parse

from harness import Deadline, Failed, Timeout, expect, wait_until
from segment import enter
from tools import HERE

PROFILES = ("unixfs-v1-2025", "unixfs-v0-2015")
LOOPBACK = "/ip4/127.0.0.1/tcp/0"
START_SECONDS, CALL_SECONDS, STOP_SECONDS = 60, 30, 15
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)


def die_with_parent():
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Process:
    """A child process whose lines of output are kept, with waiting by deadline."""

    def __init__(self, name, arguments, env, cwd, stdin=subprocess.DEVNULL, host=None):
        def prepare():
            die_with_parent()
            if host is not None:
                enter(host.namespace)

        self.name = name
        self.lines = collections.deque(maxlen=500)
        self.changed = threading.Condition()
        # pylint: disable=subprocess-popen-preexec-fn  # the hook calls prctl and setns only
        self.child = subprocess.Popen(arguments, env=env, cwd=cwd, stdin=stdin, stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE, text=True, errors="replace",
                                      start_new_session=True, preexec_fn=prepare)
        self.readers = [threading.Thread(target=self.read, args=(stream, kind), daemon=True)
                        for stream, kind in ((self.child.stdout, "out"), (self.child.stderr, "err"))]
        for reader in self.readers:
            reader.start()

    def read(self, stream, kind):
        for line in stream:
            with self.changed:
                self.lines.append((kind, line.rstrip("\n")))
                self.changed.notify_all()
        with self.changed:
            self.changed.notify_all()

    def tail(self, count=3):
        with self.changed:
            return " | ".join(text for _, text in list(self.lines)[-count:])

    def take(self, kind, seconds, what, accept):
        """Removes and returns the first kept line of `kind` that accept() likes."""
        deadline = Deadline(seconds, f"{self.name}: {what}")
        with self.changed:
            while True:
                for index, (at, text) in enumerate(self.lines):
                    if at == kind and accept(text):
                        del self.lines[index]
                        return text
                if self.child.poll() is not None and not any(r.is_alive() for r in self.readers):
                    raise Failed(f"{self.name} ended with {self.child.returncode}: {self.tail_locked()}")
                self.changed.wait(min(0.5, deadline.left()))

    def tail_locked(self):
        return " | ".join(text for _, text in list(self.lines)[-3:])

    def wait_line(self, pattern, seconds):
        found = re.compile(pattern)
        return self.take("out", seconds, f"no line '{pattern}'", found.search)

    def stop(self):
        """SIGTERM to this child; SIGKILL when it does not go. Returns the seconds it took."""
        began = time.monotonic()
        if self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait(STOP_SECONDS)
        for reader in self.readers:
            reader.join(5)
        for stream in (self.child.stdin, self.child.stdout, self.child.stderr):
            if stream is not None:
                stream.close()
        return time.monotonic() - began


def plain_environment(home, **more):
    """No proxies, no user settings: what a peer sees is only what the case gives it."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR", "ASAN_OPTIONS", "UBSAN_OPTIONS",
                                                "TSAN_OPTIONS", "LSAN_OPTIONS") if name in os.environ}
    return {**kept, "HOME": home, **more}


def command(arguments, env, cwd, seconds, what):
    """Runs a short command; returns (exit status, stdout, stderr)."""
    try:
        done = subprocess.run(arguments, env=env, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, errors="replace", timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        raise Timeout(f"{what}: nothing within {seconds:g} s") from None
    return done.returncode, done.stdout, done.stderr


class Peer:
    """What cases may ask of any peer. Addresses end in /p2p/<peer id>."""

    label = "peer"
    id = ""
    addrs = ()
    host = None  # a network of its own, with mDNS: segment.Host
    prefix = ()  # a command that the peer is started behind, such as names.Zone.prefix()

    @property
    def addr(self):
        """The address to dial, IPv4 TCP: on loopback, or where its host is seen by others."""
        at = "127.0.0.1" if self.host is None else self.host.address
        return next(a for a in self.addrs if a.startswith(f"/ip4/{at}/tcp/") and "/ws" not in a)

    @property
    def port(self):
        return int(self.addr.split("/")[4])

    def addr_like(self, pattern):
        """The first address that the regular expression matches."""
        found = next((a for a in self.addrs if re.search(pattern, a)), None)
        expect(found is not None, f"{self.label} has no address like {pattern}: {self.addrs}")
        return found

    def inside(self):
        """For what must happen in the peer's network."""
        return contextlib.nullcontext() if self.host is None else self.host.inside()

    def fetch_absent(self, cid, out, seconds):
        """get() of something that must not be here yet; returns the seconds it took."""
        expect(not self.has(cid), f"{self.label} had {cid} before the fetch")
        began = time.monotonic()
        self.get(cid, out, seconds)
        return time.monotonic() - began

    def fetch_block_absent(self, cid, out, seconds=CALL_SECONDS):
        expect(not self.has(cid), f"{self.label} had {cid} before the fetch")
        began = time.monotonic()
        self.block_get(cid, out, seconds)
        return time.monotonic() - began


# --- Kubo -------------------------------------------------------------------------

class Kubo(Peer):
    """Kubo's daemon, driven by its HTTP RPC."""

    def __init__(self, lab, profile=PROFILES[0], security=("noise", "tls"), key="ed25519", name="kubo",
                 listen=(LOOPBACK,), prefix=(), host=None, swarm_key=None, routing="none", bootstrap=(), mdns=True):
        self.swarm_key = swarm_key  # the text of a private network's key file
        self.bootstrap, self.mdns = list(bootstrap), mdns and host is not None
        self.lab, self.profile, self.security, self.key = lab, profile, security, key
        self.routing = routing
        self.listen, self.prefix, self.host = listen, prefix, host
        self.label = name
        self.ipfs = lab.tools.bring("kubo")
        self.home = lab.directory(name)
        self.repo = os.path.join(self.home, "repo")
        self.env = plain_environment(self.home, IPFS_PATH=self.repo, IPFS_TELEMETRY="off",
                                     GOLOG_LOG_LEVEL="error" if host is None else "error,p2pnode=info")
        self.process = None
        self.rpc_at = None
        self.agent = ""
        self.protocols = ()

    def configure(self):
        """As in the private set-up of the wire notes: nothing that leaves the loopback."""
        status, _, problem = command([self.ipfs, "init", "--empty-repo", f"--algorithm={self.key}",
                                      f"--profile=test,{self.profile}"], self.env, self.home, START_SECONDS, "ipfs init")
        expect(status == 0, f"ipfs init: {problem.strip()}")
        path = os.path.join(self.repo, "config")
        with open(path, encoding="utf-8") as kept:
            config = json.load(kept)
        config["Addresses"]["Swarm"] = list(self.listen)
        swarm = config.setdefault("Swarm", {})
        swarm["Transports"] = {
            "Network": {"QUIC": False, "WebTransport": False, "WebRTCDirect": False, "Relay": False},
            # a number is a priority: lower is asked first; False switches off
            "Security": {"TLS": 100 if "tls" in self.security else False,
                         "Noise": 200 if "noise" in self.security else False}}
        swarm.update({"RelayClient": {"Enabled": False}, "RelayService": {"Enabled": False},
                      "EnableHolePunching": False, "ResourceMgr": {"Enabled": False}, "DisableNatPortMap": True})
        config.update({"AutoConf": {"Enabled": False}, "AutoTLS": {"Enabled": False}, "Bootstrap": self.bootstrap,
                       "HTTPRetrieval": {"Enabled": False}, "Provide": {"Enabled": self.routing != "none"},
                       "Routing": {"Type": self.routing, "DelegatedRouters": [],
                                   "LoopbackAddressesOnLanDHT": self.routing != "none"}, "DNS": {"Resolvers": {}}, "Version": {"SwarmCheckEnabled": False},
                       "Ipns": {**config.get("Ipns", {}), "DelegatedPublishers": []},
                       "Discovery": {"MDNS": {"Enabled": self.mdns}}})
        if self.swarm_key is not None:
            swarm["Transports"]["Network"]["Websocket"] = False  # it shares the TCP port, which pnet does not allow
            with open(os.path.join(self.repo, "swarm.key"), "w", encoding="ascii") as kept:
                kept.write(self.swarm_key)
        self.configure_more(config)
        with open(path, "w", encoding="utf-8") as kept:
            json.dump(config, kept, indent=1)

    def configure_more(self, config):
        """For those who want other settings."""

    def init(self):
        """Makes the repository only, for commands that need no daemon."""
        self.configure()
        return self

    def start(self):
        self.configure()
        self.process = Process(self.label, [*self.prefix, self.ipfs, "daemon"], self.env, self.home,
                               host=self.host)
        self.process.wait_line("^Daemon is ready", START_SECONDS)
        with open(os.path.join(self.repo, "api"), encoding="ascii") as kept:
            _, _, host, _, port = kept.read().strip().split("/")[:5]
        self.rpc_at = (host, int(port))
        about = self.rpc("id")
        self.id, self.addrs = about["ID"], about["Addresses"]
        self.agent, self.protocols = about["AgentVersion"], about["Protocols"]
        self.lab.tools.versions["kubo"] = self.agent
        return self

    def stop(self):
        if self.process is not None:
            self.process.stop()

    # The RPC streams; `sink` gets the body piece by piece, else it is JSON.
    def rpc(self, path, *arguments, seconds=CALL_SECONDS, sink=None, body=None, content_type=None, **options):
        deadline = Deadline(seconds, f"{self.label}: {path}")
        query = [("arg", value) for value in arguments]
        query += [(name.replace("_", "-"), str(value).lower() if isinstance(value, bool) else value)
                  for name, value in options.items()]
        http_at = http.client.HTTPConnection(*self.rpc_at, timeout=seconds)
        try:
            with self.inside():
                http_at.connect()
            http_at.request("POST", f"/api/v0/{path}?{urllib.parse.urlencode(query)}", body=body,
                            headers={"Content-Type": content_type} if content_type else {})
            answer = http_at.getresponse()
            if answer.status != 200:
                raise Failed(f"{self.label}: {path}: {answer.read(4096).decode(errors='replace').strip()}")
            if sink is None:
                return self.decoded(answer.read())
            while piece := answer.read1(1 << 20):
                sink(piece)
                deadline.left()
            if answer.headers.get("X-Stream-Error"):
                raise Failed(f"{self.label}: {path}: {answer.headers['X-Stream-Error']}")
            return None
        except (TimeoutError, http.client.HTTPException) as problem:
            raise Timeout(f"{self.label}: {path}: {problem or 'nothing'} within {seconds:g} s") from None
        finally:
            http_at.close()

    @staticmethod
    def decoded(body):
        """One JSON value, or a list when the answer is a stream of several."""
        text = body.decode()
        values, at, decoder = [], 0, json.JSONDecoder()
        while at < len(text):
            if text[at].isspace():
                at += 1
                continue
            value, at = decoder.raw_decode(text, at)
            values.append(value)
        return values[0] if len(values) == 1 else values

    def ipfs_command(self, *arguments, seconds=CALL_SECONDS):
        with self.inside():
            status, out, problem = command([self.ipfs, *arguments], self.env, self.home, seconds,
                                           f"ipfs {arguments[0]}")
        expect(status == 0, f"{self.label}: ipfs {' '.join(arguments[:2])}: {problem.strip()}")
        return out

    def ipfs_failure(self, *arguments, seconds=CALL_SECONDS):
        """What a command that must fail says."""
        status, _, problem = command([self.ipfs, *arguments], self.env, self.home, seconds, f"ipfs {arguments[0]}")
        expect(status != 0, f"{self.label}: ipfs {' '.join(arguments[:2])} succeeded")
        return problem

    def connect(self, addr, seconds=CALL_SECONDS):
        self.rpc("swarm/connect", addr, seconds=seconds)

    def disconnect(self, addr):
        self.rpc("swarm/disconnect", addr)

    def connections(self, peer=None):
        """[{peer, addr, direction, protocols, agent}], as identify told."""
        found = self.rpc("swarm/peers", verbose=True, identify=True)["Peers"] or []
        return [{"peer": p["Peer"], "addr": p["Addr"], "direction": "inbound" if p["Direction"] == 1 else "outbound",
                 "protocols": p["Identify"]["Protocols"] or [], "agent": p["Identify"]["AgentVersion"]}
                for p in found if peer in (None, p["Peer"])]

    def identified(self, peer, seconds=CALL_SECONDS):
        """What the peer's identify said: {agent, protocols, addrs}."""
        def told():
            about = self.rpc("id", peer)
            return about if about["Protocols"] else None
        about = wait_until(f"{self.label}: identify of {peer}", seconds, told)
        return {"agent": about["AgentVersion"], "protocols": about["Protocols"], "addrs": about["Addresses"] or []}

    def ping(self, peer, count=3, seconds=CALL_SECONDS):
        """Mean round trip in milliseconds."""
        replies = self.rpc("ping", peer, count=count, seconds=seconds)
        times = [r["Time"] for r in replies if r["Success"] and r["Time"]]
        expect(len(times) == count, f"{self.label}: {len(times)} of {count} pings answered: {replies}")
        return sum(times) / count / 1e6

    def add(self, path, seconds=CALL_SECONDS):
        return self.ipfs_command("add", "-r", "-Q", "--pin=false", path, seconds=seconds).strip()

    def get(self, cid, out, seconds):
        """A file is streamed by `cat`, a directory written by `ipfs get`."""
        if self.rpc("files/stat", f"/ipfs/{cid}", seconds=seconds)["Type"] == "directory":
            self.ipfs_command("get", "-o", out, cid, seconds=seconds)
            return
        with open(out, "wb") as file:
            self.rpc("cat", cid, seconds=seconds, sink=file.write)

    def has(self, cid):
        try:
            self.rpc("block/stat", cid, offline=True)
            return True
        except Failed as problem:
            if "not found" in str(problem):
                return False
            raise

    def ls(self, cid, seconds=CALL_SECONDS):
        links = self.rpc("ls", cid, seconds=seconds)["Objects"][0]["Links"]
        return sorted(link["Name"] for link in links)

    def block_put(self, path, codec="raw"):
        return self.ipfs_command("block", "put", "--allow-big-block", f"--cid-codec={codec}", path).strip()

    def block_get(self, cid, out, seconds=CALL_SECONDS):
        with open(out, "wb") as file:
            self.rpc("block/get", cid, seconds=seconds, sink=file.write)

    def bitswap_stat(self):
        return self.rpc("bitswap/stat")


# --- Helia ------------------------------------------------------------------------

class Helia(Peer):
    """A Helia node in node 22, driven by JSON lines (helia/peer.mjs).

    security: ("noise",), ("tls",) or both; early_muxers False makes it name no
    muxer in the security handshake; stream_idle_ms resets idle streams;
    socket_idle_ms closes idle sockets; dht is "lan" or "wan", which it
    serves unless dht_client is True."""

    def __init__(self, lab, name="helia", profile=PROFILES[0], prefix=(), host=None, mdns=True, **options):
        self.lab, self.label, self.profile = lab, name, profile
        self.prefix, self.host = prefix, host
        self.options = {**options, "mdns": mdns and host is not None}
        self.node = lab.tools.bring("helia")
        self.home = lab.directory(name)
        self.process = None
        self.numbers = itertools.count(1)
        self.listening = ()
        self.agent = ""
        self.protocols = ()

    def start(self):
        self.process = Process(self.label, [*self.prefix, self.node, os.path.join(HERE, "helia", "peer.mjs")],
                               plain_environment(self.home), self.home, stdin=subprocess.PIPE, host=self.host)
        about = self.call("start", seconds=START_SECONDS, **self.options)
        self.id, self.addrs, self.listening = about["peer"], about["addrs"], about["listening"]
        self.agent, self.protocols = f"{about['agent']} (node {about['node']})", about["protocols"]
        self.lab.tools.versions["helia"] = self.agent
        return self

    def stop(self):
        if self.process is None:
            return
        try:
            self.call("stop", seconds=5)
            self.process.child.wait(5)
        except (Failed, subprocess.TimeoutExpired, OSError, ValueError):
            pass  # it has ended before; or stop() below ends it in any case
        self.process.stop()

    def call(self, operation, seconds=CALL_SECONDS, **arguments):
        number = next(self.numbers)
        request = {"id": number, "op": operation, "timeout_ms": int(seconds * 1000), **arguments}
        try:
            self.process.child.stdin.write(json.dumps(request) + "\n")
            self.process.child.stdin.flush()
        except OSError:
            raise Failed(f"{self.label} has ended: {self.process.tail()}") from None
        mark = f'"id":{number},'
        line = self.process.take("out", seconds + 5, f"no answer to {operation}", lambda text: mark in text)
        answer = json.loads(line)
        expect(answer["ok"], f"{self.label}: {operation}: {answer.get('error')}")
        return answer

    def connect(self, addr, seconds=CALL_SECONDS, force=False):
        return self.call("connect", seconds, addr=addr, force=force)

    def disconnect(self, addr, abort=False):
        self.call("disconnect", peer=addr.rsplit("/", 1)[1], abort=abort)

    def connections(self, peer=None):
        return self.call("connections", peer=peer)["connections"]

    def identified(self, peer, seconds=CALL_SECONDS):
        return self.call("identified", seconds, peer=peer)["identify"]

    def discovered(self, peer, seconds=CALL_SECONDS):
        """Waits until mDNS has found the peer; returns the addresses that it was found at."""
        return self.call("discovered", seconds, peer=peer)["addrs"]

    def inbound_streams(self):
        """[{protocol, peer, at_ns}]; at_ns is CLOCK_MONOTONIC, as time.monotonic_ns()."""
        return self.call("inbound")["streams"]

    def provide(self, cid, seconds=CALL_SECONDS):
        self.call("provide", seconds, cid=cid)

    def providers(self, cid, count, seconds=CALL_SECONDS):
        return set(self.call("providers", seconds, cid=cid, count=count)["peers"])

    def find_peer(self, peer, seconds=CALL_SECONDS):
        """The addresses that its DHT knows of a peer."""
        return self.call("find_peer", seconds, peer=peer)["addrs"]

    def key_gen(self, key, kind):
        """Ed25519, RSA, ECDSA or secp256k1, for publish."""
        self.call("key_gen", key=key, type=kind)

    def publish(self, key, path, seconds=CALL_SECONDS):
        """Under a key of its keychain, made when there is none; returns the name."""
        return self.call("publish", seconds, key=key, path=path)["name"].removeprefix("/ipns/")

    def resolve(self, name, seconds=CALL_SECONDS):
        return self.call("resolve", seconds, name=name)["path"]

    def dht_peers(self):
        """The ids in its routing table."""
        return set(self.call("dht_peers")["peers"])

    def spoil(self, seconds=CALL_SECONDS):
        """Makes it a liar: all blocks that it holds have wrong bytes from now on. Returns how many."""
        return self.call("spoil", seconds)["blocks"]

    def ping(self, peer, count=3, seconds=CALL_SECONDS):
        return sum(self.call("ping", seconds, peer=peer)["ms"] for _ in range(count)) / count

    def add(self, path, seconds=CALL_SECONDS, profile=None):
        return self.call("add", seconds, path=path, profile=profile or self.profile)["cid"]

    def get(self, cid, out, seconds):
        self.call("get", seconds, cid=cid, out=out)

    def has(self, cid):
        return self.call("has", cid=cid)["has"]

    def ls(self, cid, seconds=CALL_SECONDS):
        return sorted(entry["name"] for entry in self.call("ls", seconds, cid=cid)["entries"])

    def presence(self, cid, peer, seconds=CALL_SECONDS):
        """Asks the peer WANT_HAVE with sendDontHave; True for HAVE, False for DONT_HAVE."""
        return self.call("presence", seconds, cid=cid, peer=peer)["has"]

    def block_put(self, path, codec="raw"):
        return self.call("block_put", path=path, codec=codec)["cid"]

    def block_get(self, cid, out, seconds=CALL_SECONDS):
        self.call("block_get", seconds, cid=cid, out=out)


# --- hearth -----------------------------------------------------------------------

class Hearth(Peer):
    """hearth's daemon, driven by its own command line as a user would."""

    TIMED_OUT, NOT_FOUND = 124, 4

    def __init__(self, lab, profile=PROFILES[0], name="hearth", listen=(LOOPBACK,), prefix=(), host=None, bootstrap=(), mdns=True,
                 flags=(), **settings):
        self.lab, self.profile, self.label, self.prefix, self.host = lab, profile, name, prefix, host
        self.flags = flags  # of the daemon
        self.binary = lab.tools.bring("hearth")
        self.home = lab.directory(name)
        self.repo = os.path.join(self.home, "repo")
        if host is None or not mdns:  # it is on by itself
            settings = {"HEARTH_DISCOVERY__MDNS": "false", **settings}
        settings = {"HEARTH_ROUTING__TYPE": "none", **settings}
        self.env = plain_environment(
            self.home, HEARTH_PATH=self.repo, HEARTH_ADDRESSES__SWARM=",".join(listen),
            HEARTH_ADDRESSES__GATEWAY="", HEARTH_BOOTSTRAP=",".join(bootstrap), **settings)
        self.process = None

    def start(self):
        backend = ["--backend", os.environ["BACKEND"]] if "BACKEND" in os.environ else []
        self.process = Process(self.label, [*self.prefix, self.binary, "daemon", *backend, *self.flags], self.env, self.home,
                               host=self.host)
        self.process.wait_line("^Daemon is ready", START_SECONDS)
        about = json.loads(self.hearth("id", "--enc=json"))
        about = {name.replace("_", "").lower(): value for name, value in about.items()}
        self.id = about["id"]
        self.addrs = [a if "/p2p/" in a else f"{a}/p2p/{self.id}" for a in about["addresses"]]
        self.lab.tools.versions["hearth"] = about["agentversion"]
        return self

    def stop(self):
        if self.process is not None:
            self.process.stop()

    def try_hearth(self, *arguments, seconds=CALL_SECONDS):
        return command([self.binary, *arguments], self.env, self.home, seconds,
                       f"{self.label}: hearth {' '.join(arguments[:2])}")

    def hearth(self, *arguments, seconds=CALL_SECONDS):
        status, out, problem = self.try_hearth(*arguments, seconds=seconds)
        expect(status == 0, f"{self.label}: hearth {' '.join(arguments[:3])}: exit {status}: {problem.strip()}")
        return out

    def memory_bytes(self, what):
        """VmHWM (peak) or VmRSS (now) of the daemon: the largest of the nanny and its child."""
        def tree(pid):
            yield pid
            try:
                with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as kept:
                    below = kept.read().split()
            except OSError:
                return
            for child in below:
                yield from tree(int(child))
        largest = 0
        for pid in tree(self.process.child.pid):
            with open(f"/proc/{pid}/status", encoding="ascii") as kept:
                largest = max(largest, *(int(line.split()[1]) * 1024 for line in kept if line.startswith(what)))
        return largest

    def connect(self, addr, seconds=CALL_SECONDS):
        self.hearth("swarm", "connect", addr, seconds=seconds)

    def disconnect(self, addr):
        self.hearth("swarm", "disconnect", addr)

    def connected(self, peer):
        return peer in self.hearth("swarm", "peers")

    def mdns(self):
        return json.loads(self.hearth("swarm", "mdns", "--enc=json"))

    def events(self):
        return json.loads(self.hearth("events", "-n", "200", "--enc=json"))["events"]

    def ping(self, peer, count=3, seconds=CALL_SECONDS):
        out = self.hearth("ping", "-n", str(count), peer, seconds=seconds)
        times = [float(value) for value in re.findall(r"time=([\d.]+) ?ms", out)]
        expect(len(times) == count, f"{self.label}: {len(times)} of {count} pings answered: {out.strip()}")
        return sum(times) / count

    def profile_flags(self):
        """unixfs-v1-2025 is the default; one flag gives the other."""
        return [] if self.profile == PROFILES[0] else [f"--profile={self.profile}"]

    def add(self, path, seconds=CALL_SECONDS):
        recursive = ["-r"] if os.path.isdir(path) else []
        return self.hearth("add", "-Q", *recursive, *self.profile_flags(), path, seconds=seconds).strip()

    def only_hash(self, path, seconds=CALL_SECONDS):
        return self.hearth("add", "-r", "-Q", "--only-hash", *self.profile_flags(), path, seconds=seconds).strip()

    def get(self, cid, out, seconds):
        self.hearth("get", cid, "-o", out, seconds=seconds)

    def ls(self, cid, seconds=CALL_SECONDS):
        out = self.hearth("ls", cid, seconds=seconds)
        return sorted(line.split(maxsplit=2)[2] for line in out.splitlines())

    def has(self, cid):
        status, _, problem = self.try_hearth("--offline", "block", "stat", cid)
        if status in (0, self.NOT_FOUND):
            return status == 0
        raise Failed(f"{self.label}: hearth --offline block stat: exit {status}: {problem.strip()}")

    def block_put(self, path, codec="raw"):
        return self.hearth("block", "put", f"--cid-codec={codec}", path).strip()

    def block_get(self, cid, out, seconds=CALL_SECONDS):
        with open(out, "wb") as file:
            try:
                done = subprocess.run([self.binary, "block", "get", cid], env=self.env, cwd=self.home,
                                      stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.PIPE,
                                      timeout=seconds, check=False)
            except subprocess.TimeoutExpired:
                raise Timeout(f"{self.label}: block get {cid}: nothing within {seconds:g} s") from None
        expect(done.returncode == 0, f"{self.label}: block get {cid}: exit {done.returncode}: "
                                     f"{done.stderr.decode(errors='replace').strip()}")
