"""What an audit was made of: versions, devices, hashes, counts, and a hash over all its records."""

import hashlib
import importlib.metadata
import json
import os
import pathlib
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import jax

from jax_origin.audit.candidates import Candidate
from jax_origin.audit.part_files import check_chain, note_of, parts_in, read_part
from jax_origin.files import atomic_write
from jax_origin.runs import RunError
from jax_origin.runs.record import json_object

NAME = "manifest.json"
_PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "pillow", "pyarrow")


def made_with() -> dict[str, Any]:
    """The versions and devices of this process."""
    versions = {"python": platform.python_version(), "jax_origin": _version("jax_origin")}
    versions |= {name: _version(name) for name in _PACKAGES}
    devices = Counter(f"{device.platform} {device.device_kind}" for device in jax.devices())
    return {"versions": versions, "devices": dict(devices), "processes": jax.process_count()}


def begin_manifest(
    out: str | os.PathLike[str],
    candidates: Sequence[Candidate],
    *,
    settings: Mapping[str, Any],
    rates: Mapping[str, Any],
    indistinguishable: Sequence[tuple[str, ...]],
) -> None:
    """Notes down what an audit asks, so that it can be opened before it has ended.

    The candidates' calibrations, as they are used, are kept beside their records.

    Args:
      out: The audit's folder.
      candidates: The candidates.
      settings: What verdicts depend on.
      rates: `alpha`, `beta`, `fdr` and `procedure`, as `combine` takes them.
      indistinguishable: Which candidates cannot be told apart.
    """
    folder, listed = pathlib.Path(out), []
    for candidate in candidates:
        own = candidate.calibration
        own.save(folder / candidate.folder / "calibration.json")
        listed.append(
            {
                "name": candidate.name,
                "folder": candidate.folder,
                "source": candidate.source,
                "fingerprint": own.generator["fingerprint"],
                "calibration": own.digest,
            }
        )
    configuration = {**settings, **rates}
    _write(
        folder,
        {
            "finished": False,
            "candidates": listed,
            "indistinguishable": [list(group) for group in indistinguishable],
            "settings": dict(settings),
            "rates": dict(rates),
            "configuration_sha256": _hashed(configuration),
        },
    )


def finish_manifest(out: str | os.PathLike[str], *, images: int) -> str:
    """Adds counts, versions, devices, and the hash over all parts; returns that hash."""
    folder = pathlib.Path(out)
    manifest = read_manifest(folder)
    counts, heads, runs = dict[str, Any](), dict[str, dict[str, str]](), list[Any]()
    for each in manifest["candidates"]:
        parts = parts_in(folder / each["folder"] / "parts")
        verdicts: Counter[str] = Counter()
        for part in parts:
            found = read_part(part.path, ("verdict",)).column(0).to_pylist()
            verdicts.update(verdict or "error" for verdict in found)
            with_ = note_of(part.path)["made_with"]
            runs += [] if with_ in runs else [with_]
        counts[each["name"]] = dict(sorted(verdicts.items()))
        chain = check_chain(parts).heads
        heads[each["name"]] = {str(process): head for process, head in chain.items()}
    manifest |= {
        "finished": True,
        "images": images,
        "records": counts,
        "made_with": runs,
        "parts": heads,
        "chain": _hashed(heads),
    }
    _write(folder, manifest)
    return str(manifest["chain"])


def read_manifest(out: str | os.PathLike[str]) -> dict[str, Any]:
    """The manifest of an audit; a RunError where there is none that can be read."""
    path = pathlib.Path(out) / NAME
    try:
        found = json_object(path.read_bytes())
    except OSError as error:
        reason = error.strerror or str(error)
        raise RunError(f"{path}: no audit can be opened here ({reason})") from None
    if found is None or not isinstance(found.get("candidates"), list):
        raise RunError(f"{path}: is damaged: run the audit's command again, which writes it anew")
    return found


def check_manifest(out: str | os.PathLike[str]) -> list[str]:
    """Compares an audit's records and calibrations with its manifest; what does not fit, in lines.

    Raises:
      RunError: There is no manifest that can be read.
    """
    folder = pathlib.Path(out)
    manifest = read_manifest(folder)
    faults, heads = list[str](), dict[str, dict[str, str]]()
    for each in manifest["candidates"]:
        where = folder / each["folder"] / "parts"
        chain = check_chain(parts_in(where), thorough=True)
        faults += chain.faults
        faults += [f"{where / name}: is missing" for name in chain.missing]
        heads[each["name"]] = {str(process): head for process, head in chain.heads.items()}
        if manifest["finished"] and heads[each["name"]] != manifest["parts"].get(each["name"]):
            faults.append(f"{where}: the last part is not the one that the manifest names")
    if manifest["finished"] and not faults and _hashed(heads) != manifest["chain"]:
        faults.append(f"{folder / NAME}: its chain is not that of the parts")
    if _hashed({**manifest["settings"], **manifest["rates"]}) != manifest["configuration_sha256"]:
        faults.append(f"{folder / NAME}: its settings are not those that its hash was made of")
    return faults


def _write(folder: pathlib.Path, manifest: Mapping[str, Any]) -> None:
    with atomic_write(folder / NAME) as temporary:
        text = json.dumps(dict(manifest), indent=2, allow_nan=False)
        pathlib.Path(temporary).write_text(text + "\n", encoding="ascii")


def _hashed(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode("ascii")).hexdigest()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
