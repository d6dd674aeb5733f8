#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Builds the image of deploy/Dockerfile and tries what docs/container.md promises, with buildah and podman (no engine in the background).

Needs root. A base image that is not there yet is made by debootstrap, so that no image registry is needed. Where containers cannot be
built or run it says so and skips. Usage: tests/image/run.py; HEARTH_BUILD names the build folder whose `hearth` asks from outside.
"""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HEARTH = os.path.join(TOP, os.environ.get("HEARTH_BUILD", "build"), "hearth")
BASE, IMAGE = "docker.io/library/debian:bookworm-slim", "localhost/hearth"
ABOVE_BASE_MAX = 40 << 20
UID, READER_UID, READER_GID, STRANGER_UID = 1000, 4242, 4243, 5151
START_S, DRAIN_S, COMMAND_S, BUILD_S, BUCKET_S = 30, 10, 60, 1800, 30
LIMIT_MIB, SMALLER_MIB = 64, 48
counts = {"ok": 0, "FAIL": 0, "SKIP": 0}


def say(word, name, reason=""):
    counts[word] += 1
    print(f"{word:<5} {name}{': ' + reason if reason else ''}", flush=True)


def check(name, good, detail=""):
    say("ok" if good else "FAIL", name, "" if good else " ".join(str(detail).split())[:600])
    return good


def finish():
    print(f"{counts['ok']} passed, {counts['FAIL']} failed, {counts['SKIP']} skipped")
    sys.exit(1 if counts["FAIL"] else 0)


def skip_all(reason):
    say("SKIP", "the container image", reason)
    finish()


def call(*command, data=b"", timeout=COMMAND_S, uid=None, gids=None, env=None):
    """(exit status or None after the deadline, stdout, stderr), as another user where uid is given"""
    options = {} if uid is None else {"user": uid, "group": (gids or [uid])[0], "extra_groups": gids or []}
    try:
        done = subprocess.run(command, input=data, capture_output=True, timeout=timeout, env=env, cwd="/", **options)
    except subprocess.TimeoutExpired:
        return None, b"", f"no end within {timeout} s"
    return done.returncode, done.stdout, done.stderr.decode(errors="replace")


def podman(*words, **options):
    return call("podman", "--runtime", "runc", *words, **options)


# ---- building ----

def make_base():
    """A minimal Debian under the name that the Dockerfile begins with; one that was pulled is used as it is."""
    if podman("image", "exists", BASE)[0] == 0:
        return
    with tempfile.TemporaryDirectory(prefix="hearth-base-") as root:
        print(f"# making {BASE} by debootstrap", flush=True)
        code, out, err = call("debootstrap", "--variant=minbase", "bookworm", root, timeout=BUILD_S)
        if code != 0:
            skip_all(f"debootstrap cannot make the base: {(out.decode() + err)[-300:]}")
        for folder in ("var/lib/apt/lists", "var/cache/apt", "var/log", "usr/share/doc", "usr/share/man", "usr/share/locale"):
            shutil.rmtree(os.path.join(root, folder), ignore_errors=True)
            os.makedirs(os.path.join(root, folder), exist_ok=True)
        tar = subprocess.Popen(["tar", "-C", root, "-c", "."], stdout=subprocess.PIPE)
        done = subprocess.run(["podman", "import", "-", BASE], stdin=tar.stdout, capture_output=True)
        if tar.wait() != 0 or done.returncode != 0:
            skip_all(f"podman cannot import the base: {done.stderr.decode()[-300:]}")


def build():
    began = time.monotonic()
    code, out, err = call("buildah", "build", "--runtime", "runc", "--network", "host", "--format", "docker", "--pull-never", "--ignorefile",
                          os.path.join(TOP, "deploy/Dockerfile.dockerignore"), "-f", os.path.join(TOP, "deploy/Dockerfile"), "-t", IMAGE,
                          TOP, timeout=BUILD_S)
    if not check("the image builds", code == 0, (out.decode(errors="replace") + err)[-600:]):
        finish()
    print(f"# built in {time.monotonic() - began:.0f} s")


def image_bytes(name):
    return int(podman("image", "inspect", "--format", "{{.Size}}", name)[1])


def size():
    base, image = image_bytes(BASE), image_bytes(IMAGE)
    print(f"# image {image / 1e6:.1f} MB, base {base / 1e6:.1f} MB, {(image - base) / 1e6:.1f} MB above it")
    check("at most 40 MB above its base", image - base <= ABOVE_BASE_MAX, f"{image - base} bytes")


# ---- running ----

class Container:
    """One container with its repository on a folder of the host, as docs/container.md runs it."""

    all = []

    def __init__(self, name, folder, *options, uid=UID, mount=True, command=("daemon",), **settings):
        self.name = f"hearth-test-{os.getpid()}-{name}"
        self.path = os.path.join(folder, name)
        if mount and not os.path.isdir(self.path):
            os.mkdir(self.path, 0o755)
            os.chown(self.path, uid, uid)
        words = ["run", "-d", "--name", self.name, "--network", "none", "--read-only", "--read-only-tmpfs=false", "--cap-drop", "all",
                 "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"]
        words += ["-v", f"{self.path}:/data/hearth"] if mount else []
        for key, value in settings.items():
            words += ["-e", f"HEARTH_{key}={value}"]
        Container.all.append(self)
        self.code, _, self.err = podman(*words, *options, IMAGE, *command)

    def said(self):
        _, out, err = podman("logs", self.name)
        return out.decode(errors="replace") + err

    def ready(self, times=1):
        deadline = time.monotonic() + START_S
        while self.code == 0 and time.monotonic() < deadline:
            if self.said().count("Daemon is ready") >= times:
                return True
            if self.state("Running") != "true":
                return False
            time.sleep(0.1)
        return False

    def state(self, field):
        return podman("inspect", "--format", "{{.State." + field + "}}", self.name)[1].decode().strip()

    def inside(self, *words, **options):
        return podman("exec", "-i", self.name, *words, **options)

    def ask(self, *words, uid=UID, **options):
        """The host's own `hearth`, through the mounted socket."""
        return call(HEARTH, *words, uid=uid, env={"HEARTH_PATH": self.path, "PATH": os.environ["PATH"]}, **options)

    def file(self, name):
        return os.path.join(self.path, name)

    def remove(self):
        podman("rm", "-f", "-t", "0", "-v", self.name)


