// `merit key`: keys of callers.
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "api/keys.h"
#include "base/clock.h"
#include "cli/args.h"
#include "cli/commands.h"
#include "cli/conf.h"
#include "text/json.h"

static const char usage_all[] = "usage: merit key create|list|rotate|revoke [options]\n"
                                "\n"
                                "Keys tell Merit who asks. The file holds only their hashes; a "
                                "secret is shown once, when it is made.\n"
                                "A running server sees a change of the file within a second.\n"
                                "\n"
                                "  merit key create --caller ada --team engines --expires 90d\n"
                                "  merit key create --caller ops --scopes admin\n"
                                "  merit key list\n"
                                "  merit key rotate k-4Fz0aQ9x --grace 1h\n"
                                "  merit key revoke k-4Fz0aQ9x\n"
                                "\n"
                                "Each has --help and --json. The file is the setting `keys` of "
                                "merit.conf (merit.keys), or --keys FILE.\n";

static const char usage_create[] =
    "usage: merit key create --caller NAME [options]\n"
    "\n"
    "Makes a key, writes its hash to the key file and shows its secret, once.\n"
    "\n"
    "  --caller NAME    who it is for\n"
    "  --team NAME      their team\n"
    "  --label A,B      levels that all they send is at least at\n"
    "  --tenant NAME    their tenant\n"
    "  --region NAME    where they ask from, for endpoints that state their `region`\n"
    "  --groups A,B     groups that a policy may ask for\n"
    "  --scopes A,B     traffic (default), admin, route-headers: may send x-merit-* routing "
    "headers\n"
    "  --expires TIME   after 90d, 12h, or at 2027-01-31T00:00:00Z; never when not given\n"
    "  --rate N         requests a minute\n"
    "  --keys FILE      the key file, when it is not the one of merit.conf\n"
    "  --conf FILE      the settings, when they are not in ./merit.conf\n"
    "  --json           {\"id\", \"secret\", ...}\n"
    "\n"
    "Names are letters, digits and . _ - @ : / +\n"
    "\n"
    "  merit key create --caller ada --team engines --expires 90d --rate 600\n"
    "  export OPENAI_API_KEY=$(merit key create --caller ci --json | jq -r .secret)\n";

static const char usage_list[] =
    "usage: merit key list [--keys FILE] [--conf FILE] [--json]\n"
    "\n"
    "Shows the keys with their state: active, expired or revoked. Never a secret.\n"
    "\n"
    "  merit key list\n"
    "  merit key list --json | jq -r '.[] | select(.state == \"active\") | .id'\n";

static const char usage_rotate[] =
    "usage: merit key rotate ID [--grace TIME] [--keys FILE] [--conf FILE] [--json]\n"
    "\n"
    "Makes a new key with everything of the old one. The old one works on for the grace time "
    "(24h),\n"
    "so that clients can be changed over; 0s ends it at once.\n"
    "\n"
    "  merit key rotate k-4Fz0aQ9x --grace 1h\n";

static const char usage_revoke[] =
    "usage: merit key revoke ID [--keys FILE] [--conf FILE] [--json]\n"
    "\n"
    "Ends a key now and for good.\n"
    "\n"
    "  merit key revoke k-4Fz0aQ9x\n";

struct key_command {
    const char *keys, *conf_path;
    bool json;
    struct conf conf; // its `keys` is the path
    struct buf why, out;
    uint64_t now_s;
};

static int begin(struct key_command *c)
{
    buf_init(&c->why, 64 * 1024);
    buf_init(&c->out, 16 * 1024 * 1024);
    c->now_s = clock_wall_us(&clock_system) / 1000000;
    if (conf_init(&c->conf)) {
        fprintf(stderr, "merit key: no memory\n");
        return EXIT_FOUND;
    }
    if (c->keys) {
        c->conf.keys = c->keys;
    } else if (conf_load(&c->conf, c->conf_path, isatty(STDERR_FILENO), &c->why)) {
        fprintf(stderr, "%.*s", SLICE_FMT(buf_slice(&c->why)));
        return EXIT_FOUND;
    }
    return ARGS_GO_ON;
}

