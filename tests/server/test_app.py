"""The page and the REST door, through a client in the same process."""

import base64
import concurrent.futures
import io
import socket
import threading

import jax
import numpy as np
import pytest

from jax_origin.audit import Candidate, Panel
from jax_origin.images.arrays import to_pillow
from jax_origin.workflow import belonging_images, calibrate

testclient = pytest.importorskip("starlette.testclient", exc_type=ImportError)
server = pytest.importorskip("jax_origin.server")
Job, Jobs, make_app = server.Job, server.Jobs, server.make_app


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    to_pillow(pixels).save(file, format="PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def panel(make_generator, method, noise, calibration):
    """Two candidates, whose generators are made on the spot."""
    options = {"num_belonging": 99, "foreign": {"noise": noise[:99]}, "conditions": ()}
    other = calibrate(make_generator(1), method=method, key=jax.random.key(0), **options)
    named = (each.generator["name"] for each in (calibration, other))
    candidates = [
        Candidate(name, name, own) for name, own in zip(named, (calibration, other), strict=True)
    ]
    loaded: list[str] = []
    with pytest.MonkeyPatch.context() as patch:

        def load(source: str):
            loaded.append(source)
            return make_generator(int(source[-1]))

        patch.setattr("jax_origin.audit.panel.load_generator", load)
        made = Panel(candidates, key=jax.random.key(1), max_pixels=10_000)
        made.loaded = loaded
        yield made


@pytest.fixture(scope="module")
def own(make_generator) -> list[bytes]:
    return [png(each) for each in belonging_images(make_generator(0), 10, key=jax.random.key(5))]


@pytest.fixture(scope="module")
def address(panel):
    """A server of its own, on a port that is free."""
    uvicorn = pytest.importorskip("uvicorn")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        running = uvicorn.Server(uvicorn.Config(make_app(Jobs(panel)), log_level="warning"))
        thread = threading.Thread(target=running.run, args=([listening],))
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        running.should_exit = True
        thread.join(60)


@pytest.mark.outer
def test_images_are_dropped_in_a_browser(browser, address, own):
    page = browser.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text))
    page.goto(address)
    dropped = """([names, texts]) => {
      const data = new DataTransfer();
      texts.forEach((text, i) => {
        const bytes = Uint8Array.from(atob(text), (each) => each.charCodeAt(0));
        data.items.add(new File([bytes], names[i]));
      });
      dispatchEvent(new DragEvent("drop", { dataTransfer: data, cancelable: true }));
    }"""
    files = [base64.b64encode(data).decode() for data in own]
    names = [f"<img src=x onerror=alert({i})>.png" for i in range(10)]
    page.evaluate(dropped, [names, files])
    page.get_by_role("button", name="Show the report").nth(9).wait_for(timeout=120_000)
    said = page.locator("#jobs > li").all_inner_texts()
    assert all("The findings support that tiny-0 made this image." in each for each in said)
    assert names[3] in said[3] and page.locator("#jobs img").count() == 0
    report = page.frame_locator("#report")
    assert "tiny-0 made this image" in report.locator("#answer").inner_text()
    assert faults == []
    page.evaluate(dropped, [["torn.png"], [base64.b64encode(b"torn").decode()]])
    page.get_by_text("is not an image").wait_for(timeout=60_000)
    page.get_by_label("tiny-0").uncheck()
    page.get_by_label("tiny-1").uncheck()
    page.evaluate(dropped, [names[:1], files[:1]])
    assert page.locator("#message").inner_text() == "Tick at least one candidate."
    # A screen reader's and a keyboard's way: the button that chooses files.
    page.get_by_label("tiny-0").check()
    chosen = {"name": "chosen.png", "mimeType": "image/png", "buffer": own[0]}
    page.locator("#files").set_input_files([chosen])
    page.locator("#jobs > li").nth(11).get_by_text("The findings support").wait_for()
    assert [each for each in faults if "alert" in each] == []


@pytest.fixture(scope="module")
def client(panel):
    app = make_app(Jobs(panel), max_bytes=50_000, hosts=("testserver",))
    with testclient.TestClient(app) as client:
        yield client


def test_an_image_in_and_an_answer_out(client, own):
    found = client.post("/v1/ask?name=mine.png", content=own[0])
    assert found.status_code == 200
    job = found.json()
    assert job["result"]["answer"] == "The findings support that tiny-0 made this image."
    assert (job["state"], job["share"], job["ahead"]) == ("done", 1.0, 0)
    assert set(job["result"]["candidates"]) == {"tiny-0", "tiny-1"}
    page = client.get(job["report"])
    assert page.headers["content-type"].startswith("text/html") and "mine.png" in page.text
    assert page.headers["x-frame-options"] == "SAMEORIGIN"
    assert page.headers["cache-control"] == "no-store"


