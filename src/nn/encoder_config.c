#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "nn/encoder_block.h"
#include "text/json.h"

enum { CONFIG_BYTES_MAX = 8 << 20, CONFIG_TOKENS_MAX = 1 << 18 };

struct reader {
    struct json json;
    char *problem;
    enum result result; // the first thing wrong
};

enum result encoder_problem(char *problem, enum result r, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    if (problem)
        vsnprintf(problem, ENCODER_PROBLEM_BYTES, fmt, args);
    va_end(args);
    return r;
}

static void wrong(struct reader *r, enum result result, const char *fmt, ...) MERIT_PRINTF(3, 4);
static void wrong(struct reader *r, enum result result, const char *fmt, ...)
{
    va_list args;
    if (r->result)
        return;
    r->result = result;
    va_start(args, fmt);
    vsnprintf(r->problem, ENCODER_PROBLEM_BYTES, fmt, args);
    va_end(args);
}

static uint32_t member(const struct reader *r, const char *key)
{
    uint32_t t = json_get(&r->json, 0, slice_cstr(key), NULL);
    return t != JSON_NONE && json_type(&r->json, t) == JSON_NULL ? JSON_NONE : t;
}

static bool has(const struct reader *r, const char *key)
{
    return member(r, key) != JSON_NONE;
}

static uint32_t number(struct reader *r, const char *key, uint32_t otherwise, uint32_t most)
{
    uint32_t t = member(r, key);
    if (t == JSON_NONE)
        return otherwise;
    uint64_t v = 0;
    if (json_u64(&r->json, t, &v))
        wrong(r, RESULT_SYNTAX, "config.json: %s is not a whole number", key);
    else if (v > most)
        wrong(r, RESULT_LIMIT, "config.json: %s is too large", key);
    return (uint32_t)v;
}

static uint32_t required(struct reader *r, const char *key, uint32_t most)
{
    uint32_t v = number(r, key, 0, most);
    if (v == 0)
        wrong(r, RESULT_SYNTAX, "config.json: %s is missing or zero", key);
    return v;
}

static double real(struct reader *r, uint32_t token, const char *key, double otherwise)
{
    double v = otherwise;
    if (token != JSON_NONE && json_double(&r->json, token, &v))
        wrong(r, RESULT_SYNTAX, "config.json: %s is not a number", key);
    return v;
}

static bool is(const struct reader *r, const char *key, const char *value)
{
    uint32_t t = member(r, key);
    return t != JSON_NONE && json_type(&r->json, t) == JSON_STRING &&
           json_string_is(&r->json, t, slice_cstr(value));
}

static bool flag(const struct reader *r, const char *key, bool otherwise)
{
    return json_bool(&r->json, member(r, key), otherwise);
}

// The value of `key` must be `value` where it stands.
static void only(struct reader *r, const char *key, const char *value)
{
    if (has(r, key) && !is(r, key, value))
        wrong(r, RESULT_UNSUPPORTED, "config.json: this build does not know that value of %s", key);
}

static bool list_has(const struct reader *r, uint32_t list, const char *value)
{
    if (list == JSON_NONE)
        return false;
    if (json_type(&r->json, list) == JSON_STRING) { // "c2p|p2c", as older configurations write it
        struct slice rest = json_raw(&r->json, list), piece;
        while (slice_split(&rest, '|', &piece))
            if (slice_eq_cstr(piece, value))
                return true;
        return false;
    }
    uint32_t at = 0, t;
    if (json_type(&r->json, list) != JSON_ARRAY)
        return false;
    while (json_element(&r->json, list, &at, &t))
        if (json_type(&r->json, t) == JSON_STRING && json_string_is(&r->json, t, slice_cstr(value)))
            return true;
    return false;
}

static const struct {
    const char *type;
    enum encoder_family family;
    const char *names[4]; // trunk, masked language model, sequence and token classifier
} models[] = {
    {"bert",
     ENCODER_BERT,
     {"BertModel", "BertForMaskedLM", "BertForSequenceClassification",
      "BertForTokenClassification"}},
    {"roberta",
     ENCODER_ROBERTA,
     {"RobertaModel", "RobertaForMaskedLM", "RobertaForSequenceClassification",
      "RobertaForTokenClassification"}},
    {"xlm-roberta",
     ENCODER_ROBERTA,
     {"XLMRobertaModel", "XLMRobertaForMaskedLM", "XLMRobertaForSequenceClassification",
      "XLMRobertaForTokenClassification"}},
    {"camembert",
     ENCODER_ROBERTA,
     {"CamembertModel", "CamembertForMaskedLM", "CamembertForSequenceClassification",
      "CamembertForTokenClassification"}},
    {"modernbert",
     ENCODER_MODERNBERT,
     {"ModernBertModel", "ModernBertForMaskedLM", "ModernBertForSequenceClassification",
      "ModernBertForTokenClassification"}},
    {"deberta-v2",
     ENCODER_DEBERTA,
     {"DebertaV2Model", "DebertaV2ForMaskedLM", "DebertaV2ForSequenceClassification",
      "DebertaV2ForTokenClassification"}},
};

