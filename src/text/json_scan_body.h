// The kernels of one tier; json_scan.c includes this once per tier, with
//   SCAN_NAME, COPY_NAME     names of the two functions
//   SCAN_TARGET              their attributes
//   SCAN_WIDTH               bytes per block
//   SCAN_SHIFT               log2 of the mask bits per byte; the lowest set bit of a byte's group marks it
//   SCAN_MASK                type of the mask
//   SCAN_BLOCK               bytes of one block; SCAN_LOAD(p) loads one, SCAN_NONE is one of zeros, SCAN_OR(a, b) ors two
//   SCAN_SPECIAL(block)      mask of the quotes, backslashes and control characters
//   SCAN_HIGH(block)         not zero when there is a byte above 0x7f

SCAN_TARGET static struct json_found SCAN_NAME(const unsigned char *p, const unsigned char *end) {
    struct json_found found = {0};
    SCAN_BLOCK seen = SCAN_NONE;
    while (end - p >= SCAN_WIDTH) {
        SCAN_BLOCK block = SCAN_LOAD(p);
        SCAN_MASK mask = SCAN_SPECIAL(block);
        seen = SCAN_OR(seen, block);
        unsigned at = SCAN_WIDTH;
        while (mask) {
            at = (unsigned)__builtin_ctzll(mask) >> SCAN_SHIFT;
            unsigned char c = p[at];
            if (c == '"') {
                found.closed = true;
                found.stop = p + at;
                found.high = SCAN_HIGH(seen) != 0;
                return found;
            }
            unsigned n = c == '\\' ? escape_length(p + at, end) : 0;
            if (MERIT_UNLIKELY(!n)) {
                found.stop = p + at;
                return found;
            }
            found.escaped = true;
            at += n;
            if (at >= SCAN_WIDTH)
                break;
            mask &= (SCAN_MASK)(~(SCAN_MASK)0 << (at << SCAN_SHIFT));
            at = SCAN_WIDTH;
        }
        p += at;
    }
    found.high = SCAN_HIGH(seen) != 0;
    return scan_tail(p, end, found);
}

SCAN_TARGET static size_t
COPY_NAME(char *out, const unsigned char *p, size_t n, bool stop_high)
{
    size_t at = 0;
    while (n - at >= SCAN_WIDTH) {
        SCAN_BLOCK block = SCAN_LOAD(p + at);
        SCAN_MASK mask = SCAN_SPECIAL(block);
        if (stop_high && SCAN_HIGH(block))
            break;
        memcpy(out + at, p + at, SCAN_WIDTH);
        if (mask)
            return at + ((unsigned)__builtin_ctzll(mask) >> SCAN_SHIFT);
        at += SCAN_WIDTH;
    }
    return copy_tail(out, p, n, at, stop_high);
}

#undef SCAN_NAME
#undef COPY_NAME
#undef SCAN_TARGET
#undef SCAN_WIDTH
#undef SCAN_SHIFT
#undef SCAN_MASK
#undef SCAN_BLOCK
#undef SCAN_NONE
#undef SCAN_LOAD
#undef SCAN_OR
#undef SCAN_SPECIAL
#undef SCAN_HIGH
