from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from lead_scoring.contract import files
from lead_scoring.contract.types import Contract, Feature, Histogram, Ordinal
from lead_scoring.core.assembly import from_records, seconds
from lead_scoring.core.plan import FeaturePlan
from lead_scoring.errors import InvalidLeads, PackageError
from lead_scoring.packaging import booster, folder, golden
from lead_scoring.packaging.offline import score
from lead_scoring.packaging.publishing import publish
from lead_scoring.packaging.verify import verify
from tests.support.small_model import AS_OF, FEATURES, build, draft, records

POOL = records(600, seed=3)


def margins(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """Stand in for a model: engagement, gaps and categories move it."""
    known = np.where(np.isnan(matrix), np.float32(0.7), matrix)
    return (known[:, 4] / 20 - 3 + known[:, 1] * 0.2 + known[:, 2] * 0.1 + known[:, 6]).astype(np.float32)


def choose(contract: Contract | None = None, pool: Any = POOL, **options: Any) -> Any:
    return golden.choose(contract or draft(), margins, pool, AS_OF, **options)


CLIPPED = {"clipped low engagement", "clipped high engagement"}


def features(**changes: dict[str, Any]) -> Contract:
    """Return the draft with some features changed by name."""
    return draft(features=[msgspec.structs.replace(f, **changes.get(f.name, {})) for f in FEATURES])


def covers(contract: Contract | None = None) -> list[str]:
    return [lead.covers for lead in choose(contract).leads]


def test_the_choice_is_deterministic() -> None:
    assert choose() == choose()


def test_every_edge_has_its_nearest_leads_on_both_sides() -> None:
    contract = draft()
    leads = choose().leads
    batch = from_records(FeaturePlan.of(contract), POOL, max_leads=len(POOL))
    everyone = score(contract, margins, batch, seconds(AS_OF)).scores.probability
    for number, edge in enumerate(contract.buckets.edges, start=1):
        for side, bucket, distance in (("below", number, edge - everyone), ("above", number + 1, everyone - edge)):
            found = [lead for lead in leads if f"edge {number} {side}" in lead.covers]
            assert {lead.score for lead in found} == {bucket}
            nearest = min(value for value in distance.tolist() if value > golden.CLEARANCE * 1e-6)
            assert min(abs(lead.probability - edge) for lead in found) == nearest


@pytest.mark.parametrize("away", [0.0, 3e-6, -3e-6])
def test_no_lead_is_so_near_an_edge_that_another_cpu_could_move_it(away: float) -> None:
    """Where an edge falls upon some lead's very probability, that lead is passed over."""
    batch = from_records(FeaturePlan.of(draft()), POOL, max_leads=len(POOL))
    everyone = score(draft(), margins, batch, seconds(AS_OF)).scores.probability
    edges = sorted([0.1, float(everyone[17]) + away, 0.9])
    assert any(0 <= abs(value - edges[1]) < 1e-5 for value in everyone.tolist())
    for lead in choose(draft(edges=edges)).leads:
        assert min(abs(lead.probability - edge) for edge in edges) > golden.CLEARANCE * 1e-6


def test_a_variant_that_would_land_on_an_edge_is_made_of_another_lead() -> None:
    contract = draft()
    on_the_edge = np.float32(np.log(0.4 / 0.6))

    def predict(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        without_revenue = np.where(matrix[:, 0] > 1000, on_the_edge, margins(matrix) + np.float32(0.01))
        return np.where(np.isnan(matrix[:, 5]), without_revenue, margins(matrix)).astype(np.float32)

    leads = {lead.covers: lead for lead in golden.choose(contract, predict, POOL, AS_OF).leads}
    for change in ("missing revenue", "dropped low revenue"):
        assert leads[change].lead["size"] <= 1000


def test_every_score_is_covered_and_there_are_enough() -> None:
    leads = choose().leads
    assert {lead.score for lead in leads} == {1, 2, 3, 4, 5}
    assert golden.SMALLEST <= len(leads) <= golden.LARGEST


def test_everything_the_contract_tolerates_is_covered() -> None:
    found = set(covers())
    assert {
        "everything optional missing",
        "unknown industry",
        "unknown region",
        "clipped low engagement",
        "clipped high engagement",
        "dropped low revenue",
        *(f"missing {f.name}" for f in FEATURES if f.nullable),
    } <= found
    assert not {"unknown seniority", "missing size", "dropped high revenue"} & found


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"last_seen": {"out_of_range": "clip"}}, {"clipped low last_seen", "clipped high last_seen"}),
        ({"size": {"out_of_range": "clip"}}, {"clipped low size", "clipped high size"}),
        ({"last_seen": {"out_of_range": "missing"}}, {"dropped low last_seen", "dropped high last_seen"}),
        ({"last_seen": {"out_of_range": "clip", "maximum": 4_000_000}}, {"clipped low last_seen"}),
        ({"engagement": {"missing_values": [999, -1]}}, {*CLIPPED, "said to be missing engagement"}),
        ({"seniority": {"missing_values": ["n/a"]}}, {"said to be missing seniority"}),
    ],
)
def test_other_rules_are_covered_too(changes: dict[str, dict[str, Any]], expected: set[str]) -> None:
    found = set(covers(features(**changes)))
    assert expected == {label for label in found if label.split()[-1] in changes and label.split()[0] != "missing"}


