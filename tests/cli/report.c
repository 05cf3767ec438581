/* report.c: pages, tables and event files of runs and of experiments. */
#include "run.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rnet.h"

/* Every element is closed in its order, attributes are quoted, & begins an entity: what makes a page readable by any
 * parser of XML. */
static void assert_well_formed(const char *path)
{
    char *page = read_file(path, NULL), *at = page, *open[200];
    int depth = 0, elements = 0;

    while (*at) {
        if (*at == '&' && strncmp(at, "&amp;", 5) && strncmp(at, "&lt;", 4) && strncmp(at, "&gt;", 4) &&
            strncmp(at, "&quot;", 6))
            fail_msg("%s: a bare & before %.40s", path, at);
        if (*at != '<') {
            at++;
            continue;
        }
        if (at[1] == '!') {
            at = strchr(at, '>');
            continue;
        }
        elements++;
        if (at[1] == '/') {
            size_t size = strcspn(at + 2, ">");

            if (!depth || strncmp(open[depth - 1], at + 2, size) || isalnum((unsigned char)open[depth - 1][size]))
                fail_msg("%s: %.*s closes what is not open", path, (int)size, at + 2);
            depth--;
        } else {
            assert_true(depth < 200);
            open[depth++] = at + 1;
        }
        while (*at && *at != '>') {
            if (*at == '=' && at[1] != '"')
                fail_msg("%s: an attribute without quotes at %.40s", path, at);
            at = *at == '"' ? strchr(at + 1, '"') + 1 : at + 1;
        }
        depth -= at[-1] == '/';
    }
    assert_int_equal(depth, 0);
    assert_true(elements > 20);
    free(page);
    run_expecting(0, "command -v xmllint >/dev/null || exit 0; xmllint --noout '%s'", path);
}

static void assert_holds(const char *path, const char *part)
{
    char *text = read_file(path, NULL);

    assert_contains(text, part);
    free(text);
}

static const char *const program = "# Is <w> found & kept?\n"
                                   "use std\n"
                                   "let pull = 0.0\n"
                                   "data line {\n"
                                   "    samples = 40\n"
                                   "    train { x ~ normal(0, 1)\n        y = 2 * x }\n"
                                   "    test { x ~ normal(0, 1)\n        y = 2 * x }\n"
                                   "}\n"
                                   "rule look(w[...], g[...]) -> kept { kept[...] = w[...] }\n"
                                   "model net(x) -> z {\n"
                                   "    param w[k: 6] ~ normal(0, 0.1)\n"
                                   "    z = sum[k] w[k] * x\n"
                                   "}\n"
                                   "train net on line {\n"
                                   "    loss      = (z - y)^2\n"
                                   "    penalty   = pull * l2(net.w)\n"
                                   "    probe     = look on net.w\n"
                                   "    optimizer = gd(rate = 0.02)\n"
                                   "    batch     = 10\n"
                                   "    epochs    = 5\n"
                                   "    precision = f64\n"
                                   "    report { error = (z - y)^2\n"
                                   "        expect error < 100 }\n"
                                   "}\n";

static void a_run_is_a_page_with_the_numbers_of_its_log(void **state)
{
    struct outcome o;
    char number[40], *log, *last;

    (void)state;
    enter_folder();
    write_file("line.rnet", program);
    run_expecting(RNET_DONE, "rnetc train line.rnet");
    o = run_expecting(RNET_DONE, "rnetc report runs/line/");
    assert_string_equal(o.out, "runs/line/report.html\n");
    assert_well_formed("runs/line/report.html");
    log = read_file("runs/line/log.jsonl", NULL);
    for (char *at = last = log; (at = strstr(at, "\"report.error\":")); at++)
        last = at + 15;
    snprintf(number, sizeof number, "<td>%.6g</td>", strtod(last, NULL));
    assert_holds("runs/line/report.html", number);
    for (char *at = last = log; (at = strstr(at, "\"gradient_norm\":")); at++)
        last = at + 16;
    snprintf(number, sizeof number, "<td>%.6g</td>", strtod(last, NULL));
    assert_holds("runs/line/report.html", number);
    free(log);
    assert_holds("runs/line/report.html", "<td class=\"left\">error</td><td class=\"left\">line.test</td>");
    assert_holds("runs/line/report.html", "<dt>let pull</dt><dd>0</dd>");
    assert_holds("runs/line/report.html", "<figcaption><b>time of a step, ms</b>");
    assert_holds("runs/line/report.html", "<b>probe.look.kept.net.w before step 20</b> <span>6 numbers</span>");
    assert_holds("runs/line/report.html", "# Is &lt;w&gt; found &amp; kept?\n");
    run_expecting(1, "grep -E 'http-equiv|<script|<link|src=|url\\(|@import' runs/line/report.html");
    run_expecting(RNET_DONE, "rnetc report runs/line --out again.html && cmp again.html runs/line/report.html");
    run_expecting(RNET_DONE, "echo '# changed' >>line.rnet; rnetc report runs/line");
    assert_holds("runs/line/report.html", "line.rnet is no longer the text that this run was made from");
    leave_folder();
}

