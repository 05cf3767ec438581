/* data.c: data made by programs, divided data, texts, tables with names: from the file to what a model sees. */
#include "run.h"

#include <math.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rnet.h"

/* Writes the text, runs the command, and gives what it said. */
static struct outcome of(int status, const char *text, const char *command)
{
    write_file("net.rnet", text);
    return run_expecting(status, "%s", command);
}

static const char *const cloud =
    "use std\n"
    "data cloud {\n"
    "    samples = 640\n"
    "    train { c = batch % 3, e[i: 5] ~ normal(0, 1), x[i] = e[i] + (i == c) * 3 + 2 }\n"
    "    test { c = batch % 3, e[i: 5] ~ normal(0, 1), x[i] = e[i] + (i == c) * 3 + 2 }\n"
    "}\n"
    "data standard from cloud {\n"
    "    m[i: 5] = mean[batch] cloud.train.x[i]\n"
    "    s[i] = sqrt(mean[batch] (cloud.train.x[i] - m[i])^2)\n"
    "    x[i] = (cloud.x[i] - m[i]) / s[i]\n"
    "    label = cloud.c\n"
    "}\n"
    "data parts { (train, validation) = divide(standard.train, 500, 100) }\n"
    "model code(x[i: 5]) -> z[u: 4] { z = x |> dense(4) |> tanh }\n"
    "model auto(x[i: 5]) -> back[i] { back = code(x) |> dense(5) }\n"
    "train auto on parts {\n"
    "    loss = mean_square(back, x), optimizer = adam(rate = 1e-2), batch = 50, steps = 60\n"
    "    report = mean_square(back, x)\n"
    "}\n"
    "data coded from standard { z = code(standard.x), label = standard.label }\n"
    "model judge(z[u: 4]) -> logits[class: 3] { logits = z |> dense(3) }\n"
    "train judge on coded {\n"
    "    loss = cross_entropy(logits, label), optimizer = adam(rate = 5e-2), batch = 50, steps = 200\n"
    "    report = accuracy(logits, label)\n"
    "}\n";

static void data_derived_from_data_and_models_train(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    of(RNET_DONE, cloud, "rnetc train net.rnet --out run");
    o = run_expecting(RNET_DONE, "rnetc eval net.rnet --checkpoint run/checkpoint.safetensors");
    /* The three clouds are 3 apart where the noise is 1: chance would be 0.33, give or take 0.02. */
    assert_true(number_behind(o.out, "accuracy ") > 0.6);
    leave_folder();
}

static void derived_data_are_the_same_after_a_pause(void **state)
{
    static const int places[] = {20, 60, 130};

    (void)state;
    enter_folder();
    of(RNET_DONE, cloud, "rnetc train net.rnet --out whole");
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        run_expecting(RNET_DONE, "rnetc train net.rnet --steps %d --out parts-%d", places[i], places[i]);
        run_expecting(RNET_DONE, "rnetc train net.rnet --resume --threads 1 --out parts-%d", places[i]);
        run_expecting(0, "cmp whole/checkpoint.safetensors parts-%d/checkpoint.safetensors", places[i]);
    }
    leave_folder();
}

/* The block trains the very model that its data are made by: they stay as they were when first used, also after a pause. */
static void data_keep_the_parameters_they_were_made_with(void **state)
{
    char text[4000];

    (void)state;
    enter_folder();
    snprintf(text, sizeof text,
             "%smodel again(x[i: 5], z[u: 4]) -> d { y = code(x), d = sum[u] (y[u] - z[u] - 1)^2 }\n"
             "data both from standard { x = standard.x, z = code(standard.x) }\n"
             "train again on both { loss = d, optimizer = gd(rate = 0.1), batch = 50, steps = 40 }\n",
             cloud);
    of(RNET_DONE, text, "rnetc train net.rnet --out whole");
    run_expecting(RNET_DONE, "rnetc train net.rnet --steps 280 --out parts");
    run_expecting(RNET_DONE, "rnetc train net.rnet --resume --out parts");
    run_expecting(0, "cmp whole/checkpoint.safetensors parts/checkpoint.safetensors");
    leave_folder();
}

