// The pool on the admin side: what it is, and edits by hand, which last until the next policy load.
//
//   GET    /merit/v1/pool            all places with their state
//   POST   /merit/v1/pool            {"model", "url", "endpoint"?, "weight"?, "slots"?}: adds a place; it is one of the
//                                    model's endpoint `endpoint` (its first when not given), so what constraints say of
//                                    that one holds for it
//   POST   /merit/v1/pool/drain      {"url", "model"?}: no new call; what runs there ends
//   POST   /merit/v1/pool/resume     {"url", "model"?}: ends a drain, or a removal
//   DELETE /merit/v1/pool?url=...    drained, and gone when nothing runs there any more; &model=... for one model only
//
// Control thread only.
#ifndef MERIT_API_ADMIN_POOL_H
#define MERIT_API_ADMIN_POOL_H

#include "api/serving.h"
#include "net/http_server.h"

struct admin_pool_answer {
    int status;
    const char *code; // of an error; NULL: none
    char message[256];
};

// Appends a JSON document to `out` when there is no error. False: the path is none of the above.
bool admin_pool_answer(struct http_exchange *x, struct serving *s, uint64_t now_us,
                       struct admin_pool_answer *answer, struct buf *out);

#endif
