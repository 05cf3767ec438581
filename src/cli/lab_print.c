/* lab_print.c: what a laboratory saw, as a table, as JSON, as CSV. Times are not among it: the same numbers give the
 * same text. */
#include "lab.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- expectations ---- */

const char *operator_text(int op)
{
    return op == '=' ? "==" : op == '!' ? "!=" : op == 'l' ? "<=" : op == 'g' ? ">=" : op == '<' ? "<" : ">";
}

static void add_numbers(struct text *out, const struct expect_outcome *o)
{
    text_addf(out, "%.9g %s %.9g", o->left, operator_text(o->op), o->right);
    if (o->parts)
        text_addf(out, " (of %.9g and %.9g)", o->first, o->second);
}

void text_add_missed(struct text *out, const struct expect_outcome *o)
{
    add_numbers(out, o);
    if (isnan(o->left) || isnan(o->right))
        text_add(out, ", which is not a number");
    else
        text_addf(out, ", missed by %.9g", fabs(o->miss));
}

const char *finding_word(const struct finding *f)
{
    return f->skipped ? "skipped" : !f->looked ? "unseen" : f->outcome.holds ? "met" : "FAILED";
}

static void print_finding(const struct lab *lab, const struct finding *f)
{
    const struct expect_outcome *o = &f->outcome;
    struct text text = {0};
    int line, column;

    source_position(f->expectation->span.source, f->expectation->span.begin, &line, &column);
    text_addf(&text, "  %-7s %4d  ", finding_word(f), line);
    if (f->expectation->title)
        text_addf(&text, "%s: ", f->expectation->title);
    text_add(&text, f->expectation->text);
    if (f->looked && o->holds) {
        text_addf(&text, "   %" PRId64 " element%s; nearest", o->elements, o->elements == 1 ? "" : "s");
        text_addf(&text, "%s%s", *f->place ? " at " : "", f->place);
        text_add(&text, ": ");
        add_numbers(&text, o);
    } else if (f->looked) {
        text_addf(&text, "\n          %s:%d:%d: %" PRId64 " of %" PRId64 " element%s fail%s; the worst", lab->path,
                  line, column, o->failed, o->elements, o->elements == 1 ? "" : "s", o->failed == 1 ? "s" : "");
        text_addf(&text, "%s%s", *f->place ? " at " : "", f->place);
        text_add(&text, ": ");
        text_add_missed(&text, o);
    } else if (!f->skipped) {
        text_addf(&text, "\n          %s:%d:%d: nothing looked at this", lab->path, line, column);
    }
    puts(text.data);
    text_free(&text);
}

/* ---- experiments ---- */

static void print_arms(const struct trial *trial)
{
    const struct experiment *e = trial->experiment;
    int chosen[MOST_VARIED], widths[MOST_VARIED];

    for (int i = 0; i < e->settings.count; i++) {
        widths[i] = (int)strlen(e->settings.at[i].name);
        for (int k = 0; k < e->settings.at[i].values.count; k++)
            if ((int)strlen(e->settings.at[i].values.at[k]) > widths[i])
                widths[i] = (int)strlen(e->settings.at[i].values.at[k]);
    }
    printf("   ");
    for (int i = 0; i < e->settings.count; i++)
        printf(" %-*s ", widths[i], e->settings.at[i].name);
    for (int r = 0; r < e->records.count; r++)
        printf(" %-22s", e->records.at[r].name);
    printf("\n");
    for (int arm = 0; arm < trial->arms; arm++) {
        arm_choice(e, arm, chosen);
        printf("   ");
        for (int i = 0; i < e->settings.count; i++)
            printf(" %-*s ", widths[i], e->settings.at[i].values.at[chosen[i]]);
        for (int r = 0; r < e->records.count; r++) {
            char cell[80];
            double mean, error;

            summarise(trial, arm, r, &mean, &error);
            if (isnan(error))
                snprintf(cell, sizeof cell, "%.6g", mean);
            else
                snprintf(cell, sizeof cell, "%.6g +- %.2g", mean, error);
            printf(" %-22s", cell);
        }
        printf("\n");
    }
}

