"""Each benchmark's layout, read from a small copy."""

import io
import tarfile
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jax_origin.images import ImageError
from jax_origin.sources import find_layout, open_source

from .test_sources import png, tar, write

PNG = png(3)


def truths(path, layout: str) -> dict[str, str | None]:
    found = open_source(str(path), layout=find_layout(layout))
    return {entry.key.removeprefix(f"{path}/"): entry.truth for entry in found}


def test_truefake_in_folders_and_archives(tmp_path):
    write(tmp_path / "PreSocial/Real/FFHQ/1.png", PNG)
    write(tmp_path / "Facebook/Fake/FLUX.1/animals/1.jpg", PNG)
    (tmp_path / "PreSocial/Fake").mkdir()
    with tarfile.open(tmp_path / "PreSocial/Fake/StyleGAN2.tar.gz", "w:gz") as archive:
        info = tarfile.TarInfo("conf-f-psi-1/7.png")
        info.size = len(PNG)
        archive.addfile(info, io.BytesIO(PNG))
    (tmp_path / "split.json").write_text("{}")
    assert truths(tmp_path, "truefake") == {
        "Facebook/Fake/FLUX.1/animals/1.jpg": "FLUX.1",
        "PreSocial/Fake/StyleGAN2.tar.gz/conf-f-psi-1/7.png": "StyleGAN2",
        "PreSocial/Real/FFHQ/1.png": "real",
    }


def test_cospy(tmp_path):
    write(tmp_path / "synthetic/cc3m/black-forest-labs@FLUX.1-dev/1.png", PNG)
    write(tmp_path / "real/cc3m/1.png", PNG)
    assert truths(tmp_path, "cospy") == {
        "real/cc3m/1.png": "real",
        "synthetic/cc3m/black-forest-labs@FLUX.1-dev/1.png": "black-forest-labs/FLUX.1-dev",
    }


def test_genimage_in_folders_and_archives(tmp_path):
    write(tmp_path / "ADM/imagenet_ai_0508_adm/train/ai/1.PNG", PNG)
    write(tmp_path / "ADM/imagenet_ai_0508_adm/val/nature/2.JPEG", PNG)
    write(tmp_path / "glide/val/ai/1.png", PNG)
    with zipfile.ZipFile(tmp_path / "BigGAN.zip", "w") as archive:
        archive.writestr("imagenet_ai_0419_biggan/train/ai/3.png", PNG)
    assert truths(tmp_path, "genimage") == {
        "ADM/imagenet_ai_0508_adm/train/ai/1.PNG": "ADM",
        "ADM/imagenet_ai_0508_adm/val/nature/2.JPEG": "real",
        "BigGAN.zip/imagenet_ai_0419_biggan/train/ai/3.png": "BigGAN",
        "glide/val/ai/1.png": "glide",
    }


@pytest.mark.parametrize(
    ("layout", "columns"),
    [
        (
            "community_forensics",
            {"image_data": [PNG] * 2, "model_name": ["sdxl", "laion"], "label": [1, 0]},
        ),
        (
            "openfake",
            {
                "image": [{"bytes": PNG, "path": "1.png"}] * 2,
                "label": ["fake", "real"],
                "model": ["sdxl", ""],
            },
        ),
    ],
)
def test_parquet_benchmarks(tmp_path, layout, columns):
    pq.write_table(pa.table(columns), tmp_path / "train-0.parquet")
    assert list(truths(tmp_path, layout).values()) == ["sdxl", "real"]


def test_dragon(tmp_path):
    tar(tmp_path / "dragon_train_000.tar", {"1.png": PNG, "1.json": b'{"model": "kandinsky"}'})
    assert list(truths(tmp_path, "dragon").values()) == ["kandinsky"]


def test_aedr(tmp_path):
    write(tmp_path / "Imgs/SD21/1.png", PNG)
    assert truths(tmp_path, "aedr") == {"Imgs/SD21/1.png": "SD21"}


def test_ones_own(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text("def maker(entry):\n    return entry.key.split('/')[-2]\n")
    monkeypatch.syspath_prepend(tmp_path)
    write(tmp_path / "images/me/1.png", PNG)
    assert truths(tmp_path / "images", "mine:maker") == {"me/1.png": "me"}
    assert truths(tmp_path / "images", "folder") == {"me/1.png": "me"}


@pytest.mark.parametrize("name", ["genimge", "no.such.module:f", "json:f"])
def test_a_layout_that_is_not_there_is_one_line(name):
    with pytest.raises(ValueError, match="layout") as caught:
        find_layout(name)
    assert "\n" not in str(caught.value)


def test_a_layout_that_fails_names_the_image(tmp_path):
    write(tmp_path / "1.png", PNG)
    with pytest.raises(ImageError, match=r"1\.png: the layout cannot say .*KeyError: 'label'"):
        list(open_source(str(tmp_path), layout=lambda entry: entry.about["label"]))
