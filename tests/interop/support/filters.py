"""What each filter should make of samples, worked out here: by its definition, in NumPy, not as uatwin does it.

A sample is (seconds, value, status); a Bad one of asyncua's has no value.
"""

import numpy as np
from asyncua import ua

CODE = ua.StatusCodes
BAD, UNCERTAIN = 0x80000000, 0x40000000


def is_bad(status):
    return bool(status & BAD)


def rank(status):
    return status >> 30


def worse(a, b):
    return b if rank(b) > rank(a) else a


def scaled(samples, factor, offset):
    return [(t, None if x is None else factor * x + offset, status) for t, x, status in samples]


def ranged(samples, low, high, clamp):
    def one(t, x, status):
        if x is None or low <= x <= high:
            return t, x, status
        marked = worse(status, CODE.UncertainEngineeringUnitsExceeded)
        if not clamp:
            return t, x, marked
        # InfoType DataValue, and the limit bits low or high.
        return t, min(max(x, low), high), marked | 0x400 | (0x100 if x < low else 0x200)
    return [one(*sample) for sample in samples]


def hampel(samples, window, sigmas, outlier):
    """Over the newest `window` values that are not Bad."""
    values, result = [], []
    for t, x, status in samples:
        if is_bad(status):
            result.append((t, x, status))
            continue
        values = [*values, x][-window:]
        centre = np.median(values)
        scatter = 1.482602218505602 * np.median(np.abs(np.array(values) - centre))
        if len(values) < window or abs(x - centre) <= sigmas * scatter:
            result.append((t, x, status))
        elif outlier == "median":
            result.append((t, float(centre), worse(status, CODE.UncertainSubstituteValue)))
        else:
            code = {"uncertain": CODE.UncertainSensorNotAccurate, "bad": CODE.BadOutOfRange}[outlier]
            result.append((t, x, worse(status, code)))
    return result


def lowpass(samples, tau):
    """Between Bad samples: the response of dy/dt = (x - y)/tau to each value over the time before it, in closed form."""
    result, run = [], []
    for t, x, status in samples:
        if is_bad(status):
            run = []
            result.append((t, x, status))
            continue
        run.append((t, x))
        times, values = np.array([p[0] for p in run]), np.array([p[1] for p in run])
        decayed = np.exp(-(t - times) / tau)
        # What is left of the first value, and of each other what has come of it since it took effect.
        weights = np.concatenate([[decayed[0]], decayed[1:] - np.exp(-(t - times[:-1]) / tau)])
        result.append((t, float(weights @ values), status))
    return result


def deadband(samples, band):
    result, last = [], None
    for t, x, status in samples:
        stays = last and not is_bad(status) and last[1] == status and abs(x - last[0]) <= band
        if not stays:
            result.append((t, x, status))
            last = None if is_bad(status) else (x, status)
    return result


def debounce(samples, time):
    """By stretches of equal values: what has stood for `time` counts, from its begin."""
    stretches = []
    for sample in samples:
        if stretches and stretches[-1][0][1] == sample[1]:
            stretches[-1].append(sample)
        else:
            stretches.append([sample])
    result, standing = list(stretches[0]), stretches[0][0][1]
    for stretch in stretches[1:]:
        begin = stretch[0][0]
        if stretch[0][1] == standing:
            result += stretch
        elif stretch[-1][0] - begin >= time:
            standing = stretch[0][1]
            result += [stretch[0], *(sample for sample in stretch[1:] if sample[0] - begin >= time)]
    return result


def resampled(samples, step):
    """Good samples on whole multiples of `step`, on the line between them."""
    times, values = np.array([s[0] for s in samples]), np.array([s[1] for s in samples])
    grid = np.arange(np.ceil(times[0] / step), np.floor(times[-1] / step) + 1) * step
    return [(float(t), float(x), 0) for t, x in zip(grid, np.interp(grid, times, values), strict=True)]


def in_order(samples):
    """Neither late ones nor second ones of an instant."""
    result = []
    for sample in samples:
        if not result or sample[0] > result[-1][0]:
            result.append(sample)
    return result


def derived(inputs, expression):
    """At every instant of any input, from the latest sample of each; once all have had one."""
    result = []
    for t in sorted({t for samples in inputs for t, _, _ in samples}):
        held = [[sample for sample in samples if sample[0] <= t] for samples in inputs]
        if not all(held):
            continue
        latest = [samples[-1] for samples in held]
        status = 0
        for sample in latest:
            status = worse(status, sample[2])
        if is_bad(status):
            if not (result and result[-1][2] == status):
                result.append((t, None, status))
            continue
        result.append((t, expression(*(sample[1] for sample in latest)), status))
    return result
