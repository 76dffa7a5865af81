"""Tables as people bring them, made up: the same quirks as in well-known public ones, nobody's data."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

Columns = dict[str, Sequence[Any]]


def leads_table(rows: int = 9_000, seed: int = 0) -> Columns:
    """Return 37 columns of an online school's leads: `Select` for nothing chosen, Yes/No, a tag written later."""
    rng = np.random.default_rng([seed, 37])
    interest = rng.standard_normal(rows)
    visits = rng.poisson(np.exp(0.9 + 0.3 * interest)).clip(0, 251).astype(object)
    spent = np.round(rng.gamma(1.5, 300, rows) * np.exp(0.4 * interest)).astype(int)
    origin = rng.choice(
        ["API", "Landing Page Submission", "Lead Add Form", "Lead Import"], rows, p=[0.39, 0.53, 0.07, 0.01]
    )
    source = rng.choice(
        ["Google", "Direct Traffic", "Olark Chat", "Organic Search", "Reference", "google", "Facebook", "bing", "Call"],
        rows, p=[0.31, 0.275, 0.19, 0.125, 0.058, 0.02, 0.02, 0.0015, 0.0005],
    )  # fmt: skip
    occupation = rng.choice(
        ["Unemployed", "Working Professional", "Student", "Other", "Housewife", ""],
        rows,
        p=[0.6, 0.08, 0.03, 0.01, 0.004, 0.276],
    )
    log_odds = (
        -1.2 + 0.9 * interest + 2.2 * (origin == "Lead Add Form") + 0.0011 * (spent - 450)
        + 1.6 * (occupation == "Working Professional") - 0.7 * (occupation == "")
    )  # fmt: skip
    converted = rng.random(rows) < 1 / (1 + np.exp(-log_odds))
    visits[rng.random(rows) < 0.015] = ""
    won, lost = ["Will revert after reading the email", ""], ["Ringing", "Other courses", "No further education", ""]
    tags = np.where(
        converted, rng.choice(won, rows, p=[0.8, 0.2]), rng.choice(lost, rows, p=[0.35, 0.15, 0.1, 0.4])
    )  # fmt: skip
    chosen = {
        "Specialization": ["Select", "Finance Management", "Human Resource Management", 'Media, "Arts"', ""],
        "How did you hear about X Education": ["Select", "Online Search", "Word Of Mouth", "Student of SomeSchool", ""],
        "Lead Profile": ["Select", "Potential Lead", "Other Leads", ""],
        "City": ["Select", "Mumbai", "Thane & Outskirts", "Tier II Cities", "Other Cities", ""],
    }  # fmt: skip
    found: Columns = {
        "Prospect ID": [f"{value:08x}-7e{row:04x}" for row, value in enumerate(rng.integers(0, 2**32, rows).tolist())],
        "Lead Number": (660_000 - np.cumsum(rng.integers(1, 20, rows))).tolist(),
        "Lead Origin": origin.tolist(),
        "Lead Source": source.tolist(),
        "Do Not Email": rng.choice(["No", "Yes"], rows, p=[0.92, 0.08]).tolist(),
        "Do Not Call": ["No"] * rows,
        "Converted": converted.astype(int).tolist(),
        "TotalVisits": visits.tolist(),
        "Total Time Spent on Website": spent.tolist(),
        "Page Views Per Visit": np.round(rng.gamma(2, 1.2, rows), 2).tolist(),
        "Last Activity": rng.choice(
            ["Email Opened", "SMS Sent", "Olark Chat Conversation", "Unreachable"], rows
        ).tolist(),
        "Country": np.where(rng.random(rows) < 0.7, "India", "").tolist(),
        "What is your current occupation": occupation.tolist(),
        "Tags": tags.tolist(),
        "Activity [score] <1-20>": rng.integers(1, 21, rows).tolist(),
    }
    for name, words in chosen.items():
        found[name] = rng.choice(words, rows).tolist()
    found["Specialisation"] = found["Specialization"]
    found["Lead Quality"] = rng.choice(["Might be", "Not Sure", "Worst", "High in Relevance", ""], rows).tolist()
    for number in range(37 - len(found)):
        found[f"Asked question {number + 1}?"] = rng.choice(["No", "Yes"], rows, p=[0.9, 0.1]).tolist()
    assert len(found) == 37
    return found


def calls_table(rows: int = 45_000, seed: int = 0) -> Columns:
    """Return 20 columns and the outcome of a bank's phone calls: `unknown`, 999 for never called, -1, no id."""
    rng = np.random.default_rng([seed, 20])
    earlier = rng.random(rows) < 0.14
    success = earlier & (rng.random(rows) < 0.25)
    month = rng.integers(0, 10, rows)
    rate = np.round(5 - 0.45 * month + rng.normal(0, 0.1, rows), 3)
    age = rng.gamma(18, 2.2, rows).clip(17, 98).round().astype(int)
    log_odds = (
        -2.6 + 2.0 * success - 0.35 * (rate - 3) + 0.02 * (age - 40) + 0.4 * (age > 60) + rng.normal(0, 0.5, rows)
    )
    yes = rng.random(rows) < 1 / (1 + np.exp(-log_odds))
    duration = rng.gamma(2, 110, rows) * np.where(yes, 3.0, 1.0)
    pick = lambda words, p=None: rng.choice(words, rows, p=p).tolist()  # noqa: E731
    return {
        "age": age.tolist(),
        "job": pick(["admin.", "blue-collar", "technician", "services", "management", "retired", "unknown"]),
        "marital": pick(["married", "single", "divorced", "unknown"], [0.6, 0.28, 0.118, 0.002]),
        "education": pick(["university", "school", "basic", "illiterate", "unknown"], [0.4, 0.3, 0.25, 4e-4, 0.0496]),
        "default": pick(["no", "unknown", "yes"], [0.79, 0.2098, 0.0002]),
        "housing": pick(["yes", "no", "unknown"], [0.52, 0.45, 0.03]),
        "loan": pick(["no", "yes", "unknown"], [0.82, 0.15, 0.03]),
        "contact": pick(["cellular", "telephone"], [0.63, 0.37]),
        "month": np.array(["mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"])[month].tolist(),
        "day_of_week": pick(["mon", "tue", "wed", "thu", "fri"]),
        "duration": duration.round().astype(int).tolist(),
        "campaign": rng.geometric(0.4, rows).tolist(),
        "pdays": np.where(earlier, rng.integers(0, 28, rows), 999).tolist(),
        "previous": np.where(earlier, rng.geometric(0.7, rows), 0).tolist(),
        "poutcome": np.where(success, "success", np.where(earlier, "failure", "nonexistent")).tolist(),
        "emp.var.rate": np.round(rate - 3.6, 1).tolist(),
        "cons.price.idx": np.round(93 + 0.1 * month + rng.normal(0, 0.05, rows), 3).tolist(),
        "cons.conf.idx": np.round(-40 + rng.normal(0, 4, rows), 1).tolist(),
        "euribor3m": rate.tolist(),
        "last_order": np.where(rng.random(rows) < 0.3, -1, rng.integers(0, 400, rows)).tolist(),
        "y": np.where(yes, "yes", "no").tolist(),
    }  # fmt: skip


def write(
    columns: Columns, path: Path, *, separator: str = ",", encoding: str = "utf-8", quoting: int = csv.QUOTE_MINIMAL
) -> Path:
    """Write a CSV file; return its path."""
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.writer(file, delimiter=separator, quoting=quoting)  # type: ignore[arg-type]
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path
