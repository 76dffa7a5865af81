"""The MLServer runtime: loads a checked folder, proves that it scores right, answers in raw tensors."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from mlserver.settings import ModelSettings
from mlserver.types import InferenceRequest, InferenceResponse
from mlserver.utils import get_model_uri
from mlserver_xgboost import XGBoostModel

from lead_predictor import golden, pace, tensors
from lead_predictor.predictions import Predictions
from lead_predictor.scorer import Scorer, threads
from lead_predictor.worker import Worker
from lead_scoring.contract.types import Contract
from lead_scoring.errors import PackageError
from lead_scoring.packaging import folder
from lead_scoring.packaging.verify import verify

__all__ = ["LeadScoringRuntime"]

MAX_WAITING = 128


class LeadScoringRuntime(XGBoostModel):
    """XGBoost behind the tensors of the contract: never a class, always `probability`, `margin` or `contributions`."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__(settings)
        self._worker = Worker(max_requests=MAX_WAITING)
        self._input = ""
        self._predictions: Predictions | None = None
        self.golden_leads = 0
        self.inline_leads = 0

    def loaded(self) -> Predictions:
        """Return the loaded model (a method, since MLServer reads all properties before it loads)."""
        if self._predictions is None:
            raise RuntimeError("predicting before load() or after unload()")
        return self._predictions

    async def load(self) -> bool:
        """Check the folder, load the booster and score the golden leads; ready only then.

        Raises:
            PackageError: the folder is not whole, the model can't be used, or it scores its golden leads differently.
            ContractError: the contract is malformed.
        """
        path = Path(await get_model_uri(self._settings, wellknown_filenames=[folder.MODEL]))
        if path.name != folder.MODEL:
            raise PackageError(f"expected {folder.MODEL} in a version folder: nothing else is ever loaded")
        contract, scorer, self.golden_leads, self.inline_leads = await self._worker.run(partial(_prove, path.parent))
        if (self.name, self.version) != (contract.model.name, contract.model.version):
            raise PackageError("the model's settings name another model or version than its contract")
        self._input = contract.predictor.inputs[0].name
        self._predictions = Predictions(
            scorer, self._worker, width=len(contract.features), inline_leads=self.inline_leads
        )
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answer one request in the form in which it came.

        Raises:
            InferenceError: the request is not one of the forms that `lead_predictor` describes.
            Busy: too many requests are waiting.
        """
        question = tensors.read(payload, name=self._input, width=self.loaded().width)
        answers = await self.loaded().answer(question.outputs, question.matrix)
        return InferenceResponse.model_construct(
            model_name=self.name,
            model_version=self.version,
            parameters=None,
            outputs=tensors.write(answers, question.form),
        )

    async def unload(self) -> bool:
        """Let go of the booster and end the thread."""
        self._worker.close()
        self._predictions = None
        return True


def _prove(path: Path) -> tuple[Contract, Scorer, int, int]:
    verified = verify(path)
    scorer = Scorer(verified.booster, nthread=threads())
    leads = golden.check(verified.contract, scorer)
    return verified.contract, scorer, len(leads), pace.leads_within(scorer, leads, pace.INLINE_S)
