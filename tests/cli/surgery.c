/* surgery.c: what commands do with checkpoints. */
#include "run.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "rnet.h"

static void write_net(void)
{
    write_file("net.rnet", "use std\n"
                           "data cloud { samples = 240\n"
                           "    train { e[i: 5] ~ normal(0, 1)\n"
                           "            x[i] = e[i] + 2 * (i == batch % 3)\n"
                           "            label = batch % 3 }\n"
                           "    test  { e[i: 5] ~ normal(0, 1)\n"
                           "            x[i] = e[i] + 2 * (i == batch % 3)\n"
                           "            label = batch % 3 } }\n"
                           "model net(x[i: 5]) -> logits[class: 3] { logits = x |> dense(40) |> relu |> dense(30) |> tanh |> dense(3) }\n"
                           "train net on cloud {\n"
                           "    loss = cross_entropy(logits, label)\n"
                           "    optimizer = sgd(rate = 0.1, momentum = 0.9)\n"
                           "    batch = 24\n"
                           "    steps = 40\n"
                           "    report = accuracy(logits, label)\n"
                           "}\n");
}

static struct rnet_safetensors checkpoint(const char *path)
{
    struct rnet_safetensors file;
    struct rnet_error error;

    if (!rnet_safetensors_read(path, &file, &error))
        fail_msg("%s", error.message);
    return file;
}

static int64_t count_of(const struct rnet_tensor *t)
{
    int64_t count = 1;

    for (int i = 0; i < t->rank; i++)
        count *= t->shape[i];
    return count;
}

/* ---- average ---- */

static void a_mean_is_that_of_each_number(void **state)
{
    struct rnet_safetensors files[4];

    (void)state;
    enter_folder();
    write_net();
    for (int i = 0; i < 3; i++)
        run_expecting(RNET_DONE, "rnetc train net.rnet --out run%d --steps %d", i, 10 * (i + 1));
    assert_contains(run_expecting(RNET_DONE, "rnetc average run0/checkpoint.safetensors run1/checkpoint.safetensors "
                                             "run2/checkpoint.safetensors --out mean.safetensors")
                        .out,
                    "the mean of 3 checkpoints");
    for (int i = 0; i < 3; i++) {
        char path[60];

        snprintf(path, sizeof path, "run%d/checkpoint.safetensors", i);
        files[i] = checkpoint(path);
    }
    files[3] = checkpoint("mean.safetensors");
    assert_int_equal(files[3].count, files[0].count);
    for (int i = 0; i < files[3].count; i++) {
        const struct rnet_tensor *mean = &files[3].tensors[i];

        if (!strcmp(mean->name, "rnet.step"))
            assert_int_equal(*(const int64_t *)mean->data, 30);
        for (int64_t k = 0; mean->type == RNET_F32 && k < count_of(mean); k++) {
            double sum = 0;

            for (int f = 0; f < 3; f++)
                sum += ((const float *)rnet_safetensors_find(&files[f], mean->name)->data)[k];
            if (((const float *)mean->data)[k] != (float)(sum / 3))
                fail_msg("%s: %g, expected %g", mean->name, ((const float *)mean->data)[k], sum / 3);
        }
    }
    for (int i = 0; i < 4; i++)
        rnet_safetensors_free(&files[i]);
    run_expecting(RNET_DONE, "rnetc eval net.rnet --checkpoint mean.safetensors");
    leave_folder();
}

static void checkpoints_of_other_programs_have_no_mean(void **state)
{
    (void)state;
    enter_folder();
    write_net();
    run_expecting(RNET_DONE, "rnetc train net.rnet --out a --steps 1");
    run_expecting(RNET_DONE, "sed 's/dense(40)/dense(41)/' net.rnet > wide.rnet; rnetc train wide.rnet --out b --steps 1");
    run_expecting(RNET_DONE, "sed 's/ |> tanh |> dense(3) }/ |> tanh }/; s/30/3/' net.rnet > flat.rnet; rnetc train flat.rnet --out c --steps 1");
    assert_contains(run_expecting(RNET_DATA, "rnetc average a/checkpoint.safetensors b/checkpoint.safetensors --out m").error,
                    "net.dense_1.W is [5, 40] in a/checkpoint.safetensors and [5, 41] in b/checkpoint.safetensors");
    assert_contains(run_expecting(RNET_DATA, "rnetc average c/checkpoint.safetensors a/checkpoint.safetensors --out m").error,
                    "these are not checkpoints of one program");
    assert_contains(run_expecting(RNET_USAGE, "rnetc average a/checkpoint.safetensors --out m").error, "two checkpoints");
    assert_contains(run_expecting(RNET_USAGE, "rnetc average a/checkpoint.safetensors a/checkpoint.safetensors").error, "--out FILE");
    run_expecting(1, "test -e m");
    assert_contains(run_expecting(RNET_DATA, "rnetc average net.rnet a/checkpoint.safetensors --out m").error, "this is no safetensors file");
    assert_string_equal(run_expecting(RNET_FAILED, "rnetc average a/checkpoint.safetensors a/checkpoint.safetensors --out a").out, "");
    leave_folder();
}

