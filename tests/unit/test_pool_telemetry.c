// What is read of engines' metrics, and what is not believed.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "pool/telemetry.h"

static enum telemetry_fault read_as(enum image_engine engine, struct slice page, size_t step,
                                    struct telemetry *out)
{
    struct telemetry_reader r;
    telemetry_begin(&r, engine, SLICE("sql-lora"));
    for (size_t at = 0; at < page.len; at += step) {
        size_t n = page.len - at < step ? page.len - at : step;
        if (!telemetry_feed(&r, slice_make(page.ptr + at, n)))
            break;
    }
    return telemetry_end(&r, out);
}

static const char VLLM_PAGE[] =
    "# HELP vllm:num_requests_running Number of requests in model execution batches.\n"
    "# TYPE vllm:num_requests_running gauge\n"
    "vllm:num_requests_running{engine=\"0\",model_name=\"Qwen/Qwen3-8B\"} 12.0\n"
    "vllm:num_requests_running{engine=\"1\",model_name=\"Qwen/Qwen3-8B\"} 5.0\n"
    "vllm:num_requests_waiting{engine=\"0\",model_name=\"Qwen/Qwen3-8B\"} 3.0\n"
    "vllm:num_requests_waiting{engine=\"1\",model_name=\"Qwen/Qwen3-8B\"} 0.0\n"
    "vllm:kv_cache_usage_perc{engine=\"0\"} 0.75\n"
    "vllm:kv_cache_usage_perc{engine=\"1\"} 0.25\n"
    "vllm:prefix_cache_queries_total{engine=\"0\"} 1e+06\n"
    "vllm:prefix_cache_hits_total{engine=\"0\"} 250000.0\n"
    "vllm:num_preemptions_total{engine=\"0\"} 2.0\n"
    "vllm:prompt_tokens_total{engine=\"0\"} 4000.0\n"
    "vllm:generation_tokens_total{engine=\"0\"} 1000.0\n"
    "vllm:cache_config_info{block_size=\"16\",cache_dtype=\"auto\",num_gpu_blocks=\"7461\"} 1.0\n"
    "vllm:lora_requests_info{max_lora=\"2\",running_lora_adapters=\"old\","
    "waiting_lora_adapters=\"\"} 1.7e+09\n"
    "vllm:lora_requests_info{max_lora=\"2\",running_lora_adapters=\"sql-lora, b\","
    "waiting_lora_adapters=\"\"} 1.7000001e+09\n"
    "vllm:time_to_first_token_seconds_bucket{le=\"+Inf\",odd=\"a}\\\"b\"} 9.0\n"
    "vllm:e2e_request_latency_seconds_created 1.7e+09 1700000000000\n";

static void test_vllm(void **state)
{
    struct telemetry t;
    (void)state;
    for (size_t step = 1; step < sizeof VLLM_PAGE; step = step * 3 + 1) {
        assert_int_equal(read_as(IMAGE_ENGINE_VLLM, SLICE(VLLM_PAGE), step, &t), TELEMETRY_OK);
        assert_true(t.running == 17 && t.queue == 3 && t.kv_use == 0.5);
        assert_true(t.prefix_share == 0.25 && t.preemptions == 2 && t.work_done == 5000);
        assert_true(t.block_tok == 16 && t.blocks == 7461);
        assert_true(t.lora_told && t.lora_loaded && !t.lora_room);
    }
    // The name that it had before.
    assert_int_equal(read_as(IMAGE_ENGINE_VLLM, SLICE("vllm:gpu_cache_usage_perc 0.5\n"), 7, &t),
                     TELEMETRY_OK);
    assert_true(t.kv_use == 0.5 && t.queue == -1 && t.running == -1);
    // What it does not know yet is no fault.
    assert_int_equal(read_as(IMAGE_ENGINE_VLLM,
                             SLICE("vllm:cache_config_info{block_size=\"16\","
                                   "num_gpu_blocks=\"None\"} 1\nvllm:num_requests_waiting 0"),
                             64, &t),
                     TELEMETRY_OK);
    assert_true(t.blocks == -1 && t.queue == 0);
}

static void test_other_engines(void **state)
{
    struct telemetry t;
    (void)state;
    static const char sglang[] = "sglang:num_running_reqs{tp_rank=\"0\"} 4\n"
                                 "sglang:num_queue_reqs{tp_rank=\"0\"} 6\n"
                                 "sglang:token_usage{tp_rank=\"0\"} 0.31\n"
                                 "sglang:cache_hit_rate{tp_rank=\"0\"} 0.6\n"
                                 "sglang:max_total_num_tokens 40000\n";
    assert_int_equal(read_as(IMAGE_ENGINE_SGLANG, SLICE(sglang), 11, &t), TELEMETRY_OK);
    assert_true(t.running == 4 && t.queue == 6 && t.kv_use == 0.31 && t.prefix_share == 0.6 &&
                t.block_tok * t.blocks == 40000);
    static const char llama[] = "# TYPE llamacpp:requests_processing gauge\n"
                                "llamacpp:requests_processing 2\nllamacpp:requests_deferred 1\n"
                                "llamacpp:prompt_tokens_total 38\n"
                                "llamacpp:tokens_predicted_total 24\n";
    assert_int_equal(read_as(IMAGE_ENGINE_LLAMACPP, SLICE(llama), 11, &t), TELEMETRY_OK);
    assert_true(t.running == 2 && t.queue == 1 && t.kv_use == -1 && t.work_done == 62);
    assert_int_equal(
        read_as(IMAGE_ENGINE_TGI, SLICE("tgi_queue_size 3\ntgi_batch_current_size 8\n"), 5, &t),
        TELEMETRY_OK);
    assert_true(t.running == 8 && t.queue == 3);
    assert_int_equal(read_as(IMAGE_ENGINE_TGI, SLICE(llama), 5, &t), TELEMETRY_NOTHING);
}

