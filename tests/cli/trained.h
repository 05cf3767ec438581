/* trained.h: five training steps of a program against stored parameters and losses. */
#ifndef RNET_TEST_TRAINED_H
#define RNET_TEST_TRAINED_H

/* Norm: the largest difference over a tensor. It may be this share of the tensor's largest change in the five steps, and this
   share of its largest element. Losses: the first, relative. */
struct tolerance {
    double of_change, of_largest;
};

/* Trains FOLDER/NAME.rnet from NAME.init.safetensors in run/; compares with NAME.expected.safetensors, whose `losses` are
   those of the log. Fails the test where they differ. */
void five_steps(const char *folder, const char *name, const char *precision, const char *more, struct tolerance tolerance);

#endif
