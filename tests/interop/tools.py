# SPDX-License-Identifier: MIT
"""Brings the strangers: a Kubo binary from the Go module proxy, Helia from npm.

Both are pinned by a lock file in this folder (kubo/go.sum, helia/
package-lock.json) and kept in a cache named by the hash of that file, so a
second run needs no registry. A registry or a tool that cannot be reached
raises Skip with the reason; a download that arrives but does not build or does
not match its hash is a failure.
"""
import contextlib
import fcntl
import glob
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys

from harness import Failed, Skip

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
CACHE = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "hearth-interop")
GO_TOOLCHAIN = "go1.26.5"  # what kubo/go.mod asks for
BUILD_SECONDS = 1800

# What registry clients say when nobody answers, as opposed to a wrong answer.
UNREACHABLE = re.compile(
    r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|E40[34]|E5\d\d|no such host|"
    r"connection refused|i/o timeout|network is unreachable|403 Forbidden|404 Not Found|module lookup disabled|"
    r"Temporary failure in name resolution|TLS handshake timeout|dial tcp", re.IGNORECASE)


def say(text):
    print(f"# {text}", file=sys.stderr, flush=True)


def run(arguments, what, **more):
    """Runs a registry client: Skip when it cannot reach its registry, Failed otherwise."""
    done = subprocess.run(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors="replace", timeout=BUILD_SECONDS, check=False, **more)
    if done.returncode == 0:
        return done.stdout
    tail = " | ".join(done.stdout.strip().splitlines()[-3:])
    if UNREACHABLE.search(done.stdout):
        raise Skip(f"{what}: registry not reachable: {tail}")
    raise Failed(f"{what} failed: {tail}")


def hash_of(*names):
    digest = hashlib.sha256()
    for name in names:
        with open(os.path.join(HERE, name), "rb") as data:
            digest.update(data.read())
    return digest.hexdigest()[:16]


@contextlib.contextmanager
def locked(name):
    """One builder at a time, across processes."""
    os.makedirs(CACHE, exist_ok=True)
    with open(os.path.join(CACHE, name + ".lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


# --- Go and Kubo ---------------------------------------------------------------

def go_version(command):
    """(major, minor, patch) of a go command."""
    text = subprocess.run([command, "env", "GOVERSION"], stdout=subprocess.PIPE, text=True, check=False,
                          timeout=60, env={**os.environ, "GOTOOLCHAIN": "local"}).stdout
    found = re.search(r"go(\d+)\.(\d+)(?:\.(\d+))?", text)
    return tuple(int(part or 0) for part in found.groups()) if found else (0, 0, 0)


def go_from_proxy(go):
    """A toolchain as a module: any old go can bring it. Modules lose the executable
    bits of their files, so it is copied out of the module cache."""
    arch = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    kept = os.path.join(CACHE, f"{GO_TOOLCHAIN}-{arch}")
    command = os.path.join(kept, "bin", "go")
    if os.path.exists(command):
        return command
    with locked("go"):
        if os.path.exists(command):
            return command
        say(f"bringing {GO_TOOLCHAIN} from the Go module proxy")
        told = run([go, "mod", "download", "-json", f"golang.org/toolchain@v0.0.1-{GO_TOOLCHAIN}.linux-{arch}"],
                   "go mod download of a toolchain", cwd=CACHE)
        fresh = kept + ".new"
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.copytree(json.loads(told)["Dir"], fresh)
        for folder, _, _ in os.walk(fresh):
            os.chmod(folder, 0o755)
        for tool in glob.glob(f"{fresh}/bin/*") + glob.glob(f"{fresh}/pkg/tool/*/*"):
            os.chmod(tool, 0o755)
        os.rename(fresh, kept)
    return command


def find_go():
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin:/usr/lib/go/bin")
    if go is None:
        raise Skip("no go command (Debian: apt-get install golang-go)")
    wanted = tuple(int(part) for part in GO_TOOLCHAIN[2:].split("."))
    return go if go_version(go) >= wanted else go_from_proxy(go)


def build_go(name, command, package, source):
    """A command of the module in kubo/."""
    kept = os.path.join(CACHE, f"{name}-" + hash_of("kubo/go.sum", source))
    binary = os.path.join(kept, command)
    if os.path.exists(binary):
        return binary
    go = find_go()
    with locked(name):
        if os.path.exists(binary):
            return binary
        os.makedirs(kept, exist_ok=True)
        say(f"building {name} from the Go module proxy: this may take minutes, once")
        run(["nice", "-n", "10", go, "build", "-mod=readonly", "-trimpath", "-buildvcs=false",
             "-o", binary + ".new", package], f"go build of {name}", cwd=os.path.join(HERE, "kubo"))
        os.rename(binary + ".new", binary)
    return binary


def build_kubo():
    return build_go("kubo", "ipfs", ".", "kubo/main.go")


def build_flatfs():
    return build_go("flatfs", "flatfs", "./flatfs", "kubo/flatfs/main.go")


# --- npm and Helia --------------------------------------------------------------

def install_helia():
    """Installs the packages of helia/; returns the node command that came with them."""
    source = os.path.join(HERE, "helia")
    kept = os.path.join(CACHE, "helia-" + hash_of("helia/package-lock.json", "helia/.npmrc"))
    with locked("helia"):
        if not os.path.exists(os.path.join(kept, "complete")):
            npm = shutil.which("npm")
            if npm is None:
                raise Skip("no npm command (Debian: apt-get install npm)")
            say("installing Helia from the npm registry")
            shutil.rmtree(kept, ignore_errors=True)
            os.makedirs(kept)
            for name in ("package.json", "package-lock.json", ".npmrc"):
                shutil.copy(os.path.join(source, name), kept)
            run([npm, "ci", "--no-audit", "--no-fund"], "npm ci of Helia", cwd=kept)
            with open(os.path.join(kept, "complete"), "w", encoding="ascii"):
                pass
        modules = os.path.join(source, "node_modules")
        if os.path.islink(modules) or not os.path.exists(modules):
            fresh = modules + ".new"
            with contextlib.suppress(FileNotFoundError):
                os.unlink(fresh)
            os.symlink(os.path.join(kept, "node_modules"), fresh)
            os.rename(fresh, modules)
    arch = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    node = os.path.join(kept, "node_modules", f"node-linux-{arch}", "bin", "node")
    if not os.path.exists(node):
        raise Skip(f"npm has no node for {platform.machine()}")
    return node


# --- hearth ----------------------------------------------------------------------

def find_hearth():
    binary = os.path.join(TOP, os.environ.get("HEARTH_BUILD") or "build", "hearth")
    if not os.access(binary, os.X_OK):
        raise Skip(f"{os.path.relpath(binary, TOP)} is not built")
    return binary


class Tools:
    """The programs, brought when a case first needs them; a refusal is remembered."""

    BRING = {"kubo": build_kubo, "flatfs": build_flatfs, "helia": install_helia, "hearth": find_hearth}

    def __init__(self):
        self.versions = {}
        self.known = {}

    def bring(self, name):
        """The command of a program (for helia: of the node that runs it)."""
        if name not in self.known:
            try:
                self.known[name] = self.BRING[name]()
            except (Skip, Failed) as problem:
                self.known[name] = problem
        if isinstance(self.known[name], Exception):
            raise self.known[name]
        return self.known[name]
