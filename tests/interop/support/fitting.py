"""What an independent fit needs of a twin: its model from the demo's config, and its samples from HistoryRead."""

import re
from datetime import timedelta

import numpy as np

from support.client import child, children, connected, eventually, history, recent_history, twins, variables
from support.least_squares import Model
from support.process import REPOSITORY

DEMO_CONFIG = REPOSITORY / "config" / "demo.toml"
MARGIN = timedelta(minutes=10)  # inputs from before the window hold into it


def model_of(twin_name):
    return Model(DEMO_CONFIG, twin_name)


def seconds(time, start):
    return round((time - start).total_seconds(), 6)


async def device_of(twin):
    """The device in the plant, from where a variable says that it comes."""
    for node in (await variables(twin)).values():
        if definition := (await children(node)).get("Definition"):
            if found := re.search(r"s=(\w+)\.", await definition.read_value()):
                return found[1]
    raise AssertionError(f"no variable of {twin.nodeid.to_string()} says where it comes from")


async def samples_of_model(twin, model, start, end):
    """variable → (seconds since start, values): Good samples of outputs inside the window, of inputs from before it too."""
    found = {}
    for variable in {*model.outputs, *model.inputs.values()}:
        begin = start if variable in model.outputs else start - MARGIN
        good = [s for s in await history(await child(twin, variable), begin, end, page=10_000) if s.status >> 30 == 0]
        found[variable] = (np.array([seconds(s.source, start) for s in good]), np.array([float(s.value) for s in good]))
    return found


async def backfilled(url):
    """Returns when every input and output of every twin's model has most of an hour in its history."""
    async with connected(url) as client:
        for name, twin in (await twins(client)).items():
            model = model_of(name)
            for variable in {*model.outputs, *model.inputs.values()}:
                node = await child(twin, variable)

                async def has_its_past():
                    samples = await recent_history(node)
                    return samples and samples[-1].source - samples[0].source > timedelta(minutes=55)
                await eventually(has_its_past, 60, every_s=0.5)
