"""A Hub on loopback that speaks what huggingface_hub 2.4 speaks, with accounts and faults.

Models, datasets and Spaces with branches and commits, private repositories, large files by LFS.
Reach it with HF_ENDPOINT, and HF_HUB_DISABLE_XET=1, in a process of its own: huggingface_hub reads
both when it is imported.
"""

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

LARGE = (".safetensors", ".parquet", ".onnx")
KINDS = {"models": "model", "datasets": "dataset", "spaces": "space"}
GITATTRIBUTES = b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"
REPO = r"/api/(?P<kinds>\w+)/(?P<id>[^/]+/[^/]+)"
PAGE = r"/((?P<kinds>datasets|spaces)/)?(?P<id>[^/]+/[^/]+)"
ROUTES = (
    ("GET", r"/api/whoami-v2", "whoami"),
    ("POST", r"/api/validate-yaml", "validate_yaml"),
    ("POST", r"/api/repos/create", "create"),
    ("POST", REPO + r"/preupload/(?P<rev>.+)", "preupload"),
    ("POST", REPO + r"/commit/(?P<rev>.+)", "commit"),
    ("POST", REPO + r"/branch/(?P<rev>.+)", "branch"),
    ("GET", REPO + r"/tree/(?P<rev>[^/]+)", "tree"),
    ("GET", REPO + r"(/revision/(?P<rev>.+))?", "info"),
    ("POST", PAGE + r"\.git/info/lfs/objects/batch", "lfs"),
    ("PUT", r"/lfs/(?P<kinds>\w+)/(?P<id>[^/]+/[^/]+)/(?P<oid>[0-9a-f]{64})", "put"),
    ("GET|HEAD", PAGE + r"/resolve/(?P<rev>[^/]+)/(?P<path>.+)", "resolve"),
    ("GET|HEAD", r"/", "front_page"),
)


class RefusedError(Exception):
    def __init__(self, status, message, code=None, **body):
        super().__init__(message)
        self.status, self.message, self.code, self.body = status, message, code, body


@dataclass
class Account:
    name: str
    role: str = "write"
    orgs: tuple[str, ...] = ()

    def may_write(self, owner):
        return self.role == "write" and owner in (self.name, *self.orgs)


@dataclass
class Repo:
    kind: str
    repo_id: str
    private: bool
    blobs: dict[str, bytes] = field(default_factory=dict)  # large files by SHA-256
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)  # sha: {path: content}
    branches: dict[str, str] = field(default_factory=dict)
    history: list[tuple[str, str]] = field(default_factory=list)  # (sha, summary)

    def __post_init__(self):
        self.add("main", {".gitattributes": GITATTRIBUTES}, "initial commit")

    def add(self, branch, files, summary):
        text = f"{self.repo_id}{len(self.history)}{summary}"
        sha = hashlib.sha1(text.encode()).hexdigest()
        self.commits[sha] = files
        self.branches[branch] = sha
        self.history.append((sha, summary))
        return sha

    def files(self, revision="main"):
        sha = self.branches.get(revision, revision)
        if sha not in self.commits:
            raise RefusedError(404, "Revision not found", "RevisionNotFound")
        return sha, self.commits[sha]

    @property
    def own_files(self):
        """Names on main, without what the Hub itself put there."""
        return sorted(set(self.files()[1]) - {".gitattributes"})


def is_large(path, size):
    return path.endswith(LARGE) or size > 10_000_000