/* y = 2 x + 1 exactly, x = batch / 10: the report is 0 only if each item has its own number. */
static void batch_is_the_number_of_the_item(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    o = of(RNET_DONE,
           "use std\n"
           "data line { samples = 11\n train { x = batch / 10, y = 2 * x + 1, n = size(batch) } }\n"
           "model m(x, y, n) -> e { param w = 2, b = 1\n e = (w * x + b - y)^2 + (n - 11)^2 }\n"
           "train m on line { loss = e, optimizer = gd(rate = 0.1), batch = 11, steps = 3, precision = f64 }\n",
           "rnetc train net.rnet --json --out run");
    o = run_expecting(0, "grep -c '\"loss\":0,' run/log.jsonl");
    assert_string_equal(o.out, "3\n");
    leave_folder();
}

static const char *const names =
    "use std\n"
    "let vocab = 30\n"
    "data names {\n"
    "    every {\n"
    "        (name, length) = lines(\"names.txt\", vocab, 12)\n"
    "        label = csv(\"table.csv\", \"language\", categories = 2)\n"
    "        n = csv(\"table.csv\", \"n\")\n"
    "    }\n"
    "    (train, validation) = divide(every, 40, 20)\n"
    "}\n"
    "model reader(name[t: 12] in vocab, length in 13) -> logits[class: 2] {\n"
    "    seen[v: vocab] = sum[t] (name[t] == v) * (t < length)\n"
    "    logits = seen |> dense(2)\n"
    "}\n"
    "train reader on names {\n"
    "    loss = cross_entropy(logits, label) + 0 * n\n"
    "    optimizer = adam(rate = 0.05), batch = 10, epochs = 30\n"
    "    report = accuracy(logits, label)\n"
    "}\n";

/* Language a writes with a, b, c, language b with x, y, z: letters tell. */
static void write_names(void)
{
    char text[2000] = "", table[2000] = "n,language\n";

    for (int i = 0; i < 60; i++) {
        char line[40];

        snprintf(line, sizeof line, "%s%s\n", i % 2 ? "xyz" : "abc", i % 3 ? (i % 2 ? "xz" : "ca") : "");
        strcat(text, line);
        snprintf(line, sizeof line, "%d,%s\n", i, i % 2 ? "b" : "a");
        strcat(table, line);
    }
    write_file("names.txt", text);
    write_file("table.csv", table);
}

static void lines_and_categories_train(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    write_names();
    of(RNET_DONE, names, "rnetc train net.rnet --out run");
    o = run_expecting(RNET_DONE, "rnetc eval net.rnet --checkpoint run/checkpoint.safetensors");
    assert_string_equal(o.out, "accuracy 1\n");
    leave_folder();
}

/* The vocabulary is the checkpoint's: other lines, whose letters come in another order, change no number of a letter. */
static void the_vocabulary_is_kept_in_the_checkpoint(void **state)
{
    struct outcome o;
    char text[2000] = "";

    (void)state;
    enter_folder();
    write_names();
    of(RNET_DONE, names, "rnetc train net.rnet --out run");
    for (int i = 0; i < 60; i++)
        strcat(text, i % 2 ? "zzzzyyx\n" : "aab\n");
    write_file("names.txt", text);
    o = run_expecting(RNET_DONE, "rnetc eval net.rnet --checkpoint run/checkpoint.safetensors");
    assert_string_equal(o.out, "accuracy 1\n");
    leave_folder();
}

static void a_category_too_many_is_named(void **state)
{
    struct outcome o;
    char text[2000] = "n,language\n";

    (void)state;
    enter_folder();
    write_names();
    for (int i = 0; i < 60; i++)
        strcat(text, i == 7 ? "7,c\n" : i % 2 ? "1,b\n" : "0,a\n");
    write_file("table.csv", text);
    o = of(RNET_DATA, names, "rnetc train net.rnet --out run");
    assert_contains(o.error, "label 2 in row 7 is not in 0..1");
    leave_folder();
}

static void more_items_than_there_are_cannot_be_divided(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    write_names();
    run_expecting(0, "head -50 names.txt > short.txt; mv short.txt names.txt; head -51 table.csv > s.csv; mv s.csv table.csv");
    o = of(RNET_DATA, names, "rnetc train net.rnet --out run");
    assert_contains(o.error, "50");
    leave_folder();
}

