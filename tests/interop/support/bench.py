"""A service without PLCs: one twin whose variables clients write, with a model of one state, and an hour of history."""

import math

from support import service as services
from support.history import insert, ms_of
from support.client import child, connected, now, twins

TWIN = "Bench1"
TAU_S = 300.0
HOUR_S = 3600


# A state that nothing depends on, and whose simulation goes in steps of milliseconds.
SLOW_STATE = '''
[twin_type.Bench.model.state.B]
init = 0
'''
SLOW_EQUATION = 'B = "cos(10*t)"'


def types(slow, live):
    fit, state, equation = ("starts = 1000", SLOW_STATE, SLOW_EQUATION) if slow else ("", "", "")
    return f"""
[twin_type.Bench.variable.Temperature]
[twin_type.Bench.variable.Power]
[twin_type.Bench.model.state.T]
init = "T0"
{state}
[twin_type.Bench.model.parameter.tau]
value = 100
min = 1
max = 1000
[twin_type.Bench.model.parameter.T0]
value = 20
min = 0
max = 100
[twin_type.Bench.model.input.Power]
[twin_type.Bench.model.equation]
T = "(Power - T)/tau"
{equation}
[twin_type.Bench.model.output.Temperature]
expr = "T"
[twin_type.Bench.model.fit]
window = "2h"
{fit}
[twin_type.Bench.model.live]
period = "1s"
{live}
[twin.{TWIN}]
type = "Bench"
"""


def run(folder, identity, anonymous="engineer", slow=False, live="", via=()):
    """`slow`: a fit goes on until somebody ends it."""
    return services.of_types(folder, identity, "Bench", types(slow, live), anonymous, via)


def hour():
    """(seconds, power, temperature) at 1 Hz: a heater that is switched every ten minutes."""
    temperature = 20.0
    for second in range(HOUR_S):
        power = 80.0 if second // 600 % 2 == 0 else 30.0
        yield second, power, temperature + 0.05 * math.sin(12.9898 * second)
        temperature = power + (temperature - power) * math.exp(-1 / TAU_S)


async def with_history(service):
    """An hour up to now."""
    async with connected(service.url) as client:
        twin = (await twins(client))[TWIN]
        begin = ms_of(now()) - HOUR_S * 1000
        rows = list(hour())
        for name, column in (("Power", 1), ("Temperature", 2)):
            await insert(await child(twin, name), [(begin + 1000 * row[0], row[column], 0) for row in rows])
