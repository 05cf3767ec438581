/* product.c: product_match, by carrying out what it says in plain loops and comparing with the evaluator. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "passes.h"

#include <math.h>

static double operand(const double *data, bool transposed, int64_t leading, int64_t row, int64_t column)
{
    return transposed ? data[column * leading + row] : data[row * leading + column];
}

/* C = scale * A B for every batch of one step, as BLAS would be called. */
static void carry_out(const struct product *m, const struct ir_values *values, double *c, int64_t time)
{
    int64_t at[8] = {0};

    for (int64_t batch = 0; batch < m->batches; batch++) {
        const double *a = values->at[m->a->tensor->number] + m->a_first + time * m->a_time;
        const double *b = values->at[m->b->tensor->number] + m->b_first + time * m->b_time;
        double *out = c + time * m->c_time;

        for (int d = 0; d < m->batched_count; d++) {
            a += at[d] * m->a_batch_stride[d];
            b += at[d] * m->b_batch_stride[d];
            out += at[d] * m->c_batch_stride[d];
        }
        for (int64_t i = 0; i < m->m; i++)
            for (int64_t j = 0; j < m->n; j++) {
                double sum = 0;

                for (int64_t k = 0; k < m->k; k++)
                    sum += operand(a, m->a_transposed, m->lda, i, k) * operand(b, m->b_transposed, m->ldb, k, j);
                out[i * m->ldc + j] = m->scale * sum;
            }
        for (int d = m->batched_count - 1; d >= 0 && ++at[d] == m->batch_extent[d]; d--)
            at[d] = 0;
    }
}

static struct ir_program *parse(struct arena *arena, const char *source)
{
    const char *error;
    struct ir_program *p = ir_parse(arena, source, &error);

    if (!p)
        fail_msg("%s", error);
    return p;
}

/* Is element e of the first step? */
static bool is_first_step(const struct ir_tensor *q, int64_t e)
{
    int64_t behind = ir_extent_product(q->axes + q->time + 1, q->rank - q->time - 1), steps = q->recurrence->extent;

    return e / behind % steps == (q->recurrence->down ? steps - 1 : 0);
}

/* The program's last equation is a product of m x n x k and `batches`, and says so truly. */
static void expect(const char *source, int64_t m, int64_t n, int64_t k, int64_t batches)
{
    struct arena *arena = arena_new();
    struct ir_program *p = parse(arena, source);
    const struct ir_tensor *q = p->tensors.at[p->tensors.count - 1];
    struct ir_values values = ir_values_new(arena, p);
    double *c = NEW_ARRAY(arena, double, ir_elements(q));
    struct product match;

    if (!product_match(p, q, &match))
        fail_msg("no product:\n%s", source);
    assert_int_equal(match.m, m);
    assert_int_equal(match.n, n);
    assert_int_equal(match.k, k);
    assert_int_equal(match.batches, batches);
    assert_true(match.lda >= (match.a_transposed ? m : k) && match.ldb >= (match.b_transposed ? k : n) &&
                match.ldc >= n);
    for (int i = 0; i < p->tensors.count - 1; i++)
        for (int64_t e = 0; e < ir_elements(p->tensors.at[i]); e++)
            values.at[i][e] = (double)((e * 7 + i * 3) % 11) - 5;
    ir_evaluate(p, &values, (struct ir_run){0});
    int64_t steps = q->recurrence ? q->recurrence->extent : 1;
    for (int64_t t = 0; t < steps; t++)
        if (!match.guarded || t != (q->recurrence->down ? steps - 1 : 0))
            carry_out(&match, &values, c, t);
        else if (product_first(p, q) == q->value)
            fail_msg("the first step is as the others:\n%s", source);
    for (int64_t e = 0; e < ir_elements(q); e++)
        if (c[e] != values.at[q->number][e] && !(match.guarded && is_first_step(q, e)))
            fail_msg("element %lld: %g, expected %g:\n%s", (long long)e, c[e], values.at[q->number][e], source);
    arena_free(arena);
}

static void refuse(const char *source)
{
    struct arena *arena = arena_new();
    struct ir_program *p = parse(arena, source);
    struct product match;

    if (product_match(p, p->tensors.at[p->tensors.count - 1], &match))
        fail_msg("a product of %lld x %lld x %lld was seen:\n%s", (long long)match.m, (long long)match.n,
                 (long long)match.k, source);
    arena_free(arena);
}

