// `merit policy lsp` in VS Code, without a library in between: what the editor asks is put to the server, and its answers
// are put into the editor's own classes. Both count characters in UTF-16 units.
"use strict";
const vscode = require("vscode");
const { Client } = require("./client.js");

const LANGUAGE = { language: "merit" };
let client;
let findings;
let legend;

const toRange = (r) => new vscode.Range(r.start.line, r.start.character, r.end.line, r.end.character);
const fromPosition = (p) => ({ line: p.line, character: p.character });
const fromRange = (r) => ({ start: fromPosition(r.start), end: fromPosition(r.end) });
const toLocation = (l) => new vscode.Location(vscode.Uri.parse(l.uri), toRange(l.range));
const toEdit = (e) => new vscode.TextEdit(toRange(e.range), e.newText);
const identifier = (document) => ({ uri: document.uri.toString() });

function toWorkspaceEdit(edit) {
  const out = new vscode.WorkspaceEdit();
  for (const [uri, edits] of Object.entries(edit.changes)) out.set(vscode.Uri.parse(uri), edits.map(toEdit));
  return out;
}

function toDiagnostic(d) {
  const out = new vscode.Diagnostic(toRange(d.range), d.message, d.severity - 1);
  out.code = d.code;
  out.source = d.source;
  out.tags = d.tags;
  out.relatedInformation = (d.relatedInformation || []).map(
    (i) => new vscode.DiagnosticRelatedInformation(toLocation(i.location), i.message));
  return out;
}

function toSymbol(s) {
  return new vscode.DocumentSymbol(s.name, s.detail || "", s.kind - 1, toRange(s.range), toRange(s.selectionRange));
}

function toItem(i) {
  const out = new vscode.CompletionItem(i.label, i.kind - 1);
  out.detail = i.detail;
  out.documentation = i.documentation;
  out.sortText = i.sortText;
  out.filterText = i.filterText;
  out.insertText = i.textEdit.newText;
  out.range = toRange(i.textEdit.range);
  return out;
}

// A request about a document; what the server has nothing to say about is undefined. A text that changed meanwhile is no
// mistake of anybody.
async function ask(method, document, more, token) {
  if (!client) return undefined;
  try {
    const got = await client.request(`textDocument/${method}`, { textDocument: identifier(document), ...more }, token);
    return got === null ? undefined : got;
  } catch (e) {
    if (method === "rename") throw e;
    return undefined;
  }
}

const at = (position) => ({ position: fromPosition(position) });

function register(context) {
  const l = vscode.languages;
  context.subscriptions.push(
    l.registerHoverProvider(LANGUAGE, {
      async provideHover(document, position, token) {
        const got = await ask("hover", document, at(position), token);
        return got && new vscode.Hover(new vscode.MarkdownString(got.contents.value), got.range && toRange(got.range));
      },
    }),
    l.registerDefinitionProvider(LANGUAGE, {
      async provideDefinition(document, position, token) {
        const got = await ask("definition", document, at(position), token);
        return got && toLocation(got);
      },
    }),
    l.registerReferenceProvider(LANGUAGE, {
      async provideReferences(document, position, context_, token) {
        const got = await ask("references", document, { ...at(position), context: context_ }, token);
        return got && got.map(toLocation);
      },
    }),
    l.registerDocumentHighlightProvider(LANGUAGE, {
      async provideDocumentHighlights(document, position, token) {
        const got = await ask("documentHighlight", document, at(position), token);
        return got && got.map((h) => new vscode.DocumentHighlight(toRange(h.range), h.kind - 1));
      },
    }),
    l.registerRenameProvider(LANGUAGE, {
      async prepareRename(document, position, token) {
        const got = await ask("prepareRename", document, at(position), token);
        if (!got) throw new Error("there is no name here that the policy defines");
        return { range: toRange(got.range), placeholder: got.placeholder };
      },
      async provideRenameEdits(document, position, newName, token) {
        const got = await ask("rename", document, { ...at(position), newName }, token);
        return got && toWorkspaceEdit(got);
      },
    }),
    l.registerCompletionItemProvider(LANGUAGE, {
      async provideCompletionItems(document, position, token) {
        const got = await ask("completion", document, at(position), token);
        return got && (got.items || got).map(toItem);
      },
    }, " ", "(", "|", ","),
    l.registerDocumentFormattingEditProvider(LANGUAGE, {
      async provideDocumentFormattingEdits(document, options, token) {
        const got = await ask("formatting", document, { options }, token);
        return got && got.map(toEdit);
      },
    }),
    l.registerDocumentSymbolProvider(LANGUAGE, {
      async provideDocumentSymbols(document, token) {
        const got = await ask("documentSymbol", document, {}, token);
        return got && got.map(toSymbol);
      },
    }),
    l.registerFoldingRangeProvider(LANGUAGE, {
      async provideFoldingRanges(document, context_, token) {
        const got = await ask("foldingRange", document, {}, token);
        return got && got.map((f) => new vscode.FoldingRange(f.startLine, f.endLine,
          f.kind === "comment" ? vscode.FoldingRangeKind.Comment : undefined));
      },
    }),
    l.registerCodeActionsProvider(LANGUAGE, {
      async provideCodeActions(document, range, context_, token) {
        const got = await ask("codeAction", document, { range: fromRange(range), context: { diagnostics: [] } }, token);
        return got && got.map((a) => {
          const out = new vscode.CodeAction(a.title, vscode.CodeActionKind.QuickFix);
          out.edit = toWorkspaceEdit(a.edit);
          out.diagnostics = a.diagnostics.map(toDiagnostic);
          out.isPreferred = a.isPreferred;
          return out;
        });
      },
    }, { providedCodeActionKinds: [vscode.CodeActionKind.QuickFix] }),
    l.registerDocumentSemanticTokensProvider(LANGUAGE, {
      async provideDocumentSemanticTokens(document, token) {
        const got = await ask("semanticTokens/full", document, {}, token);
        return got && new vscode.SemanticTokens(Uint32Array.from(got.data));
      },
    }, new vscode.SemanticTokensLegend(legend.tokenTypes, legend.tokenModifiers)));
}

