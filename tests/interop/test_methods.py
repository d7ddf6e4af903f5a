"""A twin's methods: what they give, checked by other people's mathematics, and how they refuse."""

from datetime import timedelta

import numpy as np
from asyncua import ua

from support import methods
from support.client import call, child, children, connected, eventually, history, now, twins, variables
from support.fitting import model_of, samples_of_model, seconds
from support.methods import COUNT, NUMBER, NULL_TIME, TEXT, TIME, status_of

FAR_PAST = (NULL_TIME + timedelta(days=1), NULL_TIME + timedelta(days=2))


async def some_twin(client):
    return sorted((await twins(client)).items())[0][1]


async def parameter_values(twin):
    return {name: await node.read_value() for name, node in (await children(await child(twin, "Model/Parameters"))).items()}


async def test_set_parameters_puts_them_in_force_as_a_new_revision(demo_with_past, client_identity):
    async with connected(demo_with_past.url, client_identity) as client:
        twin = await some_twin(client)
        before = await parameter_values(twin)
        name = sorted(before)[0]
        revision = await (await child(twin, "Model/Revision")).read_value()
        answer = await methods.set_parameters(twin, [name], [before[name] * 1.01])
        assert answer["Revision"] == revision + 1 == await (await child(twin, "Model/Revision")).read_value()
        assert await parameter_values(twin) == before | {name: before[name] * 1.01}
        await methods.set_parameters(twin, [name], [before[name]])


async def test_simulate_agrees_with_another_integrator_at_the_stored_times(demo_with_past):
    async with connected(demo_with_past.url) as client:
        for name, twin in (await twins(client)).items():
            model = model_of(name)
            end = now().replace(microsecond=0) - timedelta(seconds=10)  # the plant samples at whole seconds
            start = end - timedelta(minutes=10)
            samples = await samples_of_model(twin, model, start, end)
            parameters = await parameter_values(twin)
            expected = model.simulate(parameters, samples, 0.0)
            for output in model.outputs:
                answer = await methods.simulate(twin, start, end, output, parameters)
                values = dict(zip((seconds(time, start) for time in answer["Timestamps"]), answer["Values"], strict=True))
                stored = samples[output][0]
                assert set(stored) <= set(values), (name, output)
                simulated = np.array([values[time] for time in stored])
                scale = np.ptp(expected[output]) + np.abs(expected[output]).max()
                assert np.abs(simulated - expected[output]).max() < 2e-3 * scale, (name, output)


async def test_correlate_agrees_with_numpy(demo_with_past):
    async with connected(demo_with_past.url) as client:
        for name, twin in (await twins(client)).items():
            statistics = await children(await child(twin, "Statistics"))
            names = [variable for variable in await variables(twin)
                     if variable in statistics and "Mean" in await children(statistics[variable])]
            end = now() - timedelta(seconds=10)
            start = end - timedelta(minutes=20)
            live = await variables(twin)
            stored = [{s.source: s.value for s in await history(live[variable], start, end) if s.status >> 30 == 0} for variable in names]
            answer = await methods.correlate(twin, start, end, names)
            assert answer["Names"] == names
            size = len(names)
            coefficients = np.array(answer["Coefficients"]).reshape(size, size)
            counts = np.array(answer["Counts"]).reshape(size, size)
            for i in range(size):
                for j in range(size):
                    common = sorted(set(stored[i]) & set(stored[j]))
                    if counts[i, j] != len(common):
                        continue
                    expected = np.corrcoef([stored[i][at] for at in common], [stored[j][at] for at in common])[0, 1]
                    assert np.isclose(coefficients[i, j], expected, atol=1e-6, equal_nan=True), (name, names[i], names[j])
            assert any(counts[i, i] == len(stored[i]) for i in range(size)), (name, counts)
            p_values = np.array(answer["PValues"])
            assert p_values.shape == (size * size,) and (np.isnan(p_values) | ((p_values >= 0) & (p_values <= 1))).all()


async def test_reset_statistics_begins_anew(demo_with_past):
    async with connected(demo_with_past.url) as client:
        twin = sorted((await twins(client)).items())[-1][1]
        statistics = await child(twin, "Statistics")
        variable = next(iter(set(await children(statistics)) & set(await variables(twin))))
        count = await child(statistics, f"{variable}/Count")

        async def counts():
            return await count.read_value() > 10
        await eventually(counts, 30)
        before = await count.read_value()
        await call(statistics, "ResetStatistics")
        assert await count.read_value() < before / 2


