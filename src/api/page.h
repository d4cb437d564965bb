// The admin side's page, embedded from web/admin.html when the program is built.
#ifndef MERIT_API_PAGE_H
#define MERIT_API_PAGE_H

#include "base/slice.h"

extern const struct slice ADMIN_PAGE;

#endif
