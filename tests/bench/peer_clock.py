"""What the peers say of their process and of the machine beside their times: memory, contention, the environment."""
import os
import time

ENV_KEYS = ("OMP_NUM_THREADS", "LD_PRELOAD", "GLIBC_TUNABLES", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_",
            "MALLOC_CONF", "KMP_BLOCKTIME", "KMP_AFFINITY", "GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "ONEDNN_MAX_CPU_ISA",
            "MKL_ENABLE_INSTRUCTIONS", "XLA_FLAGS", "JAX_COMPILATION_CACHE_DIR", "PEER_NOTE", "PEER_FMA_GFS")


def status_mb(key):
    for line in open("/proc/self/status"):
        if line.startswith(key + ":"):
            return int(line.split()[1]) / 1024
    return float("nan")


def reset_peak():
    try:
        with open("/proc/self/clear_refs", "w") as f:
            f.write("5")
    except OSError:
        pass


def cpu_seconds():
    """CPU time of the whole machine, time stolen from it by its host, and CPU time of this process."""
    hz = os.sysconf("SC_CLK_TCK")
    v = [int(s) / hz for s in open("/proc/stat").readline().split()[1:9]]
    t = os.times()
    return v[0] + v[1] + v[2] + v[5] + v[6], v[7], t.user + t.system


def contention(before, wall):
    """Cores used by other processes, and cores stolen, on average over the timed part: a run with more than 0.05 is void."""
    a, s, p = (x - y for x, y in zip(cpu_seconds(), before))
    return {"other_cores": round(max(0.0, a - p) / wall, 3), "stolen_cores": round(s / wall, 3), "unix_time": int(time.time())}


def environment():
    return {k: os.environ[k] for k in ENV_KEYS if k in os.environ}
