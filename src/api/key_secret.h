// The form of a key's secret. Private to key*.c.
#ifndef MERIT_API_KEY_SECRET_H
#define MERIT_API_KEY_SECRET_H

#include "api/keys.h"

// Prefix, length and check characters are right. No secret is compared here.
bool key_secret_ok(struct slice secret);
// A new secret, NUL-terminated. RESULT_IO.
enum result key_secret_make(char out[KEY_SECRET_LEN + 1]);
// `n` random base62 characters without a NUL. RESULT_IO.
enum result key_random(char *out, size_t n);

#endif