static void read_kind(struct reader *r, struct encoder_config *c)
{
    size_t m = 0;
    while (m < MERIT_COUNT(models) && !is(r, "model_type", models[m].type))
        m++;
    if (m == MERIT_COUNT(models)) {
        wrong(r, RESULT_UNSUPPORTED, "config.json: this build knows no such %s", "model_type");
        return;
    }
    c->family = models[m].family;
    uint32_t list = member(r, "architectures");
    c->task = ENCODER_EMBED;
    if (list == JSON_NONE)
        return;
    for (unsigned i = 0; i < 4; i++)
        if (list_has(r, list, models[m].names[i])) {
            c->task = i == 2 ? ENCODER_SEQUENCE : i == 3 ? ENCODER_TOKENS : ENCODER_EMBED;
            return;
        }
    wrong(r, RESULT_UNSUPPORTED, "config.json: this build knows no such model in %s",
          "architectures");
}

static uint32_t read_labels(struct reader *r)
{
    uint32_t names = member(r, "id2label"), at = 0, key, value, count = 0;
    if (names == JSON_NONE)
        return number(r, "num_labels", 2, ENCODER_LABELS_MAX);
    if (json_type(&r->json, names) != JSON_OBJECT) {
        wrong(r, RESULT_SYNTAX, "config.json: %s is not an object", "id2label");
        return 0;
    }
    while (json_member(&r->json, names, &at, &key, &value))
        count++;
    if (count == 0 || count > ENCODER_LABELS_MAX)
        wrong(r, RESULT_LIMIT, "config.json: %s has no labels or too many", "id2label");
    return count;
}

// Both styles: global_attn_every_n_layers with two thetas, and layer_types with rope_parameters.
static void read_layer_types(struct reader *r, struct encoder_config *c)
{
    c->global_every = number(r, "global_attn_every_n_layers", 3, ENCODER_LAYERS_MAX);
    uint32_t types = member(r, "layer_types"), at = 0, t, i = 0;
    if (types == JSON_NONE)
        return;
    if (json_type(&r->json, types) != JSON_ARRAY) {
        wrong(r, RESULT_SYNTAX, "config.json: %s is not an array", "layer_types");
        return;
    }
    c->global_layers = 0;
    while (json_element(&r->json, types, &at, &t)) {
        bool global = json_type(&r->json, t) == JSON_STRING &&
                      json_string_is(&r->json, t, SLICE("full_attention"));
        if (!global && !(json_type(&r->json, t) == JSON_STRING &&
                         json_string_is(&r->json, t, SLICE("sliding_attention"))))
            wrong(r, RESULT_UNSUPPORTED, "config.json: this build knows no such entry of %s",
                  "layer_types");
        if (i < ENCODER_LAYERS_MAX && global)
            c->global_layers |= (uint64_t)1 << i;
        i++;
    }
    if (i != c->layers)
        wrong(r, RESULT_SYNTAX, "config.json: %s is not as long as num_hidden_layers",
              "layer_types");
    c->global_every = 0;
}

static double read_theta(struct reader *r, const char *old, const char *kind, double otherwise)
{
    double v = real(r, member(r, old), old, otherwise);
    uint32_t all = member(r, "rope_parameters");
    if (all == JSON_NONE || json_type(&r->json, all) != JSON_OBJECT)
        return v;
    uint32_t one = json_get(&r->json, all, slice_cstr(kind), NULL);
    if (one == JSON_NONE || json_type(&r->json, one) != JSON_OBJECT)
        return v;
    uint32_t type = json_get(&r->json, one, SLICE("rope_type"), NULL);
    if (type != JSON_NONE && !(json_type(&r->json, type) == JSON_STRING &&
                               json_string_is(&r->json, type, SLICE("default"))))
        wrong(r, RESULT_UNSUPPORTED, "config.json: this build does not know that %s", "rope_type");
    return real(r, json_get(&r->json, one, SLICE("rope_theta"), NULL), "rope_theta", v);
}

