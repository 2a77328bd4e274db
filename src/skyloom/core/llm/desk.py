"""What every way of asking shares: looking a request up in the log, keeping a reply, booking it.

Flow     under core.llm.teacher (calls) and core.llm.waves (offline models and batches)
"""

from collections.abc import Callable

from skyloom.core.llm.account import Account
from skyloom.core.llm.chat import REFUSED, Reply, Request, Sampling, request_key
from skyloom.core.llm.request_log import RequestLog

Progress = Callable[[Account], None]


class Desk:
    """The log, the account and the progress display of one run of asking."""

    def __init__(
        self, sampling: Sampling, account: Account, log: RequestLog | None, on_progress: Progress | None
    ) -> None:
        self.account = account
        self.log = log
        self._sampling = sampling
        self._on_progress = on_progress
        if log is not None:
            log.forget_uses("account")

    def key(self, request: Request) -> bytes:
        """The request's key in the log."""
        return request_key(request, self._sampling)

    def find(self, key: bytes) -> Reply | None:
        """The reply that the log has, booked."""
        logged = None if self.log is None else self.log.get(key)
        return logged and self._booked(key, logged, logged=True)

    def keep(self, key: bytes, reply: Reply) -> Reply:
        """Log and book a reply that has just come, from the log's next flush on; returns the one that stands."""
        if reply.finish == REFUSED:
            self.account.failed(REFUSED)
        elif self.log is not None:
            reply = self.log.put(key, reply)
        return self._booked(key, reply, logged=False)

    def _booked(self, key: bytes, reply: Reply, *, logged: bool) -> Reply:
        first = self.log is None or self.log.first_use(key, "account")
        self.account.received(reply, logged=logged, first=first)
        if self._on_progress is not None:
            self._on_progress(self.account)
        return reply