static void finish(struct key_command *c)
{
    conf_deinit(&c->conf);
    buf_deinit(&c->why);
    // It may have held a secret.
    if (c->out.ptr)
        explicit_bzero(c->out.ptr, c->out.room);
    buf_deinit(&c->out);
}

static int failed(struct key_command *c, enum result r)
{
    if (c->why.len)
        fprintf(stderr, "merit key: %.*s", SLICE_FMT(buf_slice(&c->why)));
    else
        fprintf(stderr, "merit key: %s: %s\n", c->conf.keys, result_name(r));
    return EXIT_FOUND;
}

static const char *state_of(const struct key *k, uint64_t now_s)
{
    return k->revoked_s ? "revoked" : k->expires_s && k->expires_s <= now_s ? "expired" : "active";
}

static void member(struct buf *out, const char *name, struct slice value)
{
    buf_printf(out, ", \"%s\": ", name);
    if (value.len)
        json_write_string(out, value);
    else
        BUF_LIT(out, "null");
}

static void time_member(struct buf *out, const char *name, uint64_t seconds)
{
    char text[KEY_TIME_LEN + 1];
    key_time_print(seconds, text);
    member(out, name, seconds ? slice_cstr(text) : SLICE_EMPTY);
}

// The members of a key's object behind its id.
static void key_json(struct buf *out, const struct key *k, uint64_t now_s)
{
    member(out, "caller", k->caller.id);
    member(out, "team", k->caller.team);
    member(out, "tenant", k->caller.tenant);
    member(out, "region", k->region);
    BUF_LIT(out, ", \"groups\": [");
    for (uint32_t i = 0; i < k->caller.group_count; i++) {
        if (i)
            BUF_LIT(out, ", ");
        json_write_string(out, k->caller.groups[i]);
    }
    BUF_LIT(out, "], \"label\": [");
    for (uint32_t i = 0; i < k->caller.label_count; i++) {
        if (i)
            BUF_LIT(out, ", ");
        json_write_string(out, k->caller.labels[i]);
    }
    BUF_LIT(out, "], \"scopes\": [");
    const char *separator = "";
    for (unsigned i = 0; i < KEY_SCOPE_COUNT_; i++) {
        if (k->scopes & 1u << i) {
            buf_printf(out, "%s\"%s\"", separator, key_scope_name(i));
            separator = ", ";
        }
    }
    BUF_LIT(out, "]");
    time_member(out, "created", k->created_s);
    time_member(out, "expires", k->expires_s);
    time_member(out, "revoked", k->revoked_s);
    if (k->per_minute)
        buf_printf(out, ", \"rate_per_minute\": %u", k->per_minute);
    else
        BUF_LIT(out, ", \"rate_per_minute\": null");
    buf_printf(out, ", \"state\": \"%s\"", state_of(k, now_s));
}

// What is told of a key that was just made or revoked: read back from the file, so that it is what the server sees.
static int show_one(struct key_command *c, struct slice id, const char *secret, const char *what)
{
    struct key_set *set = NULL;
    enum result r = key_set_load(&set, c->conf.keys, NULL, &c->why);
    const struct key *k = r ? NULL : key_set_by_id(set, id);
    if (!k) {
        key_set_unref(set);
        return failed(c, r ? r : RESULT_NOT_FOUND);
    }
    if (c->json) {
        BUF_LIT(&c->out, "{\"id\": ");
        json_write_string(&c->out, k->id);
        if (secret)
            member(&c->out, "secret", slice_cstr(secret));
        key_json(&c->out, k, c->now_s);
        BUF_LIT(&c->out, "}\n");
    } else {
        char time[KEY_TIME_LEN + 1];
        key_time_print(k->expires_s, time);
        buf_printf(&c->out, "%s %.*s for %.*s in %s%s%s\n", what, SLICE_FMT(k->id),
                   SLICE_FMT(k->caller.id), c->conf.keys, k->expires_s ? ", expires " : "",
                   k->expires_s ? time : "");
        if (secret)
            buf_printf(&c->out, "\n  %s\n\nThis is the only time that the secret is shown.\n",
                       secret);
    }
    key_set_unref(set);
    return args_put(&c->out);
}

