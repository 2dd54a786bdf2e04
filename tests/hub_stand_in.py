"""A stand-in for the Hugging Face hub on this machine; tests/checkpoint/conftest.py runs it."""

import json
import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SHA = "1" * 40
NOT_NEEDED = {"README.md", "modeling_gpt2.py", "pytorch_model.bin", "tf_model.h5", "model.fp16.safetensors",
              "onnx/model.onnx", "onnx/config.json"}  # fmt: skip


class StandIn(BaseHTTPRequestHandler):
    """The hub's answers that huggingface_hub asks for, from `server.repos`: {id: {file: bytes}}."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = self.path.partition("?")[0].strip("/").split("/")
        if path[:2] == ["api", "models"]:
            self.api("/".join(path[2:4]), path[4:])
        elif len(path) > 4 and path[2] == "resolve":
            self.file("/".join(path[:2]), "/".join(path[4:]))
        else:
            self.answer(404, b"")

    def api(self, repo, rest):
        if repo == "tests/gated":
            self.answer(403, b"", {"X-Error-Code": "GatedRepo"})
        elif repo == "tests/down":
            self.answer(500, b"")
        elif repo not in self.server.repos:
            self.answer(401, b"", {"X-Error-Code": "RepoNotFound"})
        else:
            files = self.server.repos[repo]
            if rest[:1] == ["tree"]:
                found = [{"type": "file", "path": f, "size": len(b), "oid": self.etag(b)} for f, b in files.items()]
            else:
                found = {"id": repo, "sha": SHA, "siblings": [{"rfilename": name} for name in files]}
            self.answer(200, json.dumps(found).encode(), {"Content-Type": "application/json"})

    def file(self, repo, name):
        content = self.server.repos.get(repo, {}).get(name)
        if content is None:
            return self.answer(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": SHA})
        headers = {"X-Repo-Commit": SHA, "ETag": f'"{self.etag(content)}"'}
        headers["Content-Disposition"] = f'inline; filename="{name}";'
        if self.command == "GET":
            self.server.served.append(name)
            if repo == "tests/broken" and name == "model.safetensors":
                return self.answer(500, b"")
            if self.server.stall and name == "model.safetensors":
                return self.answer(200, content, headers, stall=True)
        start = self.headers.get("Range")
        if start:
            first = int(start.removeprefix("bytes=").split("-")[0])
            headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
            return self.answer(206, content[first:], headers)
        return self.answer(200, content, headers)

    @staticmethod
    def etag(content):
        return re.sub(r"\W", "", f"{len(content)}x{hash(content)}")

    def answer(self, status, body, headers=None, stall=False):
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if stall:
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            self.server.stalled.set()
            self.server.released.wait(600)
        else:
            self.wfile.write(body)


class Server(ThreadingHTTPServer):
    """Threads that no test waits for; a client that was killed is no error to print into another test's output."""

    daemon_threads = True

    def handle_error(self, request, client_address):
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)
