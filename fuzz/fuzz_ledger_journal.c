// A slot of a journal from any bytes: it is refused or decodes to a record whose parts lie within the slot. The fuzzer
// cannot guess checksums, so they are set right where the input asks for it.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ledger/journal_slot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static _Alignas(64) struct journal_slot slot;
    struct journal_record r;
    if (size < 1)
        return 0;
    uint8_t how = data[0];
    memset(&slot, 0, sizeof slot);
    memcpy(&slot, data + 1, size - 1 < sizeof slot ? size - 1 : sizeof slot);
    if (how & 1)
        atomic_store(&slot.state, how & 2 ? SLOT_SETTLED : SLOT_RESERVED);
    if (how & 4 && slot.reserve.body_len <= JOURNAL_BODY_BYTES) {
        uint64_t sum = journal_sum(JOURNAL_VERSION, &slot.reserve, sizeof slot.reserve);
        slot.reserve_sum = journal_sum(sum, slot.body, slot.reserve.body_len);
    }
    if (how & 8) {
        slot.settle.id = slot.reserve.id;
        slot.settle_sum = journal_sum(JOURNAL_VERSION, &slot.settle, sizeof slot.settle);
    }
    if (!journal_decode(&slot, &r))
        return 0;
    const char *end = (const char *)&slot + sizeof slot;
    if (!r.id || r.draw_count > LEDGER_BUDGETS_MAX || (unsigned)r.end >= LEDGER_END_COUNT_)
        abort();
    for (int i = 0; i < JOURNAL_NAMES; i++)
        if (r.names[i].len && (r.names[i].ptr < slot.body || r.names[i].ptr + r.names[i].len > end))
            abort();
    for (uint32_t i = 0; i < r.draw_count; i++) {
        int64_t charge = journal_charge(&r, &r.draws[i]);
        if (charge < 0 || charge > LEDGER_AMOUNT_MAX || (unsigned)r.draws[i].unit >= LEDGER_UNITS)
            abort();
    }
    return 0;
}