const char *verdict_word(const struct claim *claim, const struct trial *trial, const struct verdict *v)
{
    if (trial->skipped)
        return "skipped";
    if (!trial->done)
        return "unseen";
    if (claim->unmet)
        return v->holds ? "HOLDS" : "finding";
    return v->holds ? "met" : "FAILED";
}

static void print_claim(const struct lab *lab, const struct trial *trial, int number)
{
    const struct claim *claim = &trial->experiment->claims.at[number];
    const struct verdict *v = trial->done ? &trial->verdicts[number] : NULL;
    struct text text = {0};
    int line, column;

    source_position(claim->span.source, claim->span.begin, &line, &column);
    text_addf(&text, "  %-7s %4d  ", verdict_word(claim, trial, v), line);
    if (claim->title)
        text_addf(&text, "%s: ", claim->title);
    text_add(&text, claim->text);
    if (v && !v->holds && !claim->unmet)
        text_addf(&text, "\n          %s:%d:%d: ", lab->path, line, column);
    else if (v)
        text_add(&text, "   ");
    if (v) {
        text_addf(&text, "%.6g %s %.6g", v->left, operator_text(v->op), v->right);
        if (*v->place)
            text_addf(&text, " at %s", v->place);
        if (v->undefined)
            text_add(&text, ", which is no finite difference");
        else if (claim->expect && !v->holds)
            text_addf(&text, ", missed by %.6g", fabs(v->gap));
        else if (!claim->expect && v->alone)
            text_add(&text, "; one seed has no standard error");
        else if (!claim->expect)
            text_addf(&text, ": gap %.4g, standard error %.2g", v->gap, v->error);
        if (v->cases > 1)
            text_addf(&text, " (%d of %d hold)", v->cases - v->failed, v->cases);
        if (claim->unmet && v->holds)
            text_add(&text, "; this was known not to come out, and it does: drop `unmet`");
    }
    puts(text.data);
    text_free(&text);
}

static void print_trial(const struct lab *lab, const struct trial *trial, bool all)
{
    const struct experiment *e = trial->experiment;

    if (all && !trial->skipped)
        printf("  %s: %d arm%s, %d seed%s\n", e->name, trial->arms, trial->arms == 1 ? "" : "s", trial->seeds,
               trial->seeds == 1 ? "" : "s");
    if (all && trial->done)
        print_arms(trial);
    for (int i = 0; i < e->claims.count; i++)
        if (all || (trial->done && (!trial->verdicts[i].holds || e->claims.at[i].unmet)))
            print_claim(lab, trial, i);
}

void print_lab(const struct lab *lab, bool all)
{
    for (int i = 0; i < lab->findings.count; i++) {
        const struct finding *f = &lab->findings.at[i];

        if (all || (!f->skipped && (!f->looked || !f->outcome.holds)))
            print_finding(lab, f);
    }
    for (int i = 0; i < lab->trials.count; i++)
        print_trial(lab, &lab->trials.at[i], all);
}

/* ---- JSON ---- */

static void print_string(const char *text)
{
    putchar('"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            printf("\\%c", *text);
        else if ((unsigned char)*text < ' ')
            printf("\\u%04x", (unsigned)(unsigned char)*text);
        else
            putchar(*text);
    }
    putchar('"');
}

static void print_key(const char *joint, const char *key)
{
    printf("%s", joint);
    print_string(key);
    printf(": ");
}

static void print_number(double value)
{
    if (isfinite(value))
        printf("%.17g", value);
    else
        printf("null");
}

static void print_head(const char *joint, struct span span, const char *title, const char *text, const char *verdict)
{
    int line, column;

    source_position(span.source, span.begin, &line, &column);
    printf("%s{\"line\": %d, \"title\": ", joint, line);
    if (title)
        print_string(title);
    else
        printf("null");
    print_key(", ", "text");
    print_string(text);
    print_key(", ", "verdict");
    print_string(verdict);
}