/* ---- prune ---- */

static double zeros_of(const struct rnet_tensor *t)
{
    int64_t zeros = 0;

    for (int64_t k = 0; k < count_of(t); k++)
        zeros += ((const float *)t->data)[k] == 0;
    return (double)zeros / (double)count_of(t);
}

static void the_smallest_weights_become_zero_and_no_others(void **state)
{
    struct rnet_safetensors before, after;
    struct outcome o;
    double kept = INFINITY, gone = 0;
    int64_t zeros = 0;

    (void)state;
    enter_folder();
    write_net();
    run_expecting(RNET_DONE, "rnetc train net.rnet --out run");
    o = run_expecting(RNET_DONE, "rnetc prune net.rnet --checkpoint run/checkpoint.safetensors --share 0.8 --out small");
    assert_contains(o.out, "before: accuracy of cloud.test: ");
    assert_contains(o.out, "after: accuracy of cloud.test: ");
    assert_contains(o.out, "1192 of 1490 are 0: 80.0 %");
    before = checkpoint("run/checkpoint.safetensors");
    after = checkpoint("small");
    for (int i = 0; i < before.count; i++) {
        const struct rnet_tensor *old = &before.tensors[i], *new = rnet_safetensors_find(&after, old->name);
        size_t length = strlen(old->name);

        for (int64_t k = 0; length > 2 && !strcmp(old->name + length - 2, ".W") && k < count_of(old); k++) {
            double was = fabs(((const float *)old->data)[k]), is = fabs(((const float *)new->data)[k]);

            assert_true(is == 0 || is == was);
            zeros += is == 0;
            gone = is == 0 && was > gone ? was : gone;
            kept = is > 0 && is < kept ? is : kept;
        }
        if (length > 2 && strcmp(old->name + length - 2, ".W"))
            assert_memory_equal(old->data, new->data, (size_t)count_of(old) * rnet_type_size(old->type));
    }
    assert_int_equal(zeros, 1192);
    assert_true(gone <= kept);
    rnet_safetensors_free(&before);
    rnet_safetensors_free(&after);
    leave_folder();
}

static void a_pruned_unit_is_zero_in_every_parameter(void **state)
{
    struct rnet_safetensors after;
    struct outcome o;

    (void)state;
    enter_folder();
    write_net();
    run_expecting(RNET_DONE, "rnetc train net.rnet --out run");
    o = run_expecting(RNET_DONE, "rnetc prune net.rnet --checkpoint run/checkpoint.safetensors --share 0.8 --by unit --out small");
    assert_contains(o.out, "56 of 70 units are pruned");
    after = checkpoint("small");
    assert_true(fabs(zeros_of(rnet_safetensors_find(&after, "net.dense_1.W")) - 0.8) < 1e-9);
    assert_true(fabs(zeros_of(rnet_safetensors_find(&after, "net.dense_2.W")) - 0.96) < 1e-9);
    assert_true(fabs(zeros_of(rnet_safetensors_find(&after, "net.dense_2.b")) - 0.8) < 1e-9);
    assert_true(zeros_of(rnet_safetensors_find(&after, "net.dense_3.b")) < 1);
    rnet_safetensors_free(&after);
    leave_folder();
}

