"""What the REST door takes and gives, as OpenAPI says it."""

import json
import pathlib
from typing import Any


def description(max_bytes: int) -> dict[str, Any]:
    """The OpenAPI description of the door, for the largest file that it takes."""
    text = pathlib.Path(__file__).with_suffix(".json").read_text(encoding="utf-8")
    return json.loads(text.replace("MAX_BYTES", str(max_bytes)))
