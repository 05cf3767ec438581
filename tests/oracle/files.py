#!/usr/bin/env python3
"""Writes the small files of tests/runtime/data/ with the official packages (numpy, safetensors): what they hold is
what tests/runtime/files.c expects.  python3 files.py FOLDER"""
import gzip
import struct
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file


def ramp(dtype, shape):
    """Element i, counted in C order, is 3 i - 5 (its low byte for u1, its truth for b1)."""
    values = 3 * np.arange(int(np.prod(shape))) - 5
    if dtype == "|b1":
        return (values % 2 == 0).reshape(shape)
    if dtype == "|u1":
        values = values & 255
    return values.astype(dtype).reshape(shape)


def idx(code, dtype, shape):
    header = struct.pack(">BBBB", 0, 0, code, len(shape)) + struct.pack(">%dI" % len(shape), *shape)
    return header + ramp(dtype, shape).astype(np.dtype(dtype).newbyteorder(">")).tobytes()


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for dtype in ("|u1", "|b1", "|i1", "<i2", "<i4", "<i8", "<f4", "<f8"):
        np.save(folder / ("c_%s.npy" % dtype[1:]), ramp(dtype, (2, 3, 4)))
    np.save(folder / "fortran_f4.npy", np.asfortranarray(ramp("<f4", (2, 3, 4))))
    np.save(folder / "fortran_i2.npy", np.asfortranarray(ramp("<i2", (5, 3))))
    np.save(folder / "scalar_f8.npy", np.float64(2.5))
    np.save(folder / "vector_i8.npy", ramp("<i8", (7,)))
    np.save(folder / "empty_f4.npy", np.zeros((0, 3), "<f4"))
    np.save(folder / "big_f4.npy", ramp(">f4", (3,)))
    np.save(folder / "complex.npy", np.zeros((2,), "<c8"))
    np.save(folder / "nan_f4.npy", np.array([1, 2, np.nan, 4], "<f4"))
    for version in ((2, 0), (3, 0)):
        with open(folder / ("version_%d.npy" % version[0]), "wb") as file:
            np.lib.format.write_array(file, ramp("<f8", (2, 2)), version=version)

    save_file({"layer.W": ramp("<f4", (3, 2)), "layer.b": ramp("<f8", (2,)), "count": ramp("<i8", (1,)), "mask": ramp("|u1", (5,)),
               "index": ramp("<i4", (2, 2)), "scalar": np.array(1.5, "<f4"), "empty": np.zeros((0, 4), "<f4")},
              folder / "mixed.safetensors", metadata={"step": "17", "note": "a \"quoted\" line\nand \u00fc"})
    save_file({"half": np.zeros(3, np.float16)}, folder / "half.safetensors")

    for code, dtype in ((8, "|u1"), (9, "|i1"), (0x0B, "<i2"), (0x0C, "<i4"), (0x0D, "<f4"), (0x0E, "<f8")):
        (folder / ("idx_%s" % dtype[1:])).write_bytes(idx(code, dtype, (3, 2, 2)))
    plain = idx(8, "|u1", (3, 2, 2))
    (folder / "idx_u1.gz").write_bytes(gzip.compress(plain, mtime=0))
    (folder / "idx_u1_two_members.gz").write_bytes(gzip.compress(plain[:9], mtime=0) + gzip.compress(plain[9:], mtime=0))
    with open(folder / "idx_u1_named.gz", "wb") as raw, gzip.GzipFile("a name", "wb", fileobj=raw, mtime=0) as file:
        file.write(plain)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
