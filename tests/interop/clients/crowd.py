"""A crowd that wants no service: connections at a steady rate, of four kinds in turn, each held as long as the server lets it.

Arguments: port, address to come from, attempts, attempts per second. Prints one JSON object of what became of them.
"""

import asyncio
import collections
import contextlib
import json
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from support.raw import Raw, Refused, hello  # noqa: E402

HELD_S = 20


async def come_and_go(port, address):
    _, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
    writer.transport.abort()
    return "gone"


async def half_hello(port, address):
    """Says half of hello, and waits."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
    try:
        writer.write(hello(port)[:20])
        return await until_closed(reader)
    finally:
        writer.transport.abort()


async def silent_channel(port, address):
    raw = Raw(port, address)
    try:
        await raw.connect()
        return await until_closed(raw.reader)
    finally:
        leave(raw)


async def session_that_is_not_activated(port, address):
    raw = Raw(port, address)
    try:
        await raw.connect()
        await raw.create_session()
        raw.reading.cancel()
        await asyncio.gather(raw.reading, return_exceptions=True)
        return await until_closed(raw.reader)
    finally:
        leave(raw)


async def until_closed(reader):
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(HELD_S):
            while await reader.read(1 << 16):
                pass
            return "closed by the server"
    return "held"


def leave(raw):
    with contextlib.suppress(AttributeError):
        raw.drop()


KINDS = [come_and_go, half_hello, silent_channel, session_that_is_not_activated]


async def attempt(kind, port, address, counts):
    try:
        outcome = await kind(port, address)
    except Refused as refused:
        outcome = str(refused)
    except OSError as error:
        outcome = type(error).__name__
    counts[f"{kind.__name__}: {outcome}"] += 1


async def main(port, address, attempts, rate):
    counts, tasks, begin = collections.Counter(), set(), time.monotonic()
    for i in range(attempts):
        await asyncio.sleep(max(0.0, begin + i / rate - time.monotonic()))
        task = asyncio.create_task(attempt(KINDS[i % len(KINDS)], port, address, counts))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    took = time.monotonic() - begin
    for task in list(tasks):
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    print(json.dumps({"attempts": attempts, "seconds": took, "outcomes": counts}))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
