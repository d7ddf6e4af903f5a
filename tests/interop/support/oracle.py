"""Series that proptest makes, for another stack to compute on."""

import csv
import os
import random
import subprocess

import pytest

from support.process import REPOSITORY

CASES = 6
WRITER = "oracle_series::writes_series_for_a_second_opinion"


def write(folder):
    """Lets the Rust tests write the cases. Returns the seed: UATWIN_TEST_SEED, or a new one each time."""
    seed = os.environ.get("UATWIN_TEST_SEED") or str(random.SystemRandom().randrange(1 << 32))
    environment = os.environ | {"UATWIN_ORACLE_FOLDER": str(folder), "UATWIN_ORACLE_SEED": seed, "UATWIN_ORACLE_CASES": str(CASES)}
    command = ["cargo", "test", "--quiet", "--release", "--test", "numerics", "--", "--ignored", "--exact", WRITER]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True)
    if done.returncode != 0 or len(list(folder.glob("*.csv"))) != CASES:
        pytest.fail(f"no series were made:\n{done.stdout}{done.stderr}")
    return seed


def read(path, start):
    """(interval, samples) of a case; samples as (ms, value, status), from start on."""
    with path.open(newline="") as file:
        rows = csv.reader(file)
        _, interval = next(rows)
        next(rows)
        return int(interval), [(start + int(at), int(value), int(status)) for at, value, status in rows]
