"""What becomes of a twin's model over time: revisions that outlive a kill, states that go on, predictions."""

import asyncio
from datetime import timedelta

from asyncua import ua

from support import methods
from support import service as services
from support.client import call, child, children, connected, eventually, history, now, twins, variant
from support.fitting import backfilled
from support.methods import COUNT, NUMBER, TEXT, status_of

MINUTE_MS = 60_000.0


def activate(twin, revision):
    return call(twin, "ActivateRevision", variant(COUNT, revision))


def predict(twin, output, horizon=10 * MINUTE_MS, step=MINUTE_MS / 6, inputs=None):
    inputs = inputs or {}
    return call(twin, "Predict", variant(NUMBER, horizon), variant(NUMBER, step), variant(TEXT, output),
                variant(TEXT, list(inputs)), variant(NUMBER, list(inputs.values())))


async def revision_of(twin):
    return await (await child(twin, "Model/Revision")).read_value()


async def values_of(folder):
    """None where there is none yet."""
    read = {name: await node.read_data_value(raise_on_bad_status=False) for name, node in (await children(folder)).items()}
    return {name: value.Value.Value if value.Value else None for name, value in read.items()}


async def model_in_force(twin):
    """Revision, parameters, and what is known of each."""
    parameters = await children(await child(twin, "Model/Parameters"))
    errors = {name: await (await child(node, "StandardError")).read_value() for name, node in parameters.items()}
    return await revision_of(twin), {name: await node.read_value() for name, node in parameters.items()}, errors


async def test_revisions_and_states_outlive_a_kill(tmp_path, identity):
    service = services.demo(tmp_path, identity)
    try:
        await backfilled(service.url)
        began = now()
        async with connected(service.url) as client:
            twin = (await twins(client))["Oven1"]
            fitted = await methods.fit(twin)
            assert fitted["State"] == "Completed" and fitted["Revision"] == 2, fitted
            of_fit = await model_in_force(twin)
            name, value = fitted["Names"][0], fitted["Values"][0]
            assert (await methods.set_parameters(twin, [name], [value * 1.05]))["Revision"] == 3
            assert (await model_in_force(twin))[1][name] == value * 1.05
            await activate(twin, 2)
            assert await model_in_force(twin) == of_fit
            assert await status_of(activate(twin, 4)) == ua.StatusCodes.BadInvalidArgument
            assert await status_of(activate(twin, 0)) == ua.StatusCodes.BadInvalidArgument
            await asyncio.sleep(2)
            stood = await values_of(await child(twin, "Model/States"))
            await asyncio.sleep(2)  # a second for what was stored to be durable
        service.process.kill()
        service.start()
        async with connected(service.url) as client:
            twin = (await twins(client))["Oven1"]
            assert await model_in_force(twin) == of_fit
            last = await values_of(await child(twin, "Model/LastFit"))
            assert last["State"] == "Completed" and last["Rmse"] == fitted["Rmse"], last

            async def goes_on():
                values = await values_of(await child(twin, "Model/States"))
                return all(value is not None for value in values.values()) and values
            states = await eventually(goes_on, 20)
            assert stood.keys() == states.keys() and len(stood) > 0
            # An oven moves by less than this in the seconds between.
            assert all(abs(states[name] - stood[name]) < 5.0 for name in stood), (stood, states)
            assert (await methods.set_parameters(twin, [name], [value]))["Revision"] == 4, "no number comes twice"
            await activate(twin, 1)
            revisions = await history(await child(twin, "Model/Revision"), began, now() + timedelta(seconds=1))
            numbers = [sample.value for sample in revisions if sample.value is not None]
            assert numbers == [2, 3, 2, 2, 4, 1], "each change, and the start"
    finally:
        service.process.kill()


async def test_predictions_begin_where_the_model_stands_and_say_how_sure_they_are(demo_with_past):
    async with connected(demo_with_past.url) as client:
        for name, twin in (await twins(client)).items():
            outputs = list(await children(await child(twin, "Model/Outputs")))
            inputs = list(await children(await child(twin, "Model/Inputs")))
            await methods.fit(twin)
            for output in outputs:
                found = await predict(twin, output)
                times, values = found["Timestamps"], found["Values"]
                assert len(times) == len(values) == 60 and times == sorted(times), (name, output)
                assert times[-1] - times[0] == timedelta(seconds=590)
                assert abs(times[0] - now()) < timedelta(seconds=15)
                widths = [up - low for low, up in zip(found["Lower95"], found["Upper95"], strict=True)]
                assert all(low < value < up for low, value, up in zip(found["Lower95"], values, found["Upper95"], strict=True)), (name, output)
                assert max(widths) < 100 * min(widths) and min(widths) > 0, (name, output)

                async def begins_where_the_model_stands():
                    simulated = await (await child(twin, f"{output}/Simulated")).read_value()
                    begin = (await predict(twin, output, 1000.0, 1000.0))["Values"][0]
                    return abs(begin - simulated) < 5 * widths[0]
                await eventually(begins_where_the_model_stands, 20)
            # What is given counts: another input gives another future.
            live = await (await child(twin, inputs[0])).read_value()
            other = await predict(twin, outputs[0], inputs={inputs[0]: live * 0.5 - 1.0})
            assert other["Values"] != (await predict(twin, outputs[0]))["Values"], name


async def test_predictions_refuse_what_cannot_be_meant(demo_with_past):
    async with connected(demo_with_past.url) as client:
        twin = (await twins(client))["Oven1"]
        output = list(await children(await child(twin, "Model/Outputs")))[0]
        invalid, codes = ua.StatusCodes.BadInvalidArgument, ua.StatusCodes
        assert await status_of(predict(twin, "Nothing")) == invalid
        assert await status_of(predict(twin, output, step=0.0)) == invalid
        assert await status_of(predict(twin, output, step=-1.0)) == invalid
        assert await status_of(predict(twin, output, horizon=float("nan"))) == invalid
        assert await status_of(predict(twin, output, horizon=1.0, step=2.0)) == invalid
        assert await status_of(predict(twin, output, inputs={"Nothing": 1.0})) == invalid
        assert await status_of(predict(twin, output, inputs={"Power": float("inf")})) == invalid
        assert await status_of(predict(twin, output, step=1.0, horizon=1e6)) == codes.BadResponseTooLarge
