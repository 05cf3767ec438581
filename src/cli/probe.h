/* probe.h: the state of `rnetc probe`: one a phase of a train block. Layers, activations and depth are nothing that the compiler knows;
   what stands for them here is read off the equations (probe_graph.c). */
#ifndef RNET_PROBE_H
#define RNET_PROBE_H

#include "cli.h"
#include "graph.h"

/* What one run of the measuring program said of an equation or a parameter. */
struct measured {
    bool finite, gradient_finite;
    double mean, deviation, norm;
    double zeros;                  /* share of elements */
    double gradient_norm;
    double mean_gradient_norm;     /* of a parameter's gradient, the mean over the batches */
    double off, saturated;         /* share of elements: local derivative 0 and value 0; below FLAT in size otherwise */
    double dead;                   /* share of units whose local derivative is 0 throughout the batches */
    bool alike;                    /* all units have one value, for every sample */
    double correlation;            /* of two units, its size on average */
    double *by_step, *gradient_by_step; /* norms along the time of a recurrence; NULL */
};
/* An equation on the way from the parameters to the loss, or a parameter. */
struct probed {
    struct ir_tensor *tensor;      /* of the program before it is compiled, as are the next two */
    struct ir_tensor *gradient;    /* of the objective; NULL: no derivative reaches it */
    struct ir_tensor *slope;       /* size of the local derivative of what bends here; NULL: nothing does */
    const char *name, *file;
    int line;
    int depth;                     /* sums over a parameter's axes between the data and this, at most */
    bool hidden;                   /* such a sum follows on the way to the loss */
    bool judged;                   /* flatness is a fault: it is not that of an exponential, whose slope is its value */
    int time;                      /* axis; -1: none */
    bool *units, owned;            /* units: by axis; owned: those that parameters have; else there are none, and it is all but batch and time */
    int64_t per_unit;              /* elements of each unit in a batch */
    bool infinite;                 /* the program itself writes infinities, as a mask before a softmax does: they are no fault */
    bool *alive;                   /* by unit: its local derivative was not 0 somewhere in the batches before the step */
    struct measured before, after; /* the step; before it a mean over the batches */
    double update;                 /* of a parameter: norm of its change in the step over its norm before; NAN if that is 0 */
};
/* A reduction over the batch that samples are then made with. */
struct pooled {
    struct ir_tensor *tensor;
    const char *name, *file;
    int line;
    int64_t elements;              /* that are reduced to one */
    int source;                    /* value that it reads whose noise reaches it; -1: none */
    double variance;               /* of that value in training, over its variance without noise */
};
/* A change of a parameter, and by how much the answer and the loss differ after it, as parts of themselves. */
struct invariance {
    int parameter, axis;           /* axis -1: all of it */
    bool shift;                    /* a constant is added along the axis, another for each place besides; else each place of the axis times its own factor */
    double answer, loss;
};
/* How the gradient of a parameter changes because the parameters before it have made their step. */
struct shift {
    int parameter;
    int layer;                     /* depth of what it meets */
    bool *earlier;                 /* by parameter: which have */
    double gradient, moved, change, cosine; /* norms of the gradient at first, then, of the difference; cosine of the angle: means over batches */
};
/* y = a (x - m) / s, m and s over some of x's axes: what the gradient by x is, against what it would be with m and s held. */
struct standard {
    struct ir_tensor *of, *to;     /* x, y */
    struct ir_tensor *held, *back; /* gradient by x with m and s held; as it is */
    const char *name, *file;
    int line, statistics;
    int64_t *apart;                /* by axis of x: 0: m and s are over it; d: d neighbours along it share theirs */
    bool batch;                    /* they are over the batch */
    int64_t elements;              /* each m is of */
    double straight, level, along; /* sums of squares: of `held`, of its part along 1, along y */
    double left, left_level, left_along; /* of `back`, of its parts */
    double worst;                  /* over the units, the bound's distance from what is left, as a part of `straight` */
};
/* Loss on a plane through the parameters, along two directions, each filter's as long as the filter. */
struct landscape {
    int points;                    /* a side; 0: not asked for */
    double reach;                  /* of the outermost from the centre, in lengths */
    double *loss;                  /* [row * points + column] */
    double rough;                  /* hump / (hump + hollow) of the second differences */
    bool **inside;                 /* by parameter, by axis: within a filter; NULL: it stays as it is */
};
/* Second derivatives of the objective by all parameters together. */
struct curvature {
    int products;                  /* Hessian-vector products; 0: not asked for */
    double along_gradient, along_step; /* v'Hv / v'v */
    double first, second;          /* g'd and d'Hd / 2 of the step d */
    double greatest, least;        /* eigenvalues, */
    double greatest_error, least_error; /* and bounds of their errors */
    double *trace, *trace_error;   /* of each parameter's own block, by sampling; its standard error */
};
/* Of one parameter, the block of J'HJ: J the derivative of the answer by it, H that of the loss by the answer, twice. */
struct fisher {
    int parameter;                 /* -1: not asked for */
    int64_t elements;
    bool labels;                   /* H depends on what is not in the answer: then J'HJ is Gauss and Newton's matrix alone */
    double *matrix;                /* [row * elements + column] */
    double *eigenvalues;           /* descending */
    double divergence, form;       /* of the step: loss of the answers after it less its linear part; d'Fd / 2 of all parameters */
};
/* Another program over the same parameters, samples and draws. */
enum side { SIDE_LANDSCAPE, SIDE_CURVATURE, SIDE_FISHER, SIDES };
/* Along one step: size of the gradient before it, largest |difference of gradients| / |difference of parameters| on it. */
struct smooth_point { double gradient, smoothness; };
struct probe {
    struct options *options;
    struct arena *arena;
    struct unit *unit;
    const struct training *training;
    struct phase *phase;
    LIST(const char *) refused;    /* what was asked for and cannot be done here */
    int block, turn;               /* which train block of the unit, which phase of it */
    int64_t batches;               /* that are looked at */
    double mean_loss, loss_error;  /* of the objective over them, its standard error */
    struct ir_program *sides[SIDES]; /* NULL: not asked for */
    LIST(struct shift) shifts;
    LIST(struct standard) standards;
    struct landscape landscape;
    struct curvature curvature;
    struct fisher fisher;
    struct graph graph;            /* of phase->objective as it was lowered */
    LIST(struct probed) values, parameters;
    LIST(struct pooled) pooled;
    struct noise_cost {
        int draws;                 /* over which the following are means; 0: not asked for, or there is no noise */
        double without, added, error, expected; /* loss at the mean of the noise; what noise adds, its standard error; the same to second order */
    } cost;
    int depth;                     /* the greatest */
    int answer;                    /* value after which no parameter comes, the first of the greatest depth; -1 */
    struct jacobian {
        const struct ir_tensor *of, *by; /* NULL: not asked for */
        const char *name;          /* of by */
        int samples, count;        /* singular values of each sample's Jacobian, descending */
        double *singular;          /* [sample * count + k] */
    } jacobian;
    LIST(struct invariance) invariances;
    LIST(struct smooth_point) smooth;
    uint64_t step;                 /* the one that is looked at */
    bool nonfinite;                /* it was not made */
    double loss, after;            /* objective of its batch before and after it */
};
#define FLAT 1e-3

