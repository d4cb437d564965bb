#include "pool/others.h"

float others_ratio(float scraped, float own)
{
    float ratio = own >= 1 ? scraped / own : 1;
    return ratio < 1 ? 1 : ratio > OTHERS_MOST ? OTHERS_MOST : ratio;
}

static void add(struct pool_place *row, float more)
{
    float room = row->slots ? (float)row->slots - row->running : more;
    float runs = row->queue > 0 || room < 0 ? 0 : more < room ? more : room;
    row->running += runs;
    row->queue += more - runs;
}

void others_move(struct pool_place *row, float queue, float running, uint32_t began, uint32_t ended,
                 float ratio)
{
    float more = ((float)began - (float)ended) * ratio, all = queue + running + more;
    row->queue = queue;
    row->running = running;
    if (more > 0)
        add(row, more);
    else {
        row->queue = queue + more > 0 ? queue + more : 0;
        all = all > 0 ? all : 0;
        row->running = all - row->queue;
    }
    if (row->queue + row->running < (float)row->in_flight)
        add(row, (float)row->in_flight - row->queue - row->running);
}
