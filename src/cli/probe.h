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
    double off, saturated;         /* share of elements: local derivative 0 and value 0; below FLAT in size otherwise */
    double dead;                   /* share of units whose local derivative is 0 throughout the batch */
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
    struct measured before, after; /* the step */
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
/* Along one step: size of the gradient before it, largest |difference of gradients| / |difference of parameters| on it. */
struct smooth_point { double gradient, smoothness; };
struct probe {
    struct options *options;
    struct arena *arena;
    struct unit *unit;
    const struct training *training;
    struct phase *phase;
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
    double loss, after;            /* objective of the batch before and after it */
};
#define FLAT 1e-3

/* ---- probe_graph.c ---- */

/* What of the phase's objective can be looked at; adds outputs "value.N", "gradient.N", "slope.N" and "weight_gradient.N" to it.
   NULL, or what cannot be done. */
const char *probe_graph(struct probe *probe);

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

/* ---- probe_print.c ---- */

void print_probe(const struct probe *probe, const fault_list *faults);
void print_probe_json(const struct probe *probe, const fault_list *faults);
void print_probe_csv(const struct probe *probe, bool heading);

#endif