/* ---- probe_graph.c ---- */

/* What of the phase's objective can be looked at; adds outputs "value.N", "gradient.N", "slope.N" and "weight_gradient.N" to it.
   NULL, or what cannot be done. */
const char *probe_graph(struct probe *probe);
/* The program's loss without penalty, if that is apart. */
struct ir_tensor *data_loss_of(const struct graph *g);
/* Derivative of e by the element of t that it reads; NULL: 0. */
const struct ir_expr *derivative_by(struct ir_program *p, const struct ir_expr *e, const struct ir_tensor *t);
/* Is t of e's shape, and read at e's own element alone? */
bool is_elementwise(const struct ir_tensor *e, const read_list *reads, const struct ir_tensor *t);
bool is_mentioned(const struct ir_expr *e, const struct ir_tensor *t);
/* The phase's objective, lowered once more, without outputs. */
struct ir_program *objective_again(const struct probe *probe);
/* sum of a * b over all axes: a number. b NULL: of a alone; stopped: no derivative passes through a. */
struct ir_tensor *summed_product(struct ir_program *p, struct ir_tensor *a, bool stopped, struct ir_tensor *b);
struct ir_tensor *summed(struct ir_program *p, struct ir_tensor *const *numbers, int count);
/* For each of the probe's parameters that the step updates, the tensor of that name in another program; NULL for others. */
struct ir_tensor **trained_in(const struct probe *probe, struct ir_program *p);
bool is_trained(const struct probe *probe, int parameter);

