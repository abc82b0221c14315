"""Weights in several files, in folders of diffusers' and Orbax's, and on the hub."""

import functools
import hashlib
import http.server
import json
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from jax_origin.checkpoints import CheckpointError, read_checkpoint, write_safetensors
from jax_origin.checkpoints.hub import needed
from tests.checkpoints.written import storage, tensor, torch_zip


def weights(value, *names):
    return {name: np.full((2, 3), value, np.float32) for name in names}


def write_shards(folder, stem="diffusion_pytorch_model"):
    folder.mkdir(parents=True, exist_ok=True)
    shards = {f"{stem}-0000{i}-of-00002.safetensors": weights(i, f"w{i}", "x") for i in (1, 2)}
    for name, arrays in shards.items():
        write_safetensors(folder / name, arrays)
    first, second = shards
    index = {"metadata": {}, "weight_map": {"w1": first, "w2": second, "x": second}}
    path = folder / f"{stem}.safetensors.index.json"
    path.write_text(json.dumps(index))
    return path


def write_model(folder, value, config):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    write_safetensors(folder / "diffusion_pytorch_model.safetensors", weights(value, "w"))


def write_pipeline(folder):
    write_model(folder / "unet", 1, {"sample_size": 8})
    write_model(folder / "vae", 2, {"latent_channels": 4})
    (folder / "scheduler").mkdir()
    (folder / "scheduler" / "scheduler_config.json").write_text('{"beta_start": 0.5}')
    (folder / "model_index.json").write_text('{"unet": ["diffusers", "UNet2DModel"]}')


CONFIGS = {
    "unet": {"sample_size": 8},
    "vae": {"latent_channels": 4},
    "scheduler": {"beta_start": 0.5},
}


def test_shards_are_read_as_their_index_says(tmp_path):
    arrays = read_checkpoint(write_shards(tmp_path)).arrays
    assert {name: array[0, 0] for name, array in arrays.items()} == {"w1": 1, "w2": 2, "x": 2}
    (tmp_path / "config.json").write_text('{"a": 1}')
    model = read_checkpoint(tmp_path)
    assert set(model.arrays) == {"w1", "w2", "x"} and model.config == {"a": 1}


