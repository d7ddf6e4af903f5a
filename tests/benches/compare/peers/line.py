"""What every Python peer serves and does: the names of its nodes, what they are worth, and the orders on its standard input."""

import asyncio
import datetime
import json
import sys
import time

NAMESPACE = "urn:uatwin:twins"
VARIABLES = 10  # of each object
HISTORY_START = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)


def objects(variables):
    """Each object's name and its variables' indices, from 1."""
    for first in range(0, variables, VARIABLES):
        yield f"Load{first // VARIABLES:04}", range(first + 1, min(first + VARIABLES, variables) + 1)


def node(index):
    """The string of a variable's NodeId."""
    return f"Load{(index - 1) // VARIABLES:04}.V{(index - 1) % VARIABLES}"


def value(index, tenth):
    """As `uatwin plant --load` has it: the index, and the tenth of the second of the day in the decimals."""
    return (index * 1e6 + tenth) / 1e6


def history(index, samples):
    """Time and value of each sample, at 1 Hz."""
    for second in range(samples):
        yield HISTORY_START + datetime.timedelta(seconds=second), value(index, second * 10)


def ready(**facts):
    print(json.dumps({"ready": True, **facts}), flush=True)


async def obey(write):
    """An order a line: {"hz": N}, after which all variables change N times a second, at whole periods. `write(time, tenth)` changes them."""
    loop, orders = asyncio.get_running_loop(), asyncio.Queue()

    def listen():
        for line in sys.stdin:
            loop.call_soon_threadsafe(orders.put_nowait, json.loads(line))
        loop.call_soon_threadsafe(orders.put_nowait, None)
    loop.run_in_executor(None, listen)
    hz = 0
    while True:
        if hz == 0 or not orders.empty():
            order = await orders.get()
            if order is None:
                return
            hz = order["hz"]
            print(json.dumps(order), flush=True)
            continue
        # One that is late leaves out what is past: it says what is now.
        now = time.time()
        due = (int(now * hz) + 1) / hz
        await asyncio.sleep(due - now)
        await write(datetime.datetime.fromtimestamp(due, datetime.timezone.utc), round(due * 10) % 864_000)
