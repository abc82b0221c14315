"""The flags of each command. A function's docstring is what ``--help`` begins with."""

from collections.abc import Callable
from typing import Any

from absl import flags

KINDS = ("consistency", "dcgan", "ddim", "stylegan2_ada", "vae", "vae_resnet18")
"""Those of `jax_origin.generators.KINDS`, which would take seconds to import."""

_GENERATOR = "Zoo name, directory, checkpoint file, hf://ORG/NAME, or package.module:factory."
_IMAGES = "Folder, pattern or single file; without it a demonstration."
_RESIZE = "Resize images of another size, and say so."
_DEFINE: dict[type, Callable[..., Any]] = {
    str: flags.DEFINE_string,
    float: flags.DEFINE_float,
    int: flags.DEFINE_integer,
    bool: flags.DEFINE_bool,
    list: flags.DEFINE_multi_string,
    tuple: flags.DEFINE_list,
}


def attribute(given: flags.FlagValues) -> None:
    """Was this image made by this model? A verdict for each image.

    jax-origin attribute                              a demonstration on a zoo generator
    jax-origin attribute --images=DIR                 your images, the same generator
    jax-origin attribute --generator=DIR --calibration=FILE --images='photos/*.png'

    python scripts/attribute.py takes the same flags. After a kill, the same command goes on with
    the images that have no verdict yet. With --distributed, several processes share the images;
    each writes a file of verdicts of its own.

    Exit code: 0; 1 if the command was refused or failed; 2 if every file failed.
    """
    _flag(given, str, "generator", _GENERATOR)
    _flag(given, str, "kind", "Which architecture a checkpoint holds.")
    _flag(given, str, "images", _IMAGES)
    _flag(given, str, "calibration", "Calibration file; without it the zoo's own.")
    _flag(given, str, "method", "Insist on a calibration of this method.")
    _flag(given, str, "reference", "Reference generator, if calibrated with one.")
    _flag(given, float, "alpha", "Rate of false exclusion; without it the calibration's.")
    _flag(given, float, "beta", "Rate of false attribution; without it the calibration's.")
    _flag(given, float, "max_false_attribution", "A limit on it, kept with 95% confidence.")
    _flag(given, bool, "resize", _RESIZE)
    _flag(given, bool, "full_scores", "Go on inverting images that are sure to belong.")
    _flag(given, bool, "explain", "Print each verdict in plain words as well.")
    _flag(given, bool, "dry_run", "Say what the run would take, and stop.")
    _flag(given, str, "profile", "Folder for a trace of the run.")
    _flag(given, str, "workdir", "Folder for results; runs/attribute, or its next free number.")
    _flags_of_runs(given)


def calibrate(given: flags.FlagValues) -> None:
    """Makes a calibration: scores of a generator's own images, and of foreign ones.

    jax-origin calibrate --generator=DIR --foreign=photos=DIR --foreign=other=FILE.npz --out=FILE

    python scripts/calibrate.py takes the same flags. Without --foreign, a zoo generator is
    calibrated against the zoo's other generators and photographs, where the method looks at foreign
    images; with --standard_foreign, also beside --foreign.

    Exit code: 0; 1 if the command was refused or failed.
    """
    _flag(given, str, "generator", _GENERATOR)
    _flag(given, str, "kind", "Which architecture a checkpoint holds.")
    _flag(given, str, "method", "A name in jax_origin.METHODS; origin suits any generator.")
    _flag(given, str, "reference", "Reference generator: score by the ratio of losses.")
    _flag(given, list, "foreign", "A foreign group, NAME=DIR or NAME=FILE.npz; repeatable.")
    fits = "Cut the middle out of foreign images of another size, or resize them."
    flags.DEFINE_enum("fit", None, ["crop", "resize"], fits, flag_values=given)
    _flag(
        given,
        list,
        "used_for",
        "A choice that foreign images took part in (a recipe, a threshold), as GROUP=WORD, or WORD "
        "for all groups. They then support no limit on false attribution; repeatable.",
    )
    _flag(given, bool, "standard_foreign", "Beside --foreign, add a zoo generator's own groups.")
    _flag(given, tuple, "conditions", "Edits to calibrate under, such as jpeg-90,webp-80.")
    _flag(given, float, "alpha", "Rate of false exclusion that it is to be used with.")
    _flag(given, float, "beta", "Rate of false attribution that it is to be used with.")
    _flag(given, bool, "futility", "Stop early on images that fall more slowly than own ones.")
    _flag(given, int, "num_belonging", "Images of the generator's own.")
    _flag(given, int, "num_foreign", "Images of each foreign group at the most.")
    _flag(given, int, "seed", "For images and starting points.")
    _flag(given, str, "out", "The calibration file; runs/calibrate/GENERATOR-METHOD.json.")


