#include "signal/registry.h"

#include "signal/families.h"

static const struct signal_family *const families[] = {
    &signal_keywords,  &signal_context_length, &signal_structure,  &signal_conversation,
    &signal_modality,  &signal_tools,          &signal_output,     &signal_metadata,
    &signal_header,    &signal_caller,         &signal_domain,     &signal_complexity,
    &signal_reasoning, &signal_factcheck,      &signal_feedback,   &signal_wish,
    &signal_form,      &signal_length,         &signal_jailbreak,  &signal_language,
    &signal_pii,       &signal_intent,         &signal_preference, &signal_knowledge,
    &signal_similar,   &signal_reask,          &signal_classify,
};

const struct signal_registry signal_registry = {families, MERIT_COUNT(families)};
