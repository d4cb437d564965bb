// Having a list of asks answered by memory and by encoders: what compute.c does on its threads and on its callers'.
//
// All texts of one model and one reading that are not remembered go through the encoder together, each text once however
// many asks name it.
#ifndef MERIT_MODEL_ASKING_H
#define MERIT_MODEL_ASKING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "model/compute.h"
#include "model/remembered.h"
#include "work/trunk.h"

// What was done, added to; several threads at once.
struct asking_counts {
    _Atomic uint64_t asks, remembered, failed, tokens, cpu_us;
};

struct asking {
    const struct compute_model *models; // [TRUNK_MODELS]
    struct remembered *memory;          // NULL: none
    struct asking_counts *counts;
    void **readers; // [TRUNK_MODELS], this thread's; opened when needed
    bool wait;      // for the memory's lock
};

// Sets `answer` and `answered` of every ask that is not answered, whatever happens.
void asking_answer(const struct asking *a, struct trunk_ask *asks, struct arena *arena,
                   const atomic_bool *stop);
// Closes the readers.
void asking_close(const struct compute_model *models, void **readers);

#endif
