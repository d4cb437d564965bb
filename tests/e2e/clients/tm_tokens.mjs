// Tokens of texts by a TextMate grammar, with the engine that VS Code has: node tm_tokens.mjs GRAMMAR FILE...
// One line of JSON per file: a list of [line, begin, end, scopes].
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(`${process.cwd()}/node_modules/`);
const oniguruma = require("vscode-oniguruma");
const textmate = require("vscode-textmate");

const [grammarPath, ...files] = process.argv.slice(2);
await oniguruma.loadWASM(readFileSync(require.resolve("vscode-oniguruma/release/onig.wasm")).buffer);
const registry = new textmate.Registry({
  onigLib: Promise.resolve({
    createOnigScanner: (patterns) => new oniguruma.OnigScanner(patterns),
    createOnigString: (s) => new oniguruma.OnigString(s),
  }),
  loadGrammar: async () => textmate.parseRawGrammar(readFileSync(grammarPath, "utf8"), grammarPath),
});
const grammar = await registry.loadGrammar("source.merit");
for (const file of files) {
  const out = [];
  let state = textmate.INITIAL;
  readFileSync(file, "utf8").split("\n").forEach((line, n) => {
    const got = grammar.tokenizeLine(line, state);
    state = got.ruleStack;
    for (const t of got.tokens) out.push([n, t.startIndex, Math.min(t.endIndex, line.length), t.scopes]);
  });
  console.log(JSON.stringify(out));
}
