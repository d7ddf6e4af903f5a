"""A long day in short: PLCs that come and go, clients that connect, subscribe, and are gone without goodbye. Processor time and
memory must not grow by more than what the library (0.19) is known to keep: an entry of each item of a subscription that ends with its items (B2).
UATWIN_SOAK_SECONDS=1800 makes it the half hour."""

import asyncio
import os
import random
import time

import pytest
from asyncua import ua

from support.client import TWINS, by_id, connected
from support.load import Loaded, cpu_s, resident_kib, slope
from support.process import free_port
from support.proxy import Proxy
from support.raw import Raw, Refused
from support.ticking import CONFIG, Ticking, flows, plc_config

SECONDS = int(os.environ.get("UATWIN_SOAK_SECONDS", "170"))
EVERY_S = 5
# Sessions and subscriptions of those who left without goodbye live 10 s on, and history's caches fill: after a third the picture stands.
WARM_UP = 1 / 3
ITEMS, FLAPPERS, PLCS = 100, 4, 3
# What stays of each item of a client that left without goodbye, the entry of B2: some 260 B.
KIB_PER_ITEM = 0.4
# What history, statistics, windows and the allocator may take besides, in a minute; they have bounds that half an hour does not reach.
KIB_PER_MINUTE = 4_096
# Beside other tests the flapping clients come faster or slower from one half to the other.
CPU_RATIO = 1.6


@pytest.fixture
def plcs(tmp_path):
    plcs = [Ticking(tmp_path, f"plc{i}") for i in range(PLCS)]
    for plc in plcs:
        plc.start()
    yield plcs
    for plc in plcs:
        plc.kill()


async def flapping_plc(proxy, dice):
    """The network to a PLC is cut, or swallows what is sent; then it is well for a while."""
    while True:
        await asyncio.sleep(dice.uniform(4, 10))
        if dice.random() < 0.5:
            await proxy.close()
            await asyncio.sleep(dice.uniform(0.5, 3))
            await proxy.open()
        else:
            proxy.freeze()
            await asyncio.sleep(dice.uniform(1, 4))
            proxy.drop_frozen()


async def flapping_client(loaded, counts, dice):
    """Subscribes, hears a little, and its link is gone."""
    while True:
        raw = await Raw(loaded.service.port).session(10_000)
        nodes = await loaded.nodes(raw)
        subscription = await raw.subscribe(200.0, lifetime=50)
        assert set(await raw.monitor(subscription, nodes)) == {0}
        counts["sessions"] += 1
        counts["items"] += len(nodes)
        for _ in range(dice.randrange(1, 4)):
            await raw.publish()
        raw.drop()
        await asyncio.sleep(dice.uniform(0.2, 1.0))


async def honest_client(loaded, counts):
    """Comes, subscribes and says goodbye, as clients should."""
    while True:
        async with connected(loaded.service.url) as client:
            node = await by_id(client, TWINS, "Load.V0")
            subscription = await client.create_subscription(200, Nobody())
            await subscription.subscribe_data_change(node)
            await asyncio.sleep(1)
            await subscription.delete()
        counts["honest"] += 1
        await asyncio.sleep(3)


class Nobody:
    def datachange_notification(self, node, value, data):
        pass


async def test_cpu_and_memory_stand_while_plcs_and_clients_flap(tmp_path, identity, plcs):
    proxies = [Proxy(free_port(), plc.port) for plc in plcs]
    for proxy in proxies:
        await proxy.open()
    more = CONFIG + "".join(plc_config(f"T{i}", proxy.port) for i, proxy in enumerate(proxies))
    loaded = await asyncio.to_thread(Loaded, tmp_path, identity, ITEMS, "", more)
    try:
        async with connected(loaded.service.url) as client:
            await asyncio.gather(*(flows(client, f"T{i}") for i in range(PLCS)))
            counts = {"sessions": 0, "items": 0, "honest": 0}
            tasks = [asyncio.create_task(flapping_plc(proxy, random.Random(i))) for i, proxy in enumerate(proxies)]
            tasks += [asyncio.create_task(flapping_client(loaded, counts, random.Random(i))) for i in range(FLAPPERS)]
            tasks.append(asyncio.create_task(honest_client(loaded, counts)))
            rows = await measure(loaded, tasks, counts)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for proxy in proxies:
                proxy.thaw()
                await proxy.close()
                await proxy.open()
            await asyncio.gather(*(flows(client, f"T{i}") for i in range(PLCS)))
        judge(rows, counts)
        assert "panicked" not in loaded.service.process.said()
    finally:
        await asyncio.to_thread(loaded.end)
        for proxy in proxies:
            await proxy.close()


async def measure(loaded, tasks, counts):
    """(seconds, CPU seconds, KiB, sessions, items) every few seconds."""
    begin, rows = time.monotonic(), []
    while (now := time.monotonic() - begin) < SECONDS:
        rows.append((now, cpu_s(loaded.pid), resident_kib(loaded.pid), counts["sessions"], counts["items"]))
        failed = [task.exception() for task in tasks if task.done()]
        assert not failed, failed
        await asyncio.sleep(EVERY_S)
    return rows


def judge(rows, counts):
    stands = [row for row in rows if row[0] >= SECONDS * WARM_UP]
    half = len(stands) // 2
    cpu = [slope([(at, used) for at, used, *_ in part]) * 60 for part in (stands[:half + 1], stands[half:])]
    kib = slope([(at, memory) for at, _, memory, *_ in stands]) * 60
    sessions, items = (slope([(row[0], row[i]) for row in stands]) * 60 for i in (3, 4))
    whole = slope([(at, used) for at, used, *_ in rows if at >= 0]) * 60
    print(f"{SECONDS} s: {counts['sessions']} sessions left without goodbye with {counts['items']} items, {counts['honest']} in order; "
          f"CPU {cpu[0]:.2f} then {cpu[1]:.2f} s per minute ({whole:.2f} in all); memory {rows[0][2] >> 10} to {rows[-1][2] >> 10} MiB, "
          f"{kib:+.0f} KiB per minute, {kib / sessions:+.2f} per session left, {1024 * kib / items:+.0f} B per item")
    for minute in range(0, SECONDS, 300):
        at = min(rows, key=lambda row: abs(row[0] - minute))
        print(f"  {at[0]:6.0f} s  CPU {at[1]:7.1f} s  memory {at[2] >> 10:4} MiB  sessions left {at[3]}")
    assert cpu[1] <= CPU_RATIO * cpu[0] + 1.0, "processor time grows"
    assert kib <= KIB_PER_ITEM * items + KIB_PER_MINUTE, "memory grows"
