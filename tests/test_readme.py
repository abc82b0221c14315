"""What the README shows runs as it stands."""

import pathlib
import re

import pytest

pytestmark = pytest.mark.outer

README = pathlib.Path(__file__).parent.parent / "README.md"


def test_python_blocks_run(capsys):
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert blocks
    names: dict[str, object] = {"__name__": "readme"}
    for block in blocks:
        exec(compile(block, str(README), "exec"), names)
    assert capsys.readouterr().out.count("belongs") == 4
