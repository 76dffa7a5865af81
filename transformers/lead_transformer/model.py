"""Our model as the KServe SDK knows models, for whatever of the SDK calls it."""

from __future__ import annotations

import time
from typing import Any

import orjson
from kserve import InferRequest, InferResponse, Model
from kserve.errors import InvalidInput
from kserve.model import InferenceVerb
from kserve.protocol.dataplane import DataPlane

from lead_scoring.errors import RequestError
from lead_transformer import metadata, v1_json, v2_json
from lead_transformer.calls import Calls
from lead_transformer.lifecycle import Lifecycle
from lead_transformer.service import Service

__all__ = ["LeadDataPlane", "LeadModel"]


class LeadModel(Model):  # type: ignore[misc]
    """Scores through the same service as the doors do; ready when they are."""

    def __init__(self, service: Service, calls: Calls, lifecycle: Lifecycle) -> None:
        """Take the name from the contract."""
        self._lifecycle = lifecycle
        super().__init__(service.contract.model.name)
        self._service = service
        self._calls = calls

    @property
    def ready(self) -> bool:
        """Whether new requests should come here; nobody but the readiness checks can change it."""
        return self._lifecycle.ready

    @ready.setter
    def ready(self, value: bool) -> None:
        """Ignore the SDK's own idea."""

    async def healthy(self) -> bool:
        """Return `ready`."""
        return self.ready

    def load(self) -> bool:
        """Return `ready`: there is nothing to load."""
        return self.ready

    def start(self) -> None:
        """Do nothing: readiness is proven, not declared."""

    def stop(self) -> None:
        """Do nothing: the server ends the model's parts in its own order."""

    def get_input_types(self) -> list[dict[str, Any]]:
        """Return name, datatype and shape of every input."""
        return _bare(metadata.model(self._service.contract)["inputs"])

    def get_output_types(self) -> list[dict[str, Any]]:
        """Return name, datatype and shape of every output."""
        return _bare(metadata.model(self._service.contract)["outputs"])

    async def __call__(
        self, body: Any, headers: dict[str, str] | None = None, verb: InferenceVerb = InferenceVerb.PREDICT
    ) -> tuple[Any, dict[str, str]]:
        """Score a V2 `InferRequest` or a V1 body; return the SDK's answer for it and no headers.

        Raises:
            InvalidInput: the caller's fault.
            NotImplementedError: any verb but predict.
            ServiceError: as the service.
        """
        if verb is not InferenceVerb.PREDICT:
            raise NotImplementedError("explanations are a parameter of predict")
        lower = {name.lower(): value for name, value in (headers or {}).items()}
        is_v2 = isinstance(body, InferRequest)
        call = self._calls.begin("v2-sdk" if is_v2 else "v1-sdk", lower.get, began=time.perf_counter())
        try:
            if is_v2:
                raw, told = _as_rest(body)
                request, answer = await self._service.score(call, lambda: v2_json.decode(raw, told))
                encoded, response_headers = v2_json.encode(request, answer)
                length = dict(response_headers).get(v2_json.HEADER_LENGTH)
                found = (
                    InferResponse.from_bytes(encoded, int(length))
                    if length
                    else InferResponse.from_rest(orjson.loads(encoded))
                )
            else:
                plain = orjson.dumps(body) if isinstance(body, dict) else bytes(body)
                request, answer = await self._service.score(call, lambda: v1_json.decode(plain))
                found = orjson.loads(v1_json.encode(request, answer))
        except RequestError as error:
            self._calls.end(call, str(error.status), error=self._calls.note(error, call))
            raise InvalidInput(str(error)) from None
        except Exception as error:
            self._calls.end(call, "error", failed=True, error=self._calls.note(error, call))
            raise
        self._calls.end(call, "200")
        return found, {}


class LeadDataPlane(DataPlane):  # type: ignore[misc]
    """The SDK's data plane, whose idea of readiness is ours."""

    def __init__(self, registry: Any, lifecycle: Lifecycle) -> None:
        """Take the SDK's registry."""
        super().__init__(model_registry=registry)
        self._lifecycle = lifecycle

    async def ready(self) -> bool:
        """Whether new requests should come here."""
        return self._lifecycle.ready


def _as_rest(request: InferRequest) -> tuple[bytes, dict[str, str]]:
    """Return a request as the REST body that it would have been, with its headers."""
    rest, length = request.to_rest()
    if isinstance(rest, dict):
        return orjson.dumps(rest, option=orjson.OPT_SERIALIZE_NUMPY), {}
    return bytes(rest), {} if length is None else {v2_json.HEADER_LENGTH: str(length)}


def _bare(tensors: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: tensor[key] for key in ("name", "datatype", "shape")} for tensor in tensors]
