#include "policy/provider.h"

#include <stddef.h>

// Base URLs as the providers document them for OpenAI's protocol. Grade: cited, 2026-11.
#define PROVIDERS(X)                                                                               \
    X("openai", "https://api.openai.com/v1", "OPENAI_API_KEY")                                     \
    X("groq", "https://api.groq.com/openai/v1", "GROQ_API_KEY")                                    \
    X("mistral", "https://api.mistral.ai/v1", "MISTRAL_API_KEY")                                   \
    X("together", "https://api.together.xyz/v1", "TOGETHER_API_KEY")                               \
    X("openrouter", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY")                          \
    X("deepseek", "https://api.deepseek.com/v1", "DEEPSEEK_API_KEY")                               \
    X("xai", "https://api.x.ai/v1", "XAI_API_KEY")                                                 \
    X("fireworks", "https://api.fireworks.ai/inference/v1", "FIREWORKS_API_KEY")                   \
    X("cerebras", "https://api.cerebras.ai/v1", "CEREBRAS_API_KEY")                                \
    X("nvidia", "https://integrate.api.nvidia.com/v1", "NVIDIA_API_KEY")

#define ROW(provider_name, url, variable)                                                          \
    {.name = provider_name, .base = url, .key_variable = variable},
#define NAME(provider_name, url, variable) provider_name,

static const struct provider providers[] = {
    PROVIDERS(ROW){.name = "anthropic",
                   .why_not = "Anthropic's protocol is not spoken to upstreams by this build yet"},
    {.name = "azure", .why_not = "an Azure deployment has a URL of its own"},
    {.name = "bedrock",
     .why_not = "Amazon Bedrock's protocol is not spoken to upstreams by this build yet"},
    {.name = "vertex",
     .why_not = "Vertex AI's protocol is not spoken to upstreams by this build yet"},
};

const char *const provider_names[] = {PROVIDERS(NAME) NULL};

const struct provider *provider_find(struct slice name)
{
    for (size_t i = 0; i < MERIT_COUNT(providers); i++)
        if (slice_eq_cstr(name, providers[i].name))
            return &providers[i];
    return NULL;
}
