"""No client is ever told a false SourceTimestamp, and a change to Bad reaches all of them."""

import asyncio
import contextlib
from datetime import timedelta

import pytest

from support.client import (
    connected, eventually, now, subscribed, text_of, time_of, twins, variables)
from support.config import twin_name

HZ = 20
# Documented: with sampling −1, and after ModifyMonitoredItems, the SourceTimestamp may be null; false it must not be.
INTERVALS_MS = [-1, 0, 100, 250]


def check(samples, start, first, null_allowed):
    """Every sample's SourceTimestamp is that of its value."""
    samples = [sample for sample in samples if sample.value >= first]
    assert len(samples) >= 5, "something is told"
    for sample in samples:
        if sample.source is None:
            assert null_allowed, sample
        else:
            assert sample.source == start + timedelta(microseconds=round((sample.value - first) * 1e6 / HZ)), sample
    values = [sample.value for sample in samples]
    assert values == sorted(set(values)), "in order, none twice"


async def stream(plc, first):
    """Five seconds of values; returns when they have had time to arrive."""
    start = time_of((await asyncio.to_thread(plc.stream, "Load", HZ, 5 * HZ, first))["start"])
    await asyncio.sleep(1)
    return start


async def test_no_sampling_interval_makes_a_source_timestamp_false(world):
    plc = world.plc("asyncua", "north")
    service = world.run(plc)
    async with connected(service.url) as client, contextlib.AsyncExitStack() as stack:
        load = (await variables((await twins(client))[twin_name(plc)]))["Load"]

        async def good():
            return (await load.read_data_value(raise_on_bad_status=False)).StatusCode.is_good()
        await eventually(good, 20)
        subscriptions = {interval: await stack.enter_async_context(subscribed(client, [load], interval)) for interval in INTERVALS_MS}
        start = await stream(plc, first=1)
        for interval, (inbox, _, _) in subscriptions.items():
            check(inbox.samples(load), start, first=1, null_allowed=interval < 0)

        for interval, (_, subscription, handles) in subscriptions.items():
            other = INTERVALS_MS[INTERVALS_MS.index(interval) - 1]
            for result in await subscription.modify_monitored_item(handles[0], other, 1000):
                result.StatusCode.check()
        start = await stream(plc, first=1001)
        for inbox, _, _ in subscriptions.values():
            check(inbox.samples(load), start, first=1001, null_allowed=True)


@pytest.mark.parametrize("interval", INTERVALS_MS)
async def test_a_change_to_bad_reaches_a_client_that_set_no_filter(world, interval):
    plc = world.plc("asyncua", "north")
    service = world.run(plc)
    async with connected(service.url) as client:
        live = await variables((await twins(client))[twin_name(plc)])
        names = ["Temperature", "Pressure", "Pieces", "Speed", "Running", "Recipe"]
        async with subscribed(client, [live[name] for name in names], interval) as (inbox, _, _):
            for name in names:
                good = await inbox.until(live[name], lambda sample: sample.status == 0)
                same = {"name": name, "value": good.value}
                await asyncio.to_thread(plc.set, same | {"status": 0x808C0000, "source": text_of(now())})
                bad = await inbox.until(live[name], lambda sample: sample.status == 0x808C0000)
                assert bad.value is None
                await asyncio.to_thread(plc.set, same | {"source": text_of(now())})

                async def good_again():
                    last = inbox.samples(live[name])[-1]
                    return last.status == 0 and last.value == good.value
                await eventually(good_again, 10)