static const char *const log_text =
    "{\"event\":\"start\",\"rnetc\":\"0.1.0\",\"file\":\"gone.rnet\",\"source\":\"0123\",\"program\":\"4567\",\"step\":"
    "0,\"model\":\"net\","
    "\"steps\":300,\"items\":10,\"batch\":5,\"seed\":7,\"precision\":\"f32\",\"threads\":2,\"let.name\":\"a<b & "
    "\\\"c\\\"\"}\n"
    "{\"step\":1,\"model\":\"net\",\"epoch\":0,\"loss\":0.75,\"seconds\":0.25}\n"
    "{\"step\":300,\"model\":\"net\",\"epoch\":149.5,\"loss\":null,\"loss_nonfinite\":\"inf\",\"seconds\":0.5}\n"
    "{\"event\":\"rule\",\"step\":300,\"model\":\"net\",\"said\":\"dead <unit>\"}\n"
    "{\"event\":\"report\",\"step\":300,\"model\":\"net\",\"split\":\"data.test\",\"report.error\":0.125}\n"
    "{\"step\":301,\"mod";

static void a_log_says_all(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    run_expecting(0, "mkdir run");
    write_file("run/log.jsonl", log_text);
    run_expecting(RNET_DONE, "rnetc report run");
    assert_well_formed("run/report.html");
    assert_holds("run/report.html", "<dd>a&lt;b &amp; &quot;c&quot;</dd>");
    assert_holds("run/report.html",
                 "<td class=\"left\">loss</td><td class=\"left\">train</td><td>inf</td><td>0.75</td>");
    assert_holds("run/report.html", "<b>loss</b> <span>1 not finite</span>");
    assert_holds("run/report.html", "<li><b>rule</b>, step 300, said dead &lt;unit&gt;</li>");
    assert_holds("run/report.html", "gone.rnet is not there any more; its hash was 0123.");
    o = run_expecting(RNET_DONE, "rnetc report run --csv");
    assert_string_equal(o.out, "event,block,model,step,epoch,phase,split,loss,seconds,error\n"
                               "step,,net,1,0,,,0.75,0.25,\n"
                               "step,,net,300,149.5,,,inf,0.5,\n"
                               "report,,net,300,,,data.test,,,0.125\n");
    leave_folder();
}

static void what_is_watched_has_figures(void **state)
{
    (void)state;
    enter_folder();
    run_expecting(0, "mkdir run");
    write_file("run/log.jsonl",
               "{\"event\":\"start\",\"file\":\"gone.rnet\",\"step\":0,\"model\":\"net\"}\n"
               "{\"event\":\"watch\",\"step\":1,\"model\":\"net\",\"net.in.w.update\":0.5,\"net.v.update\":0.25}\n"
               "{\"event\":\"watch\",\"step\":2,\"model\":\"net\",\"rule\":\"dead\",\"at\":\"net.a\",\"value\":1}\n"
               "{\"event\":\"watch\",\"step\":2,\"model\":\"net\",\"net.in.w.update\":0.625,\"net.v.update\":0.5}\n");
    run_expecting(RNET_DONE, "rnetc report run");
    assert_well_formed("run/report.html");
    assert_holds("run/report.html", "<figcaption><b>update</b>");
    assert_holds("run/report.html", ">in.w</text>");
    assert_holds("run/report.html", "<li><b>watch</b>, step 2, rule dead, at net.a, value 1</li>");
    leave_folder();
}

