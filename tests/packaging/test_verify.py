from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lead_scoring.contract import files
from lead_scoring.contract.types import Calibration, Contract, GoldenLead
from lead_scoring.errors import ContractError, PackageError
from lead_scoring.packaging import folder
from lead_scoring.packaging.verify import verify

Change = Callable[[Contract], Contract]


def golden(change: Callable[[list[GoldenLead]], list[GoldenLead]], **fields: Any) -> Change:
    def apply(contract: Contract) -> Contract:
        leads = change(list(contract.golden.leads))
        return msgspec.structs.replace(contract, golden=msgspec.structs.replace(contract.golden, leads=leads, **fields))

    return apply


def without(drop: Callable[[GoldenLead], bool]) -> Change:
    """Drop some leads, keeping the number up with copies of one of the others."""

    def change(leads: list[GoldenLead]) -> list[GoldenLead]:
        kept = [lead for lead in leads if not drop(lead)]
        return [*kept, *[kept[0]] * (50 - len(kept))]

    return golden(change)


def is_labelled(label: str) -> Callable[[GoldenLead], bool]:
    return lambda lead: label in lead.covers


def is_clipped(lead: GoldenLead) -> bool:
    value = lead.lead["engagement"]
    return value is not None and not 0 <= value <= 100


def answer(position: int, **changes: Any) -> Change:
    return golden(
        lambda leads: [*leads[:position], msgspec.structs.replace(leads[position], **changes), *leads[position + 1 :]]
    )


def sent(position: int, **changes: Any) -> Change:
    return golden(
        lambda leads: [
            *leads[:position],
            msgspec.structs.replace(leads[position], lead={**leads[position].lead, **changes}),
            *leads[position + 1 :],
        ]
    )


def replaced(**changes: Any) -> Change:
    return lambda contract: msgspec.structs.replace(contract, **changes)


def feature(name: str, **changes: Any) -> Change:
    def apply(contract: Contract) -> Contract:
        features = [msgspec.structs.replace(f, **changes) if f.name == name else f for f in contract.features]
        training = msgspec.structs.replace(contract.training, feature_set_sha256=files.feature_set_sha256(features))
        return msgspec.structs.replace(contract, features=features, training=training)

    return apply


def swapped_features(contract: Contract) -> Contract:
    features = [contract.features[1], contract.features[0], *contract.features[2:]]
    training = msgspec.structs.replace(contract.training, feature_set_sha256=files.feature_set_sha256(features))
    return msgspec.structs.replace(contract, features=features, training=training)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (answer(0, score=5), "1 of 62 score differently; the first, 1 (edge 1 below"),
        (answer(7, probability=0.5), "1 of 62 score differently; the first, 8"),
        (answer(7, confidence=0.1), "1 of 62 score differently; the first, 8"),
        (answer(7, features_used=1), "1 of 62 score differently; the first, 8"),
        (sent(3, engagement=99), "score differently"),
        (sent(3, size=None), "the contract refuses them"),
        (sent(3, surprise=1), "the contract refuses them"),
        (golden(lambda leads: leads[:49]), "there are 49, needs 50 to 400"),
        (golden(lambda _: []), "there are 0, needs 50 to 400"),
        (golden(lambda leads: leads, as_of="2027-01-01T00:00:00Z"), "score differently"),
        (replaced(calibration=Calibration(slope=1.1, intercept=0.0)), "score differently"),
        (replaced(calibration=Calibration(slope=1.0, intercept=2e-5)), "score differently"),
        (feature("engagement", maximum=90), "score differently"),
        (feature("seniority", categories=["manager", "junior", "chief"]), "score differently"),
        (feature("region", unknown_category="reject"), "the contract refuses them"),
        (without(is_labelled("edge 2 above")), "nothing covers edge 2 above"),
        (without(is_labelled("edge 4 below")), "nothing covers edge 4 below"),
        (without(lambda lead: lead.score == 3), "nothing covers score 3, edge 2 above, edge 3 below"),
        (without(lambda lead: lead.lead["region"] not in ("emea", "amer", None)), "nothing covers unknown region"),
        (without(is_clipped), "nothing covers a clipped value"),
        (without(lambda lead: (lead.lead["revenue"] or 0) < 0), "nothing covers a dropped value"),
        (without(lambda lead: lead.features_used < 8), "a missing value"),
        (swapped_features, "feature names are not those of the contract, in that order"),
        (
            lambda c: msgspec.structs.replace(c, training=msgspec.structs.replace(c.training, trees=19)),
            "it has 20 trees",
        ),
        (
            lambda c: msgspec.structs.replace(c, training=msgspec.structs.replace(c.training, xgboost_version="3.1.0")),
            "training.xgboost_version says 3.1.0",
        ),
    ],
)
def test_a_version_that_is_whole_but_wrong_is_refused(
    version: Path, relist: Callable[[], None], change: Change, message: str
) -> None:
    contract = change(files.read(version / folder.CONTRACT))
    (version / folder.CONTRACT).write_bytes(files.encode(contract))
    relist()
    folder.check_integrity(version)
    with pytest.raises(PackageError) as raised:
        verify(version)
    assert message in str(raised.value)