static void test_what_is_not_believed(void **state)
{
    static const struct {
        const char *page;
        enum telemetry_fault fault;
    } pages[] = {
        {"", TELEMETRY_NOTHING},
        {"\n\n# only comments\n", TELEMETRY_NOTHING},
        {"<!DOCTYPE html><html><body>404</body></html>", TELEMETRY_HTML},
        {"  <html>", TELEMETRY_HTML},
        {"{\"status\":\"ok\"}", TELEMETRY_FORMAT},
        {"up 1\nvllm:num_requests_waiting 1\n???\n", TELEMETRY_FORMAT},
        {"vllm:num_requests_waiting NaN\n", TELEMETRY_VALUE},
        {"vllm:num_requests_waiting -1\n", TELEMETRY_VALUE},
        {"vllm:num_requests_waiting +Inf\n", TELEMETRY_VALUE},
        {"vllm:num_requests_waiting 1e300\n", TELEMETRY_VALUE},
        {"vllm:num_requests_waiting 1\nvllm:kv_cache_usage_perc 75\n", TELEMETRY_VALUE},
        {"vllm:num_requests_waiting 1\nvllm:prompt_tokens_total -5\n", TELEMETRY_VALUE},
        {"vllm:num_requests_waiting 1\nvllm:num_preemptions_total 1e300\n", TELEMETRY_VALUE},
        {"vllm:num_requests_waiting 1\n"
         "vllm:cache_config_info{block_size=\"1\",num_gpu_blocks=\"4294967295\"} 1\n"
         "vllm:cache_config_info{block_size=\"1\",num_gpu_blocks=\"4294967295\"} 1\n",
         TELEMETRY_VALUE},
        {"vllm:num_requests_waiting one\n", TELEMETRY_FORMAT},
        {"vllm:num_requests_waiting 0x10\n", TELEMETRY_FORMAT},
        {"vllm:num_requests_waiting\n", TELEMETRY_FORMAT},
        {"vllm:num_requests_waiting{a=\"b\" 3\n", TELEMETRY_FORMAT},
    };
    struct telemetry t;
    (void)state;
    for (size_t i = 0; i < MERIT_COUNT(pages); i++) {
        for (size_t step = 1; step < 60; step += 13) {
            assert_int_equal(read_as(IMAGE_ENGINE_VLLM, slice_cstr(pages[i].page), step, &t),
                             pages[i].fault);
            assert_true(t.queue == -1 && t.running == -1 && t.kv_use == -1);
        }
    }
}

static void test_limits(void **state)
{
    struct telemetry_reader r;
    struct telemetry t;
    char piece[4096];
    (void)state;
    memset(piece, 'a', sizeof piece);
    telemetry_begin(&r, IMAGE_ENGINE_VLLM, SLICE_EMPTY);
    size_t fed = 0;
    while (telemetry_feed(&r, slice_make(piece, sizeof piece)))
        fed += sizeof piece;
    assert_true(fed <= TELEMETRY_LINE_MAX);
    assert_int_equal(telemetry_end(&r, &t), TELEMETRY_LINE);
    // A gigabyte of lines ends at the limit.
    snprintf(piece, sizeof piece, "%s", "vllm:num_requests_waiting 1\n");
    telemetry_begin(&r, IMAGE_ENGINE_VLLM, SLICE_EMPTY);
    fed = 0;
    while (telemetry_feed(&r, slice_cstr("# x\n")))
        fed += 4;
    assert_true(fed <= TELEMETRY_BYTES_MAX);
    assert_int_equal(telemetry_end(&r, &t), TELEMETRY_LARGE);
    // Without memory there is a fault, too.
    telemetry_begin(&r, IMAGE_ENGINE_VLLM, SLICE_EMPTY);
    alloc_fail_at(1, 1);
    assert_false(telemetry_feed(&r, SLICE("vllm:num_req")));
    alloc_fail_at(0, 0);
    assert_int_equal(telemetry_end(&r, &t), TELEMETRY_MEMORY);
}

static void test_orca(void **state)
{
    struct telemetry t;
    (void)state;
    assert_true(telemetry_orca(SLICE("JSON {\"application_utilization\":0.4,\"named_metrics\":"
                                     "{\"kv_cache_usage_perc\":0.4,\"num_requests_waiting\":7}}"),
                               &t));
    assert_true(t.kv_use == 0.4 && t.queue == 7 && t.running == -1);
    assert_true(telemetry_orca(SLICE("TEXT named_metrics.kv_cache_usage_perc=0.25,"
                                     " named_metrics.num_requests_waiting=2"),
                               &t));
    assert_true(t.kv_use == 0.25 && t.queue == 2);
    static const char *const bad[] = {"",
                                      "JSON",
                                      "JSON {",
                                      "JSON []",
                                      "TEXT",
                                      "TEXT a=b",
                                      "BIN CAFE",
                                      "cpu=1",
                                      "TEXT named_metrics.num_requests_waiting=-1",
                                      "TEXT named_metrics.num_requests_waiting=nan",
                                      "JSON {\"named_metrics\":{\"kv_cache_usage_perc\":1e9}}",
                                      "JSON {\"named_metrics\":{\"kv_cache_usage_perc\":\"0.4\"}}"};
    for (size_t i = 0; i < MERIT_COUNT(bad); i++) {
        assert_false(telemetry_orca(slice_cstr(bad[i]), &t));
        assert_true(t.kv_use == -1 && t.queue == -1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vllm),
        cmocka_unit_test(test_other_engines),
        cmocka_unit_test(test_what_is_not_believed),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_orca),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
