// The extension in a stand-in for VS Code that records what is registered, and asks it as the editor would:
// node vscode_stub.mjs EXTENSION_FOLDER MERIT POLICY. Prints one JSON object.
import { readFileSync } from "node:fs";
import Module, { createRequire } from "node:module";

const [folder, merit, policy] = process.argv.slice(2);
const providers = {};
const published = new Map();
const listeners = {};
const shown = [];
const commands = {};
let arrived;

class Position { constructor(line, character) { Object.assign(this, { line, character }); } }
class Range { constructor(a, b, c, d) { this.start = new Position(a, b); this.end = new Position(c, d); } }
class Plain { constructor(...parts) { this.parts = parts; } }
const uri = (s) => ({ text: s, toString: () => s });
const register = (name) => (selector, provider, ...more) => {
  providers[name] = { selector, provider, more };
  return { dispose() {} };
};
const listen = (name) => (f) => { listeners[name] = f; return { dispose() {} }; };
let text = readFileSync(policy, "utf8");
const document = { uri: uri("file:///p.merit"), languageId: "merit", version: 1, getText: () => text };
const vscode = {
  Position, Range, Diagnostic: class { constructor(range, message, severity) { Object.assign(this, { range, message, severity }); } },
  Location: Plain, TextEdit: class { constructor(range, newText) { Object.assign(this, { range, newText }); } },
  Hover: Plain, MarkdownString: Plain, DocumentHighlight: Plain, DiagnosticRelatedInformation: Plain, DocumentSymbol: Plain,
  CompletionItem: class { constructor(label, kind) { Object.assign(this, { label, kind }); } },
  CodeAction: class { constructor(title) { this.title = title; } }, CodeActionKind: { QuickFix: "quickfix" },
  FoldingRange: Plain, FoldingRangeKind: { Comment: 1 }, SemanticTokens: Plain, SemanticTokensLegend: Plain,
  WorkspaceEdit: class { constructor() { this.edits = {}; } set(u, e) { this.edits[u.toString()] = e; } },
  Uri: { parse: uri },
  languages: {
    createDiagnosticCollection: () => ({
      set(u, list) { published.set(u.toString(), list); if (arrived) arrived(list); }, clear() { published.clear(); }, dispose() {} }),
    ...Object.fromEntries(["Hover", "Definition", "Reference", "DocumentHighlight", "Rename", "CompletionItem",
      "DocumentFormattingEdit", "DocumentSymbol", "FoldingRange", "CodeActions", "DocumentSemanticTokens"]
      .map((n) => [`register${n}Provider`, register(n)])),
  },
  workspace: {
    textDocuments: [document], getConfiguration: () => ({ get: () => merit }),
    onDidOpenTextDocument: listen("open"), onDidChangeTextDocument: listen("change"), onDidCloseTextDocument: listen("close"),
  },
  window: { showErrorMessage: (m) => shown.push(m) },
  commands: { registerCommand: (name, f) => { commands[name] = f; return { dispose() {} }; } },
};
const load = Module._load;
Module._load = (name, ...rest) => (name === "vscode" ? vscode : load(name, ...rest));
const extension = createRequire(import.meta.url)(`${folder}/extension.js`);

const next = () => new Promise((resolve) => (arrived = resolve));
const token = { onCancellationRequested() {} };
const place = (needle, behind = 0) => {
  const before = text.slice(0, text.indexOf(needle) + behind).split("\n");
  return new Position(before.length - 1, before.at(-1).length);
};
const out = {};
let first = next();
await extension.activate({ subscriptions: [] });
out.clean = await first;
out.providers = Object.keys(providers).sort();
const call = (name, f, ...args) => providers[name].provider[f](document, ...args);
out.hover = (await call("Hover", "provideHover", place("swift"), token)).parts[0].parts[0];
out.definition = (await call("Definition", "provideDefinition", place("answer(swift", 8), token)).parts[1];
out.references = (await call("Reference", "provideReferences", place("swift"), { includeDeclaration: true }, token)).length;
out.highlights = (await call("DocumentHighlight", "provideDocumentHighlights", place("swift"), token)).length;
out.rename = (await call("Rename", "provideRenameEdits", place("swift"), "speedy", token)).edits["file:///p.merit"].length;
out.prepared = (await call("Rename", "prepareRename", place("swift"), token)).placeholder;
out.refused = await call("Rename", "provideRenameEdits", place("swift"), "refuse", token).then(() => "", (e) => e.message);
out.completion = (await call("CompletionItem", "provideCompletionItems", place("answer(", 7), token)).map((i) => i.label);
out.symbols = (await call("DocumentSymbol", "provideDocumentSymbols", token)).map((s) => s.parts[0]);
out.folds = (await call("FoldingRange", "provideFoldingRanges", {}, token)).length;
out.tokens = (await call("DocumentSemanticTokens", "provideDocumentSemanticTokens", token)).parts[0].length;
out.formatted = (await call("DocumentFormattingEdit", "provideDocumentFormattingEdits", {}, token)).length;
// One letter too few, as it is typed.
const where = place("answer(swift", 7);
text = text.replace("answer(swift", "answer(swft");
document.version++;
first = next();
listeners.change({ document, contentChanges: [{ range: new Range(where.line, where.character, where.line, where.character + 5), text: "swft" }] });
out.wrong = (await first).map((d) => [d.code, d.severity, d.range.start.line]);
out.fixes = (await call("CodeActions", "provideCodeActions", new Range(where.line, 0, where.line, 99), {}, token)).map((a) => a.title);
first = next();
await commands["merit.restart"]();
out.again = (await first).length;
listeners.close(document);
await extension.deactivate();
out.shown = shown;
console.log(JSON.stringify(out));