def test_labels_that_lie_cover_nothing(version: Path, relist: Callable[[], None]) -> None:
    """Coverage goes by what happens to a lead, not by what it is called."""
    contract = without(is_clipped)(files.read(version / folder.CONTRACT))
    contract = answer(20, covers="clipped high engagement")(contract)
    (version / folder.CONTRACT).write_bytes(files.encode(contract))
    relist()
    with pytest.raises(PackageError, match=r"nothing covers a clipped value$"):
        verify(version)


def test_a_value_that_is_said_to_be_missing_is_not_a_dropped_one(version: Path, relist: Callable[[], None]) -> None:
    contract = feature("revenue", missing_values=[-7.0])(files.read(version / folder.CONTRACT))
    contract = without(lambda lead: (lead.lead["revenue"] or 0) < 0)(contract)
    gap = next(place for place, lead in enumerate(contract.golden.leads) if lead.lead["revenue"] is None)
    (version / folder.CONTRACT).write_bytes(files.encode(sent(gap, revenue=-7.0)(contract)))
    relist()
    with pytest.raises(PackageError, match=r"nothing covers a dropped value$"):
        verify(version)


def test_an_edge_is_not_covered_by_a_lead_of_another_score(version: Path, relist: Callable[[], None]) -> None:
    contract = without(is_labelled("edge 3 above"))(files.read(version / folder.CONTRACT))
    contract = answer(0, covers="edge 1 below, edge 3 above")(contract)
    (version / folder.CONTRACT).write_bytes(files.encode(contract))
    relist()
    with pytest.raises(PackageError, match=r"nothing covers edge 3 above$"):
        verify(version)


def test_a_model_swapped_between_versions_is_refused(version: Path, other: Path, relist: Callable[[], None]) -> None:
    shutil.copyfile(other / folder.MODEL, version / folder.MODEL)
    with pytest.raises(PackageError, match=r"model\.ubj was altered"):
        verify(version)
    relist()
    with pytest.raises(PackageError, match="score differently"):
        verify(version)


def test_a_contract_of_another_version_is_refused(version: Path, other: Path, relist: Callable[[], None]) -> None:
    shutil.copyfile(other / folder.CONTRACT, version / folder.CONTRACT)
    relist()
    with pytest.raises(PackageError, match="not what the contract implies"):
        verify(version)


def test_a_version_under_another_ones_name_is_refused(version: Path) -> None:
    with pytest.raises(PackageError, match="holds version 1, not the one of its name"):
        verify(version.rename(version.with_name("2")))


def test_a_version_may_be_mounted_anywhere(version: Path, tmp_path: Path) -> None:
    assert verify(version.rename(tmp_path / "models")).contract.model.version == "1"


def test_a_version_is_verified_by_a_relative_path(version: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(version)
    assert verify(Path()).leads == 62


def test_a_malformed_contract_is_told_as_such(version: Path, relist: Callable[[], None]) -> None:
    (version / folder.CONTRACT).write_text("{}")
    relist()
    with pytest.raises(ContractError, match="missing required field"):
        verify(version)


def test_answers_within_the_tolerance_are_right(version: Path, relist: Callable[[], None]) -> None:
    """Another CPU's last bits must not refuse a model; what is beyond must."""
    contract = files.read(version / folder.CONTRACT)
    near = contract.golden.leads[0].probability + 0.9e-6
    (version / folder.CONTRACT).write_bytes(files.encode(answer(0, probability=near)(contract)))
    relist()
    assert verify(version).difference == pytest.approx(0.9e-6, rel=1e-3)
    beyond = contract.golden.leads[0].probability + 1.1e-6
    (version / folder.CONTRACT).write_bytes(files.encode(answer(0, probability=beyond)(contract)))
    relist()
    with pytest.raises(PackageError, match="score differently"):
        verify(version)
