/* phases.c: phases of a train block in turn, and what probes leave in the folder. */
#include "run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rnet.h"

static const char *const program =
    "use std\n"
    "data cloud in \"" SOURCE_FOLDER "/tests/steps/data\" {\n"
    "    train { x = npy(\"x.npy\"), label = npy(\"label.npy\") }\n"
    "    validation { x = npy(\"x.npy\"), label = npy(\"label.npy\") }\n"
    "}\n"
    "rule surface(w[...], g[...]) -> (map[a: 3, b: 4], slope) {\n"
    "    d[...] ~ normal(0, 1) per run\n"
    "    map[a, b] = objective(w + (a - 1) / 10 * d - b / 10 * g)\n"
    "    slope = norm(all g)\n"
    "}\n"
    "model net(x[i: 12]) -> logits[class: 5] {\n"
    "    h = x |> dense(7) |> batch_norm |> tanh |> dropout(0.2)\n"
    "    logits = h |> dense(5)\n"
    "}\n"
    "train net on cloud {\n"
    "    phase whole {\n"
    "        loss      = cross_entropy(logits, label)\n"
    "        optimizer = adam(rate = 1e-2)\n"
    "        probe     = surface()\n"
    "        times     = 2\n"
    "    }\n"
    "    phase head {\n"
    "        loss      = cross_entropy(logits, label) + 0.01 * sum[class] logits[class]^2\n"
    "        params    = net.dense_2\n"
    "        optimizer = adam(rate = 1e-3)\n"
    "        average   = ema(0.9)\n"
    "    }\n"
    "    batch  = 17\n"
    "    epochs = 3\n"
    "    report = accuracy(logits, label)\n"
    "}\n";

static void the_log_says_whose_step_it_was(void **state)
{
    struct outcome o;
    char *log;

    (void)state;
    enter_folder();
    write_file("net.rnet", program);
    o = run_expecting(RNET_DONE, "rnetc train net.rnet --out run");
    assert_contains(o.out, "whole loss ");
    assert_contains(o.out, "head loss ");
    log = read_file("run/log.jsonl", NULL);
    assert_contains(log, "{\"step\":2,\"model\":\"net\",");
    assert_contains(strstr(log, "{\"step\":2,"), "\"phase\":\"whole\",\"probe.surface.slope\":");
    assert_contains(strstr(log, "{\"step\":3,"), "\"phase\":\"head\",\"loss\":");
    free(log);
    run_expecting(RNET_DONE, "rnetc eval net.rnet --checkpoint run/checkpoint.safetensors");
    run_expecting(RNET_DONE, "rnetc explain net.rnet");
    run_expecting(RNET_DONE, "rnetc gradcheck net.rnet");
    leave_folder();
}

static void resuming_between_phases_gives_the_same_bits(void **state)
{
    (void)state;
    enter_folder();
    write_file("net.rnet", program);
    run_expecting(RNET_DONE, "rnetc train net.rnet --out whole");
    for (int step = 1; step < 5; step++) {
        run_expecting(RNET_DONE, "rnetc train net.rnet --steps %d --out parts-%d", step, step);
        run_expecting(RNET_DONE, "rnetc train net.rnet --resume --threads 1 --out parts-%d", step);
        run_expecting(0, "cmp whole/checkpoint.safetensors parts-%d/checkpoint.safetensors", step);
    }
    leave_folder();
}

/* In the middle of the surface, at a = 1 and b = 0, stands the loss of the step. */
static void tensors_of_probes_are_written_at_reports(void **state)
{
    struct rnet_array surface;
    struct rnet_error error;
    char *log, *at, *found = NULL;
    int written = 0;

    (void)state;
    enter_folder();
    write_file("net.rnet", program);
    run_expecting(RNET_DONE, "rnetc train net.rnet --out run");
    log = read_file("run/log.jsonl", NULL);
    for (int step = 1; step < 200; step++) {
        char path[100], key[40];

        snprintf(path, sizeof path, "run/whole.probe.surface.map-%06d.npy", step);
        if (!rnet_read_npy(path, &surface, &error))
            continue;
        written++;
        assert_int_equal(surface.rank, 2);
        assert_int_equal(surface.shape[0], 3);
        assert_int_equal(surface.shape[1], 4);
        snprintf(key, sizeof key, "{\"step\":%d,", step);
        at = strstr(log, key);
        assert_non_null(at);
        found = strstr(at, "\"loss\":");
        /* Two programs, f32: sums may be taken in another order. */
        assert_float_equal((float)((const double *)surface.data)[4], (float)strtod(found + 7, NULL), 1e-5);
        rnet_array_free(&surface);
    }
    assert_in_range(written, 2, 3);
    free(log);
    leave_folder();
}

/* f = cosh(20 x) / 4000 from 2.5 with the step of Zhang et al. 2020: an independent loop of the same 505 updates in double
   first has a gradient below 1e-3 after them, which the 506th step sees. */
static void clipped_descent_stops_where_theory_was_simulated(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    run_expecting(RNET_DONE, "rnetc train " SOURCE_FOLDER "/tests/syntax/corpus/clipping.rnet --out run");
    o = run_expecting(0, "grep -c gradient_norm run/log.jsonl");
    assert_string_equal(o.out, "506\n");
    run_expecting(0, "test -f run/probe.gains.gain-000507.npy && test -f run/probe.gains.bound-000507.npy");
    leave_folder();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_log_says_whose_step_it_was),
        cmocka_unit_test(resuming_between_phases_gives_the_same_bits),
        cmocka_unit_test(tensors_of_probes_are_written_at_reports),
        cmocka_unit_test(clipped_descent_stops_where_theory_was_simulated),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
