// A policy's routes and paths as a graph: for pictures (Graphviz) and for programs (JSON).
//
// Nodes: the request; each route with its guard; each step of its chains, with efforts; models with zone, prices and energy; sinks;
// zones with what they clear and emit; endpoints with what is said of them; passed paths; budgets, per request and over time;
// `dispatch` with its weights and worths; each end.
// Edges: "next" (in order), "else" (when the chain before cannot be completed), "touches" (a step and a place), "in" (a model or
// sink and its zone), "at" (a model and its endpoint), "bears" (a budget on requests, one over time on passed paths, too).
#ifndef MERIT_PROOF_GRAPH_H
#define MERIT_PROOF_GRAPH_H

#include "base/buf.h"
#include "work/image.h"

// Appends; check buf_result afterwards. Pure, no other memory.
void graph_dot(const struct policy_image *image, struct buf *out);
// {"policy", "version", "nodes": [{"id", "kind", "name", ...}], "edges": [{"from", "to", "kind"}]}
void graph_json(const struct policy_image *image, struct buf *out);

#endif
