# SPDX-License-Identifier: MIT
"""What a process may have of memory, and has: a cgroup of version 1 or 2, and /proc."""
import os
import time


class Cgroup:
    """A memory cgroup of our own, of whichever version the host has."""

    def __init__(self, purpose, limit_bytes):
        name = f"hearth-{purpose}-{os.getpid()}"
        if os.path.isdir("/sys/fs/cgroup/memory"):
            self.path, limit = f"/sys/fs/cgroup/memory/{name}", "memory.limit_in_bytes"
            self.names = {"peak": "memory.max_usage_in_bytes", "usage": "memory.usage_in_bytes", "anonymous": "total_rss", "cached": "total_cache"}
        else:
            self.path, limit = f"/sys/fs/cgroup/{name}", "memory.max"
            self.names = {"peak": "memory.peak", "usage": "memory.current", "anonymous": "anon", "cached": "file"}
        os.mkdir(self.path)
        try:
            self.write(limit, limit_bytes)
        except OSError:
            self.remove()
            raise

    def write(self, name, value):
        with open(os.path.join(self.path, name), "w") as file:
            file.write(str(value))

    def number(self, what):
        try:
            with open(os.path.join(self.path, self.names[what])) as file:
                return int(file.read())
        except OSError:
            return 0

    def stat(self):
        with open(os.path.join(self.path, "memory.stat")) as file:
            rows = dict(line.split() for line in file)
        return int(rows.get(self.names["anonymous"], 0)), int(rows.get(self.names["cached"], 0))

    def kills(self):
        for name in ("memory.oom_control", "memory.events"):
            try:
                with open(os.path.join(self.path, name)) as file:
                    return int(dict(line.split() for line in file).get("oom_kill", 0))
            except OSError:
                continue
        return 0

    def remove(self):
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            try:
                os.rmdir(self.path)
                return
            except OSError:
                time.sleep(0.1)


def status_kib(pid, field):
    try:
        with open(f"/proc/{pid}/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith(field + ":"))
    except (OSError, StopIteration):
        return 0
