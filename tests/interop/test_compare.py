"""The comparison with other servers works: one of them and ours, each driven for a second, make a row of the table."""

import argparse
import sys

from support.process import REPOSITORY

sys.path.append(str(REPOSITORY / "tests" / "benches" / "compare"))


def test_a_peer_and_ours_give_a_row_of_ratios():
    import compare
    import report
    results = report.Results()
    arguments = argparse.Namespace(sizes=compare.SMOKE, peers=["asyncua"], rounds=1, only=["read"], quick=False, smoke=True)
    compare.servers(arguments, results)
    for measure in ("read-1000", "read-100"):
        for name in ("uatwin", "asyncua"):
            [rate], [cpu_us] = results.values(measure, name, "rate"), results.values(measure, name, "cpu_us")
            assert rate > 0 and cpu_us > 0, (measure, name, rate, cpu_us)
    rows = [row for row in report.markdown(results, arguments).splitlines() if "asyncua **" in row]
    assert any(row.startswith("| Read, 1,000 nodes a request: values/s |") and "×**" in row for row in rows), rows
