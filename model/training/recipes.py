"""The bundles that can be trained: where their history comes from, what follows from a score, and what a reader of the
card must know.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import simulate, taiwan
from .bundle import Policy
from .people import Source


@dataclass
class Recipe:
    name: str
    title: str
    #: Where to write files, and the options of the command.
    source: Callable[[Path, argparse.Namespace], Source]
    policy: Policy
    #: How much of the newest history to withhold for the curve of staleness.
    withhold: list[str]
    #: Paragraphs of the card.
    purpose: str
    data: str
    limits: str


TAIWAN = Recipe(
    name="taiwan",
    title="Credit-card default, Taiwan 2005",
    source=lambda directory, options: taiwan.source(directory, options.csv),
    policy=Policy(
        approve_below=0.20,
        decline_from=0.50,
        bands=[("A", 0.06), ("B", 0.12), ("C", 0.20), ("D", 0.50), ("E", None)],
    ),
    withhold=["30d", "60d", "90d"],
    purpose="""\
The probability that a credit-card customer does not pay in October 2005, given six months of statements and payments.
It ships as a proof on real data that the served vector is the trained one, not as a model for anybody's customers.
""",
    data="""\
30,000 customers of a bank in Taiwan, April to September 2005, 22.1 % defaults: I-C. Yeh and C. Lien, *The comparisons
of data mining techniques for the predictive accuracy of probability of default of credit card clients*, Expert
Systems with Applications 36 (2009); UCI Machine Learning Repository, dataset 350, licensed CC BY 4.0. Changed here:
the table was taken apart into events.

Each month of a person is a `statement` (bill, repayment status, months past due) and, where something was paid, a
`payment`. Only the month of an event is known: its day is a fixed pseudo-random one for each person (payments on the
5th to 20th, statements on the 22nd to 28th). The application stands at 2005-10-01T00:00:00Z with the credit limit.
Event and application ids are decimal numbers that rise with time.

Sex, age, education and marriage are **protected**: they are kept beside the scores for the report below, and the
engine refuses them in a feature.
""",
    limits="""\
- One bank, one country, one half-year in a credit crisis: do not use it on other people.
- The older repayment codes look restated (one month late hardly occurs in them), so a live stream would have carried
  others than this table has.
- 52 groups of rows are identical, 21 of them with different labels; a few may stand on both sides of a fold.
- The labels are those of customers who were given a card: nothing is known of those who were refused.
- Withholding protected fields does not make groups equal: see the report by group.
""",
)

AHORRO_VALLE = Recipe(
    name="ahorro-valle",
    title="Personal loans of Ahorro Valle",
    source=lambda directory, options: simulate.source(directory, options.loadtest),
    policy=Policy(
        approve_below=0.12,
        decline_from=0.35,
        bands=[("A", 0.04), ("B", 0.08), ("C", 0.12), ("D", 0.35), ("E", None)],
    ),
    withhold=["1d", "7d", "30d"],
    purpose="""\
**Synthetic: trained on made-up people. It must be retrained on the bank's own history before it decides anything.**
It has the fields of the front-end and the events of the core-banking system, so that everything around the model can
be run, tested and measured.
""",
    data="""\
A seeded simulator makes 9,000 people with a hidden discipline and, for some, a fall of income; their transactions,
payments and statements from October 2025 to June 2026; and their applications from the last day of December on, with
outcomes that depend on both. One person in seven has no history at all, one application in three carries only the
fields that the front-end always sends, and one transaction in twenty arrives up to a day and a half late: the
training table has only what was known at each application. All of a person's applications stand in one fold.

The same people are had by `cauce-loadtest simulate --people 9000 --seed 20260701`, with their hidden propensities;
`loadtest/src/simulate.rs` lists the equations.

Age is accepted because the front-end sends it, and **protected**: kept for the report below, refused by the engine in
any feature.
""",
    limits="""\
- The figures above describe the simulator, not borrowers. Thresholds and bands are placeholders of the same kind.
- Values of `purpose` and `employment` are a proposal; an unknown value is refused, an absent one is fine.
- The made-up outcome does not depend on age except through employment; real ones may.
- To retrain: write your events and applications (with `label`) as NDJSON, `cauce backfill`, and give this package a
  source of your own.
""",
)

RECIPES = {recipe.name: recipe for recipe in (TAIWAN, AHORRO_VALLE)}
