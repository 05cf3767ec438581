#!/usr/bin/env bash
# Makes the peers from scratch: DIR/torch, DIR/jax and DIR/onednn, virtual environments, and the Debian packages they want: a C++ compiler
# (torch.compile builds C++ at run time) and tcmalloc (the best allocator found).
#   install.sh DIR [PYTHON]
# A few minutes; the torch environment takes 5.4 GB (the registry's wheel brings CUDA's libraries, which nothing here uses), the others 0.6 and 0.1.
set -eu
dir=$1
python=${2:-python3}
if [ "$(id -u)" = 0 ]; then
    apt-get update -q >/dev/null
    apt-get install -y -q --no-install-recommends g++ libtcmalloc-minimal4 >/dev/null
fi
mkdir -p "$dir"
"$python" -m venv "$dir/torch"
"$dir/torch/bin/python" -m pip install -q torch==2.15.0
"$python" -m venv "$dir/jax"
"$dir/jax/bin/python" -m pip install -q jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6
"$python" -m venv "$dir/onednn"
"$dir/onednn/bin/python" -m pip install -q onednn-cpu-gomp==2023.2.0
echo "$dir/torch/bin/python $dir/jax/bin/python"
