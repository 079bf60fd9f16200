"""Takes notifications over HTTP, HTTPS and SMTP, and writes each as a line of JSON into DIRECTORY/received."""

import email
import email.policy
import json
import pathlib
import random
import socket
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult

work = pathlib.Path(sys.argv[1])
lock = threading.Lock()


def keep(entry):
    with lock, (work / "received").open("a") as file:
        file.write(json.dumps(entry) + "\n")


class Web(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        keep({"by": "https" if self.server.secure else "http", "path": self.path,
              "headers": {name.lower(): value for name, value in self.headers.items()}, "body": body.decode()})
        self.send_response(204)
        self.end_headers()


class Mail:
    def __init__(self, name):
        self.name = name

    async def handle_DATA(self, server, session, envelope):
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        keep({"by": self.name, "tls": session.ssl is not None, "user": session.auth_data, "from": envelope.mail_from,
              "to": envelope.rcpt_tos, "headers": {k.lower(): str(v) for k, v in message.items()},
              "defects": [str(d) for d in message.defects], "text": message.get_content()})
        return "250 taken"


def authenticate(server, session, envelope, mechanism, data):
    good = data.login == b"agent" and data.password == b"the password"
    return AuthResult(success=good, auth_data="agent")


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(work / "certificate.pem", work / "key.pem")


class StartTLS(Controller):
    def factory(self):
        return SMTP(self.handler, tls_context=context, require_starttls=True, authenticator=authenticate,
                    auth_required=True, hostname="localhost")


class Plain(Controller):
    def factory(self):
        return SMTP(self.handler, authenticator=authenticate, auth_required=True, auth_require_tls=False,
                    hostname="localhost")


def web(secure):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Web)
    server.secure = secure
    if secure:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


def free_port():
    """A port below those that the kernel gives to whoever asks for any, so that nobody is given it meanwhile."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass


ports = {"http": web(False), "https": web(True)}
for name, kind, extra in [("smtp", Plain, {}), ("starttls", StartTLS, {}), ("smtps", Plain, {"ssl_context": context})]:
    ports[name] = free_port()
    kind(Mail(name), hostname="127.0.0.1", port=ports[name], **extra).start()
(work / "ports.new").write_text(json.dumps(ports))
(work / "ports.new").rename(work / "ports.json")
threading.Event().wait()
