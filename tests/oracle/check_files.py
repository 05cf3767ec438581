#!/usr/bin/env python3
"""Reads back with the official packages what our code writes.  python3 check_files.py BUILD/tests/runtime/runtime_write_files"""
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file

TYPES = {"u8": np.uint8, "i32": np.int32, "i64": np.int64, "f32": np.float32, "f64": np.float64}


def ramp(dtype, shape):
    return (3 * np.arange(int(np.prod(shape))) + 1).astype(dtype).reshape(shape)


def same(found, wanted, what):
    assert found.dtype == wanted.dtype and found.shape == wanted.shape and np.array_equal(found, wanted), what
    print("ok", what)


def main(program):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run([program, name], check=True)
        for kind, dtype in TYPES.items():
            same(np.load(folder / (kind + ".npy")), ramp(dtype, (2, 3, 4)), kind + ".npy")
        same(np.load(folder / "vector.npy"), ramp(np.float32, (7,)), "vector.npy")
        same(np.load(folder / "scalar.npy"), ramp(np.float64, ()), "scalar.npy")
        same(np.load(folder / "empty.npy"), ramp(np.float32, (0, 3)), "empty.npy")
        same(np.load(folder / "deep.npy"), ramp(np.uint8, (1, 2, 1, 2, 1, 2, 1, 2)), "deep.npy")

        tensors = load_file(folder / "all.safetensors")
        assert sorted(tensors) == sorted(["tensor." + kind for kind in TYPES] + ["scalar", "empty"]), sorted(tensors)
        for kind, dtype in TYPES.items():
            same(tensors["tensor." + kind], ramp(dtype, (3, 5)), "tensor." + kind)
        same(tensors["scalar"], ramp(np.float32, ()), "scalar")
        same(tensors["empty"], ramp(np.float64, (4, 0)), "empty")
        with safe_open(folder / "all.safetensors", "numpy") as file:
            assert file.metadata() == {"step": "12", "text": "a \"b\" \\ \n \u00fc"}, file.metadata()
        print("ok metadata")
        assert not load_file(folder / "none.safetensors")
        print("ok none.safetensors")
        assert sorted(path.name for path in folder.iterdir() if "tmp" in path.name) == []


if __name__ == "__main__":
    main(sys.argv[1])
