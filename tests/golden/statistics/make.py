"""Writes reference.txt: series and their figures by NumPy and SciPy, moments by exact rational arithmetic.

python make.py > reference.txt   (numpy 2.4.6, scipy 1.17.1)

A line `case NAME stepped|sloped` begins a series; `TICKS VALUE` is a sample (100 ns since the first; shortest text that
reads back as the same double), `TICKS bad` a Bad one; `= FIGURE VALUE` what is expected of all of them.
"""

import math
from fractions import Fraction

import numpy as np
import scipy.stats


def exact(values):
    """Mean, variances, skewness, kurtosis: rational until the last step."""
    ys = [Fraction(y) for y in values]
    n = len(ys)
    mean = sum(ys) / n
    m2, m3, m4 = (sum((y - mean) ** k for y in ys) for k in (2, 3, 4))
    found = {"mean": float(mean), "variance_population": float(m2 / n)}
    if n > 1:
        found["variance_sample"] = float(m2 / (n - 1))
    if m2:
        ratio = m3 / n
        found["skewness"] = float(ratio) / float(m2 / n) ** 1.5
        found["kurtosis"] = float(n * m4 / m2**2 - 3)
    return found


def figures(samples, stepped):
    good = [(t, y) for t, y in samples if y is not None]
    ys = np.array([y for _, y in good])
    found = {"count": len(good), "minimum": ys.min(), "maximum": ys.max()} | exact(ys)
    total, ranges = Fraction(0), []
    for (t0, y0), (t1, y1) in zip(samples, samples[1:]):
        if y0 is None or y1 is None:
            continue
        held = Fraction(y0) if stepped else (Fraction(y0) + Fraction(y1)) / 2
        total += held * Fraction(t1 - t0, 10_000_000)
        ranges.append(abs(Fraction(y1) - Fraction(y0)))
    found["total"] = float(total)
    if ranges:
        found["moving_range"] = float(sum(ranges) / len(ranges))
    if len(good) <= 606:
        found |= {f"percentile{p:02}": np.percentile(ys, p) for p in (5, 50, 95)}
    if len(good) > 2:
        # From an origin, or linregress itself would lose the digits: differences of near doubles are exact.
        line = scipy.stats.linregress(np.array([t for t, _ in good]) / 1e7, ys - ys[0])
        found |= {"slope": line.slope, "slope_p_value": line.pvalue}
        if abs(ys).max() < 1e6 and ys.std():
            assert math.isclose(found["variance_population"], ys.var(), rel_tol=1e-12)
            assert math.isclose(found["skewness"], scipy.stats.skew(ys), rel_tol=1e-10, abs_tol=1e-12)
            assert math.isclose(found["kurtosis"], scipy.stats.kurtosis(ys), rel_tol=1e-10, abs_tol=1e-12)
    return found


def times(rng, n, gaps=0):
    """A second apart, give or take a tenth, with gaps of some minutes."""
    steps = 10_000_000 + rng.integers(-1_000_000, 1_000_000, n)
    steps[rng.choice(n, gaps, replace=False)] += rng.integers(1_000_000_000, 9_000_000_000, gaps)
    return [int(t) for t in np.cumsum(steps) - steps[0]]


def with_bad(rng, values, stretches, longest):
    values = list(values)
    for start in rng.choice(len(values) - longest - 1, stretches, replace=False):
        for i in range(start + 1, start + 1 + rng.integers(1, longest)):
            values[i] = None
    return values


def cases():
    rng = np.random.default_rng(20_261_127)
    normal = lambda n, mean=0.0, sigma=1.0: [float(y) for y in rng.normal(mean, sigma, n)]
    yield "plain", False, times(rng, 500), normal(500, 20.0, 0.5)
    yield "offset", False, times(rng, 500), normal(500, 1e9, 1.0)
    yield "offset_small", False, times(rng, 300), normal(300, -1e9, 1e-3)
    yield "gaps", False, times(rng, 400, 12), with_bad(rng, normal(400, 5.0, 2.0), 10, 15)
    yield "gaps_offset", True, times(rng, 400, 12), with_bad(rng, normal(400, 1e9, 2.0), 10, 15)
    yield "repeated", True, times(rng, 450), with_bad(rng, [float(y) for y in rng.integers(0, 4, 450)], 3, 5)
    yield "repeated_offset", False, times(rng, 450), [float(y) for y in 1e9 + rng.integers(0, 3, 450)]
    yield "skewed", False, times(rng, 600), [float(y) for y in rng.exponential(3.0, 600)]
    yield "heavy", False, times(rng, 600), [float(y) for y in rng.standard_cauchy(600)]
    yield "drift", False, times(rng, 500), [1e9 + 0.01 * i + float(e) for i, e in enumerate(rng.normal(0, 1, 500))]
    yield "constant", False, times(rng, 50), [1e9 / 3] * 50
    yield "two", False, [0, 15_000_000], [3.0, 4.5]
    yield "one", True, [0], [7.25]
    yield "panes", False, times(rng, 3000, 20), with_bad(rng, normal(3000, 1e9, 1.5), 20, 25)
    yield "panes_stepped", True, times(rng, 2500, 5), with_bad(rng, [round(y, 1) for y in normal(2500, -40.0, 0.7)], 15, 40)


for name, stepped, at, values in cases():
    samples = list(zip(at, values, strict=True))
    print("case", name, "stepped" if stepped else "sloped")
    for t, y in samples:
        print(t, "bad" if y is None else repr(y))
    for figure, value in figures(samples, stepped).items():
        print("=", figure, repr(value.item() if isinstance(value, np.generic) else value))
