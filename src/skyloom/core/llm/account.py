"""What the teacher has cost so far, and whether one more call can be paid.

Formula  money = (prompt tokens * price_in + completion tokens * price_out) / 10^6, logged replies included: what these results
         cost. A call in flight reserves its worst case (a token a byte of the prompt, max_tokens of reply), so that the
         replies which arrive never overdraw the budget
Flow     core.llm.teacher keeps one a run and hands it to progress displays and reports
Limits   Calls that a server charges for and whose reply is lost on the way are counted as faults, not as money.
"""

from dataclasses import dataclass, field

from skyloom.core.errors import FailedWork
from skyloom.core.llm.chat import Reply


@dataclass(kw_only=True, slots=True)
class Account:
    """Running counts of one run; belongs to one event loop."""

    price_in: float
    """Per million prompt tokens, in the currency of the budget."""
    price_out: float
    """Per million completion tokens."""
    budget: float | None
    """Money at which asking stops; None: no limit."""
    replies: int = 0
    """Replies in hand, from calls and from the log."""
    logged: int = 0
    """Of these, answered from the log without a call."""
    calls: int = 0
    """HTTP calls started, those that met a fault included."""
    truncated: int = 0
    """Replies cut off at max_tokens."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    money_now: float = 0.0
    """Spent by this process; logged replies cost nothing now."""
    faults: dict[str, int] = field(default_factory=dict[str, int])
    """Calls without a reply, by kind: "429", "5xx", "timeout", "connection", "torn"."""
    reserved: float = 0.0
    """Worst case of the calls in flight."""

    @property
    def money(self) -> float:
        """What the replies in hand cost, whoever paid."""
        return self.price(self.prompt_tokens, self.completion_tokens)

    def price(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Money for so many tokens."""
        return (prompt_tokens * self.price_in + completion_tokens * self.price_out) / 1e6

    def admit(self, worst: float, flying: int) -> bool:
        """Reserve the worst case of a call; False: wait for one in flight; FailedWork where waiting cannot help."""
        if self.budget is not None and self.money + self.reserved + worst > self.budget:
            if flying == 0:
                raise FailedWork(
                    f"the budget of {self.budget:g} is spent: {self.replies} replies cost {self.money:.4g} and the next call may "
                    f"cost {worst:.2g}; raise teacher.budget and run again, the replies so far are logged"
                )
            return False
        self.reserved += worst
        self.calls += 1
        return True

    def landed(self, worst: float) -> None:
        """A call is over: give back what it reserved."""
        self.reserved -= worst

    def failed(self, kind: str) -> None:
        """Count a call without a reply."""
        self.faults[kind] = self.faults.get(kind, 0) + 1

    def received(self, reply: Reply, *, logged: bool, first: bool = True) -> None:
        """Book a reply; `first`: no equal request has been booked before, so that it costs something."""
        self.replies += 1
        self.logged += logged
        self.truncated += reply.truncated
        if not first:
            return
        self.prompt_tokens += reply.prompt_tokens
        self.completion_tokens += reply.completion_tokens
        self.money_now += 0.0 if logged else self.price(reply.prompt_tokens, reply.completion_tokens)
