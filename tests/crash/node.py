# SPDX-License-Identifier: MIT
"""A real daemon that is killed: starts it in a repository of its own, runs commands against it, ends it with SIGKILL while they run."""
import fcntl
import os
import re
import shutil
import signal
import subprocess
import threading
import time

READY_S = 30
COMMAND_S = 90


class Killed(Exception):
    """The daemon was killed beneath a command."""


def wait_for_lock(path):
    """A process that was killed in the middle of a sync ends when that does, on a busy disk seconds later."""
    deadline = time.monotonic() + READY_S
    while path.exists():
        with open(path, "rb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise RuntimeError(f"{path} is still held {READY_S} s after its owner was killed")
        time.sleep(0.02)


class Node:
    """One repository and, while it runs, its daemon; on loopback only."""

    all = []

    def __init__(self, build, root, name, **settings):
        self.hearth = str(build / "hearth")
        self.path = root / name
        self.path.mkdir(mode=0o700)
        env = {key: value for key, value in os.environ.items() if not key.startswith("HEARTH_")}
        self.env = dict(env, HEARTH_PATH=str(self.path), HEARTH_ADDRESSES__SWARM="/ip4/127.0.0.1/tcp/0", HEARTH_BOOTSTRAP="",
                        HEARTH_DISCOVERY__MDNS="false", **settings)
        self.process = None
        self.address = None
        self.dying = threading.Event()
        self.log = open(root / f"{name}.log", "ab")
        Node.all.append(self)

    def clear(self):
        """An empty folder again."""
        shutil.rmtree(self.path)
        self.path.mkdir(mode=0o700)

    # ---- the daemon ----

    def spawn(self):
        """Starts the daemon; the event is set when it is ready or has ended."""
        self.dying.clear()
        self.address = None
        backend = ["--backend", os.environ["BACKEND"]] if "BACKEND" in os.environ else []
        self.process = subprocess.Popen([self.hearth, "daemon", *backend], env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, start_new_session=True)
        settled = threading.Event()
        threading.Thread(target=self._read, args=(self.process.stdout, settled), daemon=True).start()
        return settled

    def start(self):
        settled = self.spawn()
        if not settled.wait(READY_S) or self.address is None:
            self.kill()
            raise RuntimeError(f"{self.path.name}: not ready within {READY_S} s: {self.said()}")

    def refuses_to_start(self, why):
        """True when the daemon ends by itself and says why."""
        settled = self.spawn()
        settled.wait(READY_S)
        refused = self.address is None and self.process.wait(READY_S) != 0 and re.search(why, self.said())
        self.kill()
        return refused

    def said(self):
        with open(self.log.name, errors="replace") as log:
            return log.read()[-600:]

    def _read(self, out, settled):
        peer = address = None
        for line in out:
            text = line.decode(errors="replace")
            self.log.write(line)
            self.log.flush()
            found = re.search(r"PeerID: (\S+)", text)
            peer = found.group(1) if found else peer
            found = re.search(r"listening on (/ip4/127\.0\.0\.1/tcp/\d+)", text, re.I)
            address = found.group(1) if found else address
            if "Daemon is ready" in text:
                self.address = f"{address}/p2p/{peer}"
                settled.set()
        settled.set()

    def kill(self):
        """SIGKILL to the daemon and its nanny at once: nothing of it may tidy up."""
        if self.process is None:
            return
        self.dying.set()
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self.process = None
        for name in ("daemon.lock", "repo.lock"):
            wait_for_lock(self.path / name)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(15)
            self.process = None
        except subprocess.TimeoutExpired:
            self.kill()
            raise RuntimeError(f"{self.path.name}: did not stop within 15 s")

    # ---- commands ----

    def client(self, *args):
        return subprocess.Popen([self.hearth, *args], env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE)

    def run(self, *args, check=True):
        done = subprocess.run([self.hearth, *args], env=self.env, stdin=subprocess.DEVNULL, capture_output=True, timeout=COMMAND_S)
        if check and done.returncode != 0:
            raise RuntimeError(f"hearth {' '.join(args)}: exit {done.returncode}: {done.stderr.decode(errors='replace')}")
        return done

    def failed(self, why):
        """A command failed: because the daemon was killed beneath it, or else that is an error."""
        raise Killed(why) if self.dying.is_set() else RuntimeError(why)

    def do(self, *args):
        """What the command prints, once it has ended well; else failed()."""
        done = self.run(*args, check=False)
        if done.returncode != 0:
            self.failed(f"hearth {' '.join(args)}: exit {done.returncode}: {done.stderr.decode(errors='replace')}")
        return done.stdout.decode()

    def kill_during(self, work, seconds, before_kill=lambda: None):
        """Runs work in a thread and kills the daemon so many seconds later. How long work took if it ended before that, else None."""
        ended, errors = [], []
        began = time.monotonic()

        def run():
            try:
                work()
                ended.append(time.monotonic() - began)
            except Killed:
                pass
            except Exception as error:  # told by the thread that waits
                errors.append(error)
        thread = threading.Thread(target=run)
        thread.start()
        thread.join(seconds)
        cut = thread.is_alive()
        self.dying.set()
        before_kill()
        self.kill()
        thread.join(COMMAND_S + 5)
        if thread.is_alive():
            raise RuntimeError("a client hangs after its daemon was killed")
        if errors:
            raise errors[0]
        return None if cut or not ended else ended[0]
