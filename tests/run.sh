#!/usr/bin/env bash
# Builds everything and runs every test: the debug build (ASan, UBSan, the IR verifier between passes, tiny arenas), then the
# release build. Ends with `N passed, N failed`; each cmocka case counts as one.   tests/run.sh [debug|release]...
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
    ctest --preset "$preset" --output-on-failure --verbose >build/"$preset"-tests.log 2>&1
    status=$?
    p=$(grep -c '\[       OK \]' build/"$preset"-tests.log)
    f=$(grep -c '\[  FAILED  \] [^0-9 ]*$' build/"$preset"-tests.log)
    [ $status -ne 0 ] && [ "$f" -eq 0 ] && f=1
    [ $status -ne 0 ] && grep -E '\[  (ERROR|FAILED) |tests? failed|\*\*\*|Error' build/"$preset"-tests.log | head -n 60
    echo "$preset: $p passed, $f failed (build/$preset-tests.log)"
    passed=$((passed + p)) failed=$((failed + f))
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