static void print_json_trial(const struct trial *trial)
{
    const struct experiment *e = trial->experiment;
    int chosen[MOST_VARIED];

    print_key("{", "name");
    print_string(e->name);
    printf(", \"seeds\": [");
    for (int s = 0; s < trial->seeds; s++)
        printf("%s%" PRIu64, s ? ", " : "", trial->seed[s]);
    printf("], \"arms\": [");
    for (int arm = 0; trial->done && arm < trial->arms; arm++) {
        arm_choice(e, arm, chosen);
        printf("%s{\"settings\": {", arm ? ", " : "");
        for (int i = 0; i < e->settings.count; i++) {
            print_key(i ? ", " : "", e->settings.at[i].name);
            print_string(e->settings.at[i].values.at[chosen[i]]);
        }
        printf("}");
        for (int r = 0; r < e->records.count; r++) {
            print_key(", ", e->records.at[r].name);
            printf("[");
            for (int s = 0; s < trial->seeds; s++) {
                printf("%s", s ? ", " : "");
                print_number(trial->values[(arm * trial->seeds + s) * e->records.count + r]);
            }
            printf("]");
        }
        printf("}");
    }
    printf("], \"claims\": [");
    for (int i = 0; i < e->claims.count; i++) {
        const struct claim *claim = &e->claims.at[i];
        const struct verdict *v = trial->done ? &trial->verdicts[i] : NULL;

        print_head(i ? ", " : "", claim->span, claim->title, claim->text, verdict_word(claim, trial, v));
        if (v) {
            print_key(", ", "left");
            print_number(v->left);
            print_key(", ", "right");
            print_number(v->right);
            print_key(", ", "gap");
            print_number(v->gap);
            print_key(", ", "standard_error");
            print_number(claim->expect || v->alone ? NAN : v->error);
            print_key(", ", "place");
            print_string(v->place);
        }
        printf("}");
    }
    printf("]}");
}

void print_lab_json(const struct lab *lab, const char *joint)
{
    printf("%s", joint);
    print_key("{", "file");
    print_string(lab->path);
    print_key(", ", "title");
    print_string(lab->title);
    printf(", \"met\": %d, \"total\": %d, \"unmet\": %d, \"skipped\": %d, \"status\": %d, \"expects\": [", lab->met,
           lab->total, lab->unmet, lab->skipped, lab->status);
    for (int i = 0; i < lab->findings.count; i++) {
        const struct finding *f = &lab->findings.at[i];

        print_head(i ? ", " : "", f->expectation->span, f->expectation->title, f->expectation->text, finding_word(f));
        if (f->looked) {
            printf(", \"elements\": %" PRId64 ", \"failed\": %" PRId64, f->outcome.elements, f->outcome.failed);
            print_key(", ", "left");
            print_number(f->outcome.left);
            print_key(", ", "right");
            print_number(f->outcome.right);
            print_key(", ", "missed_by");
            print_number(f->outcome.miss);
        }
        printf("}");
    }
    printf("], \"experiments\": [");
    for (int i = 0; i < lab->trials.count; i++) {
        printf("%s", i ? ", " : "");
        print_json_trial(&lab->trials.at[i]);
    }
    printf("]}");
}

/* ---- CSV: each number that was recorded ---- */

void print_trial_csv(const struct trial *trial)
{
    const struct experiment *e = trial->experiment;
    int chosen[MOST_VARIED];

    printf("experiment");
    for (int i = 0; i < e->settings.count; i++) {
        printf(",");
        print_csv_text(e->settings.at[i].name);
    }
    printf(",seed");
    for (int r = 0; r < e->records.count; r++) {
        printf(",");
        print_csv_text(e->records.at[r].name);
    }
    printf("\n");
    for (int run = 0; trial->done && run < trial->arms * trial->seeds; run++) {
        if (trial->there && !trial->there[run])
            continue;
        arm_choice(e, run / trial->seeds, chosen);
        print_csv_text(e->name);
        for (int i = 0; i < e->settings.count; i++) {
            printf(",");
            print_csv_text(e->settings.at[i].values.at[chosen[i]]);
        }
        printf(",%" PRIu64, trial->seed[run % trial->seeds]);
        for (int r = 0; r < e->records.count; r++)
            printf(",%.17g", trial->values[run * e->records.count + r]);
        printf("\n");
    }
}

void print_lab_csv(const struct lab *lab)
{
    for (int t = 0; t < lab->trials.count; t++)
        print_trial_csv(&lab->trials.at[t]);
}