def audit(given: flags.FlagValues) -> None:
    """Which of these models made each image, or none? Findings for several candidates.

    jax-origin audit                                  a demonstration on the zoo
    jax-origin audit --images=DIR --out=DIR           your images, the zoo's generators
    jax-origin audit --candidate=dcgan-cifar10 --candidate=DIR=CALIBRATION --images=DIR

    python scripts/audit.py takes the same flags. Each candidate's records lie in a folder of their
    own under --out. After a kill, the same command goes on with the images that have none; with
    another candidate it runs that one alone. With --distributed, several processes share the work.

    Exit code: 0; 1 if the command was refused or failed; 2 if every file failed.
    """
    _flag(given, list, "candidate", "Zoo name, or DIR=CALIBRATION; repeatable. None: all the zoo.")
    _flag(given, str, "images", _IMAGES)
    _flag(given, float, "alpha", "Rate of false exclusion, for each candidate.")
    _flag(given, float, "beta", "Rate of false attribution, for each candidate.")
    _flag(given, float, "fdr", "False discovery rate over all images and candidates.")
    _flag(given, bool, "resize", _RESIZE)
    _flag(given, bool, "plots", "Draw Tippett and PAV plots; needs Matplotlib.")
    _flag(given, str, "out", "Folder for results; runs/audit, or its next free number.")
    _flags_of_runs(given)


def convert(given: flags.FlagValues) -> None:
    """Converts a published checkpoint into a directory that opens quickly.

    jax-origin convert --source=FILE --kind=stylegan2_ada --out=DIR
    jax-origin convert --source=hf://google/ddpm-cifar10-32 --kind=ddim --out=DIR --verify

    python scripts/convert_checkpoint.py takes the same flags. It prints what became of each array.
    --verify reads the checkpoint with PyTorch too. Of a folder of diffusers, it compares what its
    U-Net and ours make of the same noise; of a file that torch.load or safetensors reads, every
    array. Network pickles, .npz and shards with an index cannot be verified so.

    Exit code: 0; 1 if the command was refused or failed.
    """
    _flag(
        given, str, "source", "The checkpoint: a file, a folder, or hf://ORG/NAME.", required=True
    )
    kinds = "Which architecture it holds."
    flags.DEFINE_enum("kind", None, KINDS, kinds, required=True, flag_values=given)
    _flag(given, str, "out", "The directory to write.", required=True)
    _flag(given, str, "config", "Arguments of the architecture, as JSON.")
    rounded = "What weights are rounded to; without it they stay as they are."
    flags.DEFINE_enum("dtype", None, ["float16", "float32"], rounded, flag_values=given)
    _flag(given, bool, "verify", "Compare with what PyTorch reads.")


def _flags_of_runs(given: flags.FlagValues) -> None:
    """Flags of commands that several processes may share; `settings.begin` reads them."""
    _flag(given, int, "seed", "For starting points and the demonstration's images.")
    _flag(given, bool, "distributed", "Be one of several processes.")
    _flag(given, str, "coordinator", "HOST:PORT of process 0.")
    _flag(given, int, "num_processes", "How many processes there are.")
    _flag(given, int, "process_id", "Which of them this one is, from 0 on.")


def _flag(given: flags.FlagValues, of: type, name: str, help_text: str, **options: Any) -> None:
    """A flag without a default: where it is not given, the config file's setting holds."""
    _DEFINE[of](name, [] if of is list else None, help_text, flag_values=given, **options)