static void what_prune_cannot_do_is_said(void **state)
{
    (void)state;
    enter_folder();
    write_net();
    run_expecting(RNET_DONE, "rnetc train net.rnet --out run --steps 1");
    assert_contains(run_expecting(RNET_USAGE, "rnetc prune net.rnet --checkpoint run/checkpoint.safetensors --out p").error, "--share");
    assert_contains(run_expecting(RNET_USAGE, "rnetc prune net.rnet --checkpoint run/checkpoint.safetensors --out p --share 1.5").error,
                    "a number from 0 to 1");
    assert_contains(run_expecting(RNET_USAGE, "rnetc prune net.rnet --checkpoint run/checkpoint.safetensors --out p --share 0.5 "
                                              "--params 'net.lstm.*'")
                        .error,
                    "no trained parameter is of that name");
    run_expecting(0, "sed 's/ |> dense(40) |> relu |> dense(30) |> tanh / /' net.rnet > flat.rnet; rnetc train flat.rnet --out flat --steps 1");
    assert_contains(run_expecting(RNET_SOURCE, "rnetc prune flat.rnet --checkpoint flat/checkpoint.safetensors --out p --share 0.5 --by unit")
                        .error,
                    "no axis of the parameters can lose units");
    run_expecting(1, "test -e p");
    leave_folder();
}

/* ---- compact ---- */

/* Both programs answer the test split; the norm of the difference as a part of the norm of the answers. */
static double difference(const char *old, const char *old_checkpoint, const char *new, const char *new_checkpoint)
{
    struct rnet_safetensors a, b;
    double square = 0, norm = 0;

    run_expecting(RNET_DONE, "rm -f a.safetensors b.safetensors; rnetc predict %s net --precision f64 --checkpoint %s --out a.safetensors", old,
                  old_checkpoint);
    run_expecting(RNET_DONE, "rnetc predict %s net --precision f64 --checkpoint %s --out b.safetensors", new, new_checkpoint);
    a = checkpoint("a.safetensors");
    b = checkpoint("b.safetensors");
    assert_int_equal(a.tensors[0].type, RNET_F64);
    assert_int_equal(count_of(&a.tensors[0]), count_of(&b.tensors[0]));
    for (int64_t k = 0; k < count_of(&a.tensors[0]); k++) {
        double x = ((const double *)a.tensors[0].data)[k], y = ((const double *)b.tensors[0].data)[k];

        square += (x - y) * (x - y);
        norm += x * x;
    }
    assert_true(norm > 0);
    rnet_safetensors_free(&a);
    rnet_safetensors_free(&b);
    return sqrt(square / norm);
}

static void use_layers(const char *layers)
{
    run_expecting(0, "sed -i 's/dense(40) |> relu |> dense(30) |> tanh |> dense(3)/%s/' net.rnet", layers);
}

/* Trains, prunes by unit, compacts. */
static struct outcome compacted(void)
{
    run_expecting(RNET_DONE, "rnetc train net.rnet --out run");
    run_expecting(RNET_DONE, "rnetc prune net.rnet --checkpoint run/checkpoint.safetensors --share 0.8 --by unit --out pruned");
    return run_expecting(RNET_DONE, "rnetc compact net.rnet --checkpoint pruned --out small");
}

static void what_is_compacted_answers_as_what_was_pruned(void **state)
{
    struct rnet_safetensors small;
    struct outcome o;

    (void)state;
    enter_folder();
    write_net();
    o = compacted();
    assert_contains(o.out, "net.rnet:9:62: 40 becomes 8\n");
    assert_contains(o.out, "net.rnet:9:83: 30 becomes 6\n");
    assert_contains(o.out, "its floating-point operations");
    small = checkpoint("small/checkpoint.safetensors");
    assert_int_equal(rnet_safetensors_find(&small, "net.dense_2.W")->shape[0], 8);
    assert_int_equal(rnet_safetensors_find(&small, "net.dense_2.W.sgd.m")->shape[1], 6);
    rnet_safetensors_free(&small);
    assert_true(difference("net.rnet", "pruned", "small/net.rnet", "small/checkpoint.safetensors") < 1e-12);
    run_expecting(RNET_DONE, "sed -i 's/steps = 40/steps = 45/' small/net.rnet; cp run/log.jsonl small; rnetc train small/net.rnet --out small "
                             "--resume");
    run_expecting(RNET_USAGE, "rnetc compact net.rnet --checkpoint pruned --out small");
    leave_folder();
}