/* Each symbol follows the one before in "abcabc...": a model of the last symbol learns it all. */
static void sequences_of_characters_train(void **state)
{
    char text[2000] = "";

    (void)state;
    enter_folder();
    for (int i = 0; i < 300; i++)
        strcat(text, "abc");
    write_file("book.txt", text);
    of(RNET_DONE,
       "use std\n"
       "data book {\n train { text = sequence(characters(\"book.txt\", 5), 4) }\n test { text = sequence(characters(\"book.txt\", 5), 4) }\n}\n"
       "model next(text[k: 4] in 5) -> nll {\n"
       "    param W[a: 5, b: 5] = 0\n"
       "    logits[b] = sum[a] (text[2] == a) * W[a, b]\n"
       "    nll = cross_entropy(logits, text[3])\n"
       "}\n"
       "train next on book { loss = nll, optimizer = gd(rate = 10), batch = 16, steps = 100\n report = nll < 0.1 }\n",
       "rnetc train net.rnet --out run");
    {
        struct outcome o = run_expecting(RNET_DONE, "rnetc eval net.rnet --checkpoint run/checkpoint.safetensors");
        assert_string_equal(o.out, "report 1\n");
    }
    leave_folder();
}

static void predict_prints_fields(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    o = of(RNET_DONE,
           "use std\n"
           "data line { samples = 3\n train { x = batch / 4, s[k: 2] = (k + 1) * sum[batch] x, big = x > 0.3 } }\n"
           "model m(x) -> y { param w = 1\n y = w * x }\n",
           "rnetc predict net.rnet line");
    assert_string_equal(o.out, "s 0.75 1.5\nx 0  big 0\nx 0.25  big 0\nx 0.5  big 1\n");
    o = run_expecting(RNET_USAGE, "rnetc predict net.rnet line.test");
    assert_contains(o.error, "the data line have no split `test`");
    leave_folder();
}

/* Without --seed: the parts are those of the run. All of `half` is seen in training, and learnt by heart. */
static void the_division_is_that_of_the_run(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    of(RNET_DONE,
       "use std\n"
       "data whole {\n samples = 40\n every { n = batch, y = batch % 7 }\n (train, rest) = divide(every, 20, 20)\n (test, other) = divide(every, 20, 20)\n}\n"
       "model m(n in 40) -> f { param w[i: 40] = 0\n f = w[n] }\n"
       "train m on whole { loss = (f - y)^2, optimizer = gd(rate = 5), batch = 20, steps = 200, report = (f - y)^2 }\n",
       "rnetc train net.rnet --seed 7 --out run");
    o = run_expecting(RNET_DONE, "rnetc eval net.rnet --checkpoint run/checkpoint.safetensors");
    assert_true(number_behind(o.out, "report ") < 1e-6);
    leave_folder();
}

/* The smallest loss is that of w = size, and the step goes there. */
static void a_split_has_a_size(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    write_file("points.csv", "1\n2\n3\n4\n5\n6\n7\n");
    o = of(RNET_DONE,
           "use std\n"
           "data made { samples = 30\n whole { x = batch * 1.0 } }\n"
           "data read { train { x = csv(\"points.csv\", first = 0) } }\n"
           "data parts { (train, test) = divide(made.whole, 20, 5) }\n"
           "data sizes from parts { x = parts.x, sizes[k: 3] = size(made.whole) * (k == 0) + size(read.train) * (k == 1)"
           " + size(parts.test) * (k == 2)\n count[i: size(read.train)] = i }\n"
           "model net(x) -> y { param w = 0\n y = w + 0 * x }\n"
           "train net on read { loss = (y - size(read.train))^2 / 2, optimizer = gd(rate = 1), batch = 2, steps = 1 }\n",
           "rnetc predict net.rnet sizes");
    assert_contains(o.out, "30 7 5");
    assert_contains(o.out, "0 1 2 3 4 5 6");
    o = run_expecting(RNET_DONE, "rnetc train net.rnet --out run && cat run/log.jsonl");
    assert_contains(o.out, "\"loss\":24.5");
    run_expecting(RNET_DONE, "rnetc check net.rnet && rm points.csv && rnetc check net.rnet");
    o = run_expecting(RNET_SOURCE, "rnetc train net.rnet --out again");
    assert_contains(o.error, "cannot be read to count its items");
    leave_folder();
}

