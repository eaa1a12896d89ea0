import pytest

from training import taiwan

#: Person 2 of the table: paid nothing for September, something for other months.
ROW = [2, 120000, 2, 2, 2, 26, -1, 2, 0, 0, 0, 2, 2682, 1725, 2682, 3272, 3455, 3261, 0, 1000, 1000, 1000, 0, 2000, 1]


def test_a_month_is_a_statement_and_where_something_was_paid_a_payment():
    events = taiwan.person_events(ROW)
    payments = [event for event in events if event["type"] == "payment"]
    statements = [event for event in events if event["type"] == "statement"]
    assert [event["data"]["amount"] for event in payments] == [1000, 1000, 1000, 2000]
    assert [event["time"][:7] for event in payments] == ["2005-08", "2005-07", "2005-06", "2005-04"]
    assert [event["time"][:7] for event in statements] == [f"2005-0{month}" for month in (9, 8, 7, 6, 5, 4)]
    assert statements[0]["data"] == {"bill": 2682, "repayment_status": -1, "months_past_due": 0}
    assert statements[1]["data"] == {"bill": 1725, "repayment_status": 2, "months_past_due": 2}


def test_a_person_pays_and_is_billed_on_days_of_their_own_that_never_change():
    events = taiwan.person_events(ROW)
    days = {kind: {event["time"][8:] for event in events if event["type"] == kind} for kind in ("payment", "statement")}
    assert days == {"payment": {"05T15:28:04Z"}, "statement": {"23T16:53:06Z"}}


def test_payments_come_before_statements_in_every_month():
    for person in range(1, 500):
        days = {event["type"]: int(event["time"][8:10]) for event in taiwan.person_events([person, *ROW[1:]])}
        assert 5 <= days["payment"] <= 20 < 22 <= days["statement"] <= 28


def test_an_application_carries_the_limit_the_protected_fields_and_the_label_beside_them():
    assert taiwan.application(ROW) == {
        "person_id": "tw-2",
        "application_id": "1000002",
        "application": {
            "credit_limit": 120000,
            "age": 26,
            "sex": "female",
            "education": "university",
            "marriage": "single",
        },
        "as_of": "2005-10-01T00:00:00Z",
        "label": 1,
    }


def test_undocumented_codes_are_unknown():
    row = [*ROW[:3], 6, 0, *ROW[5:]]
    fields = taiwan.application(row)["application"]
    assert (fields["education"], fields["marriage"]) == ("unknown", "unknown")


def test_another_table_is_refused():
    with pytest.raises(SystemExit, match="other values than expected"):
        taiwan.read("head\n" + ",".join(map(str, ROW)) + "\n")