/* Batch norm in evaluation is a scale and a shift; the axis of its statistics shrinks with it. */
static void statistics_shrink_with_their_units(void **state)
{
    struct rnet_safetensors small;

    (void)state;
    enter_folder();
    write_net();
    use_layers("dense(40) |> batch_norm |> relu |> dense(3)");
    compacted();
    small = checkpoint("small/checkpoint.safetensors");
    assert_int_equal(rnet_safetensors_find(&small, "net.batch_norm_1.var")->shape[0], 8);
    rnet_safetensors_free(&small);
    assert_true(difference("net.rnet", "pruned", "small/net.rnet", "small/checkpoint.safetensors") < 1e-12);
    leave_folder();
}

/* A unit whose own weights are 0 is 0 behind tanh, one half behind the logistic function: that stays. */
static void a_unit_that_is_constant_goes_only_if_it_is_zero(void **state)
{
    struct rnet_safetensors file;
    struct rnet_error error;

    (void)state;
    for (int logistic = 0; logistic < 2; logistic++) {
        enter_folder();
        write_net();
        use_layers(logistic ? "dense(7) |> sigmoid |> dense(3)" : "dense(7) |> tanh |> dense(3)");
        run_expecting(RNET_DONE, "rnetc train net.rnet --out run");
        file = checkpoint("run/checkpoint.safetensors");
        for (int64_t i = 0; i < 5; i++) /* unit 4: what comes in; unit 2: what goes out */
            ((float *)rnet_safetensors_find(&file, "net.dense_1.W")->data)[i * 7 + 4] = 0;
        ((float *)rnet_safetensors_find(&file, "net.dense_1.b")->data)[4] = 0;
        for (int64_t k = 0; k < 3; k++)
            ((float *)rnet_safetensors_find(&file, "net.dense_2.W")->data)[2 * 3 + k] = 0;
        assert_true(rnet_safetensors_write("cut", file.tensors, file.count, file.metadata, file.pairs, &error));
        rnet_safetensors_free(&file);
        assert_contains(run_expecting(RNET_DONE, "rnetc compact net.rnet --checkpoint cut --out small").out,
                        logistic ? "7 becomes 6\n" : "7 becomes 5\n");
        assert_true(difference("net.rnet", "cut", "small/net.rnet", "small/checkpoint.safetensors") < 1e-12);
        leave_folder();
    }
}

/* One number gives two axes: both lose what both can lose; data in files are found from another folder. */
static void a_number_that_gives_several_axes_shrinks_all_of_them(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    write_file("net.rnet", "use std\n"
                           "let half = 10\n"
                           "data cloud {\n"
                           "    train { x = csv(\"d.csv\", first = 0, count = 3), label = csv(\"d.csv\", first = 3) }\n"
                           "    test { x = csv(\"d.csv\", first = 0, count = 3), label = csv(\"d.csv\", first = 3) }\n"
                           "}\n"
                           "model net(x[i: 3]) -> logits[class: 2] { logits = x |> dense(2 * half) |> relu |> dense(half) |> relu |> dense(2) }\n"
                           "train net on cloud { loss = cross_entropy(logits, label), optimizer = adam(0.01), batch = 2, steps = 9\n"
                           "    report = accuracy(logits, label) }\n");
    write_file("d.csv", "1,2,3,0\n4,5,6,1\n0,1,0,1\n");
    o = compacted();
    assert_contains(o.out, "net.rnet:2:12: 10 becomes 2\n");
    assert_true(difference("net.rnet", "pruned", "small/net.rnet", "small/checkpoint.safetensors") < 1e-12);
    leave_folder();
}

/* Answers read averages of what is trained: they lose the units too. */
static void averages_are_pruned_with_what_they_are_of(void **state)
{
    (void)state;
    enter_folder();
    write_net();
    run_expecting(0, "sed -i 's/    batch = 24/    average = ema(0.9)\\n    batch = 24/' net.rnet");
    assert_contains(compacted().out, "40 becomes 8\n");
    assert_true(difference("net.rnet", "pruned", "small/net.rnet", "small/checkpoint.safetensors") < 1e-12);
    leave_folder();
}

