"""Raw history of a simulated output beyond now, by a foreign client: where the config has it, and nowhere else."""

import asyncio
from datetime import timedelta

import pytest
from asyncua import ua

from support import bench
from support.client import Sample, call, child, connected, eventually, history, now, twins, variant
from support.history import processed, read, standard
from support.methods import NUMBER, TEXT

SIMULATED = ua.StatusCodes.UncertainSimulatedValue
INFO = 0x0401  # InfoType DataValue, Calculated
HORIZON_S = 600


async def running(service):
    """History of an hour, and values that the live model runs on."""
    await bench.with_history(service)
    async with connected(service.url) as client:
        twin = (await twins(client))[bench.TWIN]
        for name, value in (("Power", 80.0), ("Temperature", 60.0)):
            await (await child(twin, name)).write_value(value, ua.VariantType.Double)
        simulated = await child(twin, "Temperature/Simulated")

        async def is_stored():
            # A second write, past the live period: the first one only starts the model.
            await (await child(twin, "Temperature")).write_value(60.0, ua.VariantType.Double)
            return len(await history(simulated, now() - timedelta(hours=2), now())) >= 2
        await eventually(is_stored, 60, every_s=1.2)


@pytest.fixture(scope="module")
def forecasting(tmp_path_factory, identity):
    service = bench.run(tmp_path_factory.mktemp("forecast"), identity, live='forecast_horizon = "10m"')
    asyncio.run(running(service))
    yield service
    service.stop()


def stored_and_expected(samples):
    expected = [sample for sample in samples if sample.status == SIMULATED | INFO]
    return [sample for sample in samples if sample.status != SIMULATED | INFO], expected


@pytest.mark.parametrize("reverse", [False, True])
async def test_a_read_beyond_now_goes_on_with_the_forecast(forecasting, reverse):
    async with connected(forecasting.url) as client:
        twin = (await twins(client))[bench.TWIN]
        simulated = await child(twin, "Temperature/Simulated")
        start, end = now() - timedelta(hours=2), now() + timedelta(hours=2)
        begin, stop = (end, start) if reverse else (start, end)
        whole = await history(simulated, begin, stop)
        assert await history(simulated, begin, stop, page=100) == whole, "nothing was written in between"
        samples = list(reversed(whole)) if reverse else whole
        stored, expected = stored_and_expected(samples)
        assert len(stored) >= 2 and samples == stored + expected
        assert len(expected) == HORIZON_S, "one each second of the horizon"
        times = [sample.source for sample in expected]
        assert all(b - a == timedelta(seconds=1) for a, b in zip(times, times[1:]))
        assert times[0] > stored[-1].source and times[-1] > now()
        # The same machinery as Predict: towards 80 degrees, as far as the time constant lets it.
        found = await call(twin, "Predict", variant(NUMBER, HORIZON_S * 1e3), variant(NUMBER, 1e3), variant(TEXT, "Temperature"),
                           variant(TEXT, []), variant(NUMBER, []))
        by_time = dict(zip(found["Timestamps"], found["Values"]))
        assert [sample.source for sample in expected] == list(by_time)
        assert all(abs(sample.value - by_time[sample.source]) < 1e-4 for sample in expected)


async def test_an_open_end_is_the_end_of_what_is_stored(forecasting):
    async with connected(forecasting.url) as client:
        simulated = await child((await twins(client))[bench.TWIN], "Temperature/Simulated")
        start, null = now() - timedelta(hours=2), ua.get_win_epoch()
        details = ua.ReadRawModifiedDetails(IsReadModified=False, StartTime=start, EndTime=null, NumValuesPerNode=5000, ReturnBounds=False)
        result = await read(simulated, details)
        stored, expected = stored_and_expected([Sample.of(value) for value in result.HistoryData.DataValues])
        assert stored and not expected
        assert not stored_and_expected(await history(simulated, start, now()))[1]


async def test_aggregates_know_nothing_of_it(forecasting):
    async with connected(forecasting.url) as client:
        simulated = await child((await twins(client))[bench.TWIN], "Temperature/Simulated")
        start, end = now() - timedelta(hours=2), now() + timedelta(hours=2)
        stored, _ = stored_and_expected(await history(simulated, start, end))
        [count] = await processed(simulated, standard("Count"), start, end, 0.0)
        assert count.Value.Value == len(stored)


async def test_it_is_off_unless_the_config_says_so(tmp_path, identity):
    service = bench.run(tmp_path, identity)
    try:
        await running(service)
        async with connected(service.url) as client:
            simulated = await child((await twins(client))[bench.TWIN], "Temperature/Simulated")
            stored, expected = stored_and_expected(await history(simulated, now() - timedelta(hours=2), now() + timedelta(hours=2)))
            assert stored and not expected
    finally:
        service.process.kill()