static void read_modernbert(struct reader *r, struct encoder_config *c)
{
    read_layer_types(r, c);
    if (c->global_every)
        for (uint32_t i = 0; i < c->layers && i < ENCODER_LAYERS_MAX; i += c->global_every)
            c->global_layers |= (uint64_t)1 << i;
    c->window = number(r, "local_attention", 128, 2 * ENCODER_TOKENS_MAX) / 2;
    c->rope_global = read_theta(r, "global_rope_theta", "full_attention", 160000.0);
    c->rope_local = read_theta(r, "local_rope_theta", "sliding_attention", 10000.0);
    c->attention_bias = flag(r, "attention_bias", false);
    c->mlp_bias = flag(r, "mlp_bias", false);
    c->norm_bias = flag(r, "norm_bias", false);
    c->classifier_bias = flag(r, "classifier_bias", false);
    c->classifier_mean = is(r, "classifier_pooling", "mean");
    if (!c->classifier_mean)
        only(r, "classifier_pooling", "cls");
    only(r, "hidden_activation", "gelu");
    only(r, "classifier_activation", "gelu");
    c->norm_eps = (float)real(r, member(r, "norm_eps"), "norm_eps", 1e-5);
    c->types = 0;
}

static void read_deberta(struct reader *r, struct encoder_config *c)
{
    if (!flag(r, "relative_attention", false))
        wrong(r, RESULT_UNSUPPORTED, "config.json: without %s this build does not run it",
              "relative_attention");
    if (number(r, "conv_kernel_size", 0, UINT32_MAX))
        wrong(r, RESULT_UNSUPPORTED, "config.json: this build does not know %s",
              "conv_kernel_size");
    uint32_t width = number(r, "embedding_size", c->hidden, UINT32_MAX);
    uint32_t head =
        number(r, "attention_head_size", c->hidden / (c->heads ? c->heads : 1), UINT32_MAX);
    if (width != c->hidden || (c->heads && head != c->hidden / c->heads))
        wrong(r, RESULT_UNSUPPORTED, "config.json: this build wants %s as hidden_size tells",
              "embedding_size and attention_head_size");
    // -1 stands for "as many as positions"; json_u64 takes no sign.
    uint32_t t = member(r, "max_relative_positions");
    double most = real(r, t, "max_relative_positions", -1);
    if (most > ENCODER_TOKENS_MAX)
        wrong(r, RESULT_LIMIT, "config.json: %s is too large", "max_relative_positions");
    c->relative_max = most >= 1 && most <= ENCODER_TOKENS_MAX ? (uint32_t)most : c->positions;
    t = member(r, "position_buckets");
    double buckets = real(r, t, "position_buckets", -1);
    if (buckets > ENCODER_TOKENS_MAX)
        wrong(r, RESULT_LIMIT, "config.json: %s is too large", "position_buckets");
    c->buckets = buckets >= 1 && buckets <= ENCODER_TOKENS_MAX ? (uint32_t)buckets : 0;
    c->share_att_key = flag(r, "share_att_key", false);
    uint32_t kinds = member(r, "pos_att_type");
    c->pos_c2p = list_has(r, kinds, "c2p");
    c->pos_p2c = list_has(r, kinds, "p2c");
    c->position_input = flag(r, "position_biased_input", true);
    uint32_t norm = member(r, "norm_rel_ebd");
    c->relative_norm = norm != JSON_NONE && list_has(r, norm, "layer_norm");
    only(r, "pooler_hidden_act", "gelu");
    uint32_t pooled = number(r, "pooler_hidden_size", c->hidden, UINT32_MAX);
    if (pooled != c->hidden)
        wrong(r, RESULT_UNSUPPORTED, "config.json: this build wants %s equal to hidden_size",
              "pooler_hidden_size");
    c->types = number(r, "type_vocab_size", 0, 1024);
}