/* x + body(x) wants both alike; the batch of as many is no axis of a parameter. */
static void an_extent_that_is_written_twice_shrinks_in_both_places(void **state)
{
    struct outcome o;

    (void)state;
    for (int more = 0; more < 2; more++) {
        enter_folder();
        write_net();
        use_layers(more ? "dense(24) |> residual(|> dense(24)) |> residual(|> dense(24)) |> residual(|> dense(24)) |> residual(|> dense(24)) |> dense(3)"
                        : "dense(24) |> repeat 2 { |> residual(|> relu |> dense(15) |> tanh |> dense(24)) } |> dense(3)");
        run_expecting(0, "sed -i 's/rate = 0.1/rate = 0.001/' net.rnet");
        o = compacted();
        assert_contains(o.out, "net.rnet:9:62: 24 becomes 5\n");
        assert_contains(o.out, more ? "net.rnet:9:165: 24 becomes 5\n" : "net.rnet:9:130: 24 becomes 5\n");
        if (!more)
            assert_contains(o.out, ": 15 becomes 3\n");
        run_expecting(0, "grep -q 'batch = 24' small/net.rnet");
        assert_true(difference("net.rnet", "pruned", "small/net.rnet", "small/checkpoint.safetensors") < 1e-12);
        leave_folder();
    }
}

/* The three kinds of net: products, windows, recurrences. */
static void windows_and_recurrences_shrink(void **state)
{
    static const char *const layers[] = {"conv1d(10) |> relu |> conv1d(10, kernel = 1) |> flatten |> dense(3)",
                                         "lstm(15) |> gru(10) |> flatten |> dense(3)"};

    (void)state;
    for (int i = 0; i < 2; i++) {
        enter_folder();
        write_net();
        run_expecting(0, "sed -i 's/x |> dense(40) |> relu |> dense(30) |> tanh |> dense(3)/z |> %s/; "
                         "s/{ logits/{ z[t: 5, c: 1] = x[t]; logits/' net.rnet; sed -i 's/; logits/\\n logits/' net.rnet", layers[i]);
        assert_contains(compacted().out, i ? ": 15 becomes 3\n" : ": 10 becomes 2\n");
        assert_true(difference("net.rnet", "pruned", "small/net.rnet", "small/checkpoint.safetensors") < 1e-12);
        leave_folder();
    }
}

static void what_cannot_be_compacted_is_said_with_its_place(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    write_net();
    run_expecting(0, "sed -i 's/^data/let wide = 5\\ndata/; s/x\\[i: 5\\]/x[i: wide]/; s/dense(40)/dense(wide)/; s/ |> dense(30) |> tanh//' net.rnet");
    run_expecting(RNET_DONE, "rnetc train net.rnet --out run");
    run_expecting(RNET_DONE, "rnetc prune net.rnet --checkpoint run/checkpoint.safetensors --share 0.8 --by unit --out pruned");
    o = run_expecting(RNET_FAILED, "rnetc compact net.rnet --checkpoint pruned --out small");
    assert_contains(o.error, "net.rnet:10:");
    assert_contains(o.error, "4 of 5 units make no difference, and 0 are left out: no numbers of the text give them and nothing else");
    assert_contains(o.error, "there is nothing that can be left out");
    run_expecting(1, "test -e small/net.rnet -o -e small/checkpoint.safetensors");
    o = run_expecting(RNET_FAILED, "rnetc compact net.rnet --checkpoint run/checkpoint.safetensors --out small");
    assert_contains(o.error, "there is nothing that can be left out");
    leave_folder();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mean_is_that_of_each_number),
        cmocka_unit_test(checkpoints_of_other_programs_have_no_mean),
        cmocka_unit_test(the_smallest_weights_become_zero_and_no_others),
        cmocka_unit_test(a_pruned_unit_is_zero_in_every_parameter),
        cmocka_unit_test(what_prune_cannot_do_is_said),
        cmocka_unit_test(what_is_compacted_answers_as_what_was_pruned),
        cmocka_unit_test(statistics_shrink_with_their_units),
        cmocka_unit_test(a_unit_that_is_constant_goes_only_if_it_is_zero),
        cmocka_unit_test(a_number_that_gives_several_axes_shrinks_all_of_them),
        cmocka_unit_test(averages_are_pruned_with_what_they_are_of),
        cmocka_unit_test(an_extent_that_is_written_twice_shrinks_in_both_places),
        cmocka_unit_test(windows_and_recurrences_shrink),
        cmocka_unit_test(what_cannot_be_compacted_is_said_with_its_place),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