static bool groups_of(const char *list, struct key_spec *spec)
{
    struct slice rest = slice_cstr(list), word;
    while (slice_split(&rest, ',', &word)) {
        if (!key_name_ok(word) || spec->group_count == WORK_GROUPS_MAX)
            return false;
        spec->groups[spec->group_count++] = word;
    }
    return true;
}

static int bad_value(const char *option, const char *value, const char *form)
{
    fprintf(stderr, "merit key create: %s \"%s\": write %s\n", option, value, form);
    return EXIT_USAGE;
}

struct create_options {
    const char *caller, *team, *tenant, *groups, *label, *scopes, *expires, *rate, *region;
};

static int spec_of(const struct create_options *o, uint64_t now_s, struct key_spec *spec)
{
    static const char names[] = "letters, digits and . _ - @ : / +";
    if (!o->caller) {
        fprintf(stderr, "merit key create: --caller NAME is needed: who is the key for?\n");
        return EXIT_USAGE;
    }
    spec->caller = slice_cstr(o->caller);
    spec->team = slice_cstr(o->team);
    spec->tenant = slice_cstr(o->tenant);
    if (!key_name_ok(spec->caller))
        return bad_value("--caller", o->caller, names);
    if (o->team && !key_name_ok(spec->team))
        return bad_value("--team", o->team, names);
    if (o->tenant && !key_name_ok(spec->tenant))
        return bad_value("--tenant", o->tenant, names);
    spec->region = slice_cstr(o->region);
    if (o->region && !key_name_ok(spec->region))
        return bad_value("--region", o->region, names);
    if (o->groups && !groups_of(o->groups, spec))
        return bad_value("--groups", o->groups, "at most 32 names with commas between");
    spec->labels = slice_cstr(o->label);
    if (o->label && !key_labels_ok(spec->labels))
        return bad_value("--label", o->label, "at most 8 levels with commas between");
    spec->scopes =
        o->scopes ? key_scopes_parse(slice_cstr(o->scopes)) : (uint32_t)KEY_SCOPE_TRAFFIC;
    if (!spec->scopes)
        return bad_value("--scopes", o->scopes, "some of traffic,admin,route-headers");
    uint64_t v = 0;
    if (o->expires && args_duration(o->expires, &v))
        spec->expires_s = now_s + v;
    else if (o->expires && !key_time_parse(slice_cstr(o->expires), &spec->expires_s))
        return bad_value("--expires", o->expires, "90d, 12h, 30m, or 2027-01-31T00:00:00Z");
    if (o->expires && spec->expires_s <= now_s)
        return bad_value("--expires", o->expires, "a time to come");
    if (o->rate && (!slice_u64(slice_cstr(o->rate), &v) || !v || v > KEY_RATE_MAX))
        return bad_value("--rate", o->rate, "requests a minute, from 1 to 1000000");
    spec->per_minute = o->rate ? (uint32_t)v : 0;
    return ARGS_GO_ON;
}

