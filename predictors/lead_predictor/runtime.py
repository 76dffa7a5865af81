"""The MLServer runtime: loads a checked folder, proves that it scores right, answers in raw tensors."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from mlserver.settings import ModelSettings
from mlserver.types import InferenceRequest, InferenceResponse
from mlserver.utils import get_model_uri
from mlserver_xgboost import XGBoostModel
from numpy.typing import NDArray

from lead_predictor import golden, tensors
from lead_predictor.scorer import Scorer, threads
from lead_predictor.worker import Worker
from lead_scoring.contract.types import Contract
from lead_scoring.errors import PackageError
from lead_scoring.packaging import folder
from lead_scoring.packaging.verify import verify

__all__ = ["LeadScoringRuntime"]

INLINE_LEADS = 64
"""Up to so many leads are predicted on the event loop: half a millisecond, less than a trip to another thread saves."""
EXPLAINED_AT_ONCE = 16
"""Contributions go in steps of so many leads (about 30 ms): others get their turn, a cancelled request ends soon."""
MAX_WAITING = 128


class LeadScoringRuntime(XGBoostModel):
    """XGBoost behind the tensors of the contract: never a class, always `probability`, `margin` or `contributions`."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__(settings)
        self._worker = Worker(max_requests=MAX_WAITING)
        self._width = 0
        self._input = ""
        self._scorer: Scorer | None = None
        self.golden_leads = 0

    async def load(self) -> bool:
        """Check the folder, load the booster and score the golden leads; ready only then.

        Raises:
            PackageError: the folder is not whole, the model can't be used, or it scores its golden leads differently.
            ContractError: the contract is malformed.
        """
        path = Path(await get_model_uri(self._settings, wellknown_filenames=[folder.MODEL]))
        if path.name != folder.MODEL:
            raise PackageError(f"expected {folder.MODEL} in a version folder: nothing else is ever loaded")
        contract, self._scorer, self.golden_leads = await self._worker.run(partial(_prove, path.parent))
        if (self.name, self.version) != (contract.model.name, contract.model.version):
            raise PackageError("the model's settings name another model or version than its contract")
        self._input, self._width = contract.predictor.inputs[0].name, len(contract.features)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answer one request in the form in which it came.

        Raises:
            InferenceError: the request is not one of the forms that `lead_predictor` describes.
            Busy: too many requests are waiting.
        """
        question = tensors.read(payload, name=self._input, width=self._width)
        answers = await self._answer(question)
        return InferenceResponse.model_construct(
            model_name=self.name,
            model_version=self.version,
            parameters=None,
            outputs=tensors.write(answers, question.form),
        )

    async def unload(self) -> bool:
        """Let go of the booster and end the thread."""
        self._worker.close()
        self._scorer = None
        return True

    async def _answer(self, question: tensors.Question) -> dict[str, NDArray[np.float32]]:
        if len(question.matrix) <= INLINE_LEADS and "contributions" not in question.outputs:
            return {name: self._compute(name, question.matrix) for name in question.outputs}
        found: dict[str, NDArray[np.float32]] = {}
        with self._worker.admitted():
            for name in question.outputs:
                if name == "contributions":
                    found[name] = await self._explain(question.matrix)
                else:
                    found[name] = await self._worker.run(partial(self._compute, name, question.matrix))
        return found

    async def _explain(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        steps = [matrix[start : start + EXPLAINED_AT_ONCE] for start in range(0, len(matrix), EXPLAINED_AT_ONCE)]
        return np.concatenate([await self._worker.run(partial(self._compute, "contributions", step)) for step in steps])

    def _compute(self, name: str, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        scorer = self._scorer
        if scorer is None:
            raise RuntimeError("predicting before load() or after unload()")
        if name == "contributions":
            return scorer.contributions(matrix, scorer.margin(matrix))
        return scorer.margin(matrix) if name == "margin" else scorer.probability(matrix)


def _prove(path: Path) -> tuple[Contract, Scorer, int]:
    verified = verify(path)
    scorer = Scorer(verified.booster, nthread=threads())
    return verified.contract, scorer, golden.check(verified.contract, scorer)
