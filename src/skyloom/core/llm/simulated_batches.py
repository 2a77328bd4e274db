"""The batch API of the simulated teacher: files go up, a batch runs for a while, two files come back.

Source   OpenAI batch API (platform.openai.com/docs/guides/batch)
Flow     core.llm.simulated serves it beside the chat API; core.llm.batch_api is its client
Limits   Everything is kept in memory. Paid requests are counted when a batch is created, as a vendor would charge for them.
"""

import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import BodyPartReader, web
from pydantic import BaseModel, ValidationError

MOST_BYTES = 200_000_000
MOST_REQUESTS = 50_000
Answer = Callable[[bytes], tuple[int, bytes]]
"""(body of a chat request) -> (status, body of the answer); status 0: the request is never answered and expires."""


@dataclass(slots=True)
class _Running:
    """One batch."""

    id: str
    file: str
    ready_at: float
    problem: str = ""
    results: tuple[str, str] | None = None
    """Ids of the files of answers and of errors, once it is over."""
    expired: bool = False


class SimulatedBatches:
    """Handlers of /v1/files and /v1/batches; belongs to one event loop."""

    def __init__(self, answer: Answer, latency_s: Callable[[], float], counts: "Counter[str]") -> None:
        """`latency_s`: how long a batch runs that is created now; `counts`: uploads, batches, batch_requests are counted there."""
        self._answer = answer
        self._latency_s = latency_s
        self._counts = counts
        self._files: dict[str, bytes] = {}
        self._batches: dict[str, _Running] = {}

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Under /v1."""
        router.add_post("/v1/files", self._upload)
        router.add_get("/v1/files/{id}/content", self._content)
        router.add_post("/v1/batches", self._create)
        router.add_get("/v1/batches", self._list)
        router.add_get("/v1/batches/{id}", self._show)

    async def _upload(self, request: web.Request) -> web.Response:
        lines = bytearray()
        purpose = ""
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader):
                return _error(400, "nested forms are not read")
            if part.name == "purpose":
                purpose = (await part.text())[:100]
            while part.name == "file" and (chunk := await part.read_chunk(1 << 20)):
                lines += chunk
                if len(lines) > MOST_BYTES:
                    return _error(413, f"a file of more than {MOST_BYTES:,} bytes")
        if purpose != "batch" or not lines:
            return _error(400, "expected a form with purpose=batch and a file")
        self._counts["uploads"] += 1
        return web.json_response({"id": self._kept(bytes(lines)), "object": "file", "purpose": purpose})

    async def _content(self, request: web.Request) -> web.Response:
        data = self._files.get(request.match_info["id"])
        return _error(404, "no such file") if data is None else web.Response(body=data)

    async def _create(self, request: web.Request) -> web.Response:
        try:
            asked = _Wanted.model_validate_json(await request.read())
        except ValidationError as error:
            return _error(400, str(error.errors()[0]["msg"]))
        if asked.input_file_id not in self._files:
            return _error(404, "no such file")
        batch = _Running(f"batch-{len(self._batches)}", asked.input_file_id, time.monotonic() + self._latency_s())
        count = self._files[batch.file].count(b"\n")
        if count > MOST_REQUESTS:
            batch.problem = f"{count:,} requests are more than {MOST_REQUESTS:,}"
        self._counts["batches"] += 1
        self._counts["batch_requests"] += count
        self._batches[batch.id] = batch
        return web.json_response(self._state(batch))

    async def _list(self, request: web.Request) -> web.Response:
        limit = int(request.query.get("limit", "20"))
        newest = list(self._batches.values())[::-1]
        ids = [batch.id for batch in newest]
        start = ids.index(request.query["after"]) + 1 if request.query.get("after") in ids else 0
        page = newest[start : start + limit]
        return web.json_response(
            {"object": "list", "data": [self._state(batch) for batch in page], "has_more": start + limit < len(newest)}
        )

    async def _show(self, request: web.Request) -> web.Response:
        batch = self._batches.get(request.match_info["id"])
        if batch is None:
            return _error(404, "no such batch")
        if batch.results is None and not batch.problem and time.monotonic() >= batch.ready_at:
            self._run(batch)
        return web.json_response(self._state(batch))

    def _run(self, batch: _Running) -> None:
        answers, errors = list[str](), list[str]()
        for line in self._files[batch.file].splitlines():
            asked = json.loads(line)
            status, body = self._answer(json.dumps(asked["body"]).encode())
            head = {"id": f"request-{asked['custom_id']}", "custom_id": asked["custom_id"]}
            if status == 0:
                batch.expired = True
                problem = {"code": "batch_expired", "message": "not answered within the completion window"}
                errors.append(json.dumps({**head, "response": None, "error": problem}))
                continue
            response = {"status_code": status, "body": json.loads(body)}
            into = answers if status == 200 else errors
            into.append(json.dumps({**head, "response": response, "error": None}))
        batch.results = tuple(self._kept("".join(f"{each}\n" for each in part).encode()) for part in (answers, errors))  # pyright: ignore

    def _state(self, batch: _Running) -> dict[str, Any]:  # Any: JSON
        status = "failed" if batch.problem else "in_progress"
        if batch.results is not None:
            status = "expired" if batch.expired else "completed"
        answers, errors = batch.results or (None, None)
        return {
            "id": batch.id,
            "object": "batch",
            "status": status,
            "input_file_id": batch.file,
            "output_file_id": answers if answers and self._files[answers] else None,
            "error_file_id": errors if errors and self._files[errors] else None,
            "errors": {"data": [{"message": batch.problem}]} if batch.problem else None,
        }

    def _kept(self, data: bytes) -> str:
        name = f"file-{len(self._files)}"
        self._files[name] = data
        return name


class _Wanted(BaseModel):
    input_file_id: str
    endpoint: str
    completion_window: str


def _error(status: int, message: str) -> web.Response:
    return web.json_response({"error": {"message": message, "code": status}}, status=status)
