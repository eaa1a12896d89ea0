from training import simulate
from training.people import write_lines


def test_applications_of_one_person_belong_together_and_to_the_group_of_their_age(tmp_path):
    ages = [("av-1", 29), ("av-2", 30), ("av-1", 29), ("av-3", 55)]
    lines = [{"person_id": person, "application": {"age": age}} for person, age in ages]
    write_lines(tmp_path / "applications.ndjson", lines)
    source = simulate.read(tmp_path)
    assert source.groups.tolist() == ["av-1", "av-2", "av-1", "av-3"]
    assert source.segments["age"].tolist() == ["under 30", "30 to 39", "under 30", "55 and over"]
