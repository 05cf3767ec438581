#!/usr/bin/env bash
# Builds everything and runs every test: the debug build (ASan, UBSan, the IR verifier between passes, tiny arenas), then the
# release build. Ends with `N passed, N failed`, which counts test programs and test files.   tests/run.sh [debug|release]...
set -u
cd "$(dirname "$0")/.."
passed=0 failed=0
for preset in ${*:-debug release}; do
    cmake --preset "$preset" >/dev/null && cmake --build --preset "$preset" -j "$(nproc)" >build/"$preset".log 2>&1 || {
        tail -n 40 build/"$preset".log
        echo "the $preset build failed"
        echo "$passed passed, $((failed + 1)) failed"
        exit 1
    }
    ctest --preset "$preset" >build/"$preset"-tests.log 2>&1
    grep -A40 -E '\*\*\*|^The following tests FAILED' build/"$preset"-tests.log | head -n 200
    f=$(sed -n 's/.* tests passed, \([0-9]*\) tests failed out of.*/\1/p' build/"$preset"-tests.log)
    p=$(sed -n 's/.* tests failed out of \([0-9]*\)$/\1/p' build/"$preset"-tests.log)
    if [ -z "$f" ]; then
        tail -n 20 build/"$preset"-tests.log
        f=1 p=1
    fi
    p=$((p - f))
    echo "$preset: $p passed, $f failed (build/$preset-tests.log)"
    passed=$((passed + p)) failed=$((failed + f))
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
