"""Checks an audit's records by their hashes, and by examining some images again."""

from absl import flags

from jax_origin.audit import check_manifest, examine_again, open_audit
from jax_origin.cli.command import CommandError
from jax_origin.cli.showing import showing
from jax_origin.inversion import Run
from jax_origin.runtime import keep_compiled_programs


def main(given: flags.FlagValues) -> int:
    """Prints what fits and what does not; returns the exit code, 2 where something does not."""
    if given.audit is None:
        raise CommandError("name the audit's folder: jax-origin verify DIR")
    if given.sample < 0:
        raise CommandError(f"--sample={given.sample}: must be at least 0")
    audit = open_audit(given.audit)
    faults = check_manifest(audit.path)
    for fault in faults:
        print(fault)
    if not faults:
        chain = audit.manifest.get("chain")
        print(f"records: as they were written{f', hash {chain}' if chain else ''}")
    if not audit.finished:
        print("the audit is unfinished: nothing vouches for the last part of each process")
    if given.sample and not faults:
        faults += _examined_again(given)
    return 2 if faults else 0


def _examined_again(given: flags.FlagValues) -> list[str]:
    keep_compiled_programs(given.cache)
    with showing() as bar:
        found = list(
            examine_again(
                open_audit(given.audit),
                num=given.sample,
                seed=given.sample_seed,
                run=Run(progress=bar),
            )
        )
    faults = [f"{each.key}, {each.candidate}: {each.fault}" for each in found if each.fault]
    for fault in faults:
        print(fault)
    same = sum(each.to_the_bit for each in found)
    print(
        f"examined again: {len(found)} records, {len(found) - len(faults)} fit, {same} of them to "
        "the last bit"
    )
    return faults
