"""The table of run.sh.

    table.py RESULTS                       prints it: minima of all runs in the file
    table.py --add WORKLOAD BENCH RESULTS  appends what `rnetc bench --json` said as lines like those of the peers
    table.py --failed WORKLOAD PEER STATUS ERROR RESULTS
                                           appends that a peer failed, with the last line of the file ERROR
"""
import json
import os
import platform
import sys
from collections import defaultdict

# What the project wants: at most so many times the floor, at least so many times as fast as the best peer.
WANTED = {
    "mlp_momentum": (1.30, 1.3), "mlp_random_dropout": (1.30, 1.3), "first_light": (1.30, 1.3), "mlp_adam": (1.35, 1.4),
    "ln_mlp": (None, 2.2), "bn_mlp": (None, 2.2), "srivastava_cnn": (1.25, 1.25), "resnet20": (1.35, 1.3), "lstm650": (1.30, 1.3),
    "gru650": (1.30, 1.3), "lstm200": (None, 1.6), "lnlstm512": (None, 1.7), "tiny_4_16_3": (None, 15),
    "tiny_32_64_64_10": (None, 3), "tiny_32_64_64_10_dropout_adam": (None, 5), "mlp_784_128_10": (None, 1.4),
    "mlp_784_128_10_online": (None, 2)}
DISTURBED = 0.05  # cores that others used or that the host took while a peer was timed


def add(workload, bench, results):
    rows = json.load(open(bench))
    with open(results, "a") as out:
        for row in rows:
            for mode in ("fused", "unfused"):
                side = row[mode]
                print(json.dumps({
                    "workload": workload, "framework": "rnet", "version": row["rnetc"], "mode": mode, "threads": row["threads"],
                    "min_ms": side["seconds"] * 1e3, "first_step_s": row["front_seconds"] + side["compile_cold_seconds"],
                    "cached_s": row["front_seconds"] + side["compile_cached_seconds"],
                    "peak_rss_mb": row["peak_bytes"] / 2 ** 20 if mode == "fused" else None, "cpu": row["cpu"],
                    "counted_gflop": side["flops"] / 1e9, "peak_gflops": row["peak_gflops"],
                    "matrix_peak_gflops": row.get("matrix_peak_gflops"), "copy_gbytes": row["copy_gbytes"],
                    "made_up_data": row["made_up_data"]}), file=out)


def add_failure(workload, peer, status, error, results):
    lines = [line.strip() for line in open(error, errors="replace") if line.strip()]
    why = "ran out of time" if status == "124" else lines[-1][:300] if lines else "status " + status
    with open(results, "a") as out:
        print(json.dumps({"workload": workload, "failed": peer, "why": why}), file=out)


def peer_name(row):
    name = {"torch": "torch", "jax": "JAX"}[row["framework"]]
    return name + {"eager": " eager", "jit": ""}.get(row["mode"], " " + row["mode"].replace("jit-", ""))


def time_text(ms):
    return "-" if ms is None else "%.4g ms" % ms if ms >= 1 else "%.4g us" % (1e3 * ms)


def least(rows, key):
    values = [r[key] for r in rows if r.get(key) is not None]
    return min(values) if values else None


def most(rows, key):
    return max((r[key] for r in rows if r.get(key) is not None), default=None)


def columns(table):
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    for row in table:
        print("  ".join(cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths))).rstrip())