@pytest.mark.parametrize("change", ["clipped high engagement", "clipped low engagement", "missing engagement"])
def test_a_variant_is_made_where_it_matters_most(change: str) -> None:
    """Of a lead that the change moves a lot, and not of one that was there anyway."""

    def others(lead: Any) -> dict[str, Any]:
        return {name: value for name, value in lead.lead.items() if name not in ("lead_id", "engagement")}

    leads = choose().leads
    variant = next(lead for lead in leads if lead.covers == change)
    base = next(lead for lead in leads if lead is not variant and others(lead) == others(variant))
    moved = abs(variant.probability - base.probability)
    assert moved > 0.25


def test_an_unknown_category_is_unknown() -> None:
    variant = next(lead for lead in choose().leads if lead.covers == "unknown industry")
    assert variant.lead["industry"] not in (FEATURES[1].categories or [])


def test_an_unknown_category_is_unknown_even_if_somebody_listed_our_name_for_it() -> None:
    known = ["saas", "a category that nobody knows", "other"]
    contract = features(industry={"categories": known, "encoder": Ordinal()})
    variant = next(lead for lead in choose(contract).leads if lead.covers == "unknown industry")
    assert variant.lead["industry"] not in known


def test_ids_and_personal_values_are_made_up() -> None:
    reference = Histogram(edges=[1.0, 500.0, 2_000_000.0], counts=[1, 1])
    contract = features(
        engagement={"personal": True}, seniority={"personal": True}, customer={"personal": True},
        last_seen={"personal": True}, size={"personal": True}, revenue={"personal": True, "reference": reference},
    )  # fmt: skip
    chosen = choose(contract).leads
    assert [lead.lead["lead_id"] for lead in chosen] == [f"golden-{number}" for number in range(1, len(chosen) + 1)]
    for name in ("engagement", "size", "revenue", "last_seen"):
        sent = {record[name] for record in POOL} - {None}
        shown = [lead.lead.get(name) for lead in chosen]
        assert len(set(shown)) > 3
        assert not sent.intersection(shown) or name == "size"  # small whole numbers meet by chance
    assert {lead.lead["customer"] for lead in chosen} == {True, False, None}


def test_a_personal_number_without_a_range_gets_a_stand_in() -> None:
    contract = features(revenue={"personal": True, "minimum": None, "out_of_range": "reject"})
    assert {lead.lead["revenue"] for lead in choose(contract).leads} == {0.0, None}


def test_leads_that_the_contract_refuses_are_passed_over() -> None:
    sour = [{**record, "size": 0, "lead_id": "sour"} for record in POOL]
    mixed = [lead for pair in zip(sour, POOL, strict=True) for lead in pair]
    assert all(lead.lead["size"] > 0 for lead in choose(pool=mixed).leads)


@pytest.mark.parametrize(
    ("pool", "message"),
    [
        (POOL[:3], "is fit for 'edge|fit leads, needs at least 50"),
        (POOL[:45], "45 fit leads, needs at least 50"),
        ([{**record, "engagement": 0} for record in POOL], "no lead of the pool is fit for 'edge"),
        ([{**record, "size": None} for record in POOL], "no lead of the pool is fit for"),
        ([{**record, "surprise": 1} for record in POOL], "surprise|unknown|only names from"),
        ([], "1 to 1"),
    ],
)
def test_a_pool_that_can_not_cover_the_contract_is_refused(pool: Any, message: str) -> None:
    with pytest.raises(PackageError, match=message):
        choose(pool=pool)


