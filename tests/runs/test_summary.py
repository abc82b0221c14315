"""The tables that a run prints."""

import pytest

from jax_origin.runs import count_table, format_warning, verdict_table


def record(path: str, verdict: str | None = "belongs", **changes) -> dict:
    found = {"score": 2.5e-6, "loss": 2.5e-6, "p": 0.5, "q": 0.0099, "reason": None, "error": None}
    if verdict is None:
        found = {**dict.fromkeys(found), "error": "is empty (zero bytes)"}
    return {"path": path, "verdict": verdict, "note": None, **found, **changes}


def test_a_line_for_each_record():
    table = verdict_table(
        [
            record("/far/away/own/a.png"),
            record("x/photos/b.png", "not_recognised", loss=0.0123, p=0.0099, q=None),
            record("c.png", "undecided", reason="fits both", note="opaque alpha dropped"),
            record("x/bad/d.png", None),
        ]
    )
    assert [line.split() for line in table.splitlines()] == [
        "verdict loss p q image".split(),
        "belongs 2.50e-06 0.500 0.010 own/a.png".split(),
        "not_recognised 1.23e-02 0.010 photos/b.png".split(),
        "undecided 2.50e-06 0.500 0.010 c.png (fits both; opaque alpha dropped)".split(),
        "error bad/d.png (is empty (zero bytes))".split(),
    ]


def test_the_columns_stand_under_their_heads():
    table = verdict_table(
        [record("own/a.png"), record("bad/b.png", None), record("c/d.png", q=None)]
    )
    head, *lines = table.splitlines()
    assert [line.index("/") for line in lines] == [
        head.index("image") + len(folder) for folder in ("own", "bad", "c")
    ]
    for name, value in (("loss", "2.50e-06"), ("p", "0.500"), ("q", "0.010")):
        assert lines[0].index(value) + len(value) == head.index(f" {name} ") + len(name) + 1


def test_the_numbers_of_an_image_accepted_early_are_shown_as_bounds():
    early = record("own/a.png", score_kind="upper_bound")
    assert verdict_table([early]).split()[-3:] == [">=0.500", "<=0.010", "own/a.png"]


def test_a_long_table_is_cut_and_says_so():
    records = [record(f"own/{i}.png") for i in range(7)]
    lines = verdict_table(records, most=3).splitlines()
    assert len(lines) == 5
    assert lines[-1] == "... and 4 more"
    assert "more" not in verdict_table(records, most=7)
    assert len(verdict_table([]).splitlines()) == 1


RECORDS = [
    record("x/own/1.png"),
    record("x/own/2.png"),
    record("x/own/3.png", "not_recognised"),
    record("x/photos/1.png", "not_recognised"),
    record("x/photos/2.png", "not_recognised"),
    record("x/photos/3.png", "not_recognised"),
    record("x/photos/4.png", "belongs"),
    record("x/photos/5.png", "undecided"),
    record("x/photos/6.png", None),
]


def test_verdicts_are_counted_by_folder():
    lines = [line.split() for line in count_table(RECORDS).splitlines()]
    assert lines == [
        "folder belongs not_recognised undecided error".split(),
        "own 2 1 0 0".split(),
        "photos 1 3 1 1".split(),
    ]


def test_where_the_truth_is_known_right_and_wrong_are_counted():
    lines = count_table(RECORDS, own="own").splitlines()
    assert lines[1].split() == "own (own) 2 1 0 0".split()
    assert lines[2].split() == "photos 1 3 1 1".split()
    assert lines[3] == "right 5, wrong 2, undecided or not read 2"
    assert len(lines) == 4


@pytest.mark.parametrize("own", [None, "a-folder-with-quite-a-long-name"])
def test_counts_are_aligned_whatever_the_folders_are_called(own):
    records = [*RECORDS, record("a-folder-with-quite-a-long-name/1.png"), record("1.png")]
    lines = count_table(records, own=own).splitlines()[:5]
    assert len({len(line) for line in lines}) == 1
    assert lines[4].split() == "1 0 0 0".split()


def test_where_format_and_verdict_go_together_that_is_said():
    own = [record(f"own/{i}.png", stored="pixels") for i in range(6)]
    jpegs = [record(f"x/{i}.jpg", "not_recognised", stored="jpeg") for i in range(5)]
    undecided = [record("x/u.jpg", "undecided", stored="pixels"), record("b.png", None, stored="")]
    text = format_warning([*own, *jpegs, *undecided])
    assert text.startswith("warning: all images that belong are stored as lossless files, all")
    assert "foreign ones as JPEG" in text
    found = [{**r, "verdict": "named"} for r in own] + [{**r, "verdict": "none"} for r in jpegs]
    assert format_warning(found) == text
    mixed = record("x/p.png", "not_recognised", stored="pixels (grey, shown in colour)")
    for records in ([*own, *jpegs, mixed], [*own, *jpegs[1:]], own, []):
        assert format_warning(records) is None
