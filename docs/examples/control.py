#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A client of hearth's control socket: control.py OPERATION [NAME=VALUE ...]   (pip install pynng msgpack)"""
import os
import sys
import time
import uuid

import msgpack
import pynng


class Hearth:
    def __init__(self, repository=None, timeout_s=30):
        repository = repository or os.environ.get("HEARTH_PATH") or os.path.expanduser("~/.hearth")
        self.timeout_ms = timeout_s * 1000
        self.socket = pynng.Req0(recv_timeout=self.timeout_ms + 5000, send_timeout=5000)
        self.socket.dial(f"ipc://{repository}/run/control.sock", block=True)

    def call(self, op, **args):
        """The result; RuntimeError with the code when the node says no. Bytes are bytes both ways."""
        request = {"op": op, "args": args, "timeout_ms": self.timeout_ms, "id": str(uuid.uuid4())}
        self.socket.send(msgpack.packb(request))
        answer = msgpack.unpackb(self.socket.recv())
        if not answer["ok"]:
            raise RuntimeError("{code}: {message}".format(**answer["error"]))
        result = answer["result"]
        while isinstance(result, dict) and set(result) == {"job"}:  # longer than 50 s: goes on as a job
            time.sleep(1)
            status = self.call("job status", job=result["job"])
            if status["state"] == "failed":
                raise RuntimeError("{code}: {message}".format(**status["error"]))
            result = status["result"] if status["state"] == "done" else result
        return result


if __name__ == "__main__":
    print(Hearth().call(sys.argv[1], **dict(word.split("=", 1) for word in sys.argv[2:])))
