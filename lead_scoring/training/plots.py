"""The model card's plots as SVG, the same bytes every time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lead_scoring.core.statistics import wilson

__all__ = ["calibration", "conversion", "distribution", "importance", "precision_recall", "roc", "svg"]

Floats = NDArray[np.float64]
_INK, _ACCENT, _SOFT, _WARM = "#334155", "#0f766e", "#94a3b8", "#c2410c"
_SETTINGS: Any = {
    "svg.hashsalt": "lead-scoring",
    "svg.fonttype": "none",  # text stays text: smaller, selectable, and the same on machines with other fonts
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.edgecolor": _SOFT,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "legend.frameon": False,
    "text.parse_math": False,  # a feature may be called `$x$`
}
_MOST_POINTS = 300


def roc(target: NDArray[np.bool_], probability: Floats) -> str:
    """Draw the ROC curve."""
    won, lost = _running(target, probability)

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=_SOFT, linestyle="--", linewidth=1)
        axes.plot(*_thinned(lost / lost[-1], won / won[-1]), color=_ACCENT)
        axes.set(
            xlabel="share of other leads above the cut", ylabel="share of conversions found", xlim=(0, 1), ylim=(0, 1)
        )

    return svg(draw)


def precision_recall(target: NDArray[np.bool_], probability: Floats) -> str:
    """Draw precision over recall, with the base rate for comparison."""
    won, lost = _running(target, probability)
    keep = won + lost >= 20  # the first few leads jump about

    def draw(axes: Axes) -> None:
        axes.axhline(target.mean(), color=_SOFT, linestyle="--", linewidth=1, label="base rate")
        axes.plot(*_thinned(won[keep] / won[-1], (won / (won + lost))[keep]), color=_ACCENT)
        axes.set(
            xlabel="share of conversions found", ylabel="conversion rate above the cut", xlim=(0, 1), ylim=(0, None)
        )
        axes.legend()

    return svg(draw)


def calibration(target: NDArray[np.bool_], probability: Floats) -> str:
    """Draw conversion rates with 95 % intervals over mean probabilities, for ten groups of equally many leads."""
    chunks = np.array_split(np.argsort(probability, kind="stable"), 10)
    mean = np.array([probability[chunk].mean() for chunk in chunks])
    rate = np.array([target[chunk].mean() for chunk in chunks])
    low, high = np.array([wilson(int(target[chunk].sum()), len(chunk)) for chunk in chunks]).T
    end = 1.08 * max(mean[-1], high[-1])

    def draw(axes: Axes) -> None:
        axes.plot([0, end], [0, end], color=_SOFT, linestyle="--", linewidth=1, label="as promised")
        axes.errorbar(mean, rate, yerr=[rate - low, high - rate], fmt="o", color=_ACCENT, markersize=4, capsize=2)
        axes.set(xlabel="calibrated probability", ylabel="conversion rate", xlim=(0, end), ylim=(0, end))
        axes.legend(loc="upper left")

    return svg(draw)


def conversion(by_bucket: Sequence[Mapping[str, Any]], base_rate: float) -> str:
    """Draw the conversion rate of each score with its 95 % interval, and the lift over all leads beside it."""
    score = [row["score"] for row in by_bucket]
    rate, low, high = (np.array([row["conversion"][key] for row in by_bucket]) for key in ("value", "low", "high"))

    def draw(axes: Axes) -> None:
        axes.bar(score, rate, color=_ACCENT, width=0.65)
        axes.errorbar(score, rate, yerr=[rate - low, high - rate], fmt="none", ecolor=_INK, capsize=4)
        axes.axhline(base_rate, color=_SOFT, linestyle="--", linewidth=1, label="all leads")
        for row in by_bucket:
            if row["lift"]:
                axes.annotate(
                    f"× {row['lift']['value']:.2g}", (row["score"], row["conversion"]["high"]), (0, 4),
                    textcoords="offset points", ha="center",
                )  # fmt: skip
        axes.set(xlabel="score (× lift)", ylabel="conversion rate", xticks=score, ylim=(0, 1.15 * high.max()))
        axes.legend(loc="upper left")

    return svg(draw)


def importance(mean_contribution: Mapping[str, float], count: int = 20) -> str:
    """Draw the features that move log-odds the most, by mean absolute contribution."""
    strongest = sorted(mean_contribution.items(), key=lambda item: (-item[1], item[0]))[:count][::-1]

    def draw(axes: Axes) -> None:
        axes.barh([name for name, _ in strongest], [value for _, value in strongest], color=_ACCENT, height=0.7)
        axes.set(xlabel="mean absolute contribution to log-odds")

    return svg(draw, width=5.6, height=0.6 + 0.22 * len(strongest))


def distribution(target: NDArray[np.bool_], probability: Floats, edges: Sequence[float]) -> str:
    """Draw how the probabilities of both outcomes are spread, with the edges of the scores."""
    bins = np.linspace(np.log10(max(probability.min(), 1e-4)), 0, 60)

    def draw(axes: Axes) -> None:
        for rows, colour, label in ((~target, _SOFT, "did not convert"), (target, _WARM, "converted")):
            share = np.full(int(rows.sum()), 1 / max(1, int(rows.sum())))
            logs = np.log10(np.clip(probability[rows], 1e-4, 1))
            axes.hist(logs, bins=bins.tolist(), weights=share, color=colour, alpha=0.65, label=label)
        for edge in edges:
            axes.axvline(np.log10(edge), color=_INK, linewidth=0.8, linestyle=":")
        ticks = [tick for tick in (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0) if np.log10(tick) >= bins[0]]
        axes.set(xlabel="calibrated probability (dotted: edges of the scores)", ylabel="share of leads")
        axes.set_xticks([float(np.log10(tick)) for tick in ticks], [f"{tick:g}" for tick in ticks])
        axes.legend(loc="upper left")

    return svg(draw)


def svg(draw: Callable[[Axes], None], *, width: float = 4.2, height: float = 3.2) -> str:
    """Return what `draw` puts on empty axes as an SVG element in the house's style; inches."""
    with mpl.rc_context():
        mpl.rcdefaults()  # whatever this machine's matplotlibrc says
        mpl.rcParams.update(_SETTINGS)
        figure = Figure(figsize=(width, height), layout="constrained")
        draw(figure.subplots())
        target = BytesIO()
        FigureCanvasSVG(figure).print_svg(  # type: ignore[no-untyped-call]
            target, metadata={"Date": None, "Creator": None}
        )
    text = target.getvalue().decode()
    return text[text.index("<svg") :]


def _running(target: NDArray[np.bool_], probability: Floats) -> tuple[Floats, Floats]:
    """Return conversions and others among the leads above each cut, from the highest probability down."""
    ordered = target[np.argsort(-probability, kind="stable")]
    return np.cumsum(ordered).astype(np.float64), np.cumsum(~ordered).astype(np.float64)


def _thinned(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    keep = np.unique(np.linspace(0, len(x) - 1, _MOST_POINTS).astype(np.intp))
    return x[keep].round(5), y[keep].round(5)