/* A sum over all items, halved three times; and one for each item. */
static void data_have_recurrences(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    o = of(RNET_DONE,
           "data numbers { samples = 5\n train { x = batch * 1.0 } }\n"
           "data halved from numbers {\n"
           "    total = sum[batch] numbers.train.x\n"
           "    over n: 3 from s = total { s[n] = s[n - 1] / 2 }\n"
           "    over m: 3 from p = numbers.x { p[m] = p[m - 1] + 1 }\n"
           "    half = s[2]\n"
           "    path[m] = p[m]\n"
           "}\n",
           "rnetc predict net.rnet halved");
    assert_contains(o.out, "half 1.25");
    assert_contains(o.out, "5 6 7");
    leave_folder();
}

/* A computed place and a fixed one, of a split that is made and of one that is read. */
static void items_of_another_split_are_read_by_number(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    write_file("places.csv", "3\n1\n2\n0\n");
    o = of(RNET_DONE,
           "data numbers { samples = 4\n train { x = batch * 10.0, y[i: 2] = batch * 2 + i } }\n"
           "data places { train { p = csv(\"places.csv\", first = 0) } }\n"
           "data near from numbers {\n"
           "    d[n: size(numbers.train)] = abs(numbers.train.x[batch: n] - numbers.x) + 100 * places.train.p[batch: n]\n"
           "    place = argmin[n] d[n]\n"
           "    other[i: 2] = numbers.train.y[batch: place, i] + numbers.train.x[batch: 1]\n"
           "    before[n] = rank[n](d[n])\n"
           "}\n",
           "rnetc predict net.rnet near");
    assert_contains(o.out, "d 300 110 220 30  place 3  other 16 17  before 3 1 2 0\n");
    assert_contains(o.out, "d 330 120 210 0  place 3  other 16 17  before 3 1 2 0\n");
    o = of(RNET_SOURCE,
           "data numbers { samples = 4\n train { x = batch * 10.0 } }\n"
           "data wrong from numbers { y = numbers.train.x[batch: 4] }\n",
           "rnetc check net.rnet");
    assert_contains(o.error, "4 may be 4, outside 0..3: numbers.train");
    leave_folder();
}

/* All items are in each batch, shuffled; the loss tells which item has which number. */
static void a_draw_per_item_stays_with_the_item(void **state)
{
    struct outcome o;
    char *log, *at, first[40];
    int steps = 0;

    (void)state;
    enter_folder();
    of(RNET_DONE,
       "use std\n"
       "data points { samples = 6\n train { x = batch * 1.0 }\n test { x = batch * 1.0 } }\n"
       "model net(x) -> y { param w = 1\n y = w + 0 * x }\n"
       "train net on points {\n"
       "    weight[k: 2] ~ poisson(1) per item\n"
       "    choice ~ categorical[m: 9](1) per item\n"
       "    loss = (weight[0] + 10 * weight[1] + 100 * choice) * 1000 ^ x * y\n"
       "    optimizer = gd(rate = 0), batch = 6, steps = 5\n"
       "    report = mean[batch] weight[0]\n"
       "    precision = f64\n"
       "}\n",
       "rnetc train net.rnet --out run");
    log = read_file("run/log.jsonl", NULL);
    for (at = log; (at = strstr(at, "\"loss\":")); at++, steps++) {
        if (!steps)
            snprintf(first, sizeof first, "%.20s", at);
        assert_memory_equal(at, first, strlen(first));
    }
    assert_int_equal(steps, 5);
    run_expecting(RNET_DONE, "rnetc train net.rnet --seed 1 --out other");
    free(log);
    log = read_file("other/log.jsonl", NULL);
    assert_null(strstr(log, first));
    free(log);
    o = run_expecting(RNET_DONE, "rnetc gradcheck net.rnet");
    assert_contains(o.out, "ok");
    leave_folder();
}

/* One use settles that the label is whole; the next, in the same round, must not call it real. */
static void a_label_is_used_twice(void **state)
{
    (void)state;
    enter_folder();
    write_file("points.csv", "1,0\n2,1\n3,2\n4,0\n5,1\n6,2\n");
    of(RNET_DONE,
       "use std\n"
       "data points { train { x = csv(\"points.csv\", first = 0, count = 1), label = csv(\"points.csv\", first = 1) } }\n"
       "data more from points { x = points.x, label = points.label, x1[i: 1] = 2 * points.x[i] }\n"
       "model net(x[i: 1]) -> logits[class: 3] { logits = x |> dense(3) }\n"
       "train net on more { loss = cross_entropy(logits, label) + cross_entropy(net(x1), label), optimizer = gd(rate = 0.1)\n"
       "    batch = 2, steps = 2 }\n",
       "rnetc train net.rnet --out run");
    leave_folder();
}