/* ---- probe_measure.c ---- */

/* Runs the step between two runs of the measuring program. */
int probe_measure(struct probe *probe);

/* ---- probe_verdict.c ---- */

struct fault {
    const char *file, *text;
    int line;
};
typedef LIST(struct fault) fault_list;
void probe_judge(const struct probe *probe, fault_list *faults);
/* Least squares of log10 of the numbers above 0 against their places: the slope; NAN if there are fewer than three. */
double growth(const double *numbers, int64_t count);
/* A value for each depth at which there are hidden ones, the last that bends or else the last, its gradient's norm and its root mean
   square; returns how many. Room for probe->depth + 1. */
int probe_chain(const struct probe *probe, const struct probed **chain, double *gradients, double *sizes);

/* ---- probe_noise.c ---- */

/* Adds outputs of the loss with the noise at its mean and a little on either side. NULL, or why that cannot be. */
const char *noise_graph(struct probe *probe, struct ir_tensor *loss);
void print_noise(const struct probe *probe);

/* ---- probe_jacobian.c, probe_invariance.c, probe_smooth.c ---- */

/* Adds the output "jacobian" of the answer by the value that --jacobian names. NULL, or what is wrong. */
const char *jacobian_graph(struct probe *probe);
void print_jacobian(const struct probe *probe);
void print_invariances(const struct probe *probe);
/* Least squares of smoothness against the gradient's norm. */
struct smooth_fit { double l0, l1, explained; bool fits; };
struct smooth_fit fit_smoothness(const struct probe *probe);
void print_smoothness(const struct probe *probe);

/* ---- probe_shift.c ---- */

void shift_graph(struct probe *probe);
void print_shifts(const struct probe *probe);

/* ---- probe_standard.c ---- */

/* Finds what is standardised; what `list` gets is to be differentiated by. */
void standard_find(struct probe *probe, ir_tensor_list *list);
/* gradients: of the objective by those of the list, in order. NULL, or what cannot be done. */
const char *standard_graph(struct probe *probe, struct ir_tensor *const *gradients);
bool is_standardised(const struct standard *s);
/* "batch, h, w" */
const char *standard_over(const struct probe *probe, const struct standard *s);
void print_standards(const struct probe *probe);

/* ---- probe_landscape.c, probe_curvature.c, probe_fisher.c: each makes a side; NULL, or what cannot be done ---- */

const char *landscape_graph(struct probe *probe);
void print_landscape(const struct probe *probe);
const char *curvature_graph(struct probe *probe);
void print_curvature(const struct probe *probe);
const char *fisher_graph(struct probe *probe);
void print_fisher(const struct probe *probe);

/* ---- probe_page.c ---- */

/* A page of what was asked for. */
void probe_page(struct text *out, const struct probe *probe, const fault_list *faults);

/* ---- probe_print.c ---- */

void print_probe(const struct probe *probe, const fault_list *faults);
void print_probe_json(const struct probe *probe, const fault_list *faults);
void print_probe_csv(const struct probe *probe, bool heading);

#endif
