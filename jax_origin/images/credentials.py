"""Content Credentials: what a C2PA manifest in a file says, and whether its signature holds.

A file's XMP may name a manifest elsewhere; nothing is fetched. Needs c2pa-python, which reads
manifests as https://spec.c2pa.org has them; without it a manifest is only said to be there.
"""

import io
import json
from typing import Any

from jax_origin.images.formats import format_of

_LONGEST = 200  # Characters of a name that are kept.
_OFFLINE = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}


def credentials(data: bytes) -> dict[str, str]:
    """What the manifest of a file says; {} where there seems to be none.

    Args:
      data: The bytes of an image file.

    Returns:
      `c2pa`: "trusted", where its signer is on a list of those whom c2pa-python trusts; "valid",
      where signature and hashes fit; "invalid", where they do not, or it cannot be read; "present",
      where nobody has checked it. Those that are there of: `c2pa_signer`, whose certificate signed
      it; `c2pa_program`, what made it by its own account; `c2pa_source_type`, IPTC's word for how
      the image came about, such as "trainedAlgorithmicMedia".
    """
    if b"c2pa" not in data or not (b"jumb" in data or b"caBX" in data):
        return {}
    try:
        import c2pa
    except ImportError:
        return {"c2pa": "present"}
    form = format_of(data)
    kind = f"image/{form.name.lower()}" if form else "image/png"
    try:
        with (
            c2pa.Context.from_dict(_OFFLINE) as context,
            c2pa.Reader(kind, io.BytesIO(data), context=context) as reader,
        ):
            said = json.loads(reader.json())
            state, manifest = said["validation_state"], said["manifests"][said["active_manifest"]]
            return {"c2pa": str(state).lower(), **_of(manifest)}
    except Exception:  # Whatever is wrong with it, it vouches for nothing.
        return {"c2pa": "invalid"}


def _of(manifest: dict[str, Any]) -> dict[str, str]:
    programs = manifest.get("claim_generator_info") or [{"name": manifest.get("claim_generator")}]
    actions = (
        action
        for each in manifest.get("assertions", ())
        if str(each.get("label", "")).startswith("c2pa.actions")
        for action in each["data"].get("actions", ())
    )
    types = (str(action.get("digitalSourceType") or "") for action in actions)
    said = {
        "c2pa_signer": (manifest.get("signature_info") or {}).get("issuer"),
        "c2pa_program": programs[0].get("name"),
        "c2pa_source_type": next(filter(None, types), "").rpartition("/")[2],
    }
    return {name: str(text)[:_LONGEST] for name, text in said.items() if text}