static int key_create(int argc, char **argv)
{
    struct key_command c = {0};
    struct create_options o = {0};
    const struct args_option options[] = {
        {"--caller", &o.caller, NULL},   {"--team", &o.team, NULL},
        {"--tenant", &o.tenant, NULL},   {"--groups", &o.groups, NULL},
        {"--label", &o.label, NULL},     {"--scopes", &o.scopes, NULL},
        {"--expires", &o.expires, NULL}, {"--rate", &o.rate, NULL},
        {"--region", &o.region, NULL},   {"--keys", &c.keys, NULL},
        {"--conf", &c.conf_path, NULL},  {"--json", NULL, &c.json},
    };
    struct args a = {.command = "merit key create",
                     .usage = usage_create,
                     .options = options,
                     .option_count = MERIT_COUNT(options)};
    struct key_spec spec = {0};
    struct key_made made = {0};
    int code = args_read(&a, argc, argv);
    if (code != ARGS_GO_ON)
        return code;
    code = begin(&c);
    if (code == ARGS_GO_ON)
        code = spec_of(&o, c.now_s, &spec);
    if (code == ARGS_GO_ON) {
        enum result r = keys_create(c.conf.keys, &spec, c.now_s, &made, &c.why);
        code = r ? failed(&c, r) : show_one(&c, slice_cstr(made.id), made.secret, "created");
    }
    explicit_bzero(&made, sizeof made);
    finish(&c);
    return code;
}

static void list_line(struct buf *out, const struct key *k, uint64_t now_s)
{
    char expires[KEY_TIME_LEN + 1] = "never", rate[16] = "-";
    if (k->expires_s)
        key_time_print(k->expires_s, expires);
    if (k->per_minute)
        snprintf(rate, sizeof rate, "%u/min", k->per_minute);
    buf_printf(out, "%-12.*s %-8s %-20s %-10s ", SLICE_FMT(k->id), state_of(k, now_s), expires,
               rate);
    for (unsigned i = 0, n = 0; i < KEY_SCOPE_COUNT_; i++) {
        if (k->scopes & 1u << i)
            buf_printf(out, "%s%s", n++ ? "," : "", key_scope_name(i));
    }
    buf_printf(out, "  %.*s", SLICE_FMT(k->caller.id));
    if (k->caller.team.len)
        buf_printf(out, " team=%.*s", SLICE_FMT(k->caller.team));
    if (k->caller.tenant.len)
        buf_printf(out, " tenant=%.*s", SLICE_FMT(k->caller.tenant));
    if (k->region.len)
        buf_printf(out, " region=%.*s", SLICE_FMT(k->region));
    for (uint32_t i = 0; i < k->caller.group_count; i++)
        buf_printf(out, "%s%.*s", i ? "," : " groups=", SLICE_FMT(k->caller.groups[i]));
    for (uint32_t i = 0; i < k->caller.label_count; i++)
        buf_printf(out, "%s%.*s", i ? "," : " label=", SLICE_FMT(k->caller.labels[i]));
    buf_byte(out, '\n');
}

static int list(struct key_command *c)
{
    struct key_set *set = NULL;
    enum result r = key_set_load(&set, c->conf.keys, NULL, &c->why);
    if (r)
        return failed(c, r);
    uint32_t count = key_set_count(set);
    if (c->json)
        BUF_LIT(&c->out, "[");
    else if (count)
        buf_printf(&c->out, "%-12s %-8s %-20s %-10s scopes  caller\n", "id", "state", "expires",
                   "rate");
    else
        buf_printf(&c->out, "No keys in %s. Make one: merit key create --caller NAME\n",
                   c->conf.keys);
    for (uint32_t i = 0; i < count; i++) {
        const struct key *k = key_set_at(set, i);
        if (!c->json) {
            list_line(&c->out, k, c->now_s);
            continue;
        }
        buf_cstr(&c->out, i ? ",\n {\"id\": " : "{\"id\": ");
        json_write_string(&c->out, k->id);
        key_json(&c->out, k, c->now_s);
        BUF_LIT(&c->out, "}");
    }
    if (c->json)
        BUF_LIT(&c->out, "]\n");
    key_set_unref(set);
    return args_put(&c->out);
}