static void a_dense_layer_and_its_gradients(void **state)
{
    expect("program p f64\ninput x[n*: 3, i: 4]\nparameter W[i: 4, o: 5]\n"
           "z[n*: 3, o: 5] = sum[i: 4] x[n, i] * W[i, o]\n",
           3, 5, 4, 1);
    expect("program p f64\ninput dz[n*: 3, o: 5]\nparameter W[i: 4, o: 5]\n"
           "dx[n*: 3, i: 4] = sum[o: 5] dz[n, o] * W[i, o]\n",
           3, 4, 5, 1);
    expect("program p f64\ninput x[n*: 3, i: 4]\ninput dz[n*: 3, o: 5]\n"
           "dW[i: 4, o: 5] = sum[n*: 3] x[n, i] * dz[n, o]\n",
           4, 5, 3, 1);
}

static void operands_change_sides_so_that_the_result_is_row_major(void **state)
{
    expect("program p f64\ninput x[n*: 3, i: 4]\nparameter W[i: 4, o: 5]\n"
           "z[n*: 3, o: 5] = sum[i: 4] W[i, o] * x[n, i]\n",
           3, 5, 4, 1);
    expect("program p f64\ninput x[n*: 3, i: 4]\nparameter W[i: 4, o: 5]\n"
           "z[o: 5, n*: 3] = sum[i: 4] x[n, i] * W[i, o]\n",
           5, 3, 4, 1);
}

static void a_flattened_image_is_one_loop(void **state)
{
    expect("program p f64\ninput x[n*: 3, h: 2, w: 4]\nparameter W[i: 8, o: 5]\n"
           "z[n*: 3, o: 5] = sum[i: 8] x[n, i // 4, i % 4] * W[i, o]\n",
           3, 5, 8, 1);
    expect("program p f64\ninput x[n*: 3, h: 2, w: 4]\ninput dz[n*: 3, o: 5]\n"
           "dW[i: 8, o: 5] = sum[n*: 3] x[n, i // 4, i % 4] * dz[n, o]\n",
           8, 5, 3, 1);
}

static void several_indices_become_one_m_n_or_k(void **state)
{
    expect("program p f64\ninput x[n*: 3, t: 2, i: 4]\nparameter W[i: 4, g: 2, u: 3]\n"
           "z[n*: 3, t: 2, g: 2, u: 3] = sum[i: 4] x[n, t, i] * W[i, g, u]\n",
           6, 6, 4, 1);
    expect("program p f64\ninput x[n*: 3, t: 2, i: 4]\ninput dz[n*: 3, t: 2, o: 5]\n"
           "dW[i: 4, o: 5] = sum[n*: 3, t: 2] x[n, t, i] * dz[n, t, o]\n",
           4, 5, 6, 1);
}

static void an_index_of_both_factors_and_the_output_is_batched(void **state)
{
    expect("program p f64\ninput q[n*: 2, t: 3, h: 2, d: 4]\ninput k[n*: 2, t: 5, h: 2, d: 4]\n"
           "s[n*: 2, h: 2, t: 3, r: 5] = sum[d: 4] q[n, t, h, d] * k[n, r, h, d]\n",
           3, 5, 4, 4);
}

static void what_cannot_be_joined_is_batched_too(void **state)
{
    expect("program p f64\ninput x[n*: 3, t: 2, i: 4]\nparameter W[i: 4, o: 5]\n"
           "z[t: 2, n*: 3, o: 5] = sum[i: 4] x[n, t, i] * W[i, o]\n",
           3, 5, 4, 2);
}

static void numbers_become_the_scale(void **state)
{
    expect("program p f64\ninput x[n*: 3, i: 4]\nparameter W[i: 4, o: 5]\n"
           "z[n*: 3, o: 5] = sum[i: 4] -(2 * x[n, i]) * W[i, o] * 0.5\n",
           3, 5, 4, 1);
}

