"""A vendor's batch API as a teacher: requests go up as a file, the replies come back as one, for half the price and within a day.

Formula  a request's `custom_id` is its key in the log, so a reply finds its place whatever run asked for it
Source   OpenAI batch API (platform.openai.com/docs/guides/batch): at most 50,000 requests and 200 MB a file; vLLM, Groq, Mistral
         and Together speak the same form
Flow     core.llm.teacher's backend "batch", through core.llm.waves
Kills    the file's id is logged before the batch is created and the batch's id right after, both until the replies are logged: a
         killed run finds its batches again, asks the server for one whose id it did not live to see, and pays for none twice
Faults   lines that failed or expired are asked again in the next batch; a server that is gone is waited for; a batch that was
         cancelled or never accepted ends the run (FailedWork), with what it brought in the log
"""

import asyncio
import json
import logging
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, TypeVar

import aiohttp
from pydantic import BaseModel, Field, ValidationError

from skyloom.core.errors import FailedWork
from skyloom.core.llm.chat import (
    MAX_REPLY_BYTES,
    REFUSED,
    Reply,
    Request,
    TornReply,
    parse,
    payload,
    refusal,
    request_key,
)
from skyloom.core.llm.pace import Outage, backoff, retry_after
from skyloom.core.llm.request_log import Batch, RequestLog
from skyloom.core.llm.teacher import TeacherConfig, passes, sampling_of, turned_away

MOST_REQUESTS = 50_000
MOST_BYTES = 200_000_000
ENDPOINT = "/v1/chat/completions"
OVER = frozenset({"completed", "expired", "cancelled", "failed"})
M = TypeVar("M", bound=BaseModel)


class BatchApi:
    """Answers waves through batches; without a log it works, and a killed run pays again."""

    def __init__(self, config: TeacherConfig, url: str, headers: dict[str, str], log: RequestLog | None) -> None:
        """`url`: the address of the chat completions, beside which files and batches lie."""
        self._config = config
        self._base = url.removesuffix("/chat/completions")
        self._headers = headers
        self._log = log
        self._outage = Outage(self._base, config.patience_s)
        self._empty = 0

    def recover(self) -> None:
        """Fetch what an earlier run paid for into the log."""
        if self._log is None:
            return
        begun = [self._found(batch) for batch in self._log.batches]
        for key, reply in self._finished([batch for batch in begun if batch is not None]):
            if reply.finish != REFUSED:
                self._log.put(key, reply)
        self._log.flush()

    def __call__(self, requests: Sequence[Request]) -> Iterator[tuple[int, Reply]]:
        """Replies, batch by batch as they are over."""
        numbers = {request_key(request, sampling_of(self._config)): number for number, request in enumerate(requests)}
        begun = [self._begun(part) for part in self._parts(requests)]
        came = 0
        for key, reply in self._finished(begun):
            if key in numbers:
                came += 1
                yield numbers[key], reply
        self._empty = 0 if came else self._empty + 1
        if self._empty >= self._config.retries:
            raise FailedWork(f"{self._base}: {self._empty} batches in a row brought no reply; run again to go on")

    def _parts(self, requests: Sequence[Request]) -> Iterator[bytes]:
        """The upload files: one JSON line a request."""
        lines: list[bytes] = []
        size = 0
        for request in requests:
            body = json.loads(payload(request, sampling_of(self._config), seeded=self._config.send_seed))
            key = request_key(request, sampling_of(self._config)).hex()
            line = json.dumps({"custom_id": key, "method": "POST", "url": ENDPOINT, "body": body}).encode() + b"\n"
            if lines and (len(lines) == MOST_REQUESTS or size + len(line) > MOST_BYTES):
                yield b"".join(lines)
                lines, size = [], 0
            lines.append(line)
            size += len(line)
        yield b"".join(lines)

    def _begun(self, lines: bytes) -> Batch:
        file = self._read(_Made, "POST", "/files", upload=lines).id
        if self._log is not None:
            self._log.begin_batch(Batch(file, None))
        return self._created(file)

    def _created(self, file: str) -> Batch:
        """A batch for an uploaded file; looked for before it is asked for again, since a lost reply may hide a batch that exists."""
        body = {"input_file_id": file, "endpoint": ENDPOINT, "completion_window": "24h"}
        tries = 0
        while True:
            try:
                made = self._parsed(_Made, self._once("POST", "/batches", data=json.dumps(body).encode())).id
            except _Away as fault:
                self._wait(fault, tries)
                tries += 1
                made = self._listed(file)
            if made is not None:
                batch = Batch(file, made)
                if self._log is not None:
                    self._log.begin_batch(batch)
                return batch

    def _found(self, batch: Batch) -> Batch | None:
        """A logged batch with its id; None, and forgotten, where it was never created."""
        made = batch.batch or self._listed(batch.file)
        if made is None and self._log is not None:
            self._log.end_batch(batch.file)
        return None if made is None else Batch(batch.file, made)

    def _listed(self, file: str) -> str | None:
        after = ""
        while True:
            page = self._read(_Page, "GET", f"/batches?limit=100{after}")
            hit = next((each.id for each in page.data if each.input_file_id == file), None)
            if hit is not None or not page.has_more or not page.data:
                return hit
            after = f"&after={page.data[-1].id}"

    def _finished(self, begun: Sequence[Batch]) -> Iterator[tuple[bytes, Reply]]:
        """The replies of each batch when it is over, by key; the batch is forgotten when the caller has taken them all."""
        running = list(begun)
        while running:
            for batch in list(running):
                state = self._read(_State, "GET", f"/batches/{batch.batch}")
                if state.status not in OVER:
                    continue
                running.remove(batch)
                for file in (state.output_file_id, state.error_file_id):
                    if file:
                        yield from self._replies(file)
                if self._log is not None:
                    self._log.end_batch(batch.file)
                if state.status in ("failed", "cancelled"):
                    why = "; ".join(each.message for each in state.errors.data) if state.errors else "by someone"
                    raise FailedWork(f"{self._base}: batch {state.id} {state.status}: {why}; run again to go on")
            if running:
                time.sleep(self._config.poll_s)

    def _replies(self, file: str) -> Iterator[tuple[bytes, Reply]]:
        with tempfile.TemporaryFile() as store:
            self._patiently("GET", f"/files/{file}/content", into=store)
            store.seek(0)
            for line in store:
                found = _outcome(line)
                if found is not None:
                    yield found

    def _read(self, kind: type[M], method: str, path: str, upload: bytes | None = None) -> M:
        return self._parsed(kind, self._patiently(method, path, upload=upload))

    def _parsed(self, kind: type[M], answer: bytes) -> M:
        try:
            return kind.model_validate_json(answer)
        except ValidationError as error:
            raise FailedWork(f"{self._base}: not what a batch API answers: {error.errors()[0]['msg']}") from error

    def _patiently(self, method: str, path: str, *, upload: bytes | None = None, into: BinaryIO | None = None) -> bytes:
        """The answer's body, asked for until the server is there; only for what may be asked twice."""
        tries = 0
        while True:
            try:
                return self._once(method, path, upload=upload, into=into)
            except _Away as fault:
                self._wait(fault, tries)
                tries += 1

    def _wait(self, fault: "_Away", tries: int) -> None:
        self._outage.fault(str(fault))
        time.sleep(max(backoff(self._config.seed, self._base.encode(), tries), fault.wait_s))

    def _once(
        self,
        method: str,
        path: str,
        *,
        data: bytes | None = None,
        upload: bytes | None = None,
        into: BinaryIO | None = None,
    ) -> bytes:
        try:
            answer = asyncio.run(self._send(method, path, data, upload, into))
        except TimeoutError as error:
            raise _Away(f"timeout {self._config.timeout_s:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise _Away(f"connection {error or type(error).__name__}") from error
        self._outage.success()
        return answer

    async def _send(
        self, method: str, path: str, data: bytes | None, upload: bytes | None, into: BinaryIO | None
    ) -> bytes:
        form = None if upload is None else _form(upload)
        kind = {} if data is None else {"Content-Type": "application/json"}
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=self._config.timeout_s)) as session,
            session.request(
                method,
                self._base + path,
                data=data if form is None else form,
                headers={**self._headers, **kind},
                allow_redirects=False,
            ) as response,
        ):
            if response.status not in (200, 201):
                _judge(response, await response.content.read(200))
            if into is None:
                return await _body(response)
            into.seek(0)
            into.truncate()
            async for chunk in response.content.iter_chunked(1 << 20):
                into.write(chunk)
            return b""


