"""TLS on both sides, with a certificate authority of our own; and nginx as the upstream."""
import http.client
import json
import shutil
import signal
import ssl
import subprocess

import openai
import pytest

import mock_upstream as up
from conftest import SLOW, free_port, policy_text, run_program, until
from mock_upstream import Mock


def openssl(folder, *args):
    subprocess.run(["openssl", *map(str, args)], cwd=folder, check=True, capture_output=True)


def certificate(folder, name, hosts, ca=None):
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key", "-days", "30",
           "-subj", f"/CN={name}"]
    if ca is None:
        openssl(folder, "req", "-x509", *key, "-out", f"{name}.pem", "-addext", "basicConstraints=critical,CA:TRUE")
        return
    openssl(folder, "req", "-new", *key, "-out", f"{name}.csr")
    (folder / f"{name}.ext").write_text("subjectAltName=" + ",".join(hosts) + "\nbasicConstraints=CA:FALSE\n")
    openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-CA", f"{ca}.pem", "-CAkey", f"{ca}.key", "-CAcreateserial",
            "-days", "30", "-extfile", f"{name}.ext", "-out", f"{name}.pem")


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pki")
    certificate(folder, "ca", [])
    certificate(folder, "server", ["DNS:localhost", "IP:127.0.0.1"], "ca")
    certificate(folder, "second", ["DNS:localhost", "DNS:second.test", "IP:127.0.0.1"], "ca")
    certificate(folder, "wrong", ["DNS:wrong.test"], "ca")
    certificate(folder, "stranger", [])
    return folder


def server_context(pki, name):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    c.load_cert_chain(pki / f"{name}.pem", pki / f"{name}.key")
    return c


def tls_flags(pki, name="server"):
    return ["--listen", "127.0.0.1:{port} tls", "--tls-certificate", f"{pki}/{name}.pem {pki}/{name}.key"]


def begin(start, pki, policy, *flags):
    return start(policy, *tls_flags(pki), "--admin-listen", "off", *flags, listen_flags=False)


def peer_name(m, pki, server_name="localhost"):
    import socket
    c = ssl.create_default_context(cafile=pki / "ca.pem")
    with socket.create_connection(("127.0.0.1", m.port), 5) as s, c.wrap_socket(s, server_hostname=server_name) as t:
        return dict(x[0] for x in t.getpeercert()["subject"])["commonName"]


@pytest.mark.threads
def test_tls_to_the_client(start, mock, pki):
    m = begin(start, pki, policy_text({"small": mock.url}))
    with openai.OpenAI(base_url=f"https://localhost:{m.port}/v1", api_key="k", max_retries=0,
                       http_client=openai.DefaultHttpxClient(verify=ssl.create_default_context(cafile=pki / "ca.pem"))
                       ) as c:
        messages = [{"role": "user", "content": "x"}]
        for _ in range(3):
            assert c.chat.completions.create(model="auto", messages=messages).choices[0].message.content
        chunks = list(c.chat.completions.create(model="auto", messages=messages, stream=True))
        assert chunks[-1].choices[0].finish_reason == "stop"


def test_curl_speaks_tls(start, mock, pki, scratch):
    m = begin(start, pki, policy_text({"small": mock.url}))
    r = run_program(["curl", "-sS", "--cacert", pki / "ca.pem", f"https://localhost:{m.port}/health"], scratch)
    assert r.returncode == 0
    assert run_program(["curl", "-sS", "--tls-max", "1.1", "--cacert", pki / "ca.pem",
                        f"https://localhost:{m.port}/health"], scratch, check=False).returncode != 0


