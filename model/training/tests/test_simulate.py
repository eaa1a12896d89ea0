import json

import pytest

from training import simulate


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    directory = tmp_path_factory.mktemp("bank")
    return simulate.source(directory, people=60)


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_same_seed_makes_the_same_bank(made, tmp_path):
    again = simulate.source(tmp_path, people=60)
    assert again.events.read_bytes() == made.events.read_bytes()
    assert again.applications.read_bytes() == made.applications.read_bytes()


def test_event_ids_are_numbers_that_rise_with_time(made):
    events = lines(made.events)
    assert [int(event["event_id"]) for event in events] == list(range(1, len(events) + 1))
    assert [event["time"] for event in events] == sorted(event["time"] for event in events)


def test_nothing_arrives_before_it_happened(made):
    late = [event for event in lines(made.events) if "arrived_at" in event]
    assert late and all(event["arrived_at"] > event["time"] for event in late)


def test_people_without_history_and_forms_with_only_the_certain_fields_are_among_them(made):
    known = {event["person_id"] for event in lines(made.events)}
    applications = lines(made.applications)
    assert any(line["person_id"] not in known for line in applications)
    assert any("term_months" not in line["application"] for line in applications)
    assert {line["label"] for line in applications} == {0, 1}