async def test_wrong_calls_are_refused_with_the_promised_status_and_change_nothing(demo_with_past):
    async with connected(demo_with_past.url) as client:
        twin = await some_twin(client)
        before = await parameter_values(twin)
        revision = await (await child(twin, "Model/Revision")).read_value()
        name = sorted(before)[0]
        upper = await (await child(twin, f"Model/Parameters/{name}/UpperBound")).read_value()
        invalid, no_data = ua.StatusCodes.BadInvalidArgument, ua.StatusCodes.BadNoData
        output = next(iter(await children(await child(twin, "Model/Outputs"))))
        later = now()
        earlier = later - timedelta(minutes=5)
        wrong = {
            "SetParameters: unknown name": (invalid, methods.set_parameters(twin, ["NoSuch"], [1.0])),
            "SetParameters: lengths differ": (invalid, methods.set_parameters(twin, [name], [1.0, 2.0])),
            "SetParameters: outside its bounds": (invalid, methods.set_parameters(twin, [name], [upper * 10 + 1])),
            "SetParameters: one of two is wrong": (invalid, methods.set_parameters(twin, [name, "NoSuch"], [before[name] * 1.01, 1.0])),
            "Fit: unknown parameter": (invalid, methods.fit(twin, earlier, later, ["NoSuch"])),
            "Fit: end before start": (invalid, methods.fit(twin, later, earlier)),
            "Fit: no history": (no_data, methods.fit(twin, *FAR_PAST)),
            "Simulate: unknown output": (invalid, methods.simulate(twin, earlier, later, "NoSuch", {})),
            "Simulate: end before start": (invalid, methods.simulate(twin, later, earlier, output, {})),
            "Simulate: unknown parameter": (invalid, methods.simulate(twin, earlier, later, output, {"NoSuch": 1.0})),
            "Correlate: unknown variable": (invalid, methods.correlate(twin, earlier, later, ["NoSuch", "NoSuch"])),
            "Correlate: end before start": (invalid, methods.correlate(twin, later, earlier, [output])),
            "Correlate: no history": (no_data, methods.correlate(twin, *FAR_PAST, [output])),
        }
        answered = {what: (hex(await status_of(awaitable)), hex(expected)) for what, (expected, awaitable) in wrong.items()}
        assert not {what: codes for what, codes in answered.items() if codes[0] != codes[1]}, "answered, promised"
        assert await parameter_values(twin) == before
        assert await (await child(twin, "Model/Revision")).read_value() == revision


async def test_refused_arguments_are_named_one_by_one(demo_with_past):
    async with connected(demo_with_past.url) as client:
        twin = await some_twin(client)
        request = ua.CallMethodRequest(
            ObjectId=twin.nodeid, MethodId=(await child(twin, "SetParameters")).nodeid,
            InputArguments=[ua.Variant(["NoSuch"], TEXT), ua.Variant([1.0], NUMBER)])
        [result] = await client.uaclient.call([request])
        assert result.StatusCode.value == ua.StatusCodes.BadInvalidArgument
        codes = result.InputArgumentResults
        assert len(codes) == 2 and codes[0].is_bad() and codes[1].is_good()


async def test_numerics_are_converted_and_null_arrays_are_empty(demo_with_past):
    async with connected(demo_with_past.url) as client:
        twin = await some_twin(client)
        end = now()
        fit = (await child(twin, "Fit")).nodeid
        nothing, wait = ua.Variant(None, ua.VariantType.Null), ua.Variant(0, COUNT)
        request = ua.CallMethodRequest(ObjectId=twin.nodeid, MethodId=fit, InputArguments=[
            ua.Variant(end - timedelta(minutes=10), TIME), ua.Variant(end, TIME), nothing, wait])
        [result] = await client.uaclient.call([request])
        assert result.StatusCode.is_good(), result
        assert result.OutputArguments[0].Value in ("Running", "Completed")
        await call(twin, "CancelFit") if "CancelFit" in await children(twin) else None


async def test_methods_answer_to_the_method_ids_of_their_type(demo_with_past):
    async with connected(demo_with_past.url) as client:
        twin = await some_twin(client)
        kind = client.get_node(await twin.read_type_definition())
        [twin_type] = await kind.get_referenced_nodes(ua.ObjectIds.HasSubtype, ua.BrowseDirection.Inverse)
        of_type = await child(twin_type, "SetParameters")
        assert of_type.nodeid != (await child(twin, "SetParameters")).nodeid
        before = await parameter_values(twin)
        name = sorted(before)[0]
        answer = await methods.set_parameters(twin, [name], [before[name]], method_id=of_type)
        assert answer["Revision"] >= 1
        end = now() - timedelta(seconds=5)
        assert (await methods.fit(twin, end - timedelta(minutes=10), end, method_id=await child(twin_type, "Fit")))["State"] in ("Completed", "Running")