/* Made by tests/oracle/tensorboard_events.py. */
static const char train_events[] = "0f000000000000006d532b091a0d627261696e2e4576656e743a32fc9851292a00000000000000ae8d9"
                                   "1f509000000000000d03f10012a1d0a0b0a046c6f737315"
                                   "0000403f0a0e0a077365636f6e6473150000803eb5888bee2b00000000000000861bc34b09000000000"
                                   "000e83f10ac022a1d0a0b0a046c6f7373150000807f0a0e"
                                   "0a077365636f6e6473150000003fda84b3e4";
static const char test_events[] = "0f000000000000006d532b091a0d627261696e2e4576656e743a32fc9851291c00000000000000c8c195"
                                  "1d09000000000000e83f10ac022a0e0a0c0a056572726f"
                                  "72150000003e1d2a5ad2";

static void assert_bytes(const char *path, const char *digits)
{
    size_t size;
    char *bytes = read_file(path, &size), pair[3];

    assert_int_equal(size * 2, strlen(digits));
    for (size_t i = 0; i < size; i++) {
        snprintf(pair, sizeof pair, "%02x", (unsigned)(unsigned char)bytes[i]);
        if (strncmp(pair, digits + 2 * i, 2))
            fail_msg("%s: byte %zu is %s, expected %.2s", path, i, pair, digits + 2 * i);
    }
    free(bytes);
}

static void event_files_are_those_of_tensorboard(void **state)
{
    (void)state;
    enter_folder();
    run_expecting(0, "mkdir run");
    write_file("run/log.jsonl", log_text);
    run_expecting(RNET_DONE, "rnetc report run --tensorboard board/run");
    run_expecting(1, "test -e run/report.html");
    assert_bytes("board/run/train/events.out.tfevents.0000000000.rnet", train_events);
    assert_bytes("board/run/test/events.out.tfevents.0000000000.rnet", test_events);
    leave_folder();
}

static void experiments_are_a_page(void **state)
{
    static const char experiment[] = "experiment grid {\n"
                                     "    pull in 0, 10\n"
                                     "    scale in 1.0, 2.0, 4.0\n"
                                     "    seeds = 2\n"
                                     "    record { error = error\n"
                                     "        product = pull * scale }\n"
                                     "    claim \"pulling is <worse>\" error[pull = 0] < error[pull = 10]\n"
                                     "    expect product <= 40\n"
                                     "}\n";
    struct outcome o;

    (void)state;
    enter_folder();
    write_file("line.rnet", program);
    run_expecting(0, "echo 'let scale = 1.0' >>line.rnet; sed -i 's/y = 2 \\* x/y = scale * x/' line.rnet");
    write_file("experiment", experiment);
    run_expecting(0, "cat experiment >>line.rnet");
    o = run_expecting(RNET_DONE, "rnetc lab line.rnet --report lab.html");
    assert_contains(o.out, "3 of 3 met\n");
    assert_well_formed("lab.html");
    assert_holds("lab.html", "<h1>line: Is &lt;w&gt; found &amp; kept?</h1>");
    assert_holds("lab.html", "<p>3 of 3 met</p>");
    assert_holds("lab.html", "<span class=\"word good\">met</span><div class=\"say\">pulling is &lt;worse&gt;<br/>");
    assert_holds("lab.html", "<td class=\"left\">10</td><td class=\"left\">4</td>");
    assert_holds("lab.html", "<title>10, 4: 40 \xC2\xB1 0</title>");
    assert_holds("lab.html", "<svg class=\"gap\"");
    assert_holds("lab.html", "<figcaption><b>error of test, by pull, scale</b> <span>band: standard error");
    o = run_expecting(RNET_DONE, "rnetc report runs/lab/line && cmp runs/lab/line/report.html lab.html");
    assert_string_equal(o.error, "");
    run_expecting(RNET_DONE, "rnetc lab line.rnet --csv >a && rnetc report runs/lab/line --csv >b && cmp a b");
    run_expecting(RNET_DONE, "rnetc lab line.rnet --fresh --report again.html && cmp again.html lab.html");
    run_expecting(RNET_DONE, "rnetc report runs/lab/line --seeds 3");
    assert_holds("runs/lab/line/report.html", "12 of 18 runs are kept, rnetc lab makes the others");
    o = run_expecting(RNET_USAGE, "rnetc report runs/lab/line --tensorboard x");
    assert_contains(o.error, "--tensorboard wants a run, and runs/lab/line holds experiments");
    o = run_expecting(RNET_DATA, "sed -i s/epochs/steps/ line.rnet; rnetc report runs/lab/line");
    assert_contains(o.error, "runs/lab/line: no run in it is of line.rnet as it stands");
    o = run_expecting(RNET_DATA, "mv line.rnet other.rnet; rnetc report runs/lab/line");
    assert_contains(o.error, "line.rnet: No such file or directory; runs/lab/line keeps experiments of it");
    leave_folder();
}

