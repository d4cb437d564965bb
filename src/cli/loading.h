// Policies are loaded beside the loops: parsing, proving and compiling may take seconds, and nobody waits for them.
//
// One thread at a time, at the lowest priority that still gets a share of a busy machine; what comes of it is handed over
// on the control loop. Policies that are no longer served are taken apart on the control loop, too: the last request that
// used one ends on a traffic loop, which would be held up.
#ifndef MERIT_CLI_LOADING_H
#define MERIT_CLI_LOADING_H

#include <pthread.h>

#include "api/serving.h"
#include "net/loop.h"

struct loading {
    struct loop *loop; // the control loop
    // On the thread; RESULT_OK and `*out`, or it has said why not.
    enum result (*open)(void *ctx, struct slice text, struct serving **out);
    // On the control loop; `next` is its to keep, NULL: there is none.
    void (*done)(void *ctx, struct serving *next);
    void *ctx;
    // Private from here on.
    struct loop_message message;
    struct loop_timer sweep;
    pthread_t thread;
    bool running, closed;
    struct buf text;
    struct serving *next;
    struct serving *retired; // list, by serving.retired
};

// `open`, `done` and `ctx` are set by the caller.
void loading_open(struct loading *l, struct loop *loop);
// Takes the text over. RESULT_AGAIN: a load is under way; try again when it is done. RESULT_NOMEM (no thread), RESULT_AGAIN:
// the text is the caller's still.
enum result loading_begin(struct loading *l, struct buf *text);
// Gives a reference up, when nobody else has one.
void loading_retire(struct loading *l, struct serving *old);
// Waits for a load that is under way; what comes of it is dropped in the loop's next turn. No-op when it is not open.
void loading_close(struct loading *l);

#endif