static void one_row_or_one_column_is_a_product_too(void **state)
{
    expect("program p f64\ninput x[n*: 1, i: 4]\nparameter W[i: 4, o: 5]\n"
           "z[n*: 1, o: 5] = sum[i: 4] x[n, i] * W[i, o]\n",
           1, 5, 4, 1);
    expect("program p f64\ninput x[n*: 3, i: 4]\nparameter w[i: 4]\n"
           "z[n*: 3] = sum[i: 4] x[n, i] * w[i]\n",
           3, 1, 4, 1);
}

static void other_sums_are_not(void **state)
{
    refuse("program p f64\ninput x[n*: 3, i: 4]\nz[n*: 3] = sum[i: 4] x[n, i] * x[n, i]\n");
    refuse("program p f64\ninput x[n*: 3, i: 4]\nparameter W[i: 4, o: 5]\n"
           "z[n*: 3, o: 5] = max[i: 4] x[n, i] * W[i, o]\n");
    refuse("program p f64\ninput x[n*: 3, i: 4]\nparameter W[i: 4, o: 5]\n"
           "z[n*: 3, o: 5] = sum[i: 4] exp(x[n, i]) * W[i, o]\n");
    refuse("program p f64\ninput x[n*: 3, i: 4] in 0..255\nparameter W[i: 4, o: 5]\n"
           "z[n*: 3, o: 5] = sum[i: 4] x[n, i] * W[i, o]\n");
    refuse("program p f64\ninput x[n*: 3, i: 4]\nparameter W[i: 4, o: 5]\n"
           "z[n*: 3, o: 5, p: 2] = sum[i: 4] x[n, i] * W[i, o]\n");
    refuse("program p f64\ninput x[n*: 3, i: 4]\nparameter W[i: 4, o: 5]\n"
           "z[n*: 3, o: 5] = sum[i: 4] (x[n, i - 1] else 0) * W[i, o]\n");
    refuse("program p f64\ninput x[n*: 3, i: 6]\nparameter W[r: 3, o: 5]\n"
           "z[n*: 3, p: 4, o: 5] = sum[r: 3] x[n, p + r] * W[r, o]\n");
}

static void a_slice_begins_where_it_begins(void **state)
{
    expect("program p f64\ninput x[n*: 3, i: 8]\nparameter W[i: 4, o: 5]\n"
           "z[n*: 3, o: 5] = sum[i: 4] x[n, i + 4] * W[i, o]\n",
           3, 5, 4, 1);
}

static void a_step_of_a_recurrence_is_a_product_with_the_time_fixed(void **state)
{
    expect("program p f64\ninput x[n*: 3, t: 4, u: 5]\nparameter R[v: 5, u: 5]\nrecurrence r over t: 4 up {\n"
           "h[n*: 3, t: 4, u: 5] = (z[n, t - 1, u] else 0.0)\n"
           "z[n*: 3, t: 4, u: 5] = sum[v: 5] h[n, t, v] * R[v, u]\n}\n",
           3, 5, 5, 1);
    expect("program p f64\ninput x[t: 4, n*: 3, u: 5]\nparameter R[v: 5, u: 5]\nparameter h0[v: 5]\n"
           "recurrence r over t: 4 down {\n"
           "z[t: 4, u: 5, n*: 3] = sum[v: 5] R[v, u] * (z[t + 1, v, n] else h0[v])\n}\n",
           5, 3, 5, 1);
    refuse("program p f64\nparameter R[v: 5, u: 5]\nrecurrence r over t: 4 up {\n"
           "z[n*: 3, t: 4, u: 5] = sum[v: 5] (z[n - 1, t - 1, v] else 0.0) * R[v, u]\n}\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_dense_layer_and_its_gradients),
        cmocka_unit_test(a_slice_begins_where_it_begins),
        cmocka_unit_test(a_step_of_a_recurrence_is_a_product_with_the_time_fixed),
        cmocka_unit_test(operands_change_sides_so_that_the_result_is_row_major),
        cmocka_unit_test(a_flattened_image_is_one_loop),
        cmocka_unit_test(several_indices_become_one_m_n_or_k),
        cmocka_unit_test(an_index_of_both_factors_and_the_output_is_batched),
        cmocka_unit_test(what_cannot_be_joined_is_batched_too),
        cmocka_unit_test(numbers_become_the_scale),
        cmocka_unit_test(one_row_or_one_column_is_a_product_too),
        cmocka_unit_test(other_sums_are_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
