"""Question: how much faster is `uatwin fit` than what engineers use: SciPy's solve_ivp with least_squares (tuned), and CasADi's
Gauss-Newton on ipopt? Same data, same start, same bounds, one run, one start each; all must end at the same optimum.

Run: pip install numpy scipy casadi; cargo test --release --no-run; python tests/benches/fit_peers.py [samples ...]

Two problems: Lotka-Volterra (both states measured, three parameters), and a body of two heat capacities under recorded power and
ambient temperature (one state measured, four parameters; inputs linear between samples). Times are of the fit itself: ours is
`duration_s` of the report; the peers' begin when their data are arrays, CasADi's with the building of its graph.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import time

import casadi
import numpy as np
import scipy
from scipy.integrate import solve_ivp
from scipy.optimize import least_squares

PROGRAM = pathlib.Path(__file__).parents[2] / "target/release/uatwin"
ROUNDS = 3  # the fastest counts


class LotkaVolterra:
    name, labels = "Lotka-Volterra", ["a", "b", "c"]
    start, low, high = np.array([0.9, 0.5, 1.1]), np.full(3, 0.1), np.full(3, 3.0)
    x0 = np.array([2.0, 1.0])
    # SciPy's tolerances and steps at which it ends at the optimum.
    scipy = {"rtol": 1e-7, "atol": 1e-9}
    model = """
[state]
u = { init = 2 }
v = { init = 1 }
[parameter]
a = { value = 0.9, min = 0.1, max = 3 }
b = { value = 0.5, min = 0.1, max = 3 }
c = { value = 1.1, min = 0.1, max = 3 }
[equation]
u = "a*u - b*u*v"
v = "b*u*v - c*v"
[output]
y1 = { expr = "u" }
y2 = { expr = "v" }
[fit]
starts = 1
"""

    def __init__(self, n, rng):
        self.t = np.linspace(0, 30, n)
        truth = solve_ivp(lambda _, x: self.rate(x, (1.1, 0.4, 0.9), None), (0, 30), self.x0, t_eval=self.t, rtol=1e-10, atol=1e-12)
        self.y = truth.y + 0.05 * rng.standard_normal(truth.y.shape)
        self.csv = "time,y1,y2", np.c_[self.t, self.y.T]

    def inputs(self, _):
        return None

    @staticmethod
    def rate(x, p, _):
        return [p[0] * x[0] - p[1] * x[0] * x[1], p[1] * x[0] * x[1] - p[2] * x[1]]

    def measured(self, x):
        return x


class TwoBodies:
    name, labels = "thermal", ["C1", "C2", "k", "h"]
    start, low, high = np.array([100.0, 150.0, 1.5, 2.0]), np.array([5, 10, 0.05, 0.05]), np.array([1000.0, 2000, 20, 20])
    x0 = np.array([22.0, 22.0])
    scipy = {"rtol": 1e-6, "atol": 1e-6, "max_step": 20}
    model = """