/* z of item n is 2 n; all of the test split is in hand though the batch is smaller than it. */
static void a_report_reads_other_samples_of_the_split(void **state)
{
    char *log;

    (void)state;
    enter_folder();
    of(RNET_DONE,
           "data d { samples = 7\n train { x = batch * 1.0 }\n test { x = batch * 2.0 } }\n"
           "model net(x) -> z { param w = 1\n z = x * w }\n"
           "rule none(w[...], g[...]) { w <- w - 0 * g }\n"
           "train net on d {\n"
           "    n = (batch + 2) % size(batch)\n"
           "    loss = z, optimizer = none(), batch = 2, steps = 4\n"
           "    report { apart = (z - z[batch: n])^2, fourth = z[batch: 3], variance = mean[batch] (z - mean[batch] z)^2\n"
           "             least = argmax[batch] -z, middle = z }\n"
           "}\n",
           "rnetc train net.rnet --out run");
    log = read_file("run/log.jsonl", NULL);
    assert_contains(log, "\"report.apart\":40,\"report.fourth\":6,\"report.variance\":16,\"report.least\":0,\"report.middle\":6");
    free(log);
    leave_folder();
}

/* A square orthogonal matrix of each item's own keeps the length. */
static void a_model_that_nothing_trains_draws_per_item(void **state)
{
    struct outcome o;
    char *answers, *end;
    int items = 0;

    (void)state;
    enter_folder();
    of(RNET_DONE,
       "use std\n"
       "data d { samples = 6\n train { x[i: 4] = 1.5 }\n test { x[i: 4] = 1.5 } }\n"
       "model turn(x[i: 4]) -> random (total, first) {\n"
       "    W[i, j: 4] ~ orthogonal[i; j](2) per item\n"
       "    y[j] = sum[i] x[i] * W[i, j]\n"
       "    total = sum[j] y[j]^2\n    first = y[0]\n}\n"
       "model net(x[i: 4]) -> z { param w = 1\n z = x[0] * w }\n"
       "train net on d { loss = z, optimizer = gd(0.1), batch = 2, steps = 1, report = z }\n"
       "data turned from d { (s, f) = turn(d.x) }\n",
       "rnetc train net.rnet --out run");
    run_expecting(RNET_DONE, "rnetc predict net.rnet turn --checkpoint run/checkpoint.safetensors --out turned.safetensors");
    o = run_expecting(RNET_DONE, "rnetc predict net.rnet turned --checkpoint run/checkpoint.safetensors");
    answers = strdup(o.out);
    for (char *at = answers; (at = strstr(at, "s ")); items++) {
        assert_true(fabs(strtod(at + 2, &end) - 36) < 1e-3); /* f32 */
        at = end;
    }
    assert_int_equal(items, 6);
    free(answers);
    leave_folder();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(data_derived_from_data_and_models_train), cmocka_unit_test(derived_data_are_the_same_after_a_pause),
        cmocka_unit_test(data_keep_the_parameters_they_were_made_with), cmocka_unit_test(batch_is_the_number_of_the_item),
        cmocka_unit_test(lines_and_categories_train), cmocka_unit_test(the_vocabulary_is_kept_in_the_checkpoint),
        cmocka_unit_test(a_category_too_many_is_named), cmocka_unit_test(more_items_than_there_are_cannot_be_divided),
        cmocka_unit_test(sequences_of_characters_train), cmocka_unit_test(predict_prints_fields),
        cmocka_unit_test(the_division_is_that_of_the_run), cmocka_unit_test(a_split_has_a_size),
        cmocka_unit_test(a_label_is_used_twice), cmocka_unit_test(a_report_reads_other_samples_of_the_split),
        cmocka_unit_test(a_model_that_nothing_trains_draws_per_item), cmocka_unit_test(data_have_recurrences),
        cmocka_unit_test(items_of_another_split_are_read_by_number), cmocka_unit_test(a_draw_per_item_stays_with_the_item)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
