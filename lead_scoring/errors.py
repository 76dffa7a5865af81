"""Everything this platform raises on purpose.

Tree::

    LeadScoringError
    ├── ContractError         a contract.json that can't be used            (exit 2, never served)
    ├── PackageError          a version folder that can't be trusted        (exit 3, never Ready)
    ├── TrainingError         data or settings no honest model can come of  (exit 4)
    ├── TableError            a file that can't be read as a table          (exit 6)
    ├── StackError            the local stack can't start or went down      (exit 5)
    ├── RequestError          the caller's fault                            (4xx)
    │   └── InvalidLeads      with a list of `Problem`s                     (400 / INVALID_ARGUMENT)
    └── ServiceError          ours: nothing internal reaches the caller     (5xx)
        ├── Overloaded        come back later                               (503 / RESOURCE_EXHAUSTED)
        ├── DeadlineExceeded  the time that was left ran out                (504 / DEADLINE_EXCEEDED)
        ├── NotReady          this pod does not serve yet, or no more       (503 / UNAVAILABLE)
        └── PredictorFailed   the model server is away or answers nonsense  (503 / UNAVAILABLE)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = [
    "ContractError",
    "DeadlineExceeded",
    "InvalidLeads",
    "LeadScoringError",
    "NotReady",
    "Overloaded",
    "PackageError",
    "PredictorFailed",
    "Problem",
    "RequestError",
    "ServiceError",
    "StackError",
    "TableError",
    "TrainingError",
]


class LeadScoringError(Exception):
    """Base of all deliberate errors; `exit_code` is what a command ends with."""

    exit_code = 1


class ContractError(LeadScoringError):
    """A contract that is malformed or contradicts itself."""

    exit_code = 2


class PackageError(LeadScoringError):
    """A version folder that is incomplete, altered, unsafe or scores differently."""

    exit_code = 3


class TrainingError(LeadScoringError):
    """Data or settings from which no honest model can come."""

    exit_code = 4


class StackError(LeadScoringError):
    """The local stack can't start, or one of its processes died."""

    exit_code = 5


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a request, said so that its author can mend it.

    Text that the client sent never appears in any field (it may be personal); numbers do, unless the feature is
    personal.
    """

    path: str
    """Where, as a JSON path: ``$.inputs[3].data[17]``, ``$.instances[0].geography``."""
    reason: str
    """Short stable word for metrics: ``out_of_range``, ``missing``, ``wrong_type`` …"""
    expected: str
    got: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.path}: expected {self.expected}, got {self.got}; {self.remedy}"


class TableError(LeadScoringError):
    """A file that can't be read as a table of leads."""

    exit_code = 6


class RequestError(LeadScoringError):
    """The caller's fault. `status` is the HTTP status, `reason` the short word for metrics."""

    def __init__(self, message: str, *, status: int = 400, reason: str = "malformed") -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


class InvalidLeads(RequestError):
    """One or more leads, tensors or parameters break the contract.

    `problems` is capped; `total` counts all of them.
    """

    def __init__(self, problems: Sequence[Problem], total: int | None = None) -> None:
        self.problems = tuple(problems)
        self.total = len(self.problems) if total is None else total
        more = self.total - 1
        message = str(self.problems[0]) + (f" (and {more} more problem{'s' if more > 1 else ''})" if more > 0 else "")
        super().__init__(message, status=400, reason=self.problems[0].reason)


class ServiceError(LeadScoringError):
    """Our fault; the message is safe to show."""

    status = 500


class Overloaded(ServiceError):
    """More is being asked than can be answered in time; nothing was computed."""

    status = 503

    def __init__(self, message: str, *, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class DeadlineExceeded(ServiceError):
    """The time that the caller or the gateway allowed is used up."""

    status = 504


class NotReady(ServiceError):
    """The process does not serve yet, or no more."""

    status = 503


class PredictorFailed(ServiceError):
    """The model server is unreachable or its answer can't be used."""

    status = 503
