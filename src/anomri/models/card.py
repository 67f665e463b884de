"""A model's card for people: `MODEL.md`."""

from __future__ import annotations

from anomri.models.model import Card

__all__ = ["card_text"]


def card_text(card: Card) -> str:
    """Markdown of a card: what it is for, what it learnt from, how well it was measured to work, where it fails."""
    branches = "\n".join(f"- `{b.name}`: method `{b.method}`, preset `{b.preset}`" for b in card.branches)
    ages = "unknown" if card.age_range is None else f"{card.age_range[0]:.0f}–{card.age_range[1]:.0f} years"
    site = "Calibrated on one scanner only: on any other, calibrate first." if card.single_site else ""
    return f"""# {card.name} {card.version}

Research use only. Not a medical device.

**Expects** {card.expects}

**Cohort** {card.cohort} Ages: {ages}. {len(card.training)} training scans, listed with their digests in `model.json`.
{site}

**Measured** {card.validation}

**Branches**

{branches}

**Limits** It knows only what its normals show. A left–right flip cannot be seen with a symmetric template. A scan that
passes is not thereby healthy.

**Licence** {card.licence}. Made by {card.made_by}.
"""
