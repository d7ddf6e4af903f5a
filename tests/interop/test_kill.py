"""kill -9 under load loses nothing older than what `History.DurableUntil` promised."""

import asyncio
from datetime import timedelta

from support.client import child, connected, eventually, history, now, twins, variables
from support.config import twin_name

ROUNDS, ROUND_S, HZ = 3, 5, 50
# DurableUntil speaks of what was received; from the PLC's clock to there a sample has this long.
ON_THE_WAY = timedelta(seconds=1)


async def test_kill_loses_nothing_older_than_durable_until(world):
    plc = world.plc("asyncua", "north")
    service = world.run(plc)
    count = 60 * HZ  # outlasts the rounds; a PLC does not wait for us
    stream = asyncio.create_task(asyncio.to_thread(plc.stream, "Load", HZ, count, 1))
    promised = []
    for _ in range(ROUNDS):
        async with connected(service.url) as client:
            load = (await variables((await twins(client))[twin_name(plc)]))["Load"]
            durable = await child(client.nodes.objects, "History/DurableUntil")

            async def streaming():
                value = await load.read_data_value(raise_on_bad_status=False)
                return value.StatusCode.is_good() and value.Value.Value > 0 and value
            first = await eventually(streaming, 20)
            await asyncio.sleep(ROUND_S)
            until = await durable.read_value()
            service.process.kill()  # while samples pour in
        assert now() - until < timedelta(seconds=30), "DurableUntil goes on"
        promised.append((first, until - ON_THE_WAY))
        service.start()
        await check(service, plc, promised)
    plc.stop()
    await asyncio.gather(stream, return_exceptions=True)


async def check(service, plc, promised):
    """All that was promised in any round is there, once, in order."""
    async with connected(service.url) as client:
        load = (await variables((await twins(client))[twin_name(plc)]))["Load"]
        for first, until in promised:
            begin, value = first.SourceTimestamp, first.Value.Value
            expected_count = int((until - begin) / timedelta(seconds=1) * HZ) + 1
            assert expected_count > HZ, "the promise covers more than a second of samples"
            remembered = await history(load, begin, until)
            assert [sample.value for sample in remembered] == [value + i for i in range(len(remembered))]
            assert abs(len(remembered) - expected_count) <= 1, "up to the promised time"