def test_candidates_are_chosen_and_images_resized_if_asked(client):
    rng = np.random.default_rng(0)
    large = png(rng.integers(0, 256, (20, 30, 3), dtype=np.uint8))
    refused = client.post("/v1/ask?name=large.png&candidate=tiny-1", content=large)
    said = "large.png: is 20x30 (HxW), the generator makes 8x8; have it resized"
    assert refused.status_code == 400 and refused.json()["error"] == said
    found = client.post("/v1/ask?candidate=tiny-1&resize=true", content=large).json()
    assert set(found["result"]["candidates"]) == {"tiny-1"}


def test_what_cannot_be_used_is_said_in_one_line(client, own):
    wide = png(np.zeros((100, 101, 3), np.uint8))
    for query, body, status, error in (
        ("name=torn.png", b"\x89PNG\r\n", 400, "torn.png: is not an image, or a damaged one"),
        ("name=t.txt", b"Dear reader,", 400, "t.txt: is not an image"),
        ("name=none.png", b"", 400, "none.png: is empty"),
        ("name=wide.png", wide, 400, "wide.png: is enormous: 100x101 (HxW)"),
        ("name=huge.png", bytes(50_001), 413, "huge.png: is larger than 0.0476837 MiB"),
        ("candidate=tiny-7", own[0], 400, "no candidate 'tiny-7'; there are tiny-0, tiny-1"),
        ("resize=maybe", own[0], 400, "resize=maybe: must be true or false"),
    ):
        found = client.post(f"/v1/ask?{query}", content=body)
        assert found.status_code == status, found.text
        assert found.json()["error"].startswith(error) and "\n" not in found.json()["error"]
    for path in ("/v1/jobs/none", "/v1/jobs/none/report"):
        assert client.get(path).status_code == 404


def test_a_huge_file_that_does_not_say_its_size_is_not_read_to_its_end(client):
    sent = []

    def body():
        for i in range(1000):
            sent.append(i)
            yield bytes(10_000)

    assert client.post("/v1/ask", content=body()).status_code == 413


def test_ten_at_once_are_answered_one_after_the_other(client, panel, own):
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda data: client.post("/v1/ask", content=data), own))
    found = [answer.json()["result"] for answer in answers]
    assert all(each["named"] == ["tiny-0"] for each in found)
    assert len({each["sha256"] for each in found}) == 10
    assert sorted(panel.loaded[:2]) == ["tiny-0", "tiny-1"]
    # Once for images as they are, once for resized ones at the most: never for each image.
    assert len(panel.loaded) <= 4


def test_questions_wait_in_line_and_too_many_are_sent_away(panel, own):
    go_on = threading.Event()

    class Slow:
        candidates = panel.candidates

        def ask(self, *arguments, **options):
            options["watch"](0.5)
            go_on.wait(60)
            return panel.ask(*arguments, **options)

    jobs = Jobs(Slow(), most_waiting=3, most_kept=1)
    with testclient.TestClient(make_app(jobs, hosts=None)) as client:
        ids = [client.post("/v1/jobs", content=own[0]).json()["id"] for _ in range(3)]
        ahead = [client.get(f"/v1/jobs/{each}").json()["ahead"] for each in ids]
        assert ahead == [0, 1, 2]
        assert client.get(f"/v1/jobs/{ids[2]}/report").status_code == 404
        busy = client.post("/v1/jobs", content=own[0])
        assert busy.status_code == 503 and busy.json()["error"].startswith("too many images")
        go_on.set()
        for each in ids:
            jobs[each].finished.result(60)
        assert client.get(f"/v1/jobs/{ids[0]}").json()["share"] == 1.0
        client.post("/v1/ask", content=own[0])
        assert client.get(f"/v1/jobs/{ids[0]}").status_code == 404  # Old answers are forgotten.


def test_a_fault_of_ours_is_said_and_the_next_question_is_answered(panel, own):
    class Broken:
        candidates = panel.candidates

        def ask(self, *arguments, **options):
            raise ZeroDivisionError("by nought")

    jobs = Jobs(Broken())
    job = jobs.submit(Job("a.png"), own[0])
    job.finished.result(60)
    assert job.error == "a.png: a fault of the program (ZeroDivisionError: by nought)"
    jobs.panel = panel
    again = jobs.submit(Job("a.png"), own[0])
    again.finished.result(60)
    jobs.close()
    assert again.state == "done"


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "evil.example:8000"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
    ],
)
def test_pages_of_other_sites_cannot_ask(client, own, headers):
    found = client.post("/v1/ask", content=own[0], headers=headers)
    assert found.status_code == 403 and "error" in found.json()
    own_page = {"host": "testserver:8000", "origin": "http://testserver:8000"}
    assert client.get("/v1/candidates", headers=own_page).status_code == 200


def test_the_door_describes_itself(client):
    said = client.get("/openapi.json").json()
    assert said["openapi"].startswith("3.1")
    routes = {route.path for route in client.app.routes}
    assert set(said["paths"]) == routes - {"/", "/openapi.json"}
    for methods in said["paths"].values():
        for operation in methods.values():
            assert operation["summary"] and operation["responses"]
    names = [each["name"] for each in client.get("/v1/candidates").json()["candidates"]]
    assert names == ["tiny-0", "tiny-1"]
    assert 'value="tiny-1" checked' in client.get("/").text