def test_a_huge_contract_still_fits_one_request() -> None:
    many = [*FEATURES, *(Feature(name=f"extra_{number}", type="number", minimum=0) for number in range(500))]
    assert len(choose(draft(features=many)).leads) == golden.LARGEST


# Publishing


def parts(version: Path) -> tuple[Contract, bytes]:
    found = folder.read_verified(version)
    return msgspec.structs.replace(found.contract, golden=draft().golden), found.model


def test_a_published_version_verifies(published: Path) -> None:
    found = verify(published)
    assert found.leads == len(found.contract.golden.leads) >= 50
    assert found.difference <= 1e-9
    assert found.booster.num_features() == len(FEATURES)
    assert found.files.digests == folder.check_integrity(published)


def test_the_same_data_and_seed_publish_the_same_bytes(published: Path, tmp_path: Path) -> None:
    again = build(tmp_path)
    assert (again / folder.SUMS).read_bytes() == (published / folder.SUMS).read_bytes()


def test_a_model_card_is_published_with_it(published: Path, tmp_path: Path) -> None:
    contract, model = parts(published)
    path = publish(tmp_path, contract, model, POOL, as_of=AS_OF, extra={folder.CARD: b"<html></html>"})
    assert (path / folder.CARD).read_bytes() == b"<html></html>"
    verify(path)


def test_nothing_is_left_behind_when_publishing_fails(published: Path, tmp_path: Path) -> None:
    contract, model = parts(published)
    wrong = msgspec.structs.replace(contract, training=msgspec.structs.replace(contract.training, trees=3))
    attempts: list[tuple[Contract, bytes, Any, dict[str, bytes]]] = [
        (wrong, model, POOL, {}),
        (contract, model[:-1], POOL, {}),
        (contract, model, POOL[:10], {}),
        (contract, model, POOL, {"evil.py": b""}),
    ]
    for given, data, pool, extra in attempts:
        with pytest.raises(PackageError):
            publish(tmp_path, given, data, pool, as_of=AS_OF, extra=extra)
    assert list(tmp_path.iterdir()) == []


def test_a_version_that_does_not_verify_is_not_published(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the disk gives back something else than was written."""
    contract, model = parts(published)
    real = folder.read_verified

    def spoil(path: Path) -> folder.VersionFiles:
        target = path / folder.MODEL
        target.chmod(0o644)
        target.write_bytes(target.read_bytes()[:-1] + b"\x00")
        return real(path)

    monkeypatch.setattr(folder, "read_verified", spoil)
    with pytest.raises(PackageError, match="was altered"):
        publish(tmp_path, contract, model, POOL, as_of=AS_OF)
    assert list((tmp_path / "lead-scoring").iterdir()) == []


# Scoring offline


def test_offline_scores_are_those_of_the_golden_leads(published: Path) -> None:
    found = verify(published)
    leads = found.contract.golden.leads
    batch = from_records(FeaturePlan.of(found.contract), [lead.lead for lead in leads], max_leads=len(leads))
    scored = score(found.contract, booster.margins(found.booster), batch, seconds(AS_OF))
    assert scored.scores.score.tolist() == [lead.score for lead in leads]
    assert scored.encoded.used.tolist() == [lead.features_used for lead in leads]
    assert scored.margin.shape == (len(leads),)


def test_offline_scoring_refuses_what_serving_would(published: Path) -> None:
    found = verify(published)
    batch = from_records(
        FeaturePlan.of(found.contract), [{**POOL[0], "size": -1}, {**POOL[1], "size": 2.5}], max_leads=9
    )
    with pytest.raises(InvalidLeads) as raised:
        score(found.contract, booster.margins(found.booster), batch, seconds(AS_OF))
    assert [problem.reason for problem in raised.value.problems] == ["out_of_range", "wrong_type"]


def test_a_contract_on_disk_is_the_canonical_one(published: Path) -> None:
    data = (published / folder.CONTRACT).read_bytes()
    assert files.encode(files.decode(data)) == data
    assert json.loads(data)["model"]["version"] == "1"
