/* surgery.h: what commands on checkpoints share. */
#ifndef RNET_SURGERY_H
#define RNET_SURGERY_H

#include "cli.h"

int64_t tensor_count(const struct rnet_tensor *tensor);
/* "[4, 3]" */
const char *tensor_shape(struct arena *arena, const struct rnet_tensor *tensor);
double tensor_number(const struct rnet_tensor *tensor, int64_t element);
void tensor_set(const struct rnet_tensor *tensor, int64_t element, double value);
/* Writes what the file holds to another path; extra: further notes, which take the place of those of that name. */
int write_checkpoint(const char *path, const struct rnet_safetensors *file, const struct rnet_pair *extra, int count);
/* The folder of --out is made if need be; *program and *checkpoint: paths in it, of the program's name. Neither may be there. */
int surgery_folder(const struct options *options, const char **program, const char **checkpoint);

#endif
