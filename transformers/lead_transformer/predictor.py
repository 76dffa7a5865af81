"""What the service needs from a model server, however it is reached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lead_scoring.contract.types import Contract
from lead_scoring.errors import PredictorFailed

__all__ = ["Prediction", "Predictor", "PredictorFault", "PredictorIdentity", "check_identity", "checked"]

_UNUSABLE = "the model server's answer can't be used"
_SUM_TOLERANCE = 1e-3


class PredictorFault(PredictorFailed):
    """A failure of the model server with its kind, a short stable word for metrics; the message is safe to show."""

    def __init__(self, message: str, *, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Prediction:
    """`margin` `(n,)` float32, finite; `contributions` `(n, f + 1)` float32, the bias last, if they were asked for."""

    margin: NDArray[np.float32]
    contributions: NDArray[np.float32] | None


@dataclass(frozen=True, slots=True)
class PredictorIdentity:
    """What a model server says about its model; tensors as (name, datatype, shape)."""

    name: str
    versions: tuple[str, ...]
    inputs: tuple[tuple[str, str, tuple[int, ...]], ...]
    outputs: tuple[tuple[str, str, tuple[int, ...]], ...]


class Predictor(Protocol):
    """A model server. Every call has a deadline, and cancelling the caller cancels the call."""

    async def predict(
        self, matrix: NDArray[np.float32], *, explain: bool, timeout_s: float, traceparent: str | None
    ) -> Prediction:
        """Return margins for `matrix` `(n, f)` float32, and contributions if `explain`.

        Raises:
            DeadlineExceeded: no answer within `timeout_s`.
            PredictorFault: no connection, a refusal, or an answer that is not a prediction for these n leads.
        """
        ...

    async def identify(self, *, timeout_s: float) -> PredictorIdentity:
        """Return what the server says about its model.

        Raises:
            DeadlineExceeded: no answer within `timeout_s`.
            PredictorFault: no connection, or a refusal.
        """
        ...

    async def close(self) -> None:
        """Let go of the connection."""
        ...


def checked(
    margin: NDArray[np.float32], contributions: NDArray[np.float32] | None, *, leads: int, width: int, explain: bool
) -> Prediction:
    """Return the prediction if it is one for `leads` rows of `width` features; arrays may come flat.

    Raises:
        PredictorFault: ``malformed``: too few or too many values, or contributions that don't add up to the margin;
            ``not_finite``: NaN or infinity among them.
    """
    if margin.size != leads or (explain and (contributions is None or contributions.size != leads * (width + 1))):
        raise PredictorFault(_UNUSABLE, kind="malformed")
    if not np.isfinite(margin).all():
        raise PredictorFault(_UNUSABLE, kind="not_finite")
    if not explain or contributions is None:
        return Prediction(margin.reshape(leads), None)
    shares = contributions.reshape(leads, width + 1)
    if not np.isfinite(shares).all():
        raise PredictorFault(_UNUSABLE, kind="not_finite")
    gap = np.abs(shares.sum(axis=1, dtype=np.float64) - margin)
    if (gap > _SUM_TOLERANCE * (1 + np.abs(margin))).any():
        raise PredictorFault(_UNUSABLE, kind="malformed")
    return Prediction(margin.reshape(leads), shares)


def check_identity(contract: Contract, identity: PredictorIdentity) -> None:
    """Hold a model server's metadata against the contract.

    Raises:
        PredictorFault: ``wrong_model``: another name or version, or tensors that are not the contract's. Says which.
    """
    model = contract.model
    if identity.name != model.name or model.version not in identity.versions:
        raise PredictorFault(
            f"the model server does not have {model.name}, version {model.version}", kind="wrong_model"
        )
    for side, wanted, found in (
        ("input", contract.predictor.inputs, identity.inputs),
        ("output", contract.predictor.outputs, identity.outputs),
    ):
        if {(spec.name, spec.datatype, tuple(spec.shape)) for spec in wanted} != set(found):
            raise PredictorFault(f"the model server's {side} tensors are not the contract's", kind="wrong_model")
