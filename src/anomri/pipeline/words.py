"""The sentences of a result: why a scan was judged as it was, and what limits that, in words a person understands."""

from __future__ import annotations

from collections.abc import Mapping

from anomri.calibration import Judgement
from anomri.core.result import Driver, Finding, MetricDeviation, Verdict
from anomri.models.model import Card
from anomri.quality import METRICS

__all__ = ["deviations", "judged_reason", "limits"]

_MOST_METRICS = 3


def deviations(values: Mapping[str, float], quality: Mapping[str, float | None]) -> tuple[MetricDeviation, ...]:
    """The most deviating quality metrics of a reading, strongest first; empty for a branch that has none.

    Parameters
    ----------
    values : of a `Reading`, with ``deviation/…``, ``low/…`` and ``high/…`` per metric.
    quality : the metrics themselves.
    """
    prefix = "deviation/"
    ranked = sorted(
        (name.removeprefix(prefix) for name in values if name.startswith(prefix)),
        key=lambda name: (-abs(values[prefix + name]), name),
    )
    found: list[MetricDeviation] = []
    for name in ranked:
        value = quality.get(name)
        if value is None or len(found) == _MOST_METRICS:
            continue
        deviation = values[prefix + name]
        meaning = METRICS[name].high_means if deviation > 0 else METRICS[name].low_means
        found.append(
            MetricDeviation(
                name=name,
                value=value,
                normal_low=values[f"low/{name}"],
                normal_high=values[f"high/{name}"],
                deviation=deviation,
                usually_means=meaning,
            )
        )
    return tuple(found)


def judged_reason(
    verdict: Verdict,
    judgement: Judgement,
    value: float,
    drivers: tuple[Driver, ...],
    findings: tuple[Finding, ...],
    *,
    in_training: bool,
    in_calibration: bool,
) -> str:
    """Why a scan has its verdict: what drove it, where it stands among the normals, and what held it back.

    Parameters
    ----------
    verdict : as it will be told; milder than that of `judgement` where a full head is held back.
    in_training, in_calibration : whether the scan is one of those the model learnt from, one of those it is judged
        against.
    """
    reference = judgement.reference_scores
    beyond = sum(score < value for score in reference)
    standing = f"more abnormal than {beyond} of {len(reference)} normal scans"
    if verdict != "pass":
        sentence = f"{_what(drivers, findings)}; overall it is {standing}."
    elif findings:
        place = findings[0].sentence
        sentence = f"Overall nothing stands out: this scan is {standing}. All the same, {place[0].lower()}{place[1:]}."
    else:
        sentence = f"Nothing stands out: this scan is {standing}."
    if verdict != judgement.verdict:
        sentence += (
            f" Its score is that of a {judgement.verdict}, but the verdict is held at {verdict}: the scan is a full "
            "head and the normals it was judged against are not."
        )
    if in_training and in_calibration:
        return f"{sentence} It is one of the scans the model learnt from, judged by a model that had not seen it."
    if in_training:
        return f"{sentence} It is one of the scans the model learnt from, so it looks more normal than it may be."
    if in_calibration:
        return f"{sentence} It is one of the normal scans that the model was calibrated on."
    return sentence


def limits(
    judgement: Judgement,
    card: Card,
    *,
    age: float | None,
    known: bool,
    site_calibrated: bool,
    held: bool,
    extracted_ml: float | None,
) -> tuple[str, ...]:
    """What limits a verdict, the heaviest first.

    Parameters
    ----------
    age : of the subject, years; None where it is not known.
    known : whether the scan is one of those the model learnt from or was calibrated on.
    held : whether the verdict could be at most warn, because the scan is a full head and none of the normals is.
    extracted_ml : volume of the brain that was cut out of the scan; None where none was.
    """
    said = []
    if card.single_site and not site_calibrated and not known:
        said.append(
            "The model is calibrated on one scanner. On any other its false-alarm rate is not known: calibrate it "
            "there first."
        )
    if held and judgement.verdict != "fail":
        said.append(
            "The scan is a full head and the normals it was judged against are not, so the verdict could be at most "
            "warn: calibrate the model on full heads of this scanner, as many as the rate needs."
        )
    if extracted_ml is not None:
        said.append(
            f"The brain was cut out of the head ({extracted_ml:.0f} ml): look at its outline. What is wrong with "
            "the outline looks abnormal."
        )
    said += judgement.notes
    if age is not None and card.age_range is not None:
        low, high = card.age_range
        if not low <= age <= high:
            said.append(
                f"The subject is {age:.0f} years old; the model's normals are {low:.0f} to {high:.0f}. What is normal "
                "at that age may look abnormal."
            )
    return tuple(said)


def _what(drivers: tuple[Driver, ...], findings: tuple[Finding, ...]) -> str:
    first = drivers[0]
    if first.kind == "quality" and first.metrics:
        return _odd_quality(first.metrics[0])
    if findings:
        return findings[0].sentence
    if first.kind == "quality":
        return f"As a whole the scan departs from the normals (by {first.branch}, which points at no place)"
    return "The brain departs from the normals in several places, none of them strong enough to point at"


def _odd_quality(metric: MetricDeviation) -> str:
    title = METRICS[metric.name].title
    measured = f"{metric.value:.3g} (normal {metric.normal_low:.3g} to {metric.normal_high:.3g})"
    if metric.normal_low <= metric.value <= metric.normal_high:
        return f"The image quality is unlike the normals in its combination; nearest to the edge is {title}, {measured}"
    return f"The image quality is unlike the normals: {title} is {measured}, which usually means {metric.usually_means}"