def tables(path, uid, gids=None):
    """What a stranger with SQLite reads of a database: names and states of the actors."""
    return call("sqlite3", "-readonly", path, "select name || '=' || state from actors order by name", uid=uid, gids=gids)


def usual(folder):
    """Defaults: uid 1000, read-only root, no capability, no network."""
    node = Container("usual", folder)
    if not check("starts with a read-only root, no capabilities and no network", node.ready(), node.err + node.said()):
        return
    pid = int(node.state("Pid"))
    with open(f"/proc/{pid}/status") as file:
        status = file.read()
    check("pid 1 is the nanny of hearthd, uid 1000", re.search(r"Name:\s+hearthd", status) and re.search(rf"Uid:\s+{UID}\s+{UID}", status), status)
    check("the root file system cannot be written", node.inside("sh", "-c", ": > /usr/local/bin/x")[0] not in (0, None))
    code, out, err = node.ask("id")
    check("a query through the mounted socket, uid 1000", code == 0 and b"12D3KooW" in out, f"exit {code}: {err}")
    code, out, err = call("nngcat", "--req", "--dial", f"ipc://{node.file('run/control.sock')}", "--data", '{"op":"id"}', "--ascii", uid=UID)
    check("a query by nngcat", b'"ok"' in out, err)
    check("another user is not answered", node.ask("id", "--timeout", "2s", uid=STRANGER_UID)[0] not in (0, None))
    code, out, err = podman("healthcheck", "run", node.name)
    check("the health check passes", code == 0, out.decode() + err)
    health_only_asks(node)
    time.sleep(1.2)  # state.db shows changes within a second
    for who, uid in (("root", 0), ("its owner", UID)):
        code, out, err = tables(node.file("state.db"), uid)
        check(f"state.db read from outside by {who}", code == 0 and b"control=running" in out, f"exit {code}: {err}")
    check("state.db not readable by strangers", tables(node.file("state.db"), STRANGER_UID)[0] != 0)
    reaping(node, pid)
    kept = kill_and_restart(node)
    stop(node, kept)


