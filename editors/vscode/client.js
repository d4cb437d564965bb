// JSON-RPC over the pipes of a language server: requests, answers, notifications. Needs nothing but Node.
"use strict";
const { spawn } = require("node:child_process");

class Client {
  // `handlers`: notification method -> function(params). `ended(code)` is called once, when the process is gone.
  constructor(command, args, handlers, ended) {
    this.handlers = handlers;
    this.waiting = new Map();
    this.next = 1;
    this.bytes = Buffer.alloc(0);
    this.process = spawn(command, args, { stdio: ["pipe", "pipe", "pipe"] });
    this.errors = "";
    this.process.stderr.on("data", (d) => (this.errors = (this.errors + d).slice(-4000)));
    this.process.stdout.on("data", (d) => this.read(d));
    this.process.stdin.on("error", () => {});
    const over = (why) => {
      if (!this.gone) {
        this.gone = true;
        for (const { reject } of this.waiting.values()) reject(new Error("the language server has ended"));
        this.waiting.clear();
        ended(why);
      }
    };
    this.process.on("error", (e) => over(e.message));
    this.process.on("exit", (code, name) => over(name || code));
  }

  read(data) {
    this.bytes = Buffer.concat([this.bytes, data]);
    for (;;) {
      const end = this.bytes.indexOf("\r\n\r\n");
      if (end < 0) return;
      const length = Number(/content-length: *(\d+)/i.exec(this.bytes.toString("latin1", 0, end))[1]);
      if (this.bytes.length < end + 4 + length) return;
      const body = this.bytes.toString("utf8", end + 4, end + 4 + length);
      this.bytes = this.bytes.subarray(end + 4 + length);
      this.take(JSON.parse(body));
    }
  }

  take(message) {
    const waits = message.method ? undefined : this.waiting.get(message.id);
    if (message.method) {
      const handler = this.handlers[message.method];
      if (handler) handler(message.params);
    } else if (waits) {
      this.waiting.delete(message.id);
      if (message.error) waits.reject(Object.assign(new Error(message.error.message), { code: message.error.code }));
      else waits.resolve(message.result);
    }
  }

  write(message) {
    if (this.gone) return;
    const body = Buffer.from(JSON.stringify({ jsonrpc: "2.0", ...message }));
    this.process.stdin.write(Buffer.concat([Buffer.from(`Content-Length: ${body.length}\r\n\r\n`), body]));
  }

  notify(method, params) {
    this.write({ method, params });
  }

  // `token` (may be absent) has onCancellationRequested, as VS Code's do.
  request(method, params, token) {
    if (this.gone) return Promise.reject(new Error("the language server has ended"));
    const id = this.next++;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.write({ id, method, params });
      if (token) token.onCancellationRequested(() => this.notify("$/cancelRequest", { id }));
    });
  }

  async stop() {
    if (this.gone) return;
    const gone = new Promise((resolve) => this.process.once("exit", resolve));
    await this.request("shutdown").catch(() => {});
    this.notify("exit");
    await gone;
  }
}

module.exports = { Client };