def test_plain_http_to_a_tls_port(start, mock, pki):
    m = begin(start, pki, policy_text({"small": mock.url}))
    m.raw(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n", timeout=3)
    assert peer_name(m, pki) == "server"


def test_certificate_reload(start, mock, pki, scratch):
    for kind in ("pem", "key"):
        shutil.copy(pki / f"server.{kind}", scratch / f"live.{kind}")
    m = start(policy_text({"small": mock.url}), "--listen", "127.0.0.1:{port} tls", "--tls-certificate",
              f"{scratch}/live.pem {scratch}/live.key", "--admin-listen", "off", listen_flags=False)
    assert peer_name(m, pki) == "server"
    for kind in ("pem", "key"):
        shutil.copy(pki / f"second.{kind}", scratch / f"live.{kind}")
    m.signal(signal.SIGHUP)
    until(lambda: peer_name(m, pki) == "second")
    (scratch / "live.pem").write_text("not a certificate")
    m.signal(signal.SIGHUP)
    until(lambda: "certificate" in m.errors().lower() or "tls" in m.errors().lower())
    assert peer_name(m, pki) == "second"


def test_sni(start, mock, pki):
    m = begin(start, pki, policy_text({"small": mock.url}), "--tls-certificate",
              f"{pki}/server.pem {pki}/server.key", "--tls-certificate", f"{pki}/second.pem {pki}/second.key second.test")
    assert peer_name(m, pki, "second.test") == "second"


def test_tls_to_the_upstream(start, pki):
    with Mock(tls=server_context(pki, "server")) as mock:
        m = start(policy_text({"small": mock.url}), "--upstream-roots", pki / "ca.pem")
        assert m.chat()[0] == 200
        code, _, body = m.chat(stream=True)
        assert code == 200 and body.rstrip().endswith(b"[DONE]")


@pytest.mark.parametrize("why", ["wrong name", "unknown root"])
def test_upstream_certificates_are_checked(start, pki, why):
    with Mock(tls=server_context(pki, {"wrong name": "wrong", "unknown root": "stranger"}[why])) as mock:
        m = start(policy_text({"small": mock.url}), "--upstream-roots", pki / "ca.pem")
        code, _, body = m.chat()
        assert code == 502 and json.loads(body)["error"]["message"]
        assert not mock.requests


def test_cut_of_a_tls_stream_is_no_clean_end(start, mock, pki):
    mock.default = up.cut()
    m = begin(start, pki, policy_text({"small": mock.url}))
    c = http.client.HTTPSConnection("localhost", m.port, timeout=10 * SLOW,
                                    context=ssl.create_default_context(cafile=pki / "ca.pem"))
    c.request("POST", "/v1/chat/completions", json.dumps({"model": "auto", "stream": True, "messages": [
        {"role": "user", "content": "x"}]}))
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError, ssl.SSLError)):
        c.getresponse().read()


def test_nginx_as_upstream(start, mock, scratch):
    """Merit -> nginx -> the scripted upstream, as behind a company's own balancer."""
    port, conf = free_port(), scratch / "nginx.conf"
    conf.write_text(f"""
daemon off; worker_processes 1; pid {scratch}/nginx.pid; error_log {scratch}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log off; keepalive_timeout 1s;
  client_body_temp_path {scratch}/b; proxy_temp_path {scratch}/p; fastcgi_temp_path {scratch}/f;
  uwsgi_temp_path {scratch}/u; scgi_temp_path {scratch}/s;
  server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://127.0.0.1:{mock.port}; proxy_buffering off; }} }}
}}
""")
    nginx = subprocess.Popen([shutil.which("nginx") or "/usr/sbin/nginx", "-c", str(conf)], stderr=subprocess.DEVNULL)
    try:
        m = start(policy_text({"small": f"http://127.0.0.1:{port}/v1"}))
        until(lambda: m.chat()[0] == 200)
        import time
        for _ in range(3):  # kept connections that nginx closes in between
            code, _, body = m.chat(stream=True)
            assert code == 200 and body.rstrip().endswith(b"[DONE]")
            time.sleep(1.1)
        mock.default = up.cut()
        # nginx cuts the chunked answer without its last chunk when its upstream is gone.
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            m.chat(stream=True)
    finally:
        nginx.terminate()
        nginx.wait(10)