def health_only_asks(node):
    """In a container that sees nothing of the repository but the socket the same command passes."""
    code, out, err = podman("run", "--rm", "--network", "none", "--read-only", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024",
                            "-v", f"{node.file('run')}:/data/hearth/run", IMAGE, "diag", "healthy")
    check("the health check needs the socket only", code == 0 and b"healthy" in out, f"exit {code}: {out} {err}")
    daemon = children(int(node.state("Pid")))
    if not check("one daemon below the nanny", len(daemon) == 1, daemon):
        return
    os.kill(daemon[0], signal.SIGSTOP)
    try:
        code = node.inside("hearth", "--timeout", "3s", "diag", "healthy", timeout=20)[0]
        check("a daemon that does not answer is not healthy", code not in (0, None), f"exit {code}")
    finally:
        os.kill(daemon[0], signal.SIGCONT)
    deadline, code, err = time.monotonic() + START_S, None, ""
    while code != 0 and time.monotonic() < deadline:
        code, _, err = node.ask("--timeout", "3s", "diag", "healthy")
    check("and healthy again when it goes on", code == 0, err)


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(word) for word in file.read().split()]
    except FileNotFoundError:
        return []


def reaping(node, pid):
    """Orphans of a shell in the container become pid 1's; none may stay a zombie."""
    before = children(pid)
    code, out, err = node.inside("sh", "-c", "for i in 1 2 3 4 5; do (sleep 0.3 & echo $!) ; done")
    check("orphans made", code == 0 and len(out.split()) == 5, err)
    adopted, deadline = set(), time.monotonic() + 10
    while time.monotonic() < deadline:
        now = set(children(pid)) - set(before)
        adopted |= now
        if adopted and not now:
            break
        time.sleep(0.02)
    check("pid 1 adopts and reaps them", len(adopted) >= 5 and children(pid) == before, f"adopted {adopted}, left {children(pid)}")


def kill_and_restart(node):
    data = os.urandom(20_000_000)
    code, out, err = node.ask("add", "-Q", data=data)
    cid = out.decode().strip()
    check("add through the socket", code == 0 and cid, err)
    podman("kill", "-s", "KILL", node.name)
    podman("wait", node.name)
    check("killed", node.state("Running") == "false")
    code, _, err = podman("start", node.name)
    check("starts again after the kill", code == 0 and node.ready(times=2), err + node.said()[-500:])
    check("what was acknowledged is there", node.ask("cat", cid)[1] == data)
    return cid, data


