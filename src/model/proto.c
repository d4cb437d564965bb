#include "model/proto.h"

bool proto_varint(struct slice *rest, uint64_t *out)
{
    uint64_t v = 0;
    for (size_t i = 0; i < rest->len && i < 10; i++) {
        unsigned char c = (unsigned char)rest->ptr[i];
        if (i == 9 && c > 1)
            return false;
        v |= (uint64_t)(c & 0x7f) << 7 * i;
        if (!(c & 0x80)) {
            *rest = slice_from(*rest, i + 1);
            *out = v;
            return true;
        }
    }
    return false;
}

bool proto_next(struct slice *rest, struct proto_field *out)
{
    struct slice s = *rest;
    uint64_t tag, len;
    if (!s.len || !proto_varint(&s, &tag) || tag >> 3 == 0 || tag >> 3 > UINT32_MAX)
        return false;
    *out = (struct proto_field){.number = (uint32_t)(tag >> 3), .wire = (enum proto_wire)(tag & 7)};
    switch (out->wire) {
    case PROTO_VARINT:
        if (!proto_varint(&s, &out->value))
            return false;
        *rest = s;
        return true;
    case PROTO_FIXED64:
        len = 8;
        break;
    case PROTO_FIXED32:
        len = 4;
        break;
    case PROTO_BYTES:
        if (!proto_varint(&s, &len))
            return false;
        break;
    default: // groups, which nobody writes any more
        return false;
    }
    if (len > s.len)
        return false;
    out->bytes = slice_head(s, (size_t)len);
    *rest = slice_from(s, (size_t)len);
    return true;
}
