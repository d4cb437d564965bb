"""An upstream whose every answer is scripted, byte for byte; it counts requests and sees who hangs up.

    with Mock() as mock:
        mock.script.append(error(429, headers={"Retry-After": "2"}))   # for the next request; then mock.default
        ... mock.url is the base of its API, mock.requests what came ...

A behaviour is a function (conn, request) -> bool: it sends what it likes with conn.send and says whether the
connection is kept. One thread per connection; loopback only.
"""
import contextlib
import json
import socket
import ssl
import threading
import time
import traceback


class Request:
    def __init__(self, head, body):
        lines = head.decode("latin-1").split("\r\n")
        self.method, self.target, self.version = lines[0].split(" ")
        self.headers = [tuple(part.strip() for part in line.split(":", 1)) for line in lines[1:] if line]
        self.head, self.body = head, body
        self.at = time.monotonic()
        self.gone = threading.Event()  # the peer went away before the answer was whole
        self.done = threading.Event()  # the behaviour has returned

    def header(self, name):
        values = [v for n, v in self.headers if n.lower() == name.lower()]
        return values[0] if values else None

    def json(self):
        return json.loads(self.body)


class Gone(Exception):
    pass


class Conn:
    def __init__(self, sock, request=None):
        self.sock, self.request = sock, request

    def send(self, data):
        try:
            self.sock.sendall(data if isinstance(data, bytes) else data.encode())
        except OSError:
            self.request.gone.set()
            raise Gone from None

    def sleep(self, seconds):
        """Waits; ends with Gone as soon as the peer hangs up."""
        end = time.monotonic() + seconds
        self.sock.settimeout(0.02)
        try:
            while time.monotonic() < end:
                try:
                    if self.sock.recv(1, socket.MSG_PEEK if not isinstance(self.sock, ssl.SSLSocket) else 0) == b"":
                        raise OSError
                    time.sleep(0.01)
                except (TimeoutError, ssl.SSLWantReadError):
                    pass
                except OSError:
                    self.request.gone.set()
                    raise Gone from None
        finally:
            with contextlib.suppress(OSError):
                self.sock.settimeout(30)

    def chunk(self, data):
        data = data if isinstance(data, bytes) else data.encode()
        self.send(b"%x\r\n%s\r\n" % (len(data), data))

    def reset(self):
        """Breaks the connection so that the peer sees a reset, not an end."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


class Mock:
    def __init__(self, default=None, tls=None, keep_alive=True, port=0):
        self.default = default or chat()
        self.script, self.requests = [], []
        self.connections = 0
        self.troubles = []  # of the mock itself: shown when a test fails
        self.lock, self.tls, self.keep_alive = threading.Lock(), tls, keep_alive
        self.listener = socket.create_server(("127.0.0.1", port), backlog=512)
        self.port = self.listener.getsockname()[1]
        self.stopping = False
        self.open = set()
        self.acceptor = threading.Thread(target=self._accept, daemon=True)
        self.acceptor.start()

    @property
    def url(self):
        return f"{'https' if self.tls else 'http'}://{'localhost' if self.tls else '127.0.0.1'}:{self.port}/v1"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.stopping = True
        # A thread left waiting in accept() would take a connection that is meant for the next listener.
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.acceptor.join(5)
        self.listener.close()
        with self.lock:
            for s in list(self.open):
                with contextlib.suppress(OSError):
                    s.shutdown(socket.SHUT_RDWR)

    def wait(self, count=1, seconds=90):
        """The first `count` requests, as soon as they are there."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with self.lock:
                if len(self.requests) >= count:
                    return self.requests[:count]
            time.sleep(0.005)
        raise AssertionError(f"{len(self.requests)} requests came, not {count}")

    def chats(self):
        return [r for r in self.requests if r.target.endswith("/chat/completions")]

    def _accept(self):
        while not self.stopping:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        with self.lock:
            self.connections += 1
            self.open.add(sock)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(30)
            if self.tls:
                sock = self.tls.wrap_socket(sock, server_side=True)
            data = b""
            while not self.stopping:
                while b"\r\n\r\n" not in data:
                    got = sock.recv(65536)
                    if not got:
                        return
                    data += got
                head, data = data.split(b"\r\n\r\n", 1)
                request = Request(head, b"")
                length = int(request.header("content-length") or 0)
                while len(data) < length:
                    got = sock.recv(65536)
                    if not got:
                        return
                    data += got
                request.body, data = data[:length], data[length:]
                with self.lock:
                    self.requests.append(request)
                    behave = self.script.pop(0) if self.script else self.default
                try:
                    keep = behave(Conn(sock, request), request)
                finally:
                    request.done.set()
                if not keep or not self.keep_alive:
                    return
        except (OSError, Gone) as e:
            self.troubles.append(repr(e))
        except Exception:
            self.troubles.append(traceback.format_exc())
        finally:
            with self.lock:
                self.open.discard(sock)
            with contextlib.suppress(OSError):
                sock.close()


# ------------------------------------------------------------------------------------------------- behaviours

USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}


def answer(conn, obj, status="200 OK", headers=None):
    body = obj if isinstance(obj, bytes) else json.dumps(obj).encode()
    head = {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})}
    conn.send(f"HTTP/1.1 {status}\r\n".encode() + "".join(f"{k}: {v}\r\n" for k, v in head.items()).encode() +
              b"\r\n" + body)


def sse_head(conn, headers=None, content_type="text/event-stream"):
    head = {"Content-Type": content_type, "Transfer-Encoding": "chunked", **(headers or {})}
    conn.send("HTTP/1.1 200 OK\r\n" + "".join(f"{k}: {v}\r\n" for k, v in head.items()) + "\r\n")