def stop(node, kept):
    began = time.monotonic()
    busy = subprocess.Popen([HEARTH, "add", "-Q"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, user=UID,
                            group=UID, env={"HEARTH_PATH": node.path})
    busy.stdin.write(os.urandom(8_000_000))  # an upload that does not end
    busy.stdin.flush()
    podman("stop", "-t", str(DRAIN_S + 5), node.name)
    took = time.monotonic() - began
    busy.stdin.close()
    busy.wait()
    print(f"# SIGTERM to the end: {took:.1f} s, with an upload under way")
    check("SIGTERM ends it within 10 s, exit code 0", took <= DRAIN_S and node.state("ExitCode") == "0", f"{took:.1f} s, exit {node.state('ExitCode')}")
    code, out, err = tables(node.file("state.db"), UID)
    check("state.db is readable after the stop", code == 0, err)
    podman("start", node.name)
    check("and it starts again with its blocks", node.ready(times=3) and node.ask("cat", kept[0])[1] == kept[1], node.said()[-500:])


def shared(folder):
    """Control.Group and Control.AllowedUIDs, by number: the container knows no names of the host."""
    node = Container("shared", folder, "--group-add", str(READER_GID), CONTROL__GROUP=READER_GID, CONTROL__ALLOWEDUIDS=f"0,{READER_UID}")
    if not check("starts with Control.Group by number", node.ready(), node.err + node.said()):
        return
    time.sleep(1.2)
    for name, query in (("state.db", "select count(*) from actors"), ("blocks.db", "select count(*) from v_blocks")):
        code, out, err = call("sqlite3", "-readonly", node.file(name), query, uid=READER_UID, gids=[READER_GID])
        check(f"{name} read by another uid of the group", code == 0 and out.strip().isdigit(), f"exit {code}: {err}")
    check("not by a stranger", tables(node.file("state.db"), STRANGER_UID)[0] != 0)
    for uid in (0, READER_UID):
        code, _, err = node.ask("id", uid=uid)
        check(f"uid {uid} of Control.AllowedUIDs is answered", code == 0, err)


def any_user(folder):
    """--user with a uid that no passwd knows: on a folder that belongs to it, and on the image's own volume."""
    for name, uid, mount in (("other", 23456, True), ("volume", 34567, False)):
        node = Container(name, folder, "--user", f"{uid}:{uid}", uid=uid, mount=mount)
        if check(f"runs as uid {uid} {'on a folder of its' if mount else 'on a volume of the image'}", node.ready(), node.err + node.said()):
            code, out, _ = node.inside("id", "-u")
            check("... and is that user", out.strip() == str(uid).encode())
            check("... and is healthy", podman("healthcheck", "run", node.name)[0] == 0)


def init_scripts(folder):
    scripts = os.path.join(folder, "init.d")
    os.mkdir(scripts)
    for name, mode, text in (("10-variable.sh", 0o644, "export HEARTH_LOG__LEVEL=debug\n"),
                             ("20-repository.sh", 0o755, "#!/bin/sh\n[ -e \"$HEARTH_PATH/identity.key\" ] || hearth init --profile test\n"),
                             ("ignored.txt", 0o755, "exit 1\n")):
        path = os.path.join(scripts, name)
        with open(path, "w") as file:
            file.write(text)
        os.chmod(path, mode)
    node = Container("scripts", folder, "-v", f"{scripts}:/container-init.d:ro")
    if check("container-init.d: starts", node.ready(), node.err + node.said()):
        said = node.said()
        check("container-init.d: both scripts ran, in order", 0 <= said.find("10-variable.sh") < said.find("20-repository.sh"), said)
        code, out, err = node.ask("query", "config show", "--enc=json")
        text = out.decode()
        check("container-init.d: the variable reached the daemon", "debug" in text, text + err)
    with open(os.path.join(scripts, "30-fails.sh"), "w") as file:
        file.write("#!/bin/sh\nexit 3\n")
    os.chmod(os.path.join(scripts, "30-fails.sh"), 0o755)
    node = Container("failing", folder, "-v", f"{scripts}:/container-init.d:ro")
    check("container-init.d: a script that fails stops the start", not node.ready() and node.state("ExitCode") == "3", node.said())


def bucket(folder):
    """A cold tier in a bucket, which is not there: the client's library is part of the image, and says so of the network."""
    node = Container("bucket", folder, TIERS__COLD__KIND="s3", TIERS__COLD__ENDPOINT="http://127.0.0.1:9", TIERS__COLD__BUCKET="blocks",
                     TIERS__COLD__ACCESSKEY="key", TIERS__COLD__SECRETKEY="hidden-secret")
    if not check("starts with a cold tier in a bucket", node.ready(), node.err + node.said()):
        return
    deadline, said = time.monotonic() + BUCKET_S, ""
    while "127.0.0.1 port 9" not in said and time.monotonic() < deadline:
        time.sleep(0.5)
        said = node.ask("tier", "ls")[1].decode()
    check("asks the bucket, and says why it is not there", "127.0.0.1 port 9" in said, said)
    check("the secret key is told nowhere", "hidden-secret" not in said + node.said() + node.ask("query", "config show")[1].decode())


def cgroup_file(pid, v1_name, v2_name):
    """The memory controller's file for a process, in either hierarchy."""
    with open(f"/proc/{pid}/cgroup") as file:
        for line in file:
            number, controllers, path = line.rstrip("\n").split(":", 2)
            if "memory" in controllers.split(","):
                return f"/sys/fs/cgroup/memory{path}/{v1_name}"
            if number == "0" and os.path.exists(f"/sys/fs/cgroup{path}/{v2_name}"):
                return f"/sys/fs/cgroup{path}/{v2_name}"
    return None


def read_number(path):
    try:
        with open(path) as file:
            return int(file.read())
    except (OSError, TypeError, ValueError):
        return None


def budget_of(node):
    code, out, err = node.ask("query", "accounts", "--enc=json")
    try:
        answer = json.loads(out)
        rows = answer.get("result", answer)["accounts"]
        return sum(row["limit_bytes"] for row in rows)
    except (ValueError, KeyError, AttributeError):
        return f"exit {code}: {out[:200]} {err}"


def limited(folder):
    for mib in (SMALLER_MIB, LIMIT_MIB):
        node = Container(f"limited{mib}", folder, "--memory", f"{mib}m", "--memory-swap", f"{mib}m")
        if "memory" in node.err and node.code != 0:
            say("SKIP", f"{mib} MiB", f"no memory cgroup for containers here: {node.err.strip()[:200]}")
            continue
        if not check(f"starts in {mib} MiB", node.ready(), node.err + node.said()):
            continue
        limit = read_number(cgroup_file(int(node.state("Pid")), "memory.limit_in_bytes", "memory.max"))
        check(f"the cgroup's limit is {mib} MiB", limit == mib << 20, limit)
        budget = budget_of(node)
        # Shares are rounded down to whole bytes of a MiB each.
        check(f"the budget is the cgroup's {mib} MiB", isinstance(budget, int) and (mib << 20) - 1024 < budget <= mib << 20, budget)
        data = os.urandom(150_000_000)
        code, out, err = node.ask("add", "-Q", data=data, timeout=180)
        check(f"150 MB added in {mib} MiB", code == 0, err)
        check(f"150 MB read back in {mib} MiB", node.ask("cat", out.decode().strip(), timeout=180)[1] == data)
        pid = int(node.state("Pid"))
        peak = read_number(cgroup_file(pid, "memory.max_usage_in_bytes", "memory.peak"))
        resident = sum(read_status(child, "VmHWM") for child in [pid] + children(pid))
        print(f"# in {mib} MiB: cgroup's peak {(peak or 0) / 2**20:.1f} MiB with the page cache, resident peak of nanny and daemon {resident / 1024:.1f} MiB")
        check(f"alive in {mib} MiB, not restarted", node.state("Running") == "true" and "again, after a restart" not in node.said(), node.said()[-500:])


def read_status(pid, field):
    with open(f"/proc/{pid}/status") as file:
        return int(re.search(rf"{field}:\s+(\d+)", file.read()).group(1))


def main():
    if os.geteuid() != 0:
        skip_all("root is needed for debootstrap, buildah and podman")
    missing = [tool for tool in ("podman", "buildah", "runc", "debootstrap", "sqlite3", "nngcat") if shutil.which(tool) is None]
    if missing:
        skip_all(f"not installed: {', '.join(missing)}; `tools/install_deps.sh image` installs them")
    make_base()
    code, _, err = podman("run", "--rm", "--network", "none", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024", BASE, "true")
    if code != 0:
        skip_all(f"podman cannot run a container here: {err.strip()[-300:]}")
    build()
    size()
    for part in (usual, shared, any_user, init_scripts, bucket, limited):
        folder = tempfile.mkdtemp(prefix="hearth-image-", dir="/tmp")
        os.chmod(folder, 0o711)
        try:
            part(folder)
        except Exception as error:  # a part that breaks is a failure, not the end of the rest
            say("FAIL", part.__name__, repr(error))
        finally:
            for node in Container.all:
                node.remove()
            Container.all.clear()
            shutil.rmtree(folder, ignore_errors=True)
    finish()


if __name__ == "__main__":
    main()
