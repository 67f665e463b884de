"""Stage 5 of a benchmark: tables, plots and pages. Every file but the costs is the same on a repeat."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from anomri.benchmark.cases import NORMAL
from anomri.benchmark.curves import curves
from anomri.benchmark.evaluate import cells_of, p_values
from anomri.benchmark.maps import allowances_of
from anomri.benchmark.pictures import Picture, picture_of
from anomri.benchmark.preparing import Ready
from anomri.benchmark.protocol import Protocol
from anomri.benchmark.published import comparable
from anomri.benchmark.results import LEFT_OUT, Entry, Results
from anomri.benchmark.tables import CSV_COLUMNS, csv_rows, latex, markdown, name_of, rows_for
from anomri.io.write import write_csv, write_json, write_text

__all__ = ["write_report"]

_SHOWN = 6
# What the threshold of the headline promises.
_RATE = 0.05


def headlines(protocol: Protocol, entries: Sequence[Entry]) -> tuple[tuple[str, str], ...]:
    """Metric and title of each readable table, the operating point first.

    Its rate is the one that the most numbers of normals can show, and of those the nearest to 5 %.
    """
    shown = {(e.metric, e.normals) for e in entries if np.isfinite(e.value)}
    able = Counter(metric for metric, _ in shown)
    rate = max(protocol.rates, key=lambda r: (able[f"false alarms at {r:g}"], -abs(r - _RATE)))
    allowances = allowances_of(protocol.recipe_of(protocol.recipe))
    return (
        (
            f"sensitivity at {rate:g}",
            f"Sensitivity where {100 * rate:g} % of normals may be alarms (the headline)",
        ),
        (f"false alarms at {rate:g}", f"Realised false alarms where {100 * rate:g} % are allowed"),
        ("auroc", "AUROC, with 95 % intervals over subjects"),
        ("auroc minus best baseline", "AUROC less that of the best baseline of the same column, paired"),
        ("auroc within slice position", "AUROC between slices of the same position"),
        ("top finding in lesion", "Top finding within 5 mm of the lesion"),
        ("chance of it", "Chance of that"),
        (
            "dice, threshold from normals",
            f"Dice at a threshold from normal scans ({allowances.named(allowances.honest)} of false positive a scan)",
        ),
        ("oracle dice, pooled", "Best Dice over all thresholds, chosen on the test labels (oracle: an upper bound)"),
        ("voxel average precision, pooled", "Voxel average precision, all scans of a column together"),
        (
            "froc mean, false positives on normals",
            "Lesion sensitivity, mean over 1/8 to 8 false positives a normal scan",
        ),
    )


def write_report(
    protocol: Protocol,
    entries: Sequence[Entry],
    table: Sequence[Results],
    out: Path,
    *,
    confounds: Mapping[str, str],
    environment: Mapping[str, str],
) -> tuple[Path, ...]:
    """Write everything a reader needs.

    Parameters
    ----------
    confounds : by cell, why its figures may show the source of the scans and not what is wrong with them.

    Returns
    -------
    ``figures.csv``, ``scores.csv``, ``costs.csv``, ``tables.md``, ``tables.tex``, ``environment.json``,
    ``index.html`` and one page a method.
    """
    cells = list(dict.fromkeys([NORMAL, *(c for r in table for c in cells_of(r))]))
    _csv(out / "figures.csv", CSV_COLUMNS, csv_rows(entries))
    _csv(out / "scores.csv", ("method", "normals", "seed", "case_id", "cell", "score", "refused"), _scores(table))
    _csv(out / "costs.csv", ("method", "normals", "fits", "fit_s", "examine_s", "peak_mb"), _costs(table))
    write_json(out / "environment.json", dict(environment))
    tables = [pair for pair in headlines(protocol, entries) if any(e.metric == pair[0] for e in entries)]
    left_out = [e for e in entries if e.metric == LEFT_OUT]
    marked = "".join(f"\n{cell}: CONFOUNDED, {why}\n" for cell, why in confounds.items())
    write_text(
        out / "tables.md",
        f"# {protocol.title}\n{marked}\n"
        + "".join(f"\nLeft out: {name_of(e)}, {e.note}.\n" for e in left_out)
        + "\n".join(f"## {title}\n\n{markdown(entries, metric, cells, confounds)}" for metric, title in tables),
    )
    write_text(
        out / "tables.tex",
        "\n".join(f"% {title}\n{latex(entries, metric, cells, confounds)}" for metric, title in tables),
    )
    pages = {f"{r.row.name}{'' if r.normals is None else f' ({r.normals})'}": r for r in table if not r.row.baseline}
    links = {name: f"method-{number}.html" for number, name in enumerate(pages, start=1)}
    templates = Environment(
        loader=PackageLoader("anomri.benchmark", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name, results in pages.items():
        write_text(
            out / links[name],
            templates.get_template("method.html.jinja").render(
                protocol=protocol,
                name=name,
                missed=worst_misses(results),
                alarms=worst_alarms(results),
                refused=results.refused,
            ),
        )
    write_text(
        out / "index.html",
        templates.get_template("benchmark.html.jinja").render(
            protocol=protocol,
            tables=[(title, rows_for(entries, metric, cells)) for metric, title in tables],
            left_out=[(name_of(e), e.note) for e in left_out],
            curves=curves(protocol, table),
            links=links,
            confounds=confounds,
            published=comparable(protocol.name),
            costs=_costs(table),
            environment=environment,
            subjects=len({r.case.subject for r in table[0].ready}),
            normals=sum(not r.case.abnormal for r in table[0].ready),
        ),
    )
    names = ("figures.csv", "scores.csv", "costs.csv", "tables.md", "tables.tex", "environment.json", "index.html")
    return tuple(out / name for name in (*names, *links.values()))


def _csv(path: Path, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    write_csv(path, (dict(zip(columns, row, strict=True)) for row in rows), columns)


def worst_misses(results: Results) -> list[Picture]:
    """The abnormal cases that look most normal: largest p, lowest score first; refused ones are no misses."""
    seed = next(iter(results.scores))
    cases = [r for r in results.ready if r.case.abnormal and np.isfinite(results.scores[seed][r.case.case_id])]
    return _pictures(results, seed, cases, most_normal=True)


def worst_alarms(results: Results) -> list[Picture]:
    """The normal cases that look most abnormal."""
    seed = next(iter(results.scores))
    cases = [r for r in results.ready if not r.case.abnormal and np.isfinite(results.scores[seed][r.case.case_id])]
    return _pictures(results, seed, cases, most_normal=False)


def _pictures(results: Results, seed: int, cases: Sequence[Ready], *, most_normal: bool) -> list[Picture]:
    ready = {r.case.case_id: r for r in cases}
    names = list(ready)
    p = dict(zip(names, p_values(results, seed, names), strict=True))
    sign = -1.0 if most_normal else 1.0
    ranked = sorted(names, key=lambda name: (sign * p[name], -sign * results.scores[seed][name], name))
    return [picture_of(ready[name], results, seed, p_value=p[name]) for name in ranked[:_SHOWN]]


def _scores(table: Sequence[Results]) -> list[tuple[object, ...]]:
    return [
        (
            r.row.name,
            "all" if r.normals is None else r.normals,
            seed,
            one.case.case_id,
            one.case.cell,
            f"{found[one.case.case_id]:.9g}",
            r.refused.get(one.case.case_id, ""),
        )
        for r in table
        for seed, found in r.scores.items()
        for one in r.ready
    ]


def _costs(table: Sequence[Results]) -> list[tuple[object, ...]]:
    return [
        (
            r.row.name,
            "all" if r.normals is None else r.normals,
            len(r.costs),
            f"{np.mean([c.fit_s for c in r.costs]):.2f}",
            f"{np.mean([c.examine_s for c in r.costs]):.3f}",
            "" if math.isnan(peak := float(np.max([c.peak_mb for c in r.costs]))) else f"{peak:.0f}",
        )
        for r in table
        if r.costs
    ]
