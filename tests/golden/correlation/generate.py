"""Writes rows.txt: rows of four columns, and what numpy and scipy make of them.

Columns: a wander on an offset of 1e9; what follows it with noise; small whole numbers, many of them equal; noise that the first three
explain in part. Then, a line each: Pearson's r (16), its p-values (16), Spearman's (16), its p-values (16), Fisher's 95 %
interval of each pair of different columns (2 each, i < j), eigenvalues of the correlation matrix (4), and of a new row: the row (4),
T² and its limit, SPE and its limit with one component kept, and with as many as explain nine tenths.
"""

import numpy as np
from scipy import stats

rng = np.random.default_rng(20261127)
n = 120
wander = 1e9 + np.cumsum(rng.normal(0, 0.02, n)).round(6)
follows = (3 * (wander - 1e9) + rng.normal(0, 0.1, n)).round(9)
steps = rng.integers(-2, 3, n).astype(float)
mixed = (0.4 * follows - 0.05 * steps + rng.normal(0, 0.05, n)).round(9)
rows = np.column_stack([wander, follows, steps, mixed])


def line(values):
    return " ".join(repr(float(x)) for x in np.ravel(values))


pearson = [[stats.pearsonr(rows[:, i], rows[:, j]) for j in range(4)] for i in range(4)]
spearman = [[stats.spearmanr(rows[:, i], rows[:, j]) for j in range(4)] for i in range(4)]
out = [line(row) for row in rows]
out.append(line([[r.statistic for r in row] for row in pearson]))
out.append(line([[r.pvalue for r in row] for row in pearson]))
out.append(line([[r.statistic for r in row] for row in spearman]))
out.append(line([[r.pvalue for r in row] for row in spearman]))
out.append(line([pearson[i][j].confidence_interval(0.95) for i in range(4) for j in range(i + 1, 4)]))
matrix = np.corrcoef(rows.T)
values, vectors = np.linalg.eigh(matrix)
values, vectors = values[::-1], vectors[:, ::-1]
out.append(line(values))
new = rows.mean(0) + rows.std(0, ddof=1) * [1.5, 1.0, -0.5, 2.5]
out.append(line(new))
z = (new - rows.mean(0)) / rows.std(0, ddof=1)
for a in (1, int(np.searchsorted(np.cumsum(values), 0.9 * 4) + 1)):
    t = z @ vectors[:, :a]
    t2 = np.sum(t**2 / values[:a])
    t2_limit = a * (n**2 - 1) / (n * (n - a)) * stats.f.ppf(0.99, a, n - a)
    spe = np.sum((z - vectors[:, :a] @ t) ** 2)
    one, two, three = (np.sum(values[a:] ** k) for k in (1, 2, 3))
    h = 1 - 2 * one * three / (3 * two**2)
    c = stats.norm.ppf(0.99)
    spe_limit = one * (c * np.sqrt(2 * two * h**2) / one + 1 + two * h * (h - 1) / one**2) ** (1 / h)
    out.append(line([t2, t2_limit, spe, spe_limit]))
with open("rows.txt", "w", encoding="utf-8") as file:
    file.write("# made by generate.py with numpy %s and scipy %s\n" % (np.__version__, __import__("scipy").__version__))
    file.write("\n".join(out) + "\n")