static void read_common(struct reader *r, struct encoder_config *c)
{
    c->layers = required(r, "num_hidden_layers", ENCODER_LAYERS_MAX);
    c->hidden = required(r, "hidden_size", ENCODER_HIDDEN_MAX);
    c->heads = required(r, "num_attention_heads", ENCODER_HIDDEN_MAX);
    c->inner = required(r, "intermediate_size", ENCODER_INNER_MAX);
    c->vocab = required(r, "vocab_size", ENCODER_VOCAB_MAX);
    c->positions = required(r, "max_position_embeddings", 1 << 20);
    c->types = number(r, "type_vocab_size", 2, 1024);
    c->pad_id = number(r, "pad_token_id", 0, ENCODER_VOCAB_MAX);
    bool old =
        c->family == ENCODER_BERT && c->vocab > 1000; // BERT's vocabularies, which do not tell
    uint32_t first = number(r, "bos_token_id", old ? 101 : 0, ENCODER_VOCAB_MAX);
    uint32_t last = number(r, "eos_token_id", old ? 102 : 0, ENCODER_VOCAB_MAX);
    c->first_id = number(r, "cls_token_id", first, ENCODER_VOCAB_MAX);
    c->last_id = number(r, "sep_token_id", last, ENCODER_VOCAB_MAX);
    c->norm_eps = (float)real(r, member(r, "layer_norm_eps"), "layer_norm_eps", 1e-12);
    if (c->family != ENCODER_MODERNBERT)
        only(r, "hidden_act", "gelu");
    only(r, "position_embedding_type", "absolute");
    c->pool = ENCODER_POOL_MEAN;
    c->normalise = true;
    c->labels = c->task == ENCODER_EMBED ? 0 : read_labels(r);
}

const char *encoder_config_wrong(const struct encoder_config *c)
{
    if ((unsigned)c->family > ENCODER_DEBERTA || (unsigned)c->task > ENCODER_TOKENS ||
        (unsigned)c->pool > ENCODER_POOL_WEIGHTED)
        return "family";
    if (c->layers == 0 || c->layers > ENCODER_LAYERS_MAX)
        return "num_hidden_layers";
    if (c->hidden == 0 || c->hidden > ENCODER_HIDDEN_MAX)
        return "hidden_size";
    if (c->heads == 0 || c->hidden % c->heads || c->hidden / c->heads > ENCODER_HEAD_MAX)
        return "num_attention_heads";
    if (c->inner == 0 || c->inner > ENCODER_INNER_MAX)
        return "intermediate_size";
    if (c->vocab == 0 || c->vocab > ENCODER_VOCAB_MAX || c->pad_id > ENCODER_VOCAB_MAX)
        return "vocab_size";
    if (c->positions == 0 || c->positions > 1 << 20 || c->types > 1024)
        return "max_position_embeddings";
    if (c->labels > ENCODER_LABELS_MAX || (c->task != ENCODER_EMBED && c->labels == 0))
        return "id2label";
    if (!(c->norm_eps >= 0 && c->norm_eps < 1))
        return "layer_norm_eps";
    if (c->family == ENCODER_ROBERTA && c->pad_id + 1 >= c->positions)
        return "pad_token_id";
    if (c->family == ENCODER_MODERNBERT) {
        if ((c->hidden / c->heads) % 2)
            return "num_attention_heads";
        if (!(c->rope_global > 1 && c->rope_global < 1e12) ||
            !(c->rope_local > 1 && c->rope_local < 1e12))
            return "rope_theta";
        if (c->window == 0 || c->window > ENCODER_TOKENS_MAX)
            return "local_attention";
    }
    if (c->family == ENCODER_DEBERTA && (c->relative_max < 2 || c->buckets > ENCODER_TOKENS_MAX ||
                                         c->buckets == 1 || c->relative_max > 1 << 20))
        return "position_buckets";
    return NULL;
}

enum result encoder_config_read(struct slice json, struct encoder_config *out,
                                char problem[ENCODER_PROBLEM_BYTES])
{
    struct reader r = {.problem = problem};
    struct arena arena;
    memset(out, 0, sizeof *out);
    problem[0] = 0;
    if (json.len > CONFIG_BYTES_MAX)
        return encoder_problem(problem, RESULT_LIMIT, "config.json is too large");
    arena_init(&arena, 1 << 16, 64 << 20);
    const struct json_limits limits = {32, CONFIG_TOKENS_MAX};
    r.result = json_parse(&r.json, json, &limits, &arena);
    if (r.result)
        encoder_problem(problem, r.result, "config.json: %s", result_name(r.result));
    else if (json_type(&r.json, 0) != JSON_OBJECT)
        wrong(&r, RESULT_SYNTAX, "config.json is not an object");
    if (r.result)
        goto out;
    read_kind(&r, out);
    if (r.result)
        goto out;
    read_common(&r, out);
    if (out->family == ENCODER_MODERNBERT)
        read_modernbert(&r, out);
    if (out->family == ENCODER_DEBERTA)
        read_deberta(&r, out);
    const char *bad = r.result ? NULL : encoder_config_wrong(out);
    if (bad)
        wrong(&r, RESULT_SYNTAX, "config.json: %s does not fit the other values", bad);
out:
    arena_deinit(&arena);
    return r.result;
}