def event(model, delta, finish=None, index=0, **more):
    return "data: " + json.dumps({"id": "chatcmpl-mock1", "object": "chat.completion.chunk", "created": 1790000000,
                                  "model": model, "choices": [{"index": index, "delta": delta,
                                                               "finish_reason": finish}], **more}) + "\n\n"


def message(text, tool_calls=None):
    m = {"role": "assistant", "content": text}
    if tool_calls:
        m["content"], m["tool_calls"] = None, tool_calls
    return m


def tool_call(name, arguments, id="call_1"):
    return {"id": id, "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}


def chat(text="Hello from the mock.", tools=None, delay=0.0, usage=True, headers=None, extra=None, first=0.0):
    """A right answer, streamed when asked for; `tools` is a list of tool calls to answer with."""
    def behave(conn, r):
        body = r.json()
        model, n = body.get("model", "?"), body.get("n") or 1
        if first:
            conn.sleep(first)
        if not body.get("stream"):
            choices = [{"index": i, "message": message(text, tools), "logprobs": None,
                        "finish_reason": "tool_calls" if tools else "stop"} for i in range(n)]
            reply = {"id": "chatcmpl-mock1", "object": "chat.completion", "created": 1790000000, "model": model,
                     "choices": choices, **(extra or {})}
            if usage:
                reply["usage"] = USAGE
            answer(conn, reply, headers=headers)
            return True
        sse_head(conn, headers)
        for i in range(n):
            conn.chunk(event(model, {"role": "assistant", "content": None if tools else ""}, index=i))
            if tools:
                for j, t in enumerate(tools):
                    a = t["function"]["arguments"]
                    conn.chunk(event(model, {"tool_calls": [{**t, "index": j, "function": {
                        "name": t["function"]["name"], "arguments": ""}}]}, index=i))
                    for part in (a[:len(a) // 2], a[len(a) // 2:]):
                        conn.chunk(event(model, {"tool_calls": [{"index": j, "function": {"arguments": part}}]},
                                         index=i))
            else:
                for word in text.split(" "):
                    conn.chunk(event(model, {"content": ("" if word == text.split(" ")[0] else " ") + word}, index=i))
                    if delay:
                        conn.sleep(delay)
            conn.chunk(event(model, {}, "tool_calls" if tools else "stop", index=i))
        if usage and (body.get("stream_options") or {}).get("include_usage"):
            conn.chunk("data: " + json.dumps({"id": "chatcmpl-mock1", "object": "chat.completion.chunk", "created":
                                              1790000000, "model": model, "choices": [], "usage": USAGE}) + "\n\n")
        conn.chunk("data: [DONE]\n\n")
        conn.send(b"0\r\n\r\n")
        return True
    return behave


def error(status, text="went wrong", headers=None, code=None, type="server_error"):
    def behave(conn, r):
        answer(conn, {"error": {"message": text, "type": type, "param": None, "code": code}}, f"{status} X", headers)
        return True
    return behave


def raw(data, keep=False):
    """Exactly these bytes, then the end (or more requests when `keep`)."""
    def behave(conn, r):
        conn.send(data)
        return keep
    return behave


def close_at_once(conn, r):
    return False


def reset_at_once(conn, r):
    conn.reset()
    return False


def hang(conn, r):
    """Never answers; sees the peer leave."""
    conn.sleep(60)
    return False


def slow(seconds, then=None):
    def behave(conn, r):
        conn.sleep(seconds)
        return (then or chat())(conn, r)
    return behave


def endless(interval=0.02):
    """A stream without end."""
    def behave(conn, r):
        sse_head(conn)
        for i in range(100000):
            conn.chunk(event(r.json().get("model", "?"), {"content": f"{i} "}))
            conn.sleep(interval)
        return False
    return behave


def cut(events=3, reset=False, text="one two three four five six"):
    """A stream that breaks off in the middle."""
    def behave(conn, r):
        sse_head(conn)
        for word in text.split(" ")[:events]:
            conn.chunk(event(r.json().get("model", "?"), {"content": word + " "}))
        conn.sleep(0.05)
        if reset:
            conn.reset()
        return False
    return behave


def clean_end(events=3):
    """A stream that ends cleanly but without its terminal event."""
    def behave(conn, r):
        sse_head(conn)
        for i in range(events):
            conn.chunk(event(r.json().get("model", "?"), {"content": f"w{i} "}))
        conn.send(b"0\r\n\r\n")
        return True
    return behave


def error_event(events=2):
    """A stream with an error event in it."""
    def behave(conn, r):
        sse_head(conn)
        for i in range(events):
            conn.chunk(event(r.json().get("model", "?"), {"content": f"w{i} "}))
        conn.chunk('data: {"error": {"message": "overloaded", "type": "server_error", "code": null}}\n\n')
        return False
    return behave


def cut_body(conn, r):
    """A JSON answer that is shorter than it says."""
    conn.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{\"id\": \"chatcmpl")
    return False


def wrong_type(conn, r):
    answer(conn, b"<html><body>It works!</body></html>", headers={"Content-Type": "text/html"})
    return True


def big_headers(size=200_000):
    def behave(conn, r):
        answer(conn, {"ok": True}, headers={f"X-Filler-{i}": "x" * 900 for i in range(size // 1000)})
        return True
    return behave


def echo_headers(conn, r):
    """What came, as JSON: for looking at what passes."""
    answer(conn, {"headers": r.headers, "target": r.target, "method": r.method,
                  "body": r.body.decode("utf-8", "replace")})
    return True