def git_oid(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def etag_of(path, content):
    large = is_large(path, len(content))
    return hashlib.sha256(content).hexdigest() if large else git_oid(content)


class LocalHub(ThreadingHTTPServer):
    """Repositories, accounts by token, and faults that are taken in turn before a good answer."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port=0):
        super().__init__(("127.0.0.1", port), Handler)
        self.accounts = {
            "hf_me": Account("me", orgs=("clinic",)),
            "hf_reader": Account("me", role="read"),
            "hf_other": Account("other"),
        }
        self.repos = {}
        self.faults = []  # [method, pattern, times left, fault]
        self.asked = []  # "METHOD path" of each request
        self.lock = threading.RLock()
        self.released = threading.Event()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def repo(self, repo_id, kind="model"):
        return self.repos[kind, repo_id]

    def offer(self, repo_id, folder, *, kind="model", private=False):
        """Commit a folder as it is to a repository of that name; return the commit."""
        repo = self.repos.setdefault((kind, repo_id), Repo(kind, repo_id, private))
        files = {f.relative_to(folder).as_posix(): f for f in folder.rglob("*") if f.is_file()}
        contents = {name: file.read_bytes() for name, file in files.items()}
        return repo.add("main", {".gitattributes": GITATTRIBUTES, **contents}, "offered")

    def spoil(self, method, pattern, fault, times=1):
        """Let the next requests of a method, to paths with this pattern, meet a fault."""
        self.faults.append([method, pattern, times, fault])

    def heal(self):
        self.faults.clear()
        self.asked.clear()

    def take_fault(self, method, path):
        with self.lock:
            for entry in self.faults:
                if entry[2] and re.fullmatch(entry[0], method) and re.search(entry[1], path):
                    entry[2] -= 1
                    return entry[3]
        return None

    def handle_error(self, request, client_address):
        """Clients that hang up are part of the tests."""


class Handler(BaseHTTPRequestHandler):
    server: LocalHub

    def log_message(self, *args):
        pass

    def do_GET(self):
        path = unquote(urlsplit(self.path).path)
        self.server.asked.append(f"{self.command} {path}")
        fault = self.server.take_fault(self.command, path)
        if fault is not None and fault(self):
            return
        self.body = self.read_body()
        try:
            for methods, pattern, name in ROUTES:
                found = re.fullmatch(pattern, path)
                if found and self.command in methods.split("|"):
                    getattr(self, name)(**found.groupdict())
                    return
            raise RefusedError(404, f"No such endpoint: {self.command} {path}")
        except RefusedError as refused:
            headers = {"X-Error-Message": refused.message}
            if refused.code:
                headers["X-Error-Code"] = refused.code
            self.send_json({"error": refused.message, **refused.body}, refused.status, headers)

    do_POST = do_PUT = do_HEAD = do_GET  # noqa: N815 - the library's names

    def read_body(self):
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while length := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(length))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def send(self, status, body, headers):
        self.send_response(status)
        for name, value in {"Content-Length": len(body), **headers}.items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_json(self, value, status=200, headers=None):
        body = json.dumps(value).encode()
        self.send(status, body, {"Content-Type": "application/json", **(headers or {})})

    # Who asks, and for what.

    def account(self):
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if not token:
            return None
        if token not in self.server.accounts:
            raise RefusedError(401, "Invalid credentials in Authorization header")
        return self.server.accounts[token]

    def find(self, kinds, repo_id):
        account = self.account()
        repo = self.server.repos.get((KINDS.get(kinds or "models"), repo_id))
        owner = repo_id.split("/")[0]
        mine = account is not None and owner in (account.name, *account.orgs)
        if repo is None or (repo.private and not mine):
            raise RefusedError(404 if account else 401, "Repository not found", "RepoNotFound")
        return repo

    def find_to_write(self, kinds, repo_id):
        repo = self.find(kinds, repo_id)
        account = self.account()
        if account is None or not account.may_write(repo_id.split("/")[0]):
            raise RefusedError(403, "You don't have the rights to write here. Use a write token.")
        return repo

    # The endpoints, by the names in ROUTES.

    def front_page(self):
        self.send(200, b"a hub", {})

    def whoami(self):
        account = self.account()
        if account is None:
            raise RefusedError(401, "Invalid username or password.")
        orgs = [{"name": name, "type": "org", "roleInOrg": "write"} for name in account.orgs]
        token = {"displayName": "test", "role": account.role}
        auth = {"type": "access_token", "accessToken": token}
        self.send_json({"type": "user", "name": account.name, "orgs": orgs, "auth": auth})

    def validate_yaml(self):
        content = json.loads(self.body)["content"]
        errors = [] if content.startswith("---\n") else [{"message": "no front matter"}]
        self.send_json({"errors": errors, "warnings": []}, 400 if errors else 200)

    def create(self):
        asked = json.loads(self.body)
        account = self.account()
        if account is None:
            raise RefusedError(401, "Invalid username or password.")
        owner, kind = asked["organization"] or account.name, asked.get("type") or "model"
        if not account.may_write(owner):
            raise RefusedError(403, f"You don't have the rights to create a {kind} under {owner}")
        repo_id = f"{owner}/{asked['name']}"
        url = f"{self.server.url}/{'' if kind == 'model' else kind + 's/'}{repo_id}"
        with self.server.lock:
            if (kind, repo_id) in self.server.repos:
                raise RefusedError(409, f"You already created this {kind} repo", url=url)
            private = asked.get("visibility") == "private"
            self.server.repos[kind, repo_id] = Repo(kind, repo_id, private)
        self.send_json({"url": url, "id": repo_id})

    def branch(self, kinds, id, rev):  # noqa: A002 - as in ROUTES
        repo = self.find_to_write(kinds, id)
        if rev in repo.branches:
            raise RefusedError(409, f"Reference already exists: refs/heads/{rev}")
        repo.branches[rev] = repo.branches["main"]
        self.send_json({}, 201)

    def preupload(self, kinds, id, rev):  # noqa: A002
        _, files = self.find_to_write(kinds, id).files(rev)
        answer = []
        for file in json.loads(self.body)["files"]:
            path, large = file["path"], is_large(file["path"], file["size"])
            known = {"oid": etag_of(path, files[path])} if path in files else {}
            mode = "lfs" if large else "regular"
            answer.append({"path": path, "uploadMode": mode, "shouldIgnore": False, **known})
        self.send_json({"files": answer})

    def lfs(self, kinds, id):  # noqa: A002
        repo = self.find_to_write(kinds, id)
        objects = []
        for wanted in json.loads(self.body)["objects"]:
            href = f"{self.server.url}/lfs/{kinds or 'models'}/{id}/{wanted['oid']}"
            stored = wanted["oid"] in repo.blobs
            actions = {} if stored else {"actions": {"upload": {"href": href}}}
            objects.append({**wanted, **actions})
        self.send_json({"transfer": "basic", "objects": objects})

    def put(self, kinds, id, oid):  # noqa: A002
        # As a store does, by the secret in its address and without a token.
        if hashlib.sha256(self.body).hexdigest() != oid:
            raise RefusedError(400, "The content is not what its address says")
        self.server.repos[KINDS[kinds], id].blobs[oid] = self.body
        self.send(200, b"", {"ETag": oid})

    def commit(self, kinds, id, rev):  # noqa: A002
        repo = self.find_to_write(kinds, id)
        with self.server.lock:
            head, files = repo.files(rev)
            if rev not in repo.branches:
                raise RefusedError(400, "A commit can only go onto a branch")
            files, summary = dict(files), ""
            for line in self.body.splitlines():
                entry = json.loads(line)
                summary = self.apply(repo, head, files, entry) or summary
            sha = repo.add(rev, files, summary)
        self.send_json({"commitOid": sha, "commitUrl": f"{self.server.url}/{id}/commit/{sha}"})

    def apply(self, repo, head, files, entry):
        key, value = entry["key"], entry["value"]
        if key == "header":
            if value.get("parentCommit") not in (None, head):
                raise RefusedError(
                    412, "A commit has happened since. Please refresh and try again."
                )
            return value["summary"]
        if key == "file":
            files[value["path"]] = base64.b64decode(value["content"])
        elif key == "lfsFile":
            if value["oid"] not in repo.blobs:
                raise RefusedError(400, f"{value['path']} points to a file that was not uploaded")
            files[value["path"]] = repo.blobs[value["oid"]]
        elif key == "deletedFile":
            if files.pop(value["path"], None) is None:
                raise RefusedError(404, "A file with this name doesn't exist", "EntryNotFound")
        else:
            raise RefusedError(400, f"Unknown operation {key}")
        return None

    def info(self, kinds, id, rev=None):  # noqa: A002
        repo = self.find(kinds, id)
        sha, files = repo.files(rev or "main")
        fixed = {"_id": "0" * 24, "gated": False, "disabled": False, "downloads": 0, "likes": 0}
        dates = dict.fromkeys(("lastModified", "createdAt"), "2026-01-01T00:00:00.000Z")
        siblings = [{"rfilename": path} for path in sorted(files)]
        own = {"id": id, "sha": sha, "private": repo.private, "siblings": siblings, "tags": []}
        self.send_json({**fixed, **dates, **own})

    def tree(self, kinds, id, rev):  # noqa: A002
        _, files = self.find(kinds, id).files(rev)
        entries = []
        for path, content in sorted(files.items()):
            size, large = len(content), is_large(path, len(content))
            lfs = {"oid": etag_of(path, content), "size": size, "pointerSize": 130}
            entry = {"type": "file", "path": path, "size": size, "oid": git_oid(content)}
            entries.append({**entry, **({"lfs": lfs} if large else {})})
        self.send_json(entries)

    def resolve(self, kinds, id, rev, path):  # noqa: A002
        sha, files = self.find(kinds, id).files(rev)
        headers = {"X-Repo-Commit": sha}
        if path not in files:
            raise RefusedError(404, "Entry not found", "EntryNotFound")
        content = files[path]
        headers |= {"ETag": f'"{etag_of(path, content)}"', "Accept-Ranges": "bytes"}
        status, body = 200, content
        if found := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or ""):
            start, end = int(found[1]), int(found[2] or len(content) - 1)
            status, body = 206, content[start : end + 1]
            headers["Content-Range"] = f"bytes {start}-{end}/{len(content)}"
        # Served here and not by a redirect: the client's HEAD would follow that to this same host
        # and lose the commit.
        headers |= {"X-Linked-Size": len(content), "X-Linked-Etag": headers["ETag"]}
        change = getattr(self, "change", None)
        if change is None or self.command == "HEAD":
            self.send(status, body, headers)
        else:
            change(self, status, body, headers)


# Faults: called with the handler before anything is read; True if they have answered.


def answer(status, message="", **headers):
    """Answer with a status and nothing else."""

    def fault(handler):
        handler.read_body()
        extra = {name.replace("_", "-"): value for name, value in headers.items()}
        if message:
            extra["X-Error-Message"] = message
        handler.send_json({"error": message or f"fault {status}"}, status, extra)
        return True

    return fault


def hang_up(after=0):
    """Read a part of what is sent and close the connection."""

    def fault(handler):
        handler.rfile.read(after)
        handler.close_connection = True
        handler.connection.close()
        return True

    return fault


def wait(seconds):
    """Answer late, or never when the server goes first."""

    def fault(handler):
        handler.server.released.wait(seconds)
        return False

    return fault


def cut(share=0.5):
    """Send a part of a file and close the connection."""

    def change(handler, status, body, headers):
        handler.send(
            status, body[: int(len(body) * share)], {**headers, "Content-Length": len(body)}
        )
        handler.close_connection = True

    return changed(change)


def flip():
    """Send a file with one bit wrong, of the right length and under the right ETag."""

    def change(handler, status, body, headers):
        wrong = bytearray(body)
        wrong[len(wrong) // 2] ^= 1
        handler.send(status, bytes(wrong), headers)

    return changed(change)


def changed(change):
    def fault(handler):
        handler.change = change
        return False

    return fault