static int key_list(int argc, char **argv)
{
    struct key_command c = {0};
    const struct args_option options[] = {
        {"--keys", &c.keys, NULL}, {"--conf", &c.conf_path, NULL}, {"--json", NULL, &c.json}};
    struct args a = {.command = "merit key list",
                     .usage = usage_list,
                     .options = options,
                     .option_count = MERIT_COUNT(options)};
    int code = args_read(&a, argc, argv);
    if (code != ARGS_GO_ON)
        return code;
    code = begin(&c);
    if (code == ARGS_GO_ON)
        code = list(&c);
    finish(&c);
    return code;
}

static int key_rotate(int argc, char **argv)
{
    struct key_command c = {0};
    const char *grace = NULL;
    const struct args_option options[] = {{"--grace", &grace, NULL},
                                          {"--keys", &c.keys, NULL},
                                          {"--conf", &c.conf_path, NULL},
                                          {"--json", NULL, &c.json}};
    struct args a = {.command = "merit key rotate",
                     .usage = usage_rotate,
                     .options = options,
                     .option_count = MERIT_COUNT(options),
                     .word_min = 1,
                     .word_max = 1};
    struct key_made made = {0};
    uint64_t grace_s = 0;
    int code = args_read(&a, argc, argv);
    if (code != ARGS_GO_ON)
        return code;
    if (!args_duration(grace ? grace : "24h", &grace_s)) {
        fprintf(stderr, "merit key rotate: --grace \"%s\": write 24h, 30m or 0s\n", grace);
        return EXIT_USAGE;
    }
    code = begin(&c);
    if (code == ARGS_GO_ON) {
        enum result r =
            keys_rotate(c.conf.keys, slice_cstr(a.words[0]), grace_s, c.now_s, &made, &c.why);
        code = r ? failed(&c, r) : show_one(&c, slice_cstr(made.id), made.secret, "rotated to");
        if (code == EXIT_DONE && !c.json)
            printf("The old key %s works on for %s at most.\n", a.words[0], grace ? grace : "24h");
    }
    explicit_bzero(&made, sizeof made);
    finish(&c);
    return code;
}

static int key_revoke(int argc, char **argv)
{
    struct key_command c = {0};
    const struct args_option options[] = {
        {"--keys", &c.keys, NULL}, {"--conf", &c.conf_path, NULL}, {"--json", NULL, &c.json}};
    struct args a = {.command = "merit key revoke",
                     .usage = usage_revoke,
                     .options = options,
                     .option_count = MERIT_COUNT(options),
                     .word_min = 1,
                     .word_max = 1};
    int code = args_read(&a, argc, argv);
    if (code != ARGS_GO_ON)
        return code;
    code = begin(&c);
    if (code == ARGS_GO_ON) {
        enum result r = keys_revoke(c.conf.keys, slice_cstr(a.words[0]), c.now_s, &c.why);
        code = r ? failed(&c, r) : show_one(&c, slice_cstr(a.words[0]), NULL, "revoked");
    }
    finish(&c);
    return code;
}

int cmd_key(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
    } verbs[] = {
        {"create", key_create}, {"list", key_list}, {"rotate", key_rotate}, {"revoke", key_revoke}};
    for (size_t i = 0; argc > 1 && i < MERIT_COUNT(verbs); i++) {
        if (slice_eq_cstr(slice_cstr(argv[1]), verbs[i].name))
            return verbs[i].run(argc - 1, argv + 1);
    }
    bool help = argc > 1 &&
                (slice_eq_cstr(SLICE("--help"), argv[1]) || slice_eq_cstr(SLICE("-h"), argv[1]));
    if (help) {
        fputs(usage_all, stdout);
        return EXIT_DONE;
    }
    if (argc > 1)
        fprintf(stderr, "merit key: \"%s\" is none of create, list, rotate, revoke\n\n", argv[1]);
    fputs(usage_all, stderr);
    return EXIT_USAGE;
}
