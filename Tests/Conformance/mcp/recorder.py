"""Stands between a client and the agent, and writes down every exchange: recorder.py BASE-URL FILE

Prints its own address, then serves until it is killed.
"""
import http.client
import json
import sys
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

base = urllib.parse.urlsplit(sys.argv[1])
out = open(sys.argv[2], "a", encoding="utf-8")
lock = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def exchange(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        connection = http.client.HTTPConnection(base.hostname, base.port, timeout=90)
        fields = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "connection", "accept-encoding")}
        connection.request(self.command, self.path, body or None, fields)
        answer = connection.getresponse()
        text = answer.read()
        with lock:
            json.dump({
                "method": self.command, "sent": body.decode(), "status": answer.status, "got": text.decode(),
                "version": self.headers.get("MCP-Protocol-Version"),
            }, out)
            out.write("\n")
            out.flush()
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "content-length", "transfer-encoding"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_DELETE = exchange

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(f"http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
