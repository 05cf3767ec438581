#!/usr/bin/env bash
# Products alone beside OpenBLAS and what peers there are: oneDNN as install.sh brings it, and the MKL that is in PyTorch. A table, the
# worst first; its last line says at how many shapes who is ahead.
#   products.sh BENCH_PRODUCTS PEERS_FOLDER TORCH_PYTHON [WORD...]     words as products.c has them
set -eu
if [ $# -lt 3 ]; then
    sed -n '2,4s/^# \{0,1\}//p' "$0"
    exit 2
fi
program=$1 peers=$2 python=$3
shift 3
found=()
[ -e "$peers/onednn/lib/libdnnl.so.3" ] && found+=(--peer "$peers/onednn/lib/libdnnl.so.3")
if [ -x "$python" ]; then
    library=$("$python" -c 'import importlib.util, os; print(os.path.dirname(importlib.util.find_spec("torch").origin))')/lib/libtorch_cpu.so
    [ -e "$library" ] && found+=(--peer "$library")
fi
[ ${#found[@]} -gt 0 ] || echo "products.sh: neither oneDNN nor PyTorch is there ($(dirname "$0")/install.sh $peers brings both)" >&2
exec "$program" "${found[@]}" "$@"
