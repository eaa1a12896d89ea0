"""A made-up bank: people with a hidden discipline and fortunes that turn, so that history says more than the form does.

Seeded, and no claim on reality. It exists so that the service has something to serve before the bank's own data are
there: the shapes are those of real events (salaries, spending, instalments, late ones, statements, repeated
applications, events that arrive a day late, forms with only the four fields that the front-end always sends), and the
default depends on what the events show.
"""

import datetime
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .people import Source, numbered, rfc3339, write_lines

SEED = 20260701
PEOPLE = 9_000
HISTORY_START = datetime.datetime(2025, 10, 1)
APPLICATIONS_START = datetime.datetime(2026, 1, 10)
END = datetime.datetime(2026, 7, 1)
DAYS = (END - HISTORY_START).days
FIRST_APPLICATION_ID = 10_000_000

EMPLOYMENTS = ["salaried", "retired", "self_employed", "informal", "unemployed"]
EMPLOYMENT_SHARES = [0.50, 0.12, 0.18, 0.15, 0.05]
EMPLOYMENT_INCOME = np.array([1.0, 0.7, 1.1, 0.55, 0.35])
EMPLOYMENT_RISK = np.array([-0.2, -0.3, 0.1, 0.3, 0.7])
PURPOSES = ["home", "vehicle", "education", "health", "business", "debt", "other"]
PURPOSE_RISK = np.array([-0.2, -0.1, 0.0, 0.1, 0.2, 0.35, 0.0])
CHANNELS = ["card", "transfer", "cash", "direct_debit"]
CASH = 2
TERMS = [6, 12, 18, 24, 36, 48, 60]


@dataclass
class Person:
    """What nobody sees, and what follows from it."""

    id: str
    age: int
    employment: int
    income: float
    discipline: float
    #: Day of the history from which income is cut; beyond its end for most.
    shock_day: int
    is_new: bool


def source(directory: Path, _table: Path | None = None, people: int = PEOPLE) -> Source:
    """Writes the events and applications of the made-up bank."""
    random = np.random.default_rng(SEED)
    events, applications = [], []
    for number in range(1, people + 1):
        person = someone(random, number)
        days = application_days(random, person)
        if not person.is_new:
            events += [*transactions(random, person), *errands(random, person, days)]
            events += [*payments(random, person), *statements(random, person)]
        applications += [request(random, person, day, earlier) for earlier, day in enumerate(days)]
    applications.sort(key=lambda application: (application["as_of"], application["person_id"]))
    for number, line in enumerate(applications):
        line["application_id"] = str(FIRST_APPLICATION_ID + number)
    write_lines(directory / "events.ndjson", numbered(events))
    write_lines(directory / "applications.ndjson", applications)
    ages = np.array([line["application"]["age"] for line in applications])
    names = np.array(["under 30", "30 to 39", "40 to 54", "55 and over"])
    return Source(
        events=directory / "events.ndjson",
        applications=directory / "applications.ndjson",
        groups=np.array([line["person_id"] for line in applications]),
        segments={"age": names[np.digitize(ages, [30, 40, 55])]},
    )


def someone(random: np.random.Generator, number: int) -> Person:
    employment = int(random.choice(len(EMPLOYMENTS), p=EMPLOYMENT_SHARES))
    retired = EMPLOYMENTS[employment] == "retired"
    return Person(
        id=f"av-{number}",
        age=int(random.integers(58, 82) if retired else random.integers(19, 66)),
        employment=employment,
        income=float(1100 * EMPLOYMENT_INCOME[employment] * random.lognormal(0, 0.45)),
        discipline=float(random.normal()),
        shock_day=int(random.integers(60, DAYS) if random.random() < 0.22 else DAYS + 1),
        is_new=bool(random.random() < 0.15),
    )


def strain(person: Person, day):
    """How badly somebody is doing on a day, or on each of several: 0 is ordinary, 1 two months after a shock."""
    return np.clip((day - person.shock_day) / 60, 0, 1)


def transactions(random: np.random.Generator, person: Person) -> list[dict]:
    salary_day = int(random.integers(1, 29))
    spent_share = np.clip(0.82 - 0.12 * person.discipline, 0.35, 1.3)
    a_month = random.uniform(4, 12)
    events = []
    for start in range(salary_day, DAYS, 30):
        pay = person.income * (1 - 0.6 * strain(person, start)) * random.lognormal(0, 0.05)
        events.append(transaction(person, start + random.uniform(0.3, 0.6), pay, "in", "transfer", "employer"))
    days = np.sort(random.uniform(0, DAYS, random.poisson(a_month * DAYS / 30)))
    strained = strain(person, days)
    amounts = person.income * spent_share / a_month * random.lognormal(-0.3, 0.8, len(days)) * (1 - 0.2 * strained)
    others = random.choice(random.integers(1, 4000, random.integers(4, 18)), len(days))
    cash = random.random(len(days)) < 0.15 + 0.3 * strained
    channels = np.where(cash, CASH, random.choice([0, 0, 0, 0, 0, 1, 1, 1, 3, 3], len(days)))
    again = np.where(random.random(len(days)) < 0.2, random.uniform(0.002, 0.015, len(days)), 0)
    for day, amount, channel, other, later in zip(days, amounts, channels, others, again, strict=True):
        events.append(transaction(person, day, amount, "out", CHANNELS[channel], f"m-{other}"))
        if later:  # a second purchase on the same errand: sessions
            events.append(transaction(person, day + later, amount / 3, "out", CHANNELS[channel], f"m-{other}"))
    late = np.flatnonzero(random.random(len(events)) < 0.05)
    for position, delay in zip(late, random.uniform(0.05, 1.5, len(late)), strict=True):
        happened_at = datetime.datetime.fromisoformat(events[position]["time"].removesuffix("Z"))
        events[position]["arrived_at"] = rfc3339(happened_at + datetime.timedelta(days=delay))
    return events