def test_shards_that_are_missing_are_named(tmp_path):
    index = write_shards(tmp_path)
    (tmp_path / "diffusion_pytorch_model-00002-of-00002.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"-00002-of-00002\.safetensors: no such file"):
        read_checkpoint(index)
    index.write_text('{"weight_map": {"y": "diffusion_pytorch_model-00001-of-00002.safetensors"}}')
    with pytest.raises(CheckpointError, match=r"'y' is not in diffusion_pytorch_model-00001"):
        read_checkpoint(index)


def test_shards_of_torch_save(tmp_path):
    data = torch_zip({"w": tensor(storage("0", 6), (2, 3))}, {"0": bytes(np.ones(6, np.float32))})
    (tmp_path / "a.bin").write_bytes(data)
    (tmp_path / "pytorch_model.bin.index.json").write_text('{"weight_map": {"w": "a.bin"}}')
    assert (read_checkpoint(tmp_path).arrays["w"] == 1).all()


def test_a_model_and_its_config(tmp_path):
    write_model(tmp_path, 3, {"in_channels": 3})
    model = read_checkpoint(tmp_path)
    assert model.config == {"in_channels": 3} and model.source == str(tmp_path)
    assert (model.arrays["w"] == 3).all()


def test_a_pipeline_gives_its_unet_or_the_part_that_is_asked_for_and_all_configs(tmp_path):
    write_pipeline(tmp_path)
    pipeline = read_checkpoint(tmp_path)
    assert (pipeline.arrays["w"] == 1).all() and pipeline.config == CONFIGS
    part = read_checkpoint(tmp_path, root="vae")
    assert (part.arrays["w"] == 2).all() and part.config == CONFIGS
    with pytest.raises(CheckpointError, match="root is one of unet, vae"):
        read_checkpoint(tmp_path, root="text_encoder")


def test_a_model_that_diffusers_saved(tmp_path):
    diffusers = pytest.importorskip("diffusers")
    pytest.importorskip("torch")
    model = diffusers.UNet2DModel(
        sample_size=8,
        block_out_channels=(8,),
        down_block_types=("DownBlock2D",),
        up_block_types=("UpBlock2D",),
        layers_per_block=1,
        norm_num_groups=4,
    )
    for safe in (True, False):
        model.save_pretrained(tmp_path / str(safe), safe_serialization=safe)
        read = read_checkpoint(tmp_path / str(safe))
        assert read.config["block_out_channels"] == [8]
        assert set(read.arrays) == set(model.state_dict())
        for name, wanted in model.state_dict().items():
            assert (read.arrays[name] == wanted.numpy()).all()


READ = """
import sys
sys.modules["torch"] = None
from jax_origin.checkpoints import read_checkpoint
assert "diffusers" not in sys.modules
config = read_checkpoint(sys.argv[1]).config
assert "diffusers" in sys.modules, "not read through it"
assert config["unet"] == {"_class_name": "UNet2DModel", "sample_size": 8}, config
assert config["scheduler"] == {"_class_name": "DDIMScheduler", "beta_start": 0.5}, config
"""


def test_configs_of_diffusers_are_read_by_it_without_pytorch(tmp_path):
    pytest.importorskip("diffusers")
    write_model(tmp_path / "unet", 1, {"_class_name": "UNet2DModel", "sample_size": 8})
    (tmp_path / "scheduler").mkdir()
    config = {"_class_name": "DDIMScheduler", "beta_start": 0.5}
    (tmp_path / "scheduler" / "scheduler_config.json").write_text(json.dumps(config))
    subprocess.run([sys.executable, "-c", READ, tmp_path], check=True, timeout=300)


SAVE = """
import sys, jax.numpy as jnp
from orbax.checkpoint import v1 as ocp
half = jnp.full(2, 2, jnp.bfloat16)
state = {".weights['a']": jnp.ones((3, 4)), "half": half, "step": jnp.int32(7)}
with ocp.training.Checkpointer(sys.argv[1]) as checkpointer:
    checkpointer.save(3, state)
"""


def test_a_step_of_orbaxs_as_training_writes_it(tmp_path):
    subprocess.run([sys.executable, "-c", SAVE, tmp_path / "checkpoints"], check=True, timeout=120)
    step = tmp_path / "checkpoints" / "3"
    arrays = read_checkpoint(step).arrays
    assert arrays.shapes == {".weights['a']": (3, 4), "half": (2,), "step": ()}
    assert (arrays[".weights['a']"] == 1).all() and (arrays["half"] == 2).all()
    assert arrays["step"] == 7
    for file in (step / "state").rglob("*"):
        if file.is_file() and file.parent.name == "d":
            file.write_bytes(file.read_bytes()[:20])
    with pytest.raises(CheckpointError) as caught:
        dict(read_checkpoint(step).arrays)
    assert "\n" not in str(caught.value)
    (step / "state" / "_METADATA").write_text("{}")
    with pytest.raises(CheckpointError, match="another layout than OCDBT"):
        read_checkpoint(step)


# The hub: a cache of the layout that its client keeps, and a server that answers as it does.

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "cache"


def test_what_is_in_the_cache_needs_no_network(cache):
    repository = cache / "models--org--name"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    write_pipeline(repository / "snapshots" / COMMIT)
    found = read_checkpoint("hf://org/name")
    assert found.source == "hf://org/name" and found.config == CONFIGS
    assert (read_checkpoint("hf://org/name", root="vae").arrays["w"] == 2).all()
    file = "unet/diffusion_pytorch_model.safetensors"
    assert (read_checkpoint(f"hf://org/name/{file}").arrays["w"] == 1).all()
    assert (read_checkpoint(f"hf://org/name@{COMMIT}").arrays["w"] == 1).all()
    for address in ("hf://org/name/vae", f"hf://org/name@{COMMIT}/vae/"):
        found = read_checkpoint(address)
        assert found.source == address and found.config == CONFIGS["vae"]
        assert (found.arrays["w"] == 2).all()


def test_what_is_not_in_the_cache_is_one_line_without_a_network(cache):
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint("hf://org/name")
    text = str(caught.value)
    assert text.startswith("hf://org/name: not in the local cache") and "\n" not in text
    assert "hf download org/name" in text


@pytest.mark.parametrize(
    "address", ["hf://", "hf://name", "hf://a/b/../../c", "hf://a b/c", "hf://org/a--b/"]
)
def test_an_address_of_another_form_is_refused(cache, address):
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(address)
    assert str(caught.value).startswith("hf://") and "\n" not in str(caught.value)


def test_a_name_with_a_slash_is_a_local_path():
    with pytest.raises(CheckpointError, match="org/name: no such file"):
        read_checkpoint("org/name")


@pytest.mark.parametrize(
    ("root", "wanted"),
    [
        (None, {"unet/diffusion_pytorch_model.safetensors"}),
        ("vae", {"vae/model-00001-of-00002.safetensors", "vae/model-00002-of-00002.safetensors"}),
        ("text_encoder", set()),
    ],
)
def test_only_what_will_be_read_is_downloaded(root, wanted):
    configs = {"model_index.json", "unet/config.json", "vae/model.safetensors.index.json"}
    names = configs | {
        *("unet/diffusion_pytorch_model.safetensors", "unet/diffusion_pytorch_model.bin"),
        *("vae/model-00001-of-00002.safetensors", "vae/model-00002-of-00002.safetensors"),
        *("vae/model.fp16-00001-of-00002.safetensors.old", "README.md", "v1-5-pruned.ckpt"),
    }
    assert set(needed(names, root)) == configs | wanted


def test_an_autoencoders_part_is_downloaded_and_of_several_files_the_whole_one():
    names = {
        *("model_index.json", "unet/config.json", "unet/diffusion_pytorch_model.safetensors"),
        *("vae/config.json", "vae/diffusion_pytorch_model.safetensors"),
        *("vae/diffusion_pytorch_model.fp16.safetensors", "vae/diffusion_pytorch_model.bin"),
    }
    configs = {"model_index.json", "unet/config.json", "vae/config.json"}
    wanted = configs | {"vae/diffusion_pytorch_model.safetensors"}
    assert set(needed(names, None, ("vqvae", "movq", "vae"))) == wanted
    rounded = names - {"vae/diffusion_pytorch_model.safetensors", "vae/diffusion_pytorch_model.bin"}
    wanted = configs | {"vae/diffusion_pytorch_model.fp16.safetensors"}
    assert set(needed(rounded, None, ("vae",))) == wanted


class Hub(http.server.BaseHTTPRequestHandler):
    """Answers as the hub does, for one repository that lies in a folder."""

    def __init__(self, folder, asked, *arguments):
        self.folder, self.asked = folder, asked
        super().__init__(*arguments)

    def log_message(self, *arguments):
        pass

    def files(self):
        return sorted(
            str(p.relative_to(self.folder)) for p in self.folder.rglob("*") if p.is_file()
        )

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = self.path.partition("?")[0]
        headers = {"X-Repo-Commit": COMMIT}
        if path.startswith("/org/name/resolve/"):
            name = path.split("/", 5)[5]
            body = (self.folder / name).read_bytes()
            headers["ETag"] = f'"{hashlib.sha256(body).hexdigest()}"'
            if self.command == "GET":
                self.asked.append(name)
        elif "/tree/" in path:
            sizes = {name: (self.folder / name).stat().st_size for name in self.files()}
            entries = [
                {"type": "file", "path": name, "oid": "0" * 40, "size": size}
                for name, size in sizes.items()
            ]
            body = json.dumps(entries).encode()
        elif path.startswith("/api/models/org/name"):
            siblings = [{"rfilename": name} for name in self.files()]
            body = json.dumps({"id": "org/name", "sha": COMMIT, "siblings": siblings}).encode()
        else:
            self.send_error(404)
            return
        self.send_response(200)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


LOAD = """
import sys
from jax_origin.checkpoints import read_checkpoint
for _ in range(2):
    print(read_checkpoint(sys.argv[1]).arrays["w"].sum())
"""


@pytest.mark.parametrize(
    ("address", "total", "wanted"),
    [
        (
            "hf://org/name",
            6.0,
            [
                *("model_index.json", "scheduler/scheduler_config.json", "unet/config.json"),
                *("unet/diffusion_pytorch_model.safetensors", "vae/config.json"),
            ],
        ),
        (
            "hf://org/name/vae",
            12.0,
            ["vae/config.json", "vae/diffusion_pytorch_model.safetensors"],
        ),
        (
            "hf://org/name/vae/diffusion_pytorch_model.safetensors",
            12.0,
            ["vae/diffusion_pytorch_model.safetensors"],
        ),
    ],
    ids=["pipeline", "folder", "file"],
)
def test_no_more_is_downloaded_than_is_read_and_that_once(tmp_path, address, total, wanted):
    write_pipeline(tmp_path / "repository")
    asked = []
    handler = functools.partial(Hub, tmp_path / "repository", asked)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        environment = {
            "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
            "HF_HOME": str(tmp_path / "home"),
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DISABLE_XET": "1",
            "NO_PROXY": "127.0.0.1",
            "JAX_PLATFORMS": "cpu",
            "PATH": "",
        }
        done = subprocess.run(
            [sys.executable, "-c", LOAD, address],
            cwd=Path(__file__).parents[2],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        server.shutdown()
    assert done.stdout == f"{total}\n{total}\n", done.stderr
    assert sorted(asked) == wanted
