#include "cli/conf_settings.h"

#include "api/ring.h"
#include "cli/encoders.h"

#define AT(field) (uint32_t) offsetof(struct conf, field)
#define ONE(name, kind, field, fallback, absent, min, max, form, help)                             \
    {                                                                                              \
        name, kind, AT(field), 0, fallback, absent, min, max, form, help                           \
    }
#define MANY(name, kind, field, count, fallback, absent, form, help)                               \
    {                                                                                              \
        name, kind, AT(field), AT(count), fallback, absent, 0, 0, form, help                       \
    }
#define SIZE(name, field, fallback, absent, min, max, help)                                        \
    ONE(name, CONF_SIZE, field, fallback, absent, min, max, "SIZE", help)
#define MS(name, field, fallback, absent, min, max, help)                                          \
    ONE(name, CONF_MS, field, fallback, absent, min, max, "TIME", help)
#define COUNT(name, field, fallback, absent, min, max, help)                                       \
    ONE(name, CONF_COUNT, field, fallback, absent, min, max, "N", help)

enum { KIB = 1024, MIB = 1024 * 1024, SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE };

// Limits: grade guessed, 2026-11, but for those with a reason beside them.
const struct conf_setting conf_settings[] = {
    MANY("listen", CONF_LISTEN, listen, listen_count, "127.0.0.1:8780", NULL, "[HOST:]PORT [tls]",
         "where clients come in; several"),
    MANY("admin.listen", CONF_LISTEN, admin, admin_count, "127.0.0.1:8781", "off",
         "[HOST:]PORT [tls]", "metrics, decisions, health; several"),
    MANY("admin.host", CONF_HOST, admin_hosts, admin_host_count, NULL, "off", "NAME",
         "a Host that the admin side answers to beside loopback names; several"),
    MANY("tls.certificate", CONF_CERTIFICATE, certificates, certificate_count, NULL, "off",
         "CHAIN KEY [SERVER_NAME]", "PEM files for listeners with tls, chosen by SNI; several"),
    ONE("policy", CONF_PATH, policy, "auto", "auto", 0, 0, "PATH|demo",
        "the policy; auto is $MERIT_POLICY, ./merit.merit, or else the built-in demo"),
    ONE("prices", CONF_PATH, prices, "built-in", "built-in", 0, 0, "PATH",
        "what providers ask, for `price listed` (docs/price.md)"),
    ONE("meter.nvml", CONF_PATH, meter_nvml, "system", "system", 0, 0, "PATH",
        "NVIDIA's library, for `meter nvml`"),
    ONE("meter.powercap", CONF_PATH, meter_powercap, "system", "system", 0, 0, "DIRECTORY",
        "where the kernel shows the CPU's energy, for `meter rapl`"),
    ONE("region", CONF_TEXT, region, "off", "off", 0, 0, "NAME",
        "where this server runs, for endpoints that state their `region`; keys may say another"),
    ONE("observe", CONF_TEXT, observe, "off", "off", 0, 0, "MODEL",
        "decide and record, but send everything to this model"),
    ONE("demo.pace", CONF_RATIO, demo_pace, "1", NULL, 0, 100, "FACTOR",
        "factor on the delays of simulated models; 0 for none"),
    COUNT("threads", threads, "auto", "auto", 1, CONF_THREADS_MAX,
          "event loops; auto is one per CPU"),
    ONE("busy_poll", CONF_US, busy_poll_us, "off", "off", 1, 10000, "TIME",
        "spin so long before a loop sleeps: less latency for more CPU"),
    SIZE("limits.head", http.head_bytes, "32KiB", NULL, 1 * KIB, 1 * MIB,
         "request line and headers of a client"),
    SIZE("limits.body", http.body_bytes, "32MiB", NULL, 1 * KIB, 1024.0 * MIB, "body of a request"),
    COUNT("limits.connections", http.connections, "10000", NULL, 1, 1000000,
          "client connections of each event loop"),
    SIZE("limits.backlog", http.high_water_bytes, "256KiB", NULL, 4 * KIB, 64 * MIB,
         "unsent bytes for a slow client above which its upstream is paused"),
    COUNT("limits.decisions", decisions_kept, "1000", NULL, 1, RING_SIZE_MAX,
          "recent decisions that the admin side can show"),
    MS("timeouts.header", http.header_timeout_ms, "10s", NULL, 100, HOUR,
       "from a request's first byte to the end of its head"),
    MS("timeouts.body", http.body_timeout_ms, "30s", NULL, 100, HOUR,
       "between bytes of a request's body"),
    MS("timeouts.idle", http.idle_timeout_ms, "75s", NULL, 100, 24 * HOUR,
       "a kept connection without a request"),
    MS("timeouts.write", http.write_timeout_ms, "1m", NULL, 100, HOUR,
       "a client that takes no byte for so long is dropped"),
    MS("timeouts.drain", drain_timeout_ms, "30s", NULL, 0, HOUR,
       "after SIGTERM; streams that still run then are broken"),
    MS("upstream.connect", connect_timeout_ms, "5s", "off", 10, HOUR, "connect and TLS handshake"),
    MS("upstream.first_byte", first_byte_timeout_ms, "5m", "off", 10, 24 * HOUR,
       "from the request to the answer's first byte"),
    MS("upstream.idle", upstream_idle_timeout_ms, "2m", "off", 10, 24 * HOUR,
       "between bytes of an answer"),
    // The official SDKs give up after 10 minutes by default; a long stream may take more.
    MS("upstream.total", total_timeout_ms, "30m", "off", 10, 24 * HOUR,
       "a whole request, all of its attempts together"),
    COUNT("upstream.attempts", attempts, "3", NULL, 1, 8,
          "attempts at one request, and again behind each `else`, while nothing was sent to the "
          "client"),
    MS("upstream.backoff", backoff_ms, "30s", "off", 1000, 10 * 60 * 1000,
       "a request that fails again and again gets its last error for so long at most, without "
       "being sent"),
    COUNT("upstream.connections", client.connections_per_origin, "off", "off", 1, 1000000,
          "connections to one origin from each event loop"),
    COUNT("upstream.kept", client.idle_per_origin, "128", NULL, 0, 100000,
          "idle connections kept to one origin by each event loop"),
    // uvicorn, under vLLM and many others, closes kept connections after 5 s.
    MS("upstream.keep", client.idle_timeout_ms, "4s", NULL, 10, HOUR,
       "an idle connection is kept for so long"),
    SIZE("upstream.head", client.head_bytes, "64KiB", NULL, 1 * KIB, 1 * MIB,
         "headers of an answer"),
    ONE("upstream.roots", CONF_PATH, upstream_roots, "system", "system", 0, 0, "PATH",
        "PEM file of trusted roots"),
    MS("pool.scrape", pool_scrape_ms, "1s", NULL, 50, HOUR,
       "between readings of an endpoint's metrics; after 5 without one they are stale"),
    MS("pool.check", pool_check_ms, "1s", NULL, 50, HOUR,
       "between checks of an endpoint that is out of service"),
    MS("pool.idle", pool_idle_ms, "30s", NULL, 50, 24 * HOUR,
       "an endpoint without calls for so long is checked, three times as often"),
    MS("pool.judge", pool_judge_ms, "10s", NULL, 100, HOUR,
       "window in which endpoints of a model are held against each other"),
    MS("pool.dns", pool_dns_ms, "15s", NULL, 100, 24 * HOUR,
       "between look-ups of endpoints that are discovered by name"),
    ONE("pool.nameserver", CONF_TEXT, pool_nameserver, "system", "system", 0, 0, "ADDRESS[:PORT]",
        "who is asked for `endpoint srv`"),
    MS("carbon.feed", carbon_feed_ms, "5m", NULL, 100, 24 * HOUR,
       "between readings of a zone's feed of carbon"),
    MS("carbon.stale", carbon_stale_ms, "3h", NULL, 100, 24 * HOUR,
       "a feed's figures count for so long after its last good answer; then the policy's do"),
    COUNT("compute.threads", compute_threads, "auto", "auto", 1, COMPUTE_THREADS_MAX,
          "threads at idle priority that run encoders; auto is one less than CPUs, at least 1"),
    COUNT("compute.queue_tok", compute_queue_tok, "65536", NULL, 256, 1 << 24,
          "estimated tokens that may wait for an encoder; above it asks are refused"),
    SIZE("compute.cache", compute_cache_bytes, "8MiB", "off", 64 * KIB, 1024.0 * MIB,
         "answers to exact texts that are remembered"),
    // Grade guessed, 2026-11: ten times what the longest usual text takes on one core.
    MS("compute.deadline", compute_deadline_ms, "2s", NULL, 10, 5 * MINUTE,
       "a decision; past it what is still asked for fails, and on_error holds"),
    ONE("models.embed", CONF_TEXT, model_embed, ENCODERS_EMBED_DEFAULT, "none", 0, 0, "NAME|DIR",
        "the encoder that texts are compared and classified with"),
    ONE("models.entity", CONF_TEXT, model_entity, ENCODERS_ENTITY_DEFAULT, "none", 0, 0, "NAME|DIR",
        "the encoder that finds names and places"),
    // 402 ends most agents' loops at once; some take it for an outage of their own and stop only at 429.
    COUNT("budgets.status", budget_status, "402", NULL, 402, 429,
          "of a refusal because a budget is spent: 402 or 429"),
    ONE("log.access", CONF_PATH, log_access, "-", "off", 0, 0, "PATH",
        "one JSON line per request; - is standard output"),
    ONE("log.decisions", CONF_PATH, log_decisions, "off", "off", 0, 0, "PATH",
        "one JSON line per decision; - is standard output"),
    ONE("keys", CONF_PATH, keys, "merit.keys", NULL, 0, 0, "PATH",
        "callers' keys, written by merit key; it need not exist on loopback"),
    ONE("cache", CONF_PATH, cache, "auto", "off", 0, 0, "DIRECTORY",
        "compiled policies; auto is merit in the user's cache directory"),
    ONE("data", CONF_PATH, data, "auto", "off", 0, 0, "DIRECTORY",
        "the ledger and what is learned while serving; auto is merit in the user's data directory"),
    ONE("ledger", CONF_PATH, ledger, "auto", "off", 0, 0, "DIRECTORY",
        "what every attempt took; auto is ledger below data; off forgets budgets at the end"),
    COUNT("ledger.accounts", ledger_accounts, "65536", NULL, 1024, 4194304,
          "budgets of keys, sessions, ... that are held at once; 240 bytes each"),
    // Grade guessed, 2026-11: a million attempts.
    SIZE("ledger.backlog", ledger_backlog_bytes, "1GiB", NULL, 17 * MIB, 4095.0 * MIB,
         "attempts that wait for the store; past it requests are refused"),
    ONE("ledger.keep", CONF_DAYS, ledger_keep_days, "forever", "forever", 1, 36500, "DAYS",
        "rows of attempts; of older ones sums are kept, by day (400d)"),
};
const uint32_t conf_setting_count = MERIT_COUNT(conf_settings);
