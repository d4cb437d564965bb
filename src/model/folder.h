// A model as an ordinary folder, the way Hugging Face and sentence-transformers lay it out:
//
//   config.json                       what it is, and the names of its labels
//   tokenizer.json
//   model.safetensors, or model.safetensors.index.json and its shards, or onnx/*.onnx or *.onnx
//   modules.json, 1_Pooling/config.json, sentence_bert_config.json      how embeddings are made, where they are there
//
// folder_scan finds the files without reading weights; folder_digest reads them all once; folder_load makes them a source
// of tensors. Nothing here knows an architecture.
#ifndef MERIT_MODEL_FOLDER_H
#define MERIT_MODEL_FOLDER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/compiler.h"
#include "base/result.h"
#include "base/sha256.h"
#include "base/slice.h"
#include "model/mapped.h"
#include "nn/encoder.h"
#include "nn/safetensors.h"
#include "nn/tensor.h"

enum {
    FOLDER_SHARDS_MAX = 64,
    FOLDER_FILES_MAX = FOLDER_SHARDS_MAX + 8,
    FOLDER_TEXT_MAX = 4 * 1024 * 1024, // of each JSON file but tokenizer.json
    FOLDER_LABEL_BYTES_MAX = 256,
    FOLDER_PROBLEM_BYTES = 320,
};
#define FOLDER_WEIGHTS_MAX ((uint64_t)16 << 30) // bytes of one file

enum folder_role {
    FOLDER_CONFIG,
    FOLDER_TOKENIZER,
    FOLDER_MODULES,
    FOLDER_POOLING,
    FOLDER_LENGTH, // sentence_bert_config.json
    FOLDER_INDEX,
    FOLDER_SAFETENSORS,
    FOLDER_ONNX
};

struct folder_file {
    enum folder_role role;
    const char *path;
    struct mapped_identity identity; // as it was when the folder was scanned
};

struct folder {
    struct arena arena;
    struct folder_file files[FOLDER_FILES_MAX]; // by role, shards by name
    uint32_t count;
    // What the small files say.
    struct slice config; // the text of config.json
    struct slice *labels;
    uint32_t label_count; // 0: none named
    bool pool_known, normalise;
    enum encoder_pool pool;
    uint32_t length_tok; // the length it was published with; 0: not said
};

// Finds the files and reads the small ones. `problem` says what is wrong and what would mend it. RESULT_NOT_FOUND (a file
// is missing), RESULT_SYNTAX, RESULT_UNSUPPORTED (weights or pooling of a kind that this build does not read),
// RESULT_LIMIT, RESULT_IO, RESULT_NOMEM; nothing is held then.
enum result folder_scan(struct folder *f, const char *path,
                        char problem[FOLDER_PROBLEM_BYTES]) MERIT_NODISCARD;
void folder_close(struct folder *f);

// The path of the file of that role; NULL when there is none.
const char *folder_path(const struct folder *f, enum folder_role role);

// What a model is, in any place and under any name.
struct folder_digest {
    uint8_t all[SHA256_BYTES]; // over the digests of all files: what a packed form depends on
    uint8_t weights
        [SHA256_BYTES]; // the SHA-256 of the file of weights; of several, over theirs. What a head depends on
};

// Reads everything, about half a second for 100 MB. RESULT_IO, RESULT_NOT_FOUND, RESULT_AGAIN (a file changed since the
// scan).
enum result folder_digest(const struct folder *f, struct folder_digest *out,
                          char problem[FOLDER_PROBLEM_BYTES]) MERIT_NODISCARD;

// The weights, mapped.
struct folder_weights {
    struct mapped maps[FOLDER_SHARDS_MAX];
    struct safetensors shards[FOLDER_SHARDS_MAX];
    uint32_t count;
    struct onnx *onnx; // instead of shards
    struct tensor_source source;
};

// `out` must not move while `out->source` is used. Results as safetensors_open and onnx_open; nothing is held then.
enum result folder_load(const struct folder *f, struct folder_weights *out,
                        char problem[FOLDER_PROBLEM_BYTES]) MERIT_NODISCARD;
void folder_unload(struct folder_weights *w);

#endif
