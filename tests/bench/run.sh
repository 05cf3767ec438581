#!/usr/bin/env bash
# Times rnet and its peers on the same nets in one run, taking turns, and prints a table. Run it on an otherwise idle machine.
#   run.sh RESULTS TORCH_PYTHON JAX_PYTHON [WORKLOAD...]
# Appends a JSON line a run to RESULTS; `table.py RESULTS` prints the table again. A python that is not there is left out: `-` is none.
# RNETC                         the compiler (default: that of build/release)
# PASSES (5)                    repeats; pass 1, 3, ... give the peers tcmalloc, the others glibc's malloc that keeps its memory
# SECONDS_EACH (3)              timed seconds of a peer's run; rnet takes as long, half of it with fusion off
# PEERS (eager jax)             which; also: compile, compile-max
# LIMIT (600)                   seconds after which a run is given up
# CACHE                         folder for Inductor's cache (default: a fresh one, so that the first compile of a workload is cold)
set -u
here=$(cd "$(dirname "$0")" && pwd)
if [ $# -lt 3 ]; then
    sed -n '2,10s/^# \{0,1\}//p' "$0"
    exit 2
fi
results=$1 torch=$2 jax=$3
shift 3
all="first_light mlp_momentum mlp_random_dropout mlp_adam ln_mlp bn_mlp srivastava_cnn resnet20 lstm650 lstm200 gru650 lnlstm512
tiny_4_16_3 tiny_32_64_64_10 tiny_32_64_64_10_dropout_adam mlp_784_128_10 mlp_784_128_10_online"
rnetc=${RNETC:-$here/../../build/release/src/cli/rnetc}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cache=${CACHE:-$work/inductor}
seconds=${SECONDS_EACH:-3}
cores=$(nproc)
tcmalloc=$(ldconfig -p | sed -n 's/.*libtcmalloc_minimal\.so\.4 .*=> //p' | head -n 1)

if [ ! -x "$rnetc" ]; then
    echo "run.sh: $rnetc is no program: build it, or set RNETC" >&2
    exit 2
fi
python=$(command -v python3 || true)
for p in "$torch" "$jax"; do
    if [ ! -x "$p" ]; then
        echo "run.sh: $p is no python, so that peer is left out ($here/install.sh makes both)" >&2
    else
        python=${python:-$p}
    fi
done
if [ -z "$python" ]; then
    echo "run.sh: there is no python3 to make the table with" >&2
    exit 2
fi
[ -n "$tcmalloc" ] || echo "run.sh: there is no tcmalloc (Debian: libtcmalloc-minimal4): the peers get glibc's malloc" >&2

failed() { # status workload peer what
    echo "run.sh: failed ($1): $4" >&2
    tail -n 3 "$work/error" >&2
    "$python" "$here/table.py" --failed "$2" "$3" "$1" "$work/error" "$results"
}

ours() { # workload threads
    timeout "${LIMIT:-600}" "$rnetc" bench "$here/$1.rnet" --json --threads "$2" --passes "$(awk "BEGIN {print int($seconds / 0.6) + 1}")" \
        >"$work/bench.json" 2>"$work/error" && "$python" "$here/table.py" --add "$1" "$work/bench.json" "$results" || failed $? "$1" rnet "rnetc bench $1"
}

peer() { # workload peer note command...
    local workload=$1 name=$2 note=$3
    shift 3
    PEER_NOTE=$note timeout "${LIMIT:-600}" "$@" >>"$results" 2>"$work/error" || failed $? "$workload" "$name" "[$note] $*"
}

for w in ${*:-$all}; do
    for ((pass = 1; pass <= ${PASSES:-5}; pass++)); do
        # What each side may use: the smallest nets one thread; the small ones as many as there are, and the peer one too.
        case $w in
        tiny*) own=1 counts=1 ;;
        mlp_784*) own=$cores counts="1 $cores" ;;
        *) own=$cores counts=$cores ;;
        esac
        ours "$w" "$own"
        if ((pass % 2)) && [ -n "$tcmalloc" ]; then
            note=tcmalloc settings=(LD_PRELOAD="$tcmalloc")
        else
            note=malloc settings=(MALLOC_MMAP_THRESHOLD_=4000000000 MALLOC_TRIM_THRESHOLD_=8000000000 MALLOC_TOP_PAD_=268435456)
        fi
        cell=()
        [ "$w" = lnlstm512 ] && cell=(--cell)
        for p in ${PEERS:-eager jax}; do
            if [ "$p" = jax ]; then
                [ -x "$jax" ] || continue
                command=(env "${settings[@]}" "$jax" "$here/jax_peer.py" "$w" --seconds "$seconds")
                peer "$w" JAX $note "${command[@]}"
                case $w in tiny* | mlp_784*)
                    peer "$w" "JAX --sync" $note "${command[@]}" --sync
                    peer "$w" "JAX scan64" $note "${command[@]}" --scan 64
                    ;;
                esac
                continue
            fi
            [ -x "$torch" ] || continue
            for t in $counts; do
                mkdir -p "$cache/$w"
                command=(env "${settings[@]}" OMP_NUM_THREADS="$t" TORCHINDUCTOR_CACHE_DIR="$cache/$w" "$torch" "$here/torch_peer.py"
                    "$w" --threads "$t" --seconds "$seconds")
                case $p in
                eager) peer "$w" "torch eager" $note "${command[@]}" ;;
                compile | compile-max) peer "$w" "torch $p" $note "${command[@]}" --mode "$p" "${cell[@]}" ;;
                *) echo "run.sh: no such peer: $p" >&2 ;;
                esac
            done
        done
    done
done
"$python" "$here/table.py" "$results"
