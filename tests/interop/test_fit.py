"""A fit finds the truth of the plant, agrees with an independent least squares, and follows a device that ages."""

import asyncio
from datetime import timedelta

from support import methods
from support import service as services
from support.client import child, children, connected, now, twins
from support.fitting import backfilled, device_of, model_of, samples_of_model
from support.plant import age, truth

WINDOW = timedelta(minutes=20)
AGEING_S = 60


async def parameters_of(twin):
    found = await children(await child(twin, "Model/Parameters"))
    return {name: await node.read_value() for name, node in found.items()}


async def test_fit_finds_the_truth_within_three_standard_errors(demo_with_past, client_identity):
    async with connected(demo_with_past.url, client_identity) as client:
        wrong = {}
        for name, twin in (await twins(client)).items():
            true = await truth(demo_with_past.plant_url, await device_of(twin))
            answer = await methods.fit(twin)
            assert answer["State"] == "Completed", (name, answer)
            found = dict(zip(answer["Names"], zip(answer["Values"], answer["StandardErrors"], strict=True), strict=True))
            common = set(found) & set(true)
            assert len(common) >= 3, (name, found, true)
            for parameter in common:
                value, error = found[parameter]
                if not abs(value - true[parameter]) <= 3 * error:
                    wrong[f"{name}.{parameter}"] = f"{value} ± {error}, truth {true[parameter]}"
            in_force = await parameters_of(twin)
            assert in_force == in_force | dict(zip(answer["Names"], answer["Values"], strict=True)), name
            last = await children(await child(twin, "Model/LastFit"))
            assert await last["Rmse"].read_value() == answer["Rmse"], name
            assert await last["Names"].read_value() == answer["Names"], name
            correlation = (await last["Correlation"].read_data_value()).Value
            assert list(correlation.Dimensions) == [len(answer["Names"])] * 2, name
            outputs = await last["OutputNames"].read_value()
            assert set(outputs) == set(await children(await child(twin, "Model/Outputs"))), name
            for figure in ("OutputRmse", "OutputRSquared", "OutputFitPercent", "OutputLjungBoxPValue"):
                assert len(await last[figure].read_value()) == len(outputs), (name, figure)
            assert all(0 <= p <= 1 for p in await last["OutputLjungBoxPValue"].read_value()), name
            costs = await last["Optima"].read_value()
            assert costs[0] == await last["Cost"].read_value() and costs == sorted(costs), name
        assert not wrong


async def test_fit_agrees_with_an_independent_least_squares_on_the_history(demo_with_past):
    """Within two standard errors: the same samples, but a threshold of Huber's of one's own, which is another estimator.
    Initial states are left out: which instant they belong to is the fit's own business."""
    async with connected(demo_with_past.url) as client:
        wrong = {}
        for name, twin in (await twins(client)).items():
            end = now().replace(microsecond=0) - timedelta(seconds=30)
            start = end - WINDOW
            answer = await methods.fit(twin, start, end)
            assert answer["State"] == "Completed", (name, answer)
            model = model_of(name)
            samples = await samples_of_model(twin, model, start, end)
            fitted = dict(zip(answer["Names"], answer["Values"], strict=True))
            begin = await parameters_of(twin) | fitted
            begin |= {parameter: value * 1.02 for parameter, value in fitted.items()}
            found = await asyncio.to_thread(model.fit, samples, 0.0, begin)
            for parameter, error in zip(answer["Names"], answer["StandardErrors"], strict=True):
                if parameter in model.initial.values():
                    continue
                if not abs(found[parameter] - fitted[parameter]) <= 2 * error:
                    wrong[f"{name}.{parameter}"] = f"{fitted[parameter]} ± {error}, scipy {found[parameter]}"
        assert not wrong


async def test_a_fit_that_may_not_wait_goes_on_by_itself(demo_with_past):
    async with connected(demo_with_past.url) as client:
        twin = sorted((await twins(client)).items())[0][1]
        answer = await methods.fit(twin, wait_ms=0.0)
        assert answer["State"] in ("Running", "Completed")
        state = await child(twin, "Model/LastFit/State")
        for _ in range(300):
            if await state.read_value() == "Completed":
                return
            await asyncio.sleep(0.1)
        raise AssertionError(f"still {await state.read_value()}")


async def test_refit_follows_a_device_that_ages(tmp_path, identity):
    service = services.demo(tmp_path, identity)
    try:
        await backfilled(service.url)
        async with connected(service.url) as client:
            found = await twins(client)
            before, devices = {}, {}
            for name, twin in found.items():
                answer = await methods.fit(twin)
                assert answer["State"] == "Completed", (name, answer)
                before[name] = await parameters_of(twin)
                device = devices[name] = await device_of(twin)
            new = {device: await truth(service.plant_url, device) for device in devices.values()}
            for device in new:
                await age(service.plant_url, device, 1.0)
            aged_at = now() + timedelta(seconds=3)
            await asyncio.sleep(AGEING_S)
            followed = 0
            for name, twin in found.items():
                worn = await truth(service.plant_url, devices[name])
                moved = {p: worn[p] - value for p, value in new[devices[name]].items() if worn[p] != value and p in before[name]}
                assert moved, f"{name} shows its age in a parameter of its model"
                starts = [p for p in before[name] if p not in worn]  # where the states stand when the window begins
                answer = await methods.fit(twin, aged_at, now() - timedelta(seconds=3), [*moved, *starts])
                assert answer["State"] == "Completed", (name, answer)
                after = dict(zip(answer["Names"], zip(answer["Values"], answer["StandardErrors"], strict=True), strict=True))
                for parameter, change in moved.items():
                    value, error = after[parameter]
                    if abs(change) > 5 * error:  # else a minute is too short to tell
                        followed += 1
                        assert (value - before[name][parameter]) * change > 0, (name, parameter, value, before[name][parameter])
            assert followed, "some change is clear after a minute"
    finally:
        service.stop()
