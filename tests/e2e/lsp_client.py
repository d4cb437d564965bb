"""The language client of pygls on `merit policy lsp`, made synchronous: one loop in one thread."""
import asyncio
import concurrent.futures
import os
import re
import threading

from lsprotocol import types as t
from pygls.lsp.client import LanguageClient

from conftest import MERIT, REPORT, SLOW

ALL = t.ClientCapabilities(
    general=t.GeneralClientCapabilities(position_encodings=[t.PositionEncodingKind.Utf16]),
    text_document=t.TextDocumentClientCapabilities(
        hover=t.HoverClientCapabilities(content_format=[t.MarkupKind.Markdown]),
        document_symbol=t.DocumentSymbolClientCapabilities(hierarchical_document_symbol_support=True),
        publish_diagnostics=t.PublishDiagnosticsClientCapabilities(related_information=True, version_support=True),
        code_action=t.CodeActionClientCapabilities(code_action_literal_support=t.ClientCodeActionLiteralOptions(
            code_action_kind=t.ClientCodeActionKindOptions(value_set=[t.CodeActionKind.QuickFix])))))


class Client:
    """A session. Methods of pygls by their names: `ask("text_document_hover", params)`, `tell(...)`."""

    def __init__(self, folder, capabilities=ALL, encoding="utf-16"):
        self.encoding = encoding
        self.errors = b""
        self.published = {}
        self.messages = []
        self.changed = threading.Condition()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.client = LanguageClient("merit-test", "1")
        self.client.feature(t.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)(lambda p: self._published(p))
        self.client.feature(t.WINDOW_SHOW_MESSAGE)(lambda p: self._message(p))
        env = {k: v for k, v in os.environ.items() if k in ("PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS")}
        self._run(self.client.start_io(str(MERIT), "policy", "lsp", cwd=str(folder), env={**env, "HOME": str(folder)}))
        self.process = self.client._server
        self.stderr = asyncio.run_coroutine_threadsafe(self.process.stderr.read(), self.loop)
        self.documents = {}
        if encoding == "utf-8":
            capabilities = t.ClientCapabilities(
                general=t.GeneralClientCapabilities(position_encodings=[t.PositionEncodingKind.Utf8,
                                                                        t.PositionEncodingKind.Utf16]),
                text_document=capabilities.text_document)
        self.begun = self.ask("initialize", t.InitializeParams(capabilities=capabilities, process_id=os.getpid(),
                                                               root_uri=None))
        self.tell("initialized", t.InitializedParams())

    def _run(self, coroutine, seconds=20):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(seconds * SLOW)

    def _published(self, params):
        with self.changed:
            self.published.setdefault(params.uri, []).append(params)
            self.changed.notify_all()

    def _message(self, params):
        with self.changed:
            self.messages.append(params.message)
            self.changed.notify_all()

    def ask(self, method, params, seconds=20):
        try:
            return self._run(getattr(self.client, method + "_async")(params), seconds)
        except RuntimeError:
            # It has ended, which it should not: what it said says why.
            raise AssertionError(self.stderr.result(10).decode(errors="replace")[-6000:]) from None

    def send(self, method, params):
        """A request by its name in the protocol, without waiting: its future."""
        async def begin():
            return self.client.protocol.send_request(method, params)
        return self._run(begin())

    def tell(self, method, params):
        async def begin():
            getattr(self.client, method)(params)
        self._run(begin())

    # Documents.

    def open(self, uri, text, version=1):
        self.tell("text_document_did_open", t.DidOpenTextDocumentParams(
            t.TextDocumentItem(uri=uri, language_id="merit", version=version, text=text)))
        self.documents[uri] = version
        return uri

    def change(self, uri, *changes):
        """Whole texts, or ((line, character), (line, character), text)."""
        self.documents[uri] += 1
        events = []
        for c in changes:
            if isinstance(c, str):
                events.append(t.TextDocumentContentChangeWholeDocument(text=c))
            else:
                events.append(t.TextDocumentContentChangePartial(
                    range=t.Range(t.Position(*c[0]), t.Position(*c[1])), text=c[2]))
        self.tell("text_document_did_change", t.DidChangeTextDocumentParams(
            text_document=t.VersionedTextDocumentIdentifier(uri=uri, version=self.documents[uri]),
            content_changes=events))

    def close_document(self, uri):
        self.tell("text_document_did_close", t.DidCloseTextDocumentParams(t.TextDocumentIdentifier(uri)))
        del self.documents[uri]

    def text(self, uri):
        return self.send("merit/text", {"textDocument": {"uri": uri}}).result(20 * SLOW).text

    def diagnostics(self, uri, seconds=10):
        """Those of the document's newest version."""
        def newest():
            got = self.published.get(uri)
            return got and got[-1].version == self.documents[uri]
        with self.changed:
            assert self.changed.wait_for(newest, seconds * SLOW), self.published.get(uri)
            return list(self.published[uri][-1].diagnostics)

    def at(self, uri, method, place, **more):
        """A request about a place."""
        kind = {"text_document_hover": t.HoverParams, "text_document_definition": t.DefinitionParams,
                "text_document_prepare_rename": t.PrepareRenameParams, "text_document_completion": t.CompletionParams,
                "text_document_document_highlight": t.DocumentHighlightParams, "text_document_rename": t.RenameParams,
                "text_document_references": t.ReferenceParams}[method]
        if kind is t.ReferenceParams:
            more = {"context": t.ReferenceContext(include_declaration=True)} | more
        return self.ask(method, kind(text_document=t.TextDocumentIdentifier(uri), position=t.Position(*place), **more))

    # The end.

    def stop(self, code=0):
        if self.process.returncode is None:
            self.ask("shutdown", None)
            self.tell("exit", None)
        self.ended(code)

    def ended(self, code, seconds=10):
        async def wait():
            return await self.process.wait()
        try:
            got = self._run(wait(), seconds)
        except concurrent.futures.TimeoutError:
            self.process.kill()
            raise AssertionError("the server did not end") from None
        finally:
            self.errors = self.stderr.result(10) if self.process.returncode is not None else b""
            self.client._stop_event.set()
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.join(5)
        errors = self.errors.decode(errors="replace")
        assert not REPORT.search(errors), errors[-6000:]
        assert got == code, f"ended with {got}: {errors[-3000:]}"


def units(text, encoding):
    return len(text.encode("utf-8")) if encoding == "utf-8" else len(text.encode("utf-16-le")) // 2


def place(text, offset, encoding="utf-16"):
    """(line, character) of an offset in characters."""
    lines = re.split(r"\r\n|\r|\n", text[:offset])
    return len(lines) - 1, units(lines[-1], encoding)


def offset(text, position, encoding="utf-16"):
    """The offset in characters of a position."""
    at = 0
    for _ in range(position.line):
        m = re.compile(r"\r\n|\r|\n").search(text, at)
        at = m.end()
    count = 0
    while count < position.character:
        count += units(text[at], encoding)
        at += 1
    return at


def apply(text, edits, encoding="utf-16"):
    """The text after these edits, which do not overlap."""
    for e in sorted(edits, key=lambda e: (e.range.start.line, e.range.start.character), reverse=True):
        begin, end = offset(text, e.range.start, encoding), offset(text, e.range.end, encoding)
        text = text[:begin] + e.new_text + text[end:]
    return text
