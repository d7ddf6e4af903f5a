"""The demo, walked as a stranger would: values live at once, statistics right, starts and stops in order."""

import asyncio
import subprocess
from datetime import timedelta

import numpy as np

from support import service as services
from support.client import child, children, connected, eventually, history, now, recent_history, subscribed, twins, variables
from support.process import PROGRAM, STOP_S

EDGE = timedelta(seconds=2)  # a sample or two at the beginning of a window may be in or out
FIRST_VALUES_S = 20  # an outer bound for a loaded machine; the promise is 3 s


async def numeric(twin):
    """Numeric variables that have statistics; of the others only the time in each state is known."""
    statistics = await children(await child(twin, "Statistics"))
    found = {name: (node, await children(statistics[name])) for name, node in (await variables(twin)).items() if name in statistics}
    return {name: (node, facets) for name, (node, facets) in found.items() if "Mean" in facets}


async def test_live_values_reach_a_subscriber_with_increasing_source_timestamps(demo, client_identity):
    async with connected(demo.url, client_identity) as client:
        live = {(name, variable): node for name, twin in (await twins(client)).items() for variable, (node, _) in (await numeric(twin)).items()}
        async with subscribed(client, live.values()) as (inbox, _, _):
            await asyncio.sleep(5)
            for where, node in live.items():
                received = inbox.received.get(node.nodeid, [])
                assert len(received) >= 1, where
                sources = [value.SourceTimestamp for value in received if value.SourceTimestamp]
                assert sources == sorted(set(sources)), where
                assert all(value.ServerTimestamp for value in received), where
        changing = [where for where, node in live.items() if len(inbox.received[node.nodeid]) >= 3]
        assert len(changing) >= len(live) // 2, "most measurements move"


async def test_simulated_and_residual_add_up_to_the_measurement(demo):
    async with connected(demo.url) as client:
        for name, twin in (await twins(client)).items():
            outputs = await children(await child(twin, "Model/Outputs"))
            for output in outputs:
                node = await child(twin, output)
                facets = await children(node)

                async def enough():
                    return len(await recent_history(facets["Residual"], timedelta(seconds=20))) >= 5
                await eventually(enough, 30)
                begin, end = now() - timedelta(seconds=30), now()
                measured, simulated, residual = [
                    {sample.source: sample.value for sample in await history(which, begin, end) if sample.status == 0}
                    for which in (node, facets["Simulated"], facets["Residual"])]
                both = set(measured) & set(residual)
                assert both, (name, output)
                for at in both & set(simulated):
                    assert abs(measured[at] - simulated[at] - residual[at]) < 1e-9, (name, output, at)


async def test_backfill_gives_a_new_twin_its_past_hour(demo):
    async with connected(demo.url) as client:
        for name, twin in (await twins(client)).items():
            for variable, (node, _) in (await numeric(twin)).items():
                samples = await recent_history(node)
                sources = [sample.source for sample in samples]
                assert sources == sorted(set(sources)), (name, variable)
                if len(samples) > 100:
                    assert sources[-1] - sources[0] > timedelta(minutes=55), (name, variable)


async def test_statistics_agree_with_numpy_over_the_history(demo):
    async with connected(demo.url) as client:
        for name, twin in (await twins(client)).items():
            began = await (await child(twin, "Statistics/StartTime")).read_value()
            window = timedelta(milliseconds=await (await child(twin, "Statistics/WindowDuration")).read_value())
            for variable, (node, facets) in (await numeric(twin)).items():
                wanted = ["Count", "Mean", "VariancePopulation", "VarianceSample", "Minimum", "Maximum"]
                read = await client.read_attributes([facets[facet] for facet in wanted])
                said = {facet: value.Value.Value for facet, value in zip(wanted, read, strict=True)}
                end = read[0].SourceTimestamp
                stored = await history(node, end - window - EDGE, end + timedelta(microseconds=1))
                good = [sample for sample in stored if sample.status >> 30 == 0][-said["Count"]:]
                where = (name, variable, len(good), said)
                assert len(good) == said["Count"], where
                assert good[0].source >= max(began, end - window) - EDGE, where
                values = np.array([sample.value for sample in good], float)
                expected = {"Mean": values.mean(), "VariancePopulation": values.var(), "Minimum": values.min(), "Maximum": values.max()}
                for facet, value in expected.items():
                    assert np.isclose(said[facet], value, rtol=1e-9, atol=1e-9 * abs(values).max()), (facet, value, where)
                if len(good) > 1:
                    assert np.isclose(said["VarianceSample"], values.var(ddof=1), rtol=1e-9, atol=1e-9 * abs(values).max()), where


async def test_a_second_start_finds_its_history_again(tmp_path, identity):
    def first_variable(found):
        return sorted(found.items())[0][1]
    service = services.demo(tmp_path, identity)
    async with connected(service.url) as client:
        node = first_variable(await numeric(first_variable(await twins(client))))[0]

        async def filled():
            return await recent_history(node)
        before = await eventually(filled, FIRST_VALUES_S, every_s=0.5)
        await asyncio.sleep(2)
        before = await recent_history(node)
    service.stop()
    service.start()
    async with connected(service.url) as client:
        node = first_variable(await numeric(first_variable(await twins(client))))[0]
        after = await history(node, before[0].source, before[-1].source + timedelta(microseconds=1))
    service.stop()
    assert {sample.source for sample in before} <= {sample.source for sample in after}


def test_a_taken_port_is_one_clear_line_and_exit_code_1(demo, tmp_path):
    ended = subprocess.run(
        [PROGRAM, "demo", "--port", str(demo.port), "--plant-port", "0", "--data-dir", tmp_path / "data", "--duration", "1"],
        cwd=tmp_path, capture_output=True, text=True, timeout=STOP_S)
    assert ended.returncode == 1, ended
    assert str(demo.port) in ended.stderr
    assert "panicked" not in ended.stderr