def print_table(results):
    runs, failures = defaultdict(list), []
    for line in open(results):
        if line.strip():
            row = json.loads(line)
            (failures if "failed" in row else runs[row["workload"]]).append(row)
    everything = [r for rows in runs.values() for r in rows]
    peers = sorted({peer_name(r) for r in everything if r["framework"] != "rnet"})
    compiled = [p for p in peers if "compile" in p]
    matrix = any(r.get("matrix_peak_gflops") for r in everything)  # of rnet's processor, AMX: products of f32 by parts of bf16
    table = [["workload", "passes", "threads", "peak GF/s", "floor"] + ["matrix GF/s", "floor by matrix unit"] * matrix +
             ["rnet", "no fusion"] + peers + ["rnet/floor", "wanted"] + ["rnet/floor by matrix unit"] * matrix +
             ["best peer/rnet", "wanted", "first step, s: rnet cold", "cached", "best peer"] +
             [p + " cold" for p in compiled] + ["MB: rnet", "best peer", "share"]]
    short = []
    for w in [w for w in WANTED if w in runs] + [w for w in runs if w not in WANTED]:
        rows = runs[w]
        mine = [r for r in rows if r["framework"] == "rnet" and r["mode"] == "fused"]
        plain = [r for r in rows if r["framework"] == "rnet" and r["mode"] == "unfused"]
        others = [r for r in rows if r["framework"] != "rnet"]
        gflop = least(others, "gflop") or least(mine, "counted_gflop")
        peak = max((r["peak_gflops"] for r in mine), default=None)
        floor = gflop / peak * 1e3 if peak else None
        unit = most(mine, "matrix_peak_gflops")
        lower = gflop / max(peak, unit) * 1e3 if unit else None
        time, best = least(mine, "min_ms"), least(others, "min_ms")
        of_floor, ahead = time / floor if time and floor else None, best / time if time and best else None
        of_lower = time / lower if time and lower else None
        most_floor, least_ahead = WANTED.get(w, (None, None))
        memory, peer_memory = least(mine, "peak_rss_mb"), least(others, "peak_rss_mb")
        if of_floor and most_floor and of_floor > most_floor or ahead and least_ahead and ahead < least_ahead:
            short.append(w)
        number = lambda x, form="%.2f": "-" if x is None else form % x
        table.append([w, str(len(mine)), str(mine[0]["threads"]) if mine else "-", number(peak, "%.0f"), time_text(floor)] +
                     [number(unit, "%.0f"), time_text(lower)] * matrix + [time_text(time), time_text(least(plain, "min_ms"))] +
                     [time_text(least([r for r in others if peer_name(r) == p], "min_ms")) for p in peers] +
                     [number(of_floor), number(most_floor)] + [number(of_lower)] * matrix + [number(ahead), number(least_ahead), number(least(mine, "first_step_s"), "%.3f"),
                      number(least(mine, "cached_s"), "%.3f"), number(least(others, "first_step_s"), "%.3f")] +
                     [number(most([r for r in others if peer_name(r) == p], "first_step_s"), "%.1f") for p in compiled] +
                     [number(memory, "%.0f"),
                      number(peer_memory, "%.0f"), number(memory / peer_memory if memory and peer_memory else None)])
    columns(table)
    print()
    print("Minima of all passes. floor: the products' operations at the peak of multiply-adds, which is the highest of the probes that took "
          "turns with rnet's steps of that net, each as long as a step.")
    if matrix:
        print("floor by matrix unit: at the higher of that and the peak of f32 products that AMX makes of three bf16 parts each, six bf16 "
              "products a product, probed in turn too; where all numbers differ from zero, power may keep the unit from "
              "its peak. A time may be below the floor, not below this one.")
    if compiled:
        print("cold: the longest first step of all passes; Inductor keeps what the first pass compiled for the others")
    print("machine: %s, %d cores, %s" % (next((r["cpu"] for r in everything if "cpu" in r), "?"), len(os.sched_getaffinity(0)),
                                         platform.platform()))
    print("versions: " + ", ".join(sorted({"%s %s" % (r["framework"], r["version"]) for r in everything})))
    for r in sorted({r["made_up_data"] for r in everything if r.get("made_up_data")}):
        print("data made up: " + r)
    void = [r for r in everything if r.get("other_cores", 0) + r.get("stolen_cores", 0) > DISTURBED]
    if void:
        print("%d of %d runs of peers were disturbed by others (more than %.2f cores): measure again when the machine is idle" %
              (len(void), len([r for r in everything if r["framework"] != "rnet"]), DISTURBED))
    for w, peer, why in sorted({(r["workload"], r["failed"], r["why"]) for r in failures}):
        print("failed: %s, %s: %s" % (w, peer, why))
    if short:
        print("short of what is wanted: " + ", ".join(short))


if __name__ == "__main__":
    if len(sys.argv) == 5 and sys.argv[1] == "--add":
        add(*sys.argv[2:])
    elif len(sys.argv) == 7 and sys.argv[1] == "--failed":
        add_failure(*sys.argv[2:])
    elif len(sys.argv) == 2:
        print_table(sys.argv[1])
    else:
        sys.exit(__doc__)
