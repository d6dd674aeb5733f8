#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The S3 client, and a node with a cold tier on S3, against a real server with faults between.

The server is moto's, from PyPI, with its checking of signatures switched on; boto3 looks at what is stored. tests/cold/requirements.txt pins them;
they are installed into .cache/cold-venv once. usage: tests/cold/run.py [PATTERN ...]; HEARTH_BUILD names the build folder. Exits 0 with one line
"skipped" when PyPI cannot be reached and nothing is installed.
"""
import fnmatch
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.join(TOP, os.environ.get("HEARTH_BUILD", "build"))
PYPI_DOWN = ("No matching distribution", "Temporary failure", "NewConnectionError", "ConnectTimeout", "Max retries", "ReadTimeout")


def venv():
    """A Python that has the server, or None and why not."""
    with open(os.path.join(HERE, "requirements.txt"), "rb") as file:
        tag = hashlib.sha256(file.read() + sys.version.encode()).hexdigest()[:12]
    folder = os.environ.get("HEARTH_COLD_VENV") or os.path.join(TOP, ".cache", f"cold-venv-{tag}")
    python = os.path.join(folder, "bin", "python")
    if os.path.exists(python):
        return python
    part = folder + ".part"
    shutil.rmtree(part, ignore_errors=True)
    for command in ([sys.executable, "-m", "venv", part],
                    [os.path.join(part, "bin", "pip"), "install", "-q", "--disable-pip-version-check", "-r", os.path.join(HERE, "requirements.txt")]):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600, check=False)
        if done.returncode != 0:
            shutil.rmtree(part, ignore_errors=True)
            last = (done.stdout.strip().splitlines() or ["?"])[-1]
            if any(text in done.stdout for text in PYPI_DOWN) or "ensurepip" in done.stdout:
                print(f"skipped: moto cannot be installed: {last}")
                sys.exit(0)
            sys.exit(f"cannot install tests/cold/requirements.txt: {last}")
    os.rename(part, folder)
    return python


if os.environ.get("HEARTH_COLD_INSIDE") != "1":
    for name in [n for n in os.environ if n.startswith("AWS_") or n.lower().endswith("_proxy")]:
        del os.environ[name]
    own = venv()
    os.environ.update(HEARTH_COLD_INSIDE="1", AWS_EC2_METADATA_DISABLED="true", NO_PROXY="*")
    os.execv(own, [own, os.path.abspath(__file__), *sys.argv[1:]])

# pylint: disable=wrong-import-position
import logging  # noqa: E402

import boto3  # noqa: E402
from botocore.config import Config  # noqa: E402
from moto import settings  # noqa: E402
from moto.core import DEFAULT_ACCOUNT_ID  # noqa: E402
from moto.s3.models import s3_backends  # noqa: E402
from moto.server import ThreadedMotoServer  # noqa: E402

import cases  # noqa: E402
import daemon_cases  # noqa: E402,F401 (its cases register themselves)


class Lab:
    """The server, and an account on it that may use S3."""

    def __init__(self):
        logging.getLogger("werkzeug").disabled = True
        self.server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self.server.start()
        self.target = self.server.get_host_and_port()
        self.url = "http://%s:%d" % self.target
        settings.INITIAL_NO_AUTH_ACTION_COUNT = float("inf")
        iam = self.client("iam", "setup", "setup")
        iam.create_user(UserName="hearth")
        iam.put_user_policy(UserName="hearth", PolicyName="all", PolicyDocument=(
            '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}'))
        made = iam.create_access_key(UserName="hearth")["AccessKey"]
        self.key_id, self.secret = made["AccessKeyId"], made["SecretAccessKey"]
        settings.INITIAL_NO_AUTH_ACTION_COUNT = 0
        self.s3 = self.client("s3", self.key_id, self.secret)
        self.s3.create_bucket(Bucket="tier")
        self.work = tempfile.mkdtemp(prefix="hearth-cold-")

    def client(self, service, key_id, secret):
        return boto3.client(service, endpoint_url=self.url, region_name="us-east-1", aws_access_key_id=key_id, aws_secret_access_key=secret,
                            config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}))

    @staticmethod
    def put_quickly(key):
        """A small object, without a request."""
        s3_backends[DEFAULT_ACCOUNT_ID]["aws"].put_object("tier", key, b"x")

    def close(self):
        self.server.stop()
        shutil.rmtree(self.work, ignore_errors=True)


def main():
    lab = Lab()
    failed, passed, began = [], 0, time.monotonic()
    wanted = sys.argv[1:] or ["*"]
    for case in cases.CASES:
        if not any(fnmatch.fnmatch(case.__name__, pattern) for pattern in wanted):
            continue
        at = time.monotonic()
        scene = cases.Scene(lab, os.path.join(BUILD, "tests", "cold_probe"), case.__name__)
        try:
            case(scene)
            scene.end()
            passed += 1
            print(f"ok    {case.__name__} ({time.monotonic() - at:.1f} s)", flush=True)
        except Exception:  # pylint: disable=broad-except
            failed.append(case.__name__)
            print(f"FAIL  {case.__name__}\n{traceback.format_exc()}", flush=True)
            scene.kill()
    lab.close()
    print(f"{passed} passed, {len(failed)} failed, {time.monotonic() - began:.0f} s")
    return 1 if failed or passed == 0 else 0


if __name__ == "__main__":
    sys.stdout.flush()
    code = main()
    sys.stdout.flush()
    os._exit(code)  # the server's threads do not end by themselves