class _Away(Exception):
    """The server is gone or too busy."""

    def __init__(self, what: str, wait_s: float = 0.0) -> None:
        super().__init__(what)
        self.wait_s = wait_s


def _judge(response: aiohttp.ClientResponse, data: bytes) -> None:
    """What a status other than success means: always raises."""
    status, said = response.status, " ".join(data.decode("utf-8", "replace").split())
    if passes(status):
        raise _Away(f"{status} {said}", retry_after(response.headers.get("Retry-After", "")))
    turned_away(response, said, "no batch API here", "check teacher.url, or use backend=http")
    raise FailedWork(f"{response.url}: refused ({status}): {said}")


async def _body(response: aiohttp.ClientResponse) -> bytes:
    data = bytearray()
    async for chunk in response.content.iter_any():
        data += chunk
        if len(data) > MAX_REPLY_BYTES:
            raise FailedWork(f"{response.url}: an answer of more than {MAX_REPLY_BYTES:,} bytes")
    return bytes(data)


def _form(lines: bytes) -> aiohttp.FormData:
    form = aiohttp.FormData()
    form.add_field("purpose", "batch")
    form.add_field("file", lines, filename="requests.jsonl", content_type="application/jsonl")
    return form


def _outcome(line: bytes) -> tuple[bytes, Reply] | None:
    """Key and reply of one line of an output or error file; None: to be asked again."""
    try:
        said = _Line.model_validate_json(line)
        key = bytes.fromhex(said.custom_id)
        if said.response is None:
            return None
        if said.response.status_code == 200:
            return key, parse(json.dumps(said.response.body).encode())
    except (ValidationError, TornReply, ValueError) as error:
        logging.getLogger(__name__).warning("a line of a batch cannot be read and will be asked again: %s", error)
        return None
    if said.response.status_code in (408, 409, 425, 429) or said.response.status_code >= 500:
        return None
    logging.getLogger(__name__).warning(
        "a request was refused (%d): %s", said.response.status_code, line[:200].decode()
    )
    return key, refusal()


class _Made(BaseModel):
    id: str


class _Listed(BaseModel):
    id: str
    input_file_id: str = ""


class _Page(BaseModel):
    data: list[_Listed]
    has_more: bool = False


class _Problem(BaseModel):
    message: str = ""


class _Problems(BaseModel):
    data: list[_Problem] = Field(default_factory=list[_Problem])


class _State(BaseModel):
    id: str
    status: str
    output_file_id: str | None = None
    error_file_id: str | None = None
    errors: _Problems | None = None


class _Answered(BaseModel):
    status_code: int
    body: Any = None  # Any: a chat completion, or an error of the vendor's form


class _Line(BaseModel):
    custom_id: str
    response: _Answered | None = None
