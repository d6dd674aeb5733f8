# SPDX-License-Identifier: MIT
"""A sample of a trace that stands for all of it: every request for some of its objects, over its whole time.

Objects are chosen by the hash of their key, those with the smallest first, until their requests are as many as may be (spatial sampling, as SHARDS
does: Waldspurger et al., FAST 2015). In a tier that is a share of the sampled objects they meet what all of them meet in one of the same share: loops,
scans and reuse keep their shape, and only the number of requests shrinks. The first requests of a trace instead would be its cold start.
"""
import collections
import gzip
import hashlib
import itertools
import os
import re
import struct
import subprocess

# Few objects and independent draws: a sample of 15 of 1,000 objects would be none, and the first requests are like all others.
NOT_BY_KEY = ("zipf_1.0",)


def keys_of(path):
    """Yields the object of each request, as it is named there."""
    if path.endswith(".bin"):
        with open(path, "rb") as file:
            for _, key, _, _ in struct.iter_unpack("<IQIq", file.read()):
                yield key
    elif path.endswith(".zst"):
        with subprocess.Popen(["zstd", "-dc", path], stdout=subprocess.PIPE) as unpacked:
            for line in unpacked.stdout:
                first, count = line.split()[:2]
                yield from range(int(first), int(first) + int(count))
    else:
        with (gzip.open if path.endswith(".gz") else open)(path, "rt", encoding="ascii") as file:
            for line in file:
                if line.strip() not in ("", "*"):
                    yield int(line)


def place(key):
    return hashlib.blake2b(key.to_bytes(8, "little"), digest_size=8).digest()


class Sample:
    """name; requests: numbers of objects, in order; objects: how many there are; total: requests of the whole trace."""

    def __init__(self, path, limit):
        self.name = re.sub(r"\.(lis|trace|oracleGeneral)\..*", "", os.path.basename(path))
        counts, numbers = collections.Counter(keys_of(path)), {}
        self.total = sum(counts.values())
        if self.name in NOT_BY_KEY:
            taken = itertools.islice(keys_of(path), limit)
        else:
            objects = chosen(counts, limit)
            taken = (key for key in keys_of(path) if key in objects)
        self.requests = [numbers.setdefault(key, len(numbers)) for key in taken]
        self.objects = len(numbers)


def chosen(counts, limit):
    """The objects whose requests are at most limit together."""
    objects, requests = set(), 0
    for key in sorted(counts, key=place):
        requests += counts[key]
        if requests > limit:
            break
        objects.add(key)
    return objects
