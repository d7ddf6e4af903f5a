"""History in ClickHouse: whatever dies and comes back, each sample is there once, in one history, and SQL sees what clients changed."""

import asyncio
import os
from datetime import timedelta

import pytest
from asyncua import ua

from support.clickhouse import ClickHouse, program
from support.client import child, connected, eventually, history, now, twins, variables
from support.config import twin_name
from support.history import at_ms, data_value, insert, processed, standard, update

S = ua.StatusCodes
HZ = 50
# Of what is newer than that the front needs no cluster; older goes at the next start.
KEEP_S = 5
OLD = 1_700_000_000_000
LATEST = ("SELECT count(), uniqExact(at) FROM (SELECT at, argMax(deleted, version) AS gone FROM uatwin.samples WHERE series IN "
          "(SELECT id FROM uatwin.series WHERE name = '{series}') AND at >= {start} AND at <= {end} GROUP BY at) WHERE gone = 0")
EPOCH_TICKS = 116_444_736_000_000_000


def ticks(time):
    return EPOCH_TICKS + (time - at_ms(0)) // timedelta(microseconds=1) * 10


@pytest.fixture
def server(tmp_path):
    if program() is None:
        assert os.environ.get("UATWIN_TEST_CLICKHOUSE") != "required", "clickhouse-server is required and not there"
        pytest.skip("there is no clickhouse-server on this machine")
    server = ClickHouse(tmp_path / "clickhouse")
    server.start()
    yield server
    if server.process.running():
        server.kill()


@pytest.fixture
def line(world, server):
    plc = world.plc("asyncua", "north")
    store = f'[history.store.clickhouse]\nurls = ["{server.url}"]\nkeep = "{KEEP_S}s"\n[server.security]'
    return plc, world.run(plc, replace={"[server.security]": store})


async def load_of(client, plc):
    return (await variables((await twins(client))[twin_name(plc)]))["Load"]


async def rows(server, plc, start, end, count):
    """Waits until the cluster has so many samples of an interval; gives rows, and distinct instants among them."""
    sql = LATEST.format(series=f"{twin_name(plc)}.Load", start=ticks(start), end=ticks(end))

    async def complete():
        [[found, distinct]] = await asyncio.to_thread(server.query, sql)
        return int(found) >= count and (int(found), int(distinct))
    return await eventually(complete, 60)


async def test_an_outage_and_kills_lose_and_double_nothing(line, server):
    plc, service = line
    stream = asyncio.create_task(asyncio.to_thread(plc.stream, "Load", HZ, 120 * HZ, 1))
    async with connected(service.url) as client:
        load = await load_of(client, plc)

        async def streaming():
            value = await load.read_data_value(raise_on_bad_status=False)
            return value.StatusCode.is_good() and value.Value.Value > 0 and value
        first = await eventually(streaming, 20)
        await asyncio.sleep(3)
        server.kill()
        await asyncio.sleep(4)
        # Live data and what is newer than the front keeps go on without it.
        assert (await streaming()).SourceTimestamp > now() - timedelta(seconds=2)
        durable = await child(client.nodes.objects, "History/DurableUntil")
        until = await durable.read_value()
        assert now() - until < timedelta(seconds=5), "DurableUntil goes on"
        assert len(await history(load, until - timedelta(seconds=2), until)) >= HZ
        service.process.kill()
    service.start()  # without the cluster
    async with connected(service.url) as client:
        load = await load_of(client, plc)
        await eventually(streaming_of(load), 20)
        assert "history's cluster is away" in service.process.said()
        server.start()
        await asyncio.sleep(2)
        server.kill()
        server.start()
        durable = await child(client.nodes.objects, "History/DurableUntil")
        until = await durable.read_value() - timedelta(seconds=1)
        begin = first.SourceTimestamp
        # Whatever was missed while uatwin was dead is missing in both; what clients read is what the cluster has.
        remembered = await history(load, begin, until)
        good = [sample for sample in remembered if sample.value is not None]
        assert [sample.value for sample in good] == sorted({sample.value for sample in good}), "each once, in order"
        assert await rows(server, plc, begin, until, len(remembered)) == (len(remembered),) * 2
        before_kill = [sample for sample in good if sample.source <= first.SourceTimestamp + timedelta(seconds=6)]
        assert [sample.value for sample in before_kill] == [first.Value.Value + i for i in range(len(before_kill))]
        assert len(before_kill) > 5 * HZ
    plc.stop()
    await asyncio.gather(stream, return_exceptions=True)
    # After a start the front lets go of what is older: the same history, now of two stores.
    await asyncio.sleep(KEEP_S)
    service.stop()
    service.start()
    async with connected(service.url) as client:
        load = await load_of(client, plc)
        assert await history(load, begin, until) == remembered
        [count] = await processed(load, standard("Count"), begin, until, 0)
        assert count.Value.Value == len(good)
        server.kill()

        async def refused():
            with pytest.raises(ua.UaStatusCodeError) as refusal:
                await history(load, at_ms(OLD), at_ms(OLD + 1000))
            return refusal.value.code == S.BadNoCommunication
        assert await refused()


def streaming_of(load):
    async def streaming():
        value = await load.read_data_value(raise_on_bad_status=False)
        return value.StatusCode.is_good() and value
    return streaming


async def test_what_clients_change_is_seen_by_sql_and_old_history_needs_the_cluster(line, server):
    plc, service = line
    series = f"{twin_name(plc)}.Load"
    async with connected(service.url) as client:
        load = await load_of(client, plc)
        await insert(load, [(OLD + i * 1000, float(i), 0) for i in range(100)])
        start, end = at_ms(OLD), at_ms(OLD + 99_000)
        assert await rows(server, plc, start, end, 100) == (100, 100)
        replace = ua.PerformUpdateType.Replace
        assert (await update(load, replace, [data_value(-1.0, at_ms(OLD + 5000))]))[1] == [S.GoodEntryReplaced]
        sql = ("SELECT argMax(number, version), count() FROM uatwin.samples WHERE series IN (SELECT id FROM uatwin.series WHERE "
               f"name = '{series}') AND at = {ticks(at_ms(OLD + 5000))}")

        async def seen():
            [[number, _]] = await asyncio.to_thread(server.query, sql)
            return float(number) == -1.0
        await eventually(seen, 30)
        # 100 were inserted; of the replaced one the old value is kept.
        kept = f"SELECT kind, count(), max(number) FROM uatwin.modified WHERE at >= {ticks(start)} GROUP BY kind ORDER BY kind"
        assert await asyncio.to_thread(server.query, kept) == [["1", "100", "99"], ["2", "1", "5"]]
        # Away: what may be in the cluster alone can be neither read nor changed, and says so.
        server.kill()
        assert (await update(load, replace, [data_value(7.0, at_ms(OLD + 7000))]))[0] == S.BadNoCommunication
        server.start()
        assert (await update(load, replace, [data_value(7.5, at_ms(OLD + 7000))]))[1] == [S.GoodEntryReplaced]
        values = [sample.value for sample in await history(load, start, end + timedelta(seconds=1))]
        assert values == [7.5 if i == 7 else -1.0 if i == 5 else float(i) for i in range(100)]
