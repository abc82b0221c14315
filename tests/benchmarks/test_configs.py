"""Every file of settings is read, and gives settings."""

import pathlib
import runpy

import ml_collections
import pytest

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"
FILES = sorted(path.relative_to(CONFIGS).as_posix() for path in CONFIGS.rglob("*.py"))


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_settings_is_read(name):
    assert isinstance(
        runpy.run_path(str(CONFIGS / name))["get_config"](), ml_collections.ConfigDict
    )