/* Settings that differ are axes, what follows from them is none; a text with a comma is one cell. */
static void a_sweep_is_a_page_of_its_settings(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    write_file("line.rnet", program);
    run_expecting(0, "sed -i 's/^let pull = 0.0/let pull = 0.0\\nlet half = pull \\/ 2\\nlet kind = \"a\"/' line.rnet");
    run_expecting(RNET_DONE, "rnetc train line.rnet --sweep pull=0.5,0,10 --sweep seed=1..3 --set 'kind=a,b' --out all");
    o = run_expecting(RNET_DONE, "rnetc report all");
    assert_string_equal(o.out, "all/report.html\n");
    assert_well_formed("all/report.html");
    assert_holds("all/report.html", "<p class=\"dim\">9 runs in all, seeds 1 2 3</p>");
    assert_holds("all/report.html", "<tr><th class=\"left\">pull</th><th>runs</th><th>error</th><th>\xC2\xB1</th></tr>\n<tr><td class=\"left\">0</td><td>3</td>");
    assert_holds("all/report.html", "<b>error by pull</b>");
    assert_holds("all/report.html", "<b>error of line.test, by pull</b>");
    /* The mean is that of the table at the end of the sweep. */
    o = run_expecting(RNET_DONE, "rnetc report all --csv");
    assert_contains(o.out, "experiment,pull,seed,error\nline,0,1,");
    assert_int_equal(strtol(run_expecting(0, "rnetc report all --csv | wc -l").out, NULL, 10), 10);
    run_expecting(RNET_DONE, "mv all/pull=0,seed=2 away; rnetc report all");
    assert_holds("all/report.html", "of 9 combinations 8 have numbers");
    assert_holds("all/report.html", "<tr><td class=\"left\">0</td><td>2</td>");
    /* With a run whose kind is another there are two settings, the second a text. */
    run_expecting(RNET_DONE, "rnetc train line.rnet --set 'kind=\"q\"' --out all/other --seed 1 --set pull=0.5");
    o = run_expecting(RNET_DONE, "rnetc report all --csv");
    assert_contains(o.out, "experiment,pull,kind,seed,error\n");
    assert_contains(o.out, ",\"a,b\",1,");
    assert_contains(o.out, ",\"\"\"q\"\"\",1,");
    run_expecting(RNET_DONE, "cp -r all/pull=10,seed=1 all/twice");
    assert_contains(run_expecting(RNET_DATA, "rnetc report all").error, "all: it holds runs, and is none; nor are they of one sweep: twice has settings and seed of another: ");
    leave_folder();
}

static void rates_are_logged_and_drawn(void **state)
{
    (void)state;
    enter_folder();
    write_file("line.rnet", program);
    run_expecting(0, "sed -i 's/rate = 0.02/rate = 0.02 * 0.9^step/' line.rnet");
    run_expecting(RNET_DONE, "rnetc train line.rnet --out one && rnetc report one");
    assert_contains(run_expecting(0, "grep '^{.step.:3,' one/log.jsonl").out, ",\"rate\":0.01458");
    assert_holds("one/report.html", "<b>rate</b>");
    assert_holds("one/report.html", "<td class=\"left\">rate</td>");
    /* Of several optimizers each. */
    run_expecting(0, "sed -i 's/^    optimizer = .*/    optimizer = gd(rate = 0.02 * 0.9^step) on net.w\\n    optimizer = sgd(0.001, 0.9)/;"
                     "s/normal(0, 0.1)/normal(0, 0.1), b = 0/;s/z = sum/z = b + sum/' line.rnet");
    run_expecting(RNET_DONE, "rnetc train line.rnet --out two && rnetc report two");
    assert_contains(run_expecting(0, "grep '^{.step.:1,' two/log.jsonl").out, ",\"rate.gd\":0.018");
    assert_contains(run_expecting(0, "grep '^{.step.:1,' two/log.jsonl").out, ",\"rate.sgd\":0.001,");
    assert_holds("two/report.html", "<b>rate</b>");
    assert_well_formed("two/report.html");
    leave_folder();
}

