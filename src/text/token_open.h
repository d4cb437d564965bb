// Reading the objects of a `tokenizer.json`. Private to text/.
#ifndef MERIT_TEXT_TOKEN_OPEN_H
#define MERIT_TEXT_TOKEN_OPEN_H

#include "base/arena.h"
#include "text/json.h"
#include "text/token_model.h"
#include "text/tokenizer.h"

// A string of `object` in `out`, copied to the arena; `*found` (may be NULL: it must be there) tells if it is there and
// no null. RESULT_SYNTAX when it is something else.
enum result token_string(const struct json *j, uint32_t object, struct slice key,
                         struct arena *arena, char *problem, bool *found, struct slice *out);
// The string at `node` itself, copied to the arena.
enum result token_text(const struct json *j, uint32_t node, struct arena *arena, struct slice *out);
// A member that is there and no null, else JSON_NONE. `object` may be JSON_NONE.
uint32_t token_member(const struct json *j, uint32_t object, struct slice key);
// A member that is true or false; `otherwise` when it is not there or null.
enum result token_bool(const struct json *j, uint32_t object, struct slice key, bool otherwise,
                       char *problem, bool *out);
// "type" of an object, as it stands; empty when it has none.
struct slice token_type(const struct json *j, uint32_t object);

#endif
