"""docs/rollouts.md, typed from top to bottom."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cluster import questions
from tests.cluster.release import Release
from tests.cluster.storage import Bucket
from tests.docs.documents import Block, blocks
from tests.support.stack import ROOT

pytestmark = pytest.mark.timeout(900)

RUNBOOK = ROOT / "docs" / "rollouts.md"
BLOCKS = [block for block in blocks(RUNBOOK) if block.language == "bash"]
REMEMBER = "\nexport -p >exports\n"


@pytest.fixture(scope="module")
def desk(release: Release, models_bucket: Bucket, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that looks like the repository's, a kubeconfig that may be changed, and what the document asks for."""
    folder = tmp_path_factory.mktemp("desk")
    (folder / "charts").symlink_to(ROOT / "charts")
    shutil.copy(os.environ["KUBECONFIG"], folder / "kubeconfig")
    (folder / "values.json").write_text(json.dumps(release.values))
    given = {
        "KUBECONFIG": str(folder / "kubeconfig"),
        "NAMESPACE": release.kubectl.namespace,
        "VALUES": str(folder / "values.json"),
        "URL": release.gateway.url,
        "HOST": release.gateway.rest_host,
        "NEXT_MODEL": models_bucket.publish(questions.folder_of("2"), "lead-scoring/next"),
    }
    (folder / "exports").write_text("".join(f"export {name}='{value}'\n" for name, value in given.items()))
    return folder


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_a_block_works_as_typed(desk: Path, block: Block) -> None:
    """One after the other, in one shell as it were: what a block exports, the next ones see."""
    text = block.text
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f". ./exports\n{text}{REMEMBER}"],
        cwd=desk,
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )
    assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
    assert '"error"' not in done.stdout
    if "x-lead-force-variant: v2" in text:
        assert '"variant":"v2"' in done.stdout.replace(" ", "")


def test_afterwards_everything_is_as_it_was(release: Release) -> None:
    release.until_routed({"v1": 100})
    assert [canary["trafficPercent"] for canary in release.service["spec"]["canary"]] == [0]
    assert release.rollout["spec"] == {"inferenceService": release.name} | {
        key: value for key, value in release.rollout["spec"].items() if key == "abort" and not value
    }
