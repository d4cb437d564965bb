/* Deciding with libmerit from another program: opens a policy, decides on a request, prints what came out.
 *
 *     cc -o embed embed.c -lmerit
 *     ./embed home.merit '{"messages": [{"role": "user", "content": "hello"}]}'
 */
#include <stdio.h>
#include <string.h>

#include <merit/merit.h>

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: %s POLICY REQUEST\n", argv[0]);
        return 2;
    }
    char why[1024];
    merit_policy *policy;
    if (merit_policy_open_file(argv[1], NULL, &policy, why, sizeof why) != MERIT_OK) {
        fprintf(stderr, "%s\n", why);
        return 1;
    }
    merit_decide_options options = {.size = sizeof options};
    merit_decision *decision;
    merit_status status = merit_decide(policy, argv[2], strlen(argv[2]), &options, &decision);
    int code = 1;
    if (status == MERIT_BAD_REQUEST) {
        fprintf(stderr, "the request: %s\n", merit_decision_error(decision));
    } else if (status != MERIT_OK) {
        fprintf(stderr, "failed: %d\n", (int)status);
    } else if (merit_decision_end(decision) == MERIT_END_ANSWER) {
        printf("model %s\n", merit_decision_model(decision));
        code = 0;
    } else if (merit_decision_end(decision) == MERIT_END_REFUSE) {
        printf("refused: %s\n", merit_decision_message(decision));
        code = 0;
    } else {
        printf("no model can serve it\n");
    }
    if (status == MERIT_OK)
        printf("%s\n", merit_decision_json(decision));
    merit_decision_free(decision);
    merit_policy_free(policy);
    return code;
}
