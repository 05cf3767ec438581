"""Kullback and Leibler's divergence and Kolmogorov and Smirnov's test by SciPy: the numbers in tests/cli/instruments.c.

    python scipy_statistics.py
"""
import numpy as np
from scipy import special, stats

n = np.arange(200)
x = 3 * np.sin(1.7 * n + 0.3 * n * n)  # no pattern, not normal
for name, cdf in (("normal", stats.norm(0, 2).cdf), ("laplace", stats.laplace(0, 1).cdf)):
    test = stats.ks_1samp(x, cdf, method="asymp")
    print(name, f"{test.statistic:.12g}", f"{stats.kstwobign.sf(np.sqrt(len(x)) * test.statistic):.12g}")
k = np.arange(7)
p, q = special.softmax(np.sin(k)), special.softmax(np.cos(2 * k))
print("kl", f"{stats.entropy(p, q):.12g}", f"{stats.entropy(q, p):.12g}")
p[3] = 0
print("kl with a 0", f"{special.rel_entr(p, q).sum():.12g}")
