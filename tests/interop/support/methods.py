"""A twin's methods with their arguments as the information model writes them."""

from asyncua import ua

from support.client import call, variant

NULL_TIME = ua.get_win_epoch()
TIME, TEXT, NUMBER, COUNT = ua.VariantType.DateTime, ua.VariantType.String, ua.VariantType.Double, ua.VariantType.UInt32


def fit(twin, start=NULL_TIME, end=NULL_TIME, parameters=(), wait_ms=30_000.0, **how):
    return call(twin, "Fit", variant(TIME, start), variant(TIME, end), variant(TEXT, list(parameters)), variant(NUMBER, wait_ms), **how)


def simulate(twin, start, end, output, parameters):
    return call(twin, "Simulate", variant(TIME, start), variant(TIME, end), variant(TEXT, output),
                variant(TEXT, list(parameters)), variant(NUMBER, list(parameters.values())))


def set_parameters(twin, names, values, **how):
    return call(twin, "SetParameters", variant(TEXT, list(names)), variant(NUMBER, list(values)), **how)


def correlate(twin, start, end, variables):
    return call(twin, "Correlate", variant(TIME, start), variant(TIME, end), variant(TEXT, list(variables)))


async def status_of(awaitable):
    """The StatusCode with which a call is refused; 0 when it isn't."""
    try:
        await awaitable
    except ua.UaStatusCodeError as error:
        return error.code
    return 0


async def refusal_of(awaitable):
    """The same by its name; None when it isn't refused."""
    code = await status_of(awaitable)
    return ua.status_codes.get_name_and_doc(code)[0] if code else None