def transaction(person: Person, day: float, amount: float, direction: str, channel: str, other: str) -> dict:
    data = {"amount": cents(amount), "direction": direction, "channel": channel}
    if channel != "cash":
        data["counterparty"] = other
    return {"person_id": person.id, "event_id": "", "type": "transaction", "time": at(day), "data": data}


def payments(random: np.random.Generator, person: Person) -> list[dict]:
    if random.random() < 0.3:
        return []
    instalment, due_day, events = person.income * random.uniform(0.08, 0.25), int(random.integers(1, 29)), []
    for due in range(due_day, DAYS, 30):
        lateness = random.normal(-2.5 - 3.0 * person.discipline + 22 * strain(person, due), 5)
        late = int(np.clip(lateness, 0, 85))
        if due + late + 1 < DAYS:
            data = {"amount": cents(instalment), "days_past_due": late}
            time = at(due + late + random.uniform(0.3, 0.8))
            events.append({"person_id": person.id, "event_id": "", "type": "payment", "time": time, "data": data})
    return events


def statements(random: np.random.Generator, person: Person) -> list[dict]:
    limit = round(person.income * random.uniform(0.8, 3.0), -2) + 100
    used, day, events = (
        np.clip(0.45 - 0.2 * person.discipline + random.normal(0, 0.15), 0, 1),
        int(random.integers(1, 29)),
        [],
    )
    for due in range(day, DAYS, 30):
        used = float(np.clip(used + random.normal(0.0, 0.06) + 0.15 * strain(person, due), -0.05, 1.15))
        data = {
            "balance": cents(used * limit),
            "credit_limit": cents(limit),
            "minimum_due": cents(max(used, 0) * limit * 0.05),
        }
        events.append(
            {"person_id": person.id, "event_id": "", "type": "statement", "time": at(due + 0.2), "data": data}
        )
    return events


def application_days(random: np.random.Generator, person: Person) -> list[float]:
    """People in trouble ask more often."""
    first = (APPLICATIONS_START - HISTORY_START).days
    strained = person.shock_day < DAYS - 30
    return sorted(random.uniform(first, DAYS, 1 + random.poisson(2.4 if strained else 1.3)).tolist())


def errands(random: np.random.Generator, person: Person, days: list[float]) -> list[dict]:
    """Somebody who is short of money empties the account just before asking for more."""
    events = []
    for day in days:
        for _ in range(random.poisson(0.3 + 2.0 * strain(person, day))):
            amount = person.income * random.uniform(0.02, 0.1)
            events.append(
                transaction(person, day - random.uniform(0.0005, 0.015), amount, "out", "transfer", "own-account")
            )
    return events


def request(random: np.random.Generator, person: Person, day: float, earlier: int) -> dict:
    purpose, term = int(random.integers(len(PURPOSES))), int(random.choice(TERMS))
    amount = person.income * random.lognormal(0.9, 0.6)
    declared = person.income * random.lognormal(0.03, 0.08)
    score = int(np.clip(640 + 55 * person.discipline + random.normal(0, 45), 300, 850))
    fields = {"monthly_income": cents(declared), "amount": cents(max(amount, 50)), "age": person.age}
    if random.random() < 0.85:
        fields["credit_score"] = score
    if random.random() < 0.65:  # the others come from the form that sends only what is certain
        fields |= {"term_months": term, "purpose": PURPOSES[purpose], "employment": EMPLOYMENTS[person.employment]}
    log_odds = (
        -3.0
        - 0.75 * person.discipline
        + 2.4 * strain(person, day + 20)
        + 0.6 * np.log(amount / person.income / 2.5)
        + 0.2 * min(earlier, 3)
        + EMPLOYMENT_RISK[person.employment]
        + PURPOSE_RISK[purpose]
        + 0.006 * (term - 24)
    )
    label = int(random.random() < 1 / (1 + np.exp(-log_odds)))
    return {"person_id": person.id, "application_id": "", "application": fields, "as_of": at(day), "label": label}


def at(day: float) -> str:
    return rfc3339(HISTORY_START + datetime.timedelta(seconds=round(float(day) * 86_400)))


def cents(amount: float) -> float:
    return round(float(amount), 2)
