"""A fit that owes nothing to the service: reads the model's equations from the config, integrates them with
Runge–Kutta 4 in plain Python and minimises with scipy. Slow, short, and by other people's algorithms.
"""

import math
import re
import tomllib

import numpy as np
import scipy.optimize

STEP_S = 0.5  # of the integration at most; the demo's fastest time constant is some seconds
LANGUAGE = {
    name: getattr(math, name)
    for name in ("sin", "cos", "tan", "asin", "acos", "atan", "atan2", "sinh", "cosh", "tanh", "exp", "log", "log10", "floor", "pow", "pi")
} | {
    "min": min, "max": max, "abs": abs, "ln": math.log, "sqrt": lambda x: math.sqrt(max(x, 0.0)),
    "clamp": lambda x, low, high: min(max(x, low), high), "sign": lambda x: math.copysign(1.0, x) if x else 0.0,
    "if_": lambda condition, yes, no: yes if condition else no,
}
LOSSES = {"squares": "linear", "huber": "huber", "soft_l1": "soft_l1"}


def python(text):
    """An expression of the model language in Python: `^` binds as `**` does."""
    return re.sub(r"\bif\s*\(", "if_(", str(text).replace("^", "**"))


class Model:
    """The model of one twin of a config."""

    def __init__(self, config_path, twin):
        config = tomllib.loads(config_path.read_text())
        kind = config["twin_type"][config["twin"][twin]["type"]]
        model = kind["model"]
        if isinstance(model, str):
            model = tomllib.loads((config_path.parent / model).read_text())
        self.parameters = model.get("parameter", {})
        self.values = {name: float(p["value"]) for name, p in self.parameters.items()}
        self.values |= {name: float(value) for name, value in config["twin"][twin].get("parameter", {}).items()}
        self.free = [name for name, p in self.parameters.items() if p.get("free", True)]
        self.initial = {state: table["init"] for state, table in model.get("state", {}).items()}
        inputs = model.get("input", {})
        assert not any(table.get("delay") for table in inputs.values()), "delays are not covered here"
        self.inputs = {name: table.get("variable", name) for name, table in inputs.items()}
        self.linear = {name for name, table in inputs.items() if table.get("hold") == "linear"}
        self.outputs = list(model["output"])
        self.sigma = {name: float(table.get("sigma", 1)) for name, table in model["output"].items()}
        self.loss = LOSSES[next(iter(model["output"].values())).get("loss", "squares")]
        equations = model.get("equation", {})
        self.slopes = self._function([equations[state] for state in self.initial], model.get("let", {}))
        self.observe = self._function([table["expr"] for table in model["output"].values()], model.get("let", {}))

    def _function(self, expressions, lets):
        """Python function of (states, inputs, parameters, t) that gives the values of the expressions."""
        lines = ["def function(x, u, p, t):"]
        for letter, names in (("x", self.initial), ("u", self.inputs), ("p", self.parameters)):
            lines += [f"    {name} = {letter}[{index}]" for index, name in enumerate(names)]
        lines += [f"    {name} = {python(text)}" for name, text in lets.items()]
        lines.append(f"    return [{', '.join(python(text) for text in expressions)}]")
        scope = dict(LANGUAGE)
        exec("\n".join(lines), scope)
        return scope["function"]

    def simulate(self, parameters, history, start):
        """Outputs at their own samples from `start` (seconds) on. history: variable → (seconds, values)."""
        p = [parameters[name] for name in self.parameters]
        times = np.unique(np.concatenate([[start], *(history[name][0] for name in {*self.outputs, *self.inputs.values()})]))
        times = times[times >= start]
        columns = [self._input(name, history[variable], times) for name, variable in self.inputs.items()]
        knots = list(zip(*columns, strict=True)) if columns else [()] * len(times)
        x = [self._initial(init, parameters, history, start) for init in self.initial.values()]
        found = []
        for i, time in enumerate(times):
            found.append(self.observe(x, knots[i], p, time))
            if i + 1 < len(times):
                x = self._advance(x, knots[i], knots[i + 1], p, time, times[i + 1])
        found = dict(zip(self.outputs, np.array(found).T, strict=True))
        return {name: found[name][np.isin(times, history[name][0])] for name in self.outputs}

    def _input(self, name, samples, times):
        seconds, values = samples
        if name in self.linear:
            return np.interp(times, seconds, values).tolist()
        return values[np.maximum(np.searchsorted(seconds, times, "right") - 1, 0)].tolist()

    def _initial(self, init, parameters, history, start):
        if isinstance(init, dict):
            seconds, values = history[init["measured"]]
            return float(values[max(np.searchsorted(seconds, start, "right") - 1, 0)])
        return parameters[init] if isinstance(init, str) else float(init)

    def _advance(self, x, u_begin, u_end, p, begin, end):
        """Runge–Kutta 4 from one knot to the next, where held inputs keep their value and linear ones move."""
        steps = math.ceil((end - begin) / STEP_S)
        h = (end - begin) / steps
        moves = [end_value - value if name in self.linear else 0.0
                 for name, value, end_value in zip(self.inputs, u_begin, u_end, strict=True)]

        def slope(time, x):
            share = (time - begin) / (end - begin)
            return self.slopes(x, [value + share * move for value, move in zip(u_begin, moves)], p, time)

        for step in range(steps):
            time = begin + step * h
            k1 = slope(time, x)
            k2 = slope(time + h / 2, [a + h / 2 * b for a, b in zip(x, k1)])
            k3 = slope(time + h / 2, [a + h / 2 * b for a, b in zip(x, k2)])
            k4 = slope(time + h, [a + h * b for a, b in zip(x, k3)])
            x = [a + h / 6 * (b + 2 * c + 2 * d + e) for a, b, c, d, e in zip(x, k1, k2, k3, k4)]
        return x

    def fit(self, history, start, begin):
        """Free parameters by robust least squares, from the values `begin`; gives values by name."""
        scale = np.array([abs(begin[name]) or 1.0 for name in self.free])
        x0 = np.array([begin[name] for name in self.free]) / scale

        def residuals(x):
            theta = dict(zip(self.free, (x * scale).tolist(), strict=True))
            simulated = self.simulate(begin | theta, history, start)
            return np.concatenate([(simulated[name] - history[name][1]) / self.sigma[name] for name in self.outputs])

        found = scipy.optimize.least_squares(residuals, x0, loss=self.loss, diff_step=1e-5, ftol=1e-6, max_nfev=60)
        assert found.success, found.message
        return dict(zip(self.free, (found.x * scale).tolist(), strict=True))
