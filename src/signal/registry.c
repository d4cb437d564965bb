#include "signal/registry.h"

#include "signal/families.h"

static const struct signal_family *const families[] = {
    &signal_keywords, &signal_context_length, &signal_structure, &signal_conversation,
    &signal_modality, &signal_tools,          &signal_output,    &signal_metadata,
    &signal_header,   &signal_caller,
};

const struct signal_registry signal_registry = {families, MERIT_COUNT(families)};