const CAPABILITIES = {
  general: { positionEncodings: ["utf-16"] },
  textDocument: {
    hover: { contentFormat: ["markdown"] },
    documentSymbol: { hierarchicalDocumentSymbolSupport: true },
    publishDiagnostics: { relatedInformation: true, versionSupport: true, tagSupport: { valueSet: [1] } },
    codeAction: { codeActionLiteralSupport: { codeActionKind: { valueSet: ["quickfix"] } } },
  },
};

function opened(document) {
  if (client && document.languageId === "merit")
    client.notify("textDocument/didOpen", { textDocument: {
      uri: document.uri.toString(), languageId: "merit", version: document.version, text: document.getText() } });
}

async function begin() {
  const command = vscode.workspace.getConfiguration("merit").get("path", "merit");
  const made = new Client(command, ["policy", "lsp"], {
    "textDocument/publishDiagnostics": (p) => findings.set(vscode.Uri.parse(p.uri), p.diagnostics.map(toDiagnostic)),
    "window/showMessage": (p) => vscode.window.showErrorMessage(p.message),
  }, (why) => {
    if (client === made) client = undefined;
    findings.clear();
    if (why !== 0) vscode.window.showErrorMessage(
      `\`${command} policy lsp\` has ended (${why}). Set merit.path to the merit program. ${made.errors.slice(-200)}`);
  });
  const got = await made.request("initialize", { processId: process.pid, rootUri: null, capabilities: CAPABILITIES });
  client = made;
  made.notify("initialized", {});
  legend = got.capabilities.semanticTokensProvider.legend;
  vscode.workspace.textDocuments.forEach(opened);
}

async function activate(context) {
  findings = vscode.languages.createDiagnosticCollection("merit");
  context.subscriptions.push(
    findings,
    vscode.commands.registerCommand("merit.restart", async () => {
      if (client) await client.stop();
      await begin();
    }),
    vscode.workspace.onDidOpenTextDocument(opened),
    vscode.workspace.onDidChangeTextDocument((e) => {
      if (client && e.document.languageId === "merit" && e.contentChanges.length)
        client.notify("textDocument/didChange", {
          textDocument: { ...identifier(e.document), version: e.document.version },
          contentChanges: e.contentChanges.map((c) => ({ range: fromRange(c.range), text: c.text })),
        });
    }),
    vscode.workspace.onDidCloseTextDocument((document) => {
      if (client && document.languageId === "merit")
        client.notify("textDocument/didClose", { textDocument: identifier(document) });
    }));
  try {
    await begin();
  } catch {
    return; // said by the message that the server has ended
  }
  register(context);
}

async function deactivate() {
  if (client) await client.stop();
}

module.exports = { activate, deactivate };