[state]
T1 = { init = 22 }
T2 = { init = 22 }
[parameter]
C1 = { value = 100, min = 5, max = 1000 }
C2 = { value = 150, min = 10, max = 2000 }
k = { value = 1.5, min = 0.05, max = 20 }
h = { value = 2, min = 0.05, max = 20 }
[input]
P = { hold = "linear" }
Ta = { hold = "linear" }
[equation]
T1 = "(P - k*(T1 - T2))/C1"
T2 = "(k*(T1 - T2) - h*(T2 - Ta))/C2"
[output]
y = { expr = "T1" }
[fit]
starts = 1
"""

    def __init__(self, n, rng):
        self.t = np.arange(n) * 1.0
        power = np.repeat(rng.choice([0.0, 20, 40, 60, 100], n), rng.integers(30, 200, n))[:n]
        ambient = 22 + 2 * np.sin(2 * np.pi * self.t / 3600) + 0.3 * np.cumsum(rng.standard_normal(n)) / np.sqrt(n)
        self.u = np.vstack([power, ambient])
        truth = (60.0, 250.0, 2.5, 1.2)
        exact = solve_ivp(lambda t, x: self.rate(x, truth, self.inputs(t)), (0, n - 1), self.x0, t_eval=self.t, rtol=1e-9, atol=1e-9, max_step=1.0)
        self.y = (exact.y[0] + 0.2 * rng.standard_normal(n))[None, :]
        self.csv = "time,P,Ta,y", np.c_[self.t, self.u.T, self.y.T]

    def inputs(self, t):
        i = min(int(t), self.u.shape[1] - 2)
        w = t - i
        return self.u[0, i] + w * (self.u[0, i + 1] - self.u[0, i]), self.u[1, i] + w * (self.u[1, i + 1] - self.u[1, i])

    @staticmethod
    def rate(x, p, u):
        through = p[2] * (x[0] - x[1])
        return [(u[0] - through) / p[0], (through - p[3] * (x[1] - u[1])) / p[1]]

    def measured(self, x):
        return x[0:1, :]


def timed(run):
    """Of several rounds the fastest, and what it gave."""
    best = None
    for _ in range(ROUNDS):
        began = time.perf_counter()
        found = run()
        seconds = time.perf_counter() - began
        if best is None or seconds < best[0]:
            best = seconds, found
    return best


def by_scipy(problem):
    def residuals(p):
        x = solve_ivp(lambda t, x: problem.rate(x, p, problem.inputs(t)), (problem.t[0], problem.t[-1]), problem.x0, t_eval=problem.t, method="LSODA", **problem.scipy)
        return (problem.measured(x.y) - problem.y).ravel()

    def run():
        found = least_squares(residuals, problem.start, bounds=(problem.low, problem.high), x_scale=problem.start, xtol=1e-8, ftol=1e-10, gtol=1e-10, diff_step=1e-4)
        return found.x, 2 * found.cost
    return timed(run)


def by_casadi(problem):
    n, count = len(problem.t), len(problem.start)

    def run():
        p, x, of, u, h = casadi.MX.sym("p", count), casadi.SX.sym("x", 2), casadi.SX.sym("of", count), casadi.SX.sym("u", 4), casadi.SX.sym("h")

        def rate(x, w):
            now = [u[0] + w * (u[1] - u[0]), u[2] + w * (u[3] - u[2])]
            return casadi.vertcat(*problem.rate([x[0], x[1]], [of[i] for i in range(count)], now))
        k1 = rate(x, 0)
        k2 = rate(x + h / 2 * k1, 0.5)
        k3 = rate(x + h / 2 * k2, 0.5)
        k4 = rate(x + h * k3, 1)
        step = casadi.Function("step", [x, of, u, h], [x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)]).mapaccum(n - 1)
        given = np.zeros((4, n - 1)) if problem.inputs(0.0) is None else np.vstack([problem.u[0, :-1], problem.u[0, 1:], problem.u[1, :-1], problem.u[1, 1:]])
        course = step(casadi.DM(problem.x0), casadi.repmat(p * casadi.DM(problem.start), 1, n - 1), given, casadi.DM(np.diff(problem.t)).T)
        course = casadi.horzcat(casadi.DM(problem.x0), course)
        residual = casadi.vec(course[: problem.y.shape[0], :] - casadi.DM(problem.y))
        jacobian, sigma = casadi.jacobian(residual, p), casadi.MX.sym("sigma")
        hessian = casadi.Function("hessian", {"x": p, "lam_f": sigma, "hess_gamma_x_x": sigma * casadi.triu(jacobian.T @ jacobian)}, ["x", "p", "lam_f", "lam_g"], ["hess_gamma_x_x"])
        solver = casadi.nlpsol("solver", "ipopt", {"x": p, "f": 0.5 * casadi.dot(residual, residual)}, {"ipopt.print_level": 0, "print_time": 0, "hess_lag": hessian, "ipopt.sb": "yes", "ipopt.tol": 1e-9})
        found = solver(x0=np.ones(count), lbx=problem.low / problem.start, ubx=problem.high / problem.start)
        return np.array(found["x"]).ravel() * problem.start, 2 * float(found["f"])
    return timed(run)


def by_us(problem, folder):
    header, rows = problem.csv
    np.savetxt(folder / "data.csv", rows, delimiter=",", header=header, comments="", fmt="%.17g")
    (folder / "model.toml").write_text(problem.model)
    best = None
    for _ in range(ROUNDS):
        command = [PROGRAM, "fit", "--model", folder / "model.toml", "--data", folder / "data.csv", "--json"]
        report = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        found = [report["parameters"][name]["value"] for name in problem.labels], report["cost"]
        if best is None or report["duration_s"] < best[0]:
            best = report["duration_s"], found
    return best


def rows(sizes):
    """For each problem and size the milliseconds and the cost that each ended at, by name."""
    versions = {"SciPy": f"SciPy {scipy.__version__}", "CasADi": f"CasADi {casadi.__version__}"}
    for kind in (LotkaVolterra, TwoBodies):
        for n in sizes:
            problem = kind(n, np.random.default_rng(7))
            with tempfile.TemporaryDirectory() as folder:
                ours, (values, cost) = by_us(problem, pathlib.Path(folder))
            by_integration, (_, scipy_cost) = by_scipy(problem)
            peer, (peer_values, peer_cost) = by_casadi(problem)
            assert np.allclose(values, peer_values, rtol=1e-3), (values, peer_values)
            yield {"problem": problem.name, "samples": n, "versions": versions,
                   "ms": {"uatwin": 1e3 * ours, "SciPy": 1e3 * by_integration, "CasADi": 1e3 * peer},
                   "cost": {"uatwin": cost, "SciPy": scipy_cost, "CasADi": peer_cost}}


def main():
    sizes = [int(size) for size in sys.argv[1:]] or [1000, 10_000]
    print(f"{'problem':<16}{'samples':>8}{'ours ms':>10}{'SciPy ms':>11}{'x':>7}{'CasADi ms':>11}{'x':>7}   cost: ours, SciPy, CasADi")
    for row in rows(sizes):
        ours, by_integration, peer = row["ms"].values()
        print(f"{row['problem']:<16}{row['samples']:>8}{ours:>10.1f}{by_integration:>11.0f}{by_integration / ours:>7.1f}{peer:>11.0f}{peer / ours:>7.1f}"
              f"   {', '.join(f'{cost:.6g}' for cost in row['cost'].values())}", flush=True)


if __name__ == "__main__":
    main()
