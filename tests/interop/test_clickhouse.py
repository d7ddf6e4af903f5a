"""History in ClickHouse: whatever dies and comes back, each sample is there once, in one history, and SQL sees what clients changed."""

import asyncio
import os
import subprocess
from datetime import timedelta

import pytest
from asyncua import ua

from support.clickhouse import ClickHouse, program
from support.client import child, connected, eventually, history, now, twins, variables
from support.config import twin_name
from support.history import at_ms, data_value, insert, processed, read, send, standard, update
from support.process import PROGRAM

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


async def test_history_is_copied_into_the_cluster_and_back(line, server, tmp_path):
    """What a service kept alone goes to a cluster, the service goes on before that, and all of it comes back, to the last byte."""
    plc, service = line
    service.stop()
    config, alone = tmp_path / "uatwin.toml", tmp_path / "alone.toml"
    text = config.read_text()
    store = text[text.index("[history.store.clickhouse]"):text.index("[server.security]")]
    alone.write_text(text.replace(store, "").replace('data_dir = "data"', 'data_dir = "alone"'))
    service.command[-1] = alone
    service.start()
    note = ua.Annotation(Message="a remark", UserName="", AnnotationTime=at_ms(OLD))
    async with connected(service.url) as client:
        load = await load_of(client, plc)
        await insert(load, [(OLD + i * 1000, float(i), 0) for i in range(2000)])
        await update(load, ua.PerformUpdateType.Replace, [data_value(-i, at_ms(OLD + 5000)) for i in (1.0, 2.0)])
        details = ua.UpdateStructureDataDetails(NodeId=load.nodeid, PerformInsertReplace=ua.PerformUpdateType.Insert,
                                                UpdateValues=[data_value(note, at_ms(OLD + 5000), kind=ua.VariantType.ExtensionObject)])
        await send(load, details)
    service.stop()
    folder, back = tmp_path / "alone" / "history", tmp_path / "back" / "history"
    for last in [[], ["--become-front"]]:  # again: what is there already does no harm
        said = command(service, "history", "copy", "--from", folder, "--to", config, *last)
        assert "all there" in said, said
    exported = command(service, "history", "export", "--config", alone_as_front(alone, store))
    assert exported.count("Load,") >= 2000
    [[kept]] = server.query("SELECT count() FROM uatwin.modified FINAL WHERE version > 0 AND user != ''")
    assert int(kept) >= 2002
    # The service goes on before the cluster, with a sample more.
    service.command[-1] = alone_as_front(alone, store)
    service.start()
    async with connected(service.url) as client:
        load = await load_of(client, plc)
        await insert(load, [(OLD + 5_000_000, 42.0, 0)])
        assert await rows(server, plc, at_ms(OLD), at_ms(OLD + 6_000_000), 2001) == (2001, 2001)
    service.stop()
    said = command(service, "history", "copy", "--from", service.command[-1], "--to", back)
    assert "all there" in said, said
    text = alone.read_text().replace('data_dir = "alone"', 'data_dir = "back"')
    alone.write_text(text)
    again = command(service, "history", "export", "--config", alone, "--series", f"{twin_name(plc)}.Load", "--end", "2024-01-01T00:00:00Z")
    assert again.count("Load,") == 2001 and ",42" in again
    service.command[-1] = alone
    service.start()
    async with connected(service.url) as client:
        load = await load_of(client, plc)
        details = ua.ReadRawModifiedDetails(IsReadModified=True, StartTime=at_ms(OLD + 5000), EndTime=at_ms(OLD + 5001),
                                            NumValuesPerNode=0, ReturnBounds=False)
        data = (await read(load, details)).HistoryData
        # The last modification first: -1 gave way to -2, before it 5 to -1, and before all it was inserted.
        assert [value.Value.Value for value in data.DataValues] == [-1.0, 5.0, 5.0]


def alone_as_front(alone, store):
    """The config of a service alone, with the cluster behind it."""
    front = alone.with_name("front.toml")
    front.write_text(alone.read_text().replace("[server.security]", f"{store}[server.security]"))
    return front


def command(service, *arguments):
    """A command that must succeed: what it says."""
    done = subprocess.run([str(part) for part in (PROGRAM, *arguments)], env={**os.environ, **(service.env or {})}, capture_output=True,
                          text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
