#include "lsp/words.h"

const struct lsp_word lsp_words[] = {
    // Statements.
    {"policy", "policy \"NAME\" version N", "The header: the first statement of the file."},
    {"zone", "zone NAME clears LEVEL", "Where models run. In a model: the zone it runs in."},
    {"model", "model NAME endpoint \"URL\" context 32k tok ...",
     "A model: where it is served, what it can do, what it costs."},
    {"alias", "alias NAME -> routes | route R | model M", "A name that clients may ask for."},
    {"pass", "pass \"/v1/PATH\" to MODEL",
     "Another path of the API that goes to a model's endpoint as it is."},
    {"signal", "signal NAME = FAMILY(...)",
     "A named fact about a request, computed only when the outcome depends on it."},
    {"path", "path NAME(a, b) = STEP -> STEP else STEP",
     "A name for what stands behind an arrow; its parameters stand for models."},
    {"route", "route NAME when GUARD -> PATH",
     "Routes are tried in their order: the first whose guard holds decides."},
    {"otherwise", "otherwise -> PATH",
     "The route that takes what is left. Mandatory, and the last."},
    {"lattice", "lattice NAME = LOW < HIGH", "Levels of how secret data is, from the lowest up."},
    {"sink", "sink NAME clears LEVEL", "A place that data can reach, and the level it may hold."},
    {"forbid", "forbid WHAT when GUARD as \"NAME\"",
     "What no request may get. Constraints have no order, and forbidding wins."},
    {"require", "require STEP when GUARD", "A step without which no path may answer."},
    {"allow", "allow STEP when GUARD", "A step that is forbidden unless it is allowed."},
    {"budget", "budget SCOPE AMOUNT", "A bound on what may be spent."},
    {"prove", "prove CLAIM", "A claim that holds for every request, or the policy does not load."},
    {"test", "test \"NAME\" given ... expect ...",
     "A small theorem: what is not given may be anything."},
    {"assume", "assume NAME because \"WHY\"",
     "Takes as true what could not be proved; every explanation repeats it."},
    // Header, zones, models.
    {"version", "version N", "The version of the policy, a whole number."},
    {"clears", "clears LEVEL", "The highest level of data that may come here."},
    {"endpoint", "endpoint \"URL\", ...",
     "Where the model is served, up to and with /v1; several are copies. `endpoint demo` is the "
     "simulated pool."},
    {"demo", "endpoint demo", "The simulated pool inside Merit."},
    {"provider", "provider NAME \"MODEL\"", "A provider whose address is known."},
    {"as", "as \"TEXT\"", "Another name: of a model at its endpoint, of a constraint in messages."},
    {"key", "key env NAME | key file \"PATH\"",
     "Where the key of the endpoint is. Keys themselves never stand in a policy."},
    {"env", "key env NAME", "The key is in this environment variable."},
    {"file", "key file \"PATH\"", "The key is in this file."},
    {"context", "context N tok", "How much the model can read."},
    {"output", "output N tok", "How much the model can write; without it, what its window holds."},
    {"can", "can tools, images, ...", "What the model can do."},
    {"effort", "effort low, high", "Reasoning efforts that may be asked for."},
    {"price", "price A in, B out, C cached usd/Mtok",
     "US dollars per million tokens. Without it costs are unknown, not zero."},
    {"in", "NAME in (A, B) | price A in", "One of several; in a price, what the model reads."},
    {"out", "price B out", "In a price: what the model writes."},
    {"cached", "price C cached", "In a price: input that the provider has cached."},
    {"quality", "quality Q", "How good the model is, from 0 to 1, as you judge it."},
    {"energy", "energy FIGURE", "What the model runs on, for estimates of energy."},
    // Names that clients ask for.
    {"routes", "alias NAME -> routes", "The routes decide."},
    {"to", "pass \"PATH\" to MODEL", "The model whose endpoint gets it."},
    // Signals.
    {"label", "signal NAME label LATTICE = ...", "The signal's value is a level of a lattice."},
    {"above", "above N", "Turns a number into a truth value: greater than N."},
    {"below", "below N", "Turns a number into a truth value: less than N."},
    {"on_error", "on_error VALUE", "What holds when the signal cannot be computed."},
    // Guards.
    {"when", "when GUARD", "The condition under which this holds."},
    {"and", "A and B", "Both hold. Binds tighter than `or`."},
    {"or", "A or B", "At least one holds."},
    {"not", "not A", "It does not hold. Binds tighter than `and`."},
    {"true", "true", "What always holds."},
    {"false", "false", "What never holds."},
    // Paths.
    {"else", "else STEP", "What happens when no candidate can serve the request."},
    {"refuse", "refuse \"WHY\"", "The request is refused with this message."},
    {"escalate", "escalate STEP", "A dearer try after a cheaper one did not do."},
    {"minimise", "minimise cost", "The cheapest candidate that can."},
    {"maximise", "maximise quality", "The candidate with the highest declared quality."},
    {"within", "within N usd", "Only candidates whose expected cost is at most this."},
    {"where", "where quality >= Q", "Only candidates that declare at least this."},
    {"at", "escalate at risk R", "The risk of being wrong that is accepted."},
    {"risk", "escalate at risk R", "The risk of being wrong that is accepted."},
};
const size_t lsp_word_count = sizeof lsp_words / sizeof *lsp_words;

const struct lsp_word *lsp_word_find(struct slice word)
{
    for (size_t i = 0; i < lsp_word_count; i++)
        if (slice_eq_cstr(word, lsp_words[i].word))
            return &lsp_words[i];
    return NULL;
}
