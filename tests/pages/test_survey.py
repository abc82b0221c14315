"""One pass over many images: counts, scores and a fair choice of samples."""

from jax_origin.evidence import Naming
from jax_origin.pages.survey import BINS, NOT_RECOGNISED, Seen, bin_of, counted, survey

MAKERS = {"a": "a", "b": "b"}
NAMED, NONE = Naming("named", ("a",), ("a",), None), Naming("none", (), (), None)


def image(path: str, naming: Naming | None) -> Seen:
    return Seen(path, naming, {}, None)


def test_images_are_counted_by_outcome_and_folder():
    both = Naming("undecided", (), ("a", "b"), "several candidates fit: a, b")
    found = survey(
        [
            image("x/a/1", NAMED),
            image("x/a/2", NONE),
            image("x/photos/3", NONE),
            image("4", both),
            image("x/photos/5", None),
        ],
        MAKERS,
        samples=10,
    )
    counts = {"a": 1, "not recognised": 2, "undecided": 1, "not examined": 1}
    assert found.num == 5 and found.outcomes == counts
    assert found.groups["a"] == {"a": 1, "not recognised": 1} and found.groups[""].total() == 1
    assert found.reasons == {"several candidates fit: a, b": 1}
    assert [each.path for each in found.samples] == [
        "x/a/1",
        "x/a/2",
        "x/photos/3",
        "4",
        "x/photos/5",
    ]


def test_scores_are_counted_in_bins():
    found = counted([1e-3, 2.0, 0.0, 1.0, float("nan")])
    assert found == {-3 * BINS: 1, bin_of(2.0): 1, bin_of(0.0): 1, 0: 1}


def test_the_truth_is_known_where_a_folder_is_called_like_a_candidate():
    found = survey([image("a/1", NAMED)], {"a": "a or b", "b": "a or b"}, samples=1)
    assert found.truth_known
    assert found.is_right("a", "a or b") and found.is_right("photos", NOT_RECOGNISED)
    assert found.is_right("a", NOT_RECOGNISED) is False and found.is_right("a", "undecided") is None
    assert survey([image("x/1", NAMED)], MAKERS, samples=1).is_right("x", "a") is None


def test_what_a_layout_says_counts_and_not_the_folder():
    images = [
        image("b/1", NAMED)._replace(truth="a"),
        image("b/2", NONE)._replace(truth="a"),
        image("b/3", NONE)._replace(truth="real"),
        image("b/4", NAMED)._replace(truth=""),
    ]
    found = survey(images, MAKERS, samples=4)
    assert found.truth_known and set(found.groups) == {"a", "real", ""}
    right = [found.is_right(each.group, each.outcome) for each in found.samples]
    assert right == [True, False, True, None]


def test_each_outcome_right_or_wrong_has_its_share_of_samples():
    many = [image(f"a/{i}", NAMED) for i in range(1000)]
    many[500] = image("a/500", NONE)
    many[501:504] = [image(f"photos/{i}", NAMED) for i in range(3)]
    found = survey(iter(many), MAKERS, samples=20)
    assert len(found.samples) == 20
    assert sum(each.outcome == NOT_RECOGNISED for each in found.samples) == 1
    assert sum(each.folder == "photos" for each in found.samples) == 3
    places = [many.index(each) for each in found.samples]
    assert places == sorted(places) and places[-1] > 700  # From the whole run, in its order.
    again = survey(iter(many[::-1]), MAKERS, samples=20)
    assert {each.path for each in again.samples} == {each.path for each in found.samples}


def test_those_that_can_be_drawn_come_first():
    many = [image(f"a/{i}", NAMED) for i in range(100)]
    found = survey(many, MAKERS, samples=5, preferred=lambda each: int(each.name) % 20 == 0)
    assert [each.name for each in found.samples] == ["0", "20", "40", "60", "80"]
