"""jax-origin ask, as users run it."""

import json

import jax
import numpy as np
import pytest
from PIL import Image

from jax_origin.generators import save_generator
from jax_origin.images import save_png
from jax_origin.workflow import belonging_images, calibrate
from jax_origin.zoo import load_generator

from .running import Done, run


@pytest.fixture(scope="module")
def folder(tmp_path_factory, make_generator, tiny_method, noise):
    """Two candidates with their calibrations, and images to ask about."""
    folder = tmp_path_factory.mktemp("ask")
    for seed, name in enumerate(("one", "two")):
        save_generator(folder / name, make_generator(seed), card={"name": name})
        model = load_generator(folder / name)
        groups = {"noise": noise[:99]}
        options = {"num_belonging": 99, "foreign": groups, "conditions": ()}
        made = calibrate(model, method=tiny_method, key=jax.random.key(0), **options)
        made.save(folder / f"{name}.json")
        save_png(folder / f"{name}.png", belonging_images(model, 1, key=jax.random.key(5))[0])
    rng = np.random.default_rng(9)
    save_png(folder / "noise.png", rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    save_png(folder / "large.png", rng.integers(0, 256, (40, 60, 3), dtype=np.uint8))
    (folder / "torn.png").write_bytes(b"\x89PNG\r\n")
    return folder


def ask(folder, *arguments: str) -> Done:
    both = ("--candidate=one=one.json", "--candidate=two=two.json", "--config.cache=")
    return run(folder, "ask", *arguments, *both)


def test_the_answer_is_three_lines_and_a_page(folder):
    done = ask(folder, "one.png")
    assert done.code == 0, done.err
    answer, numbers, not_covered, _, page = done.out.splitlines()
    assert answer == "The findings support that one made this image."
    assert "% of one's own images fit no better than this one (p), and 1% of the near" in numbers
    assert numbers.index("fit as well (q)") < numbers.index("The limits were fixed before")
    assert not_covered.startswith("It is not the probability that the answer is right")
    text = (folder / page.removeprefix("page: ")).read_text()
    assert answer in text and text.count("data:image/png;base64,") == 6


def test_nobodys_image_is_not_said_to_be_anybodys(folder):
    done = ask(folder, "--image=noise.png", "--out=page.html")
    answer, _, not_covered, *_ = done.out.splitlines()
    either = "any of the 2 candidates (one and two)"
    assert answer.startswith(f"There is no evidence that {either} made this image")
    assert "does not mean that a camera, or any other model, made it" in not_covered
    assert done.out.endswith("page: page.html\n") and (folder / "page.html").exists()


def test_as_json_it_has_the_lines_and_the_numbers(folder):
    done = ask(folder, "two.png", "--json")
    found = json.loads(done.out)
    assert found["answer"] == "The findings support that two made this image."
    assert (found["verdict"], found["named"], found["path"]) == ("named", ["two"], "two.png")
    assert set(found["candidates"]) == {"one", "two"} and found["left_out"] == {}
    assert found["candidates"]["two"]["q"] <= 0.01 < found["candidates"]["two"]["p"]


def test_an_image_of_another_size_is_resized_if_asked(folder):
    done = ask(folder, "large.png")
    wrong = "ask: large.png: is 40x60 (HxW), the generator makes 8x8; pass --resize"
    assert (done.code, done.out) == (1, "") and done.line.startswith(wrong)
    done = ask(folder, "large.png", "--resize")
    assert done.code == 0 and done.out.startswith("Undecided: the image fits no candidate's")
    text = (folder / done.out.splitlines()[-1].removeprefix("page: ")).read_text()
    assert "resized from 40x60 to 8x8" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["torn.png"], "torn.png: is not an image, or a damaged one"),
        (["nothing.png"], "nothing.png: no such file"),
        (["."], ".: is a folder, not an image file"),
        ([], "name an image: jax-origin ask IMAGE"),
        (["one.png", "two.png"], "unknown argument 'two.png'"),
        (["one.png", "--alpha=2"], "--alpha=2.0: must lie strictly between 0 and 1"),
        (["one.png", "--alpha=0.001"], "one.json: alpha=0.001 needs"),
        (["one.png", "--candidate=none"], "none: no such generator"),
        (["one.png", "--out=."], "--out=.: is a folder; name a file"),
    ],
)
def test_a_mistake_is_one_line(folder, arguments, message):
    done = ask(folder, *arguments)
    assert (done.code, done.out) == (1, "")
    assert done.line.startswith(f"ask: {message}"), done.line


@pytest.mark.outer
def test_a_candidate_of_another_size_is_left_out_and_said(folder):
    with Image.open(folder / "one.png") as image:
        image.resize((32, 32)).save(folder / "wide.png")
    done = run(folder, "ask", "wide.png", "--candidate=dcgan-cifar10", "--candidate=one=one.json")
    assert done.code == 0, done.err
    assert "  one: is 32x32 (HxW), the generator makes 8x8" in done.out
