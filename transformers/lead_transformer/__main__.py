"""Start the transformer: settings, then the folder, and only then ports."""

from __future__ import annotations

import os
import sys

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # read once, when gRPC is loaded
    from lead_scoring.errors import ContractError, LeadScoringError
    from lead_scoring.packaging import folder
    from lead_transformer import logs
    from lead_transformer.settings import parse

    settings = parse(arguments)
    writer = logs.configure(settings.log_level)
    try:
        from kserve.model_server import args as sdk_arguments

        from lead_transformer.server import LeadServer

        version = folder.read_verified(settings.model_dir)
        name = version.contract.model.name
        if sdk_arguments.model_name not in (name, "model"):
            raise ContractError(f"--model_name says another model than the contract, which has {name}")
        LeadServer(settings, version, writer).start()
    except LeadScoringError as error:
        sys.stderr.write(f"lead_transformer: {' '.join(str(error).split())}\n")
        return error.exit_code
    finally:
        writer.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
