// The commands of the `merit` program. Each has its file, cmd_NAME.c, and takes over argv from its own name on
// (argv[0] is "key" in `merit key list`).
//
// Exit codes, the same for all: 0 done, 1 found something (an error in a policy, a failed check, no such key),
// 2 usage. Errors go to standard error with what to do about them; `--help` prints usage with examples; `--json` puts
// one JSON document on standard output.
#ifndef MERIT_CLI_COMMANDS_H
#define MERIT_CLI_COMMANDS_H

enum { EXIT_DONE = 0, EXIT_FOUND = 1, EXIT_USAGE = 2 };

int cmd_serve(int argc, char **argv);
int cmd_route(int argc, char **argv);
int cmd_policy(int argc, char **argv);
// argv[0] is "prove" in `merit policy prove FILE`.
int cmd_policy_prove(int argc, char **argv);
int cmd_policy_test(int argc, char **argv);
int cmd_policy_diff(int argc, char **argv);
int cmd_policy_export(int argc, char **argv);
// cmd_lsp.c: the verb `lsp` of `merit policy`.
int cmd_policy_lsp(int argc, char **argv);
int cmd_key(int argc, char **argv);
int cmd_pool(int argc, char **argv);
int cmd_init(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_sim(int argc, char **argv);
int cmd_sim_fleet(int argc, char **argv);
int cmd_signal(int argc, char **argv);
int cmd_model(int argc, char **argv);
int cmd_price(int argc, char **argv);
int cmd_embed(int argc, char **argv);
int cmd_classify(int argc, char **argv);
int cmd_train(int argc, char **argv);
int cmd_ledger(int argc, char **argv);
// Verbs of `merit ledger`; argv[0] is the verb.
int cmd_ledger_rows(int argc, char **argv);
int cmd_ledger_export(int argc, char **argv);
int cmd_ledger_budgets(int argc, char **argv);
int cmd_ledger_reconcile(int argc, char **argv);

#endif
