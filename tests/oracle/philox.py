#!/usr/bin/env python3
"""The draws of runtime/philox.h in numpy: the very same numbers, bit for bit. Needs numpy and xxhash.

    python3 philox.py            prints the stored values of tests/runtime/philox.c and shuffle.c
    from philox import draw      masks and noise for other systems
"""
import numpy as np
import xxhash

M0, M1, W0, W1 = 0xD2511F53, 0xCD9E8D57, 0x9E3779B9, 0xBB67AE85
MASK = np.uint64(0xFFFFFFFF)
f32 = np.float32


def philox(counter, key):
    """Philox4x32-10: four arrays of 32-bit words and two whole numbers give four arrays (uint32)."""
    c = [np.asarray(word, dtype=np.uint64) & MASK for word in counter]
    for r in range(10):
        k0, k1 = np.uint64((key[0] + r * W0) & 0xFFFFFFFF), np.uint64((key[1] + r * W1) & 0xFFFFFFFF)
        p0, p1 = c[0] * np.uint64(M0), c[2] * np.uint64(M1)
        c = [(p1 >> np.uint64(32)) ^ c[1] ^ k0, p1 & MASK, (p0 >> np.uint64(32)) ^ c[3] ^ k1, p0 & MASK]
    return [word.astype(np.uint32) for word in c]


def draw_key(site, seed):
    return xxhash.xxh3_64_intdigest(site.encode(), seed)


def uniform16(half):
    return half.astype(f32) * f32(2.0**-16)


def uniform32(word):
    return (word >> np.uint32(8)).astype(f32) * f32(2.0**-24)


def horner(x, *terms):
    """terms[0] + terms[1] x + ..., from the last term, every operation rounded to f32."""
    p = np.full_like(x, f32(float.fromhex(terms[-1])))
    for term in reversed(terms[:-1]):
        p = p * x + f32(float.fromhex(term))
    return p


def normal_pair(a, b):
    u1 = ((a >> np.uint32(8)) + np.uint32(1)).astype(f32) * f32(2.0**-24)
    offset = u1.view(np.uint32) - np.uint32(0x3F3504F3)
    e = offset.view(np.int32) >> np.int32(23)
    f = ((offset & np.uint32(0x7FFFFF)) + np.uint32(0x3F3504F3)).view(f32) - f32(1)
    p = horner(f, "-0x1.fffff4p-2", "0x1.5556e8p-2", "-0x1.0006c6p-2", "0x1.98da1cp-3", "-0x1.52fb0ep-3", "0x1.30d176p-3",
               "-0x1.277648p-3", "0x1.6fcc4cp-4")
    log_m = f + (f * f) * p
    radius = np.sqrt((-e).astype(f32) * f32(float.fromhex("0x1.62e430p+0")) - f32(2) * log_m)
    k = b >> np.uint32(8)
    quadrant = (k + np.uint32(0x200000)) >> np.uint32(22)
    x = (k.astype(np.int32) - (quadrant << np.uint32(22)).astype(np.int32)).astype(f32) * f32(2.0**-22)
    z = x * x
    s = horner(z, "0x1.921fb6p+0", "-0x1.4abbbap-1", "0x1.465ec6p-4", "-0x1.2d9bb8p-8") * x
    c = horner(z, "0x1p+0", "-0x1.3bd3a2p+0", "0x1.03b162p-2", "-0x1.4ea9e4p-6")
    odd = (quadrant & np.uint32(1)) == 1
    cosine, sine = np.where(odd, s, c), np.where(odd, c, s)
    turn = lambda v, bit: (v.view(np.uint32) ^ (bit << np.uint32(30))).view(f32)
    return (radius * turn(cosine, (quadrant + np.uint32(1)) & np.uint32(2)), radius * turn(sine, quadrant & np.uint32(2)))


def draw(kind, site, seed, count, mapped=0, position=0, first=0):
    """Elements first .. first + count - 1 of one site at one position; kind: "uniform16", "uniform32" or "normal"."""
    key = draw_key(site, seed)
    e = np.arange(first, first + count, dtype=np.uint64)
    run = np.uint64(128 if kind == "uniform16" else 64)
    block = (e // run) * np.uint64(16) + e % np.uint64(16)
    zero = np.zeros_like(block)
    words = philox([block, zero + np.uint64(mapped), zero + np.uint64(position & 0xFFFFFFFF), zero + np.uint64(position >> 32)],
                   (key & 0xFFFFFFFF, key >> 32))
    words = np.stack(words)
    lane = np.arange(count)
    if kind == "uniform16":
        half = ((e // np.uint64(16)) % np.uint64(8)).astype(int)
        return uniform16((words[half // 2, lane] >> (np.uint32(16) * (half % 2).astype(np.uint32))) & np.uint32(0xFFFF))
    word = ((e // np.uint64(16)) % np.uint64(4)).astype(int)
    if kind == "uniform32":
        return uniform32(words[word, lane])
    pair = normal_pair(words[word // 2 * 2, lane], words[word // 2 * 2 + 1, lane])
    return np.where(word % 2 == 0, pair[0], pair[1])


def permutation(name, seed, items, epoch):
    """The order in which runtime/shuffle.c gives the items of a stream in one epoch."""
    key = draw_key("shuffle " + name, seed)
    count = items + 64  # rejections are rare
    block = np.arange(count, dtype=np.uint64)
    zero = np.zeros_like(block)
    words = philox([block, zero, zero + np.uint64(epoch & 0xFFFFFFFF), zero + np.uint64(epoch >> 32)], (key & 0xFFFFFFFF, key >> 32))
    numbers = iter(np.stack([words[0].astype(object) | words[1].astype(object) << 32,
                             words[2].astype(object) | words[3].astype(object) << 32], axis=1).ravel())
    order = list(range(items))
    for i in range(items - 1, 0, -1):
        product = next(numbers) * (i + 1)
        while product % 2**64 < 2**64 % (i + 1):
            product = next(numbers) * (i + 1)
        j = product >> 64
        order[i], order[j] = order[j], order[i]
    return order


def main():
    hexes = lambda words: " ".join("%08x" % int(word) for word in words)
    for counter, key in (([0] * 4, (0, 0)), ([0xFFFFFFFF] * 4, (0xFFFFFFFF,) * 2),
                         ([0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344], (0xA4093822, 0x299F31D0))):
        print("philox", hexes(philox(counter, key)))
    print("key classifier.dropout_1.keep 7: 0x%016x" % draw_key("classifier.dropout_1.keep", 7))
    for kind in ("uniform16", "uniform32", "normal"):
        values = draw(kind, "classifier.dropout_1.keep", 7, 1000, mapped=3, position=(5 << 32) + 11, first=77)
        bits = values.view(np.uint32)
        print(kind, "{" + ", ".join("0x%08x" % int(b) for b in bits[:8]) + "}",
              "xxh3 of the 1000: 0x%016x" % xxhash.xxh3_64_intdigest(bits.tobytes()))
    print("items", permutation("fashion.train", 7, 60000, 0)[:6], permutation("fashion.train", 7, 60000, 3)[12345:12351])


if __name__ == "__main__":
    main()