/* The library's surface, as a picture of the last step; the plane's centre is the loss. */
static void a_probe_of_two_axes_is_a_picture(void **state)
{
    char *page;
    int cells = 0;

    (void)state;
    enter_folder();
    write_file("line.rnet", program);
    run_expecting(0, "sed -i 's/look on net.w/landscape(points = 5) on net.w/;s/w\\[k: 6\\]/w[h: 2, k: 3]/;s/sum\\[k\\] w\\[k\\]/sum[h, k] w[h, k]/' line.rnet");
    run_expecting(RNET_DONE, "rnetc train line.rnet --out one --steps 4 && rnetc report one");
    assert_well_formed("one/report.html");
    page = read_file("one/report.html", NULL);
    for (const char *at = page; (at = strstr(at, "<rect class=\"heat\"")); at++)
        cells++;
    assert_int_equal(cells, 25);
    assert_contains(page, "<b>probe.landscape.surface</b> <span>before step 4</span>");
    free(page);
    leave_folder();
}

static void a_probe_is_a_page(void **state)
{
    (void)state;
    enter_folder();
    write_file("line.rnet", program);
    run_expecting(RNET_DONE, "rnetc probe line.rnet --shift --bound --curvature --fisher w --landscape 3 --smoothness 9 --noise --report probe.html");
    assert_well_formed("probe.html");
    assert_holds("probe.html", "<h1>Probe of line.rnet</h1>");
    assert_holds("probe.html", "# Is &lt;w&gt; found &amp; kept?");
    leave_folder();
}

static void what_is_no_run_is_refused(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    o = run_expecting(RNET_DATA, "rnetc report nowhere");
    assert_contains(o.error, "rnetc: nowhere: No such file or directory\n");
    o = run_expecting(RNET_DATA, "mkdir empty; rnetc report empty");
    assert_contains(o.error,
                    "empty: there is neither log.jsonl, as `rnetc train` leaves it, nor a run that `rnetc lab` keeps");
    run_expecting(1, "test -e empty/report.html");
    o = run_expecting(RNET_DATA, "echo >file; rnetc report file");
    assert_contains(o.error, "file: expected the folder of a run");
    o = run_expecting(RNET_DATA, "mkdir sweep sweep/a=1; : >sweep/a=1/log.jsonl; rnetc report sweep");
    assert_contains(o.error, "sweep: it holds runs, and is none: rnetc report sweep/a=1\n");
    o = run_expecting(RNET_DATA, "rnetc report sweep/a=1");
    assert_contains(o.error, "sweep/a=1/log.jsonl: there is no line in it");
    write_file("empty/log.jsonl", "{\"event\":\"start\",\"file\":\"a.rnet\"}\n{\"step\":1,\"loss\":nan}\n");
    o = run_expecting(RNET_DATA, "rnetc report empty");
    assert_contains(o.error, "empty/log.jsonl:2: expected a JSON object of numbers and strings");
    write_file("empty/log.jsonl", "{\"step\":1,\"loss\":1}\n");
    o = run_expecting(RNET_DATA, "rnetc report empty");
    assert_contains(o.error, "empty/log.jsonl: expected a line with event start");
    write_file("empty/log.jsonl", log_text);
    o = run_expecting(RNET_FAILED, "rnetc report empty --out nowhere/page.html");
    assert_contains(o.error, "nowhere/page.html: No such file or directory");
    leave_folder();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_run_is_a_page_with_the_numbers_of_its_log),
                                       cmocka_unit_test(a_log_says_all),
                                       cmocka_unit_test(event_files_are_those_of_tensorboard),
                                       cmocka_unit_test(what_is_watched_has_figures),
                                       cmocka_unit_test(experiments_are_a_page),
                                       cmocka_unit_test(a_sweep_is_a_page_of_its_settings),
                                       cmocka_unit_test(rates_are_logged_and_drawn),
                                       cmocka_unit_test(a_probe_is_a_page),
                                       cmocka_unit_test(a_probe_of_two_axes_is_a_picture),
                                       cmocka_unit_test(what_is_no_run_is_refused)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
