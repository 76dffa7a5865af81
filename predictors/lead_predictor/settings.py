"""MLServer's settings, made in code: no environment variable, `.env` or `settings.json` can change them."""

from __future__ import annotations

from pathlib import Path

from mlserver.errors import ModelNotFound
from mlserver.repository import ModelRepository
from mlserver.settings import ModelParameters, ModelSettings, Settings
from pydantic_settings import BaseSettings
from pydantic_settings import PydanticBaseSettingsSource as Source

from lead_scoring.contract.types import Contract
from lead_scoring.packaging import folder

__all__ = ["MAX_MESSAGE_BYTES", "NoRepository", "model_settings", "server_settings"]

MAX_MESSAGE_BYTES = 32 * 1024 * 1024
"""Largest request and answer: 500 leads of 2,000 features as JSON, 4,000 of them as frames."""


_Found = list[ModelSettings]


class _Sealed(BaseSettings):
    """Settings that come from the arguments alone."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the names are given
        init_settings: Source,
        env_settings: Source,  # noqa: ARG003
        dotenv_settings: Source,  # noqa: ARG003
        file_secret_settings: Source,  # noqa: ARG003
    ) -> tuple[Source, ...]:
        """Leave out the environment, `.env` files and secrets."""
        return (init_settings,)


class _Settings(_Sealed, Settings):
    pass


class _ModelSettings(_Sealed, ModelSettings):
    pass


class _ModelParameters(_Sealed, ModelParameters):
    pass


class NoRepository(ModelRepository):
    """A repository in which nothing is ever found: the one model is handed over, never discovered."""

    def __init__(self, root: str) -> None:
        """Ignore the root."""

    async def list(self) -> _Found:
        """Return nothing."""
        return []

    async def find(self, name: str) -> _Found:
        """Find nothing.

        Raises:
            ModelNotFound: always, since MLServer would unload the running model if the list were empty.
        """
        raise ModelNotFound(name)


def server_settings(*, host: str, http_port: int, grpc_port: int) -> Settings:
    """Return what MLServer is told about itself."""
    return _Settings(
        debug=False,
        parallel_workers=0,
        host=host,
        http_port=http_port,
        grpc_port=grpc_port,
        grpc_max_message_length=MAX_MESSAGE_BYTES,
        server_name="lead-predictor",
        model_repository_implementation=NoRepository,
        load_models_at_startup=False,
        metrics_endpoint=None,
        gzip_enabled=False,
        cors_settings=None,
        kafka_enabled=False,
        tracing_server=None,
        cache_enabled=False,
    )


def model_settings(contract: Contract, path: Path) -> ModelSettings:
    """Return what MLServer is told about the model in the folder `path`: what `model-settings.json` must say."""
    told = folder.model_settings(contract)
    told["parameters"] = _ModelParameters(uri=str(path.absolute() / folder.MODEL), version=contract.model.version)
    return _ModelSettings(**told)
