// The wire format of protocol buffers, as far as reading ONNX files needs it: fields one after the other, nothing decoded
// that is not asked for, no recursion. (protobuf.dev/programming-guides/encoding.)
#ifndef MERIT_MODEL_PROTO_H
#define MERIT_MODEL_PROTO_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum proto_wire { PROTO_VARINT = 0, PROTO_FIXED64 = 1, PROTO_BYTES = 2, PROTO_FIXED32 = 5 };

struct proto_field {
    uint32_t number;
    enum proto_wire wire;
    uint64_t value;     // of PROTO_VARINT
    struct slice bytes; // of PROTO_BYTES its content; of the fixed ones their 4 or 8 bytes
};

// Takes the next field off `*rest`. False at the end, and on anything that is no field: `*rest` is empty at the end, and
// not otherwise.
bool proto_next(struct slice *rest, struct proto_field *out);
// Takes a varint off; false when there is none.
bool proto_varint(struct slice *rest, uint64_t *out);

#endif
