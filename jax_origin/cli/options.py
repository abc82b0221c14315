"""Each command's options, said once: a flag, which is a setting of the config file as well.

A function's docstring is what ``--help`` begins with.
"""

from collections.abc import Callable
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_dict

KINDS = (
    *("autoencoder_dc", "autoencoder_kl", "autoencoder_tiny", "autoencoder_wan", "consistency"),
    *("dcgan", "ddim", "stylegan2_ada", "vae", "vae_resnet18", "vq_model"),
)
"""Those of `jax_origin.generators.KINDS`, which would take seconds to import."""

PLOTS = ("scores", "roc", "det", "curves", "pictures", "robustness", "cost")
"""The figures that there are."""

# How a flag of a type is defined, and its default where none is named.
_DEFINE: dict[type, tuple[Callable[..., Any], Any]] = {
    str: (flags.DEFINE_string, None),
    float: (flags.DEFINE_float, None),
    int: (flags.DEFINE_integer, None),
    bool: (flags.DEFINE_bool, False),
    list: (flags.DEFINE_multi_string, ()),
    tuple: (flags.DEFINE_list, None),
}
_TYPES = {"string": str, "string enum": str, "float": float, "int": int, "bool": bool}  # absl's


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
    _flags_of_generators(given)
    _flags_of_images(given)
    _flag(given, str, "calibration", "Calibration file; without it the zoo's own.")
    _flag(given, str, "method", "Insist on a calibration of this method.")
    _flag(given, str, "reference", "Reference generator, if calibrated with one.")
    _flag(given, float, "alpha", "Rate of false exclusion; without it the calibration's.")
    _flag(given, float, "beta", "Rate of false attribution; without it the calibration's.")
    limit = "A limit on it in each foreign group, kept with 95% confidence by exact counts."
    _flag(given, float, "max_false_attribution", limit)
    _flag(given, bool, "full_scores", "Go on inverting images that are sure to belong.")
    _flag(given, bool, "explain", "Print each verdict in plain words as well.")
    check = (
        "Whether some calibration images are scored again, to see that scores still mean what they "
        "did; auto: where that costs under 2% of the run."
    )
    _flag(given, ("auto", "always", "never"), "check_calibration", check, "auto")
    _flag(given, bool, "dry_run", "Say what the run would take, and stop.")
    _flag(given, str, "profile", "Folder for a trace of the run.")
    _flag(given, str, "workdir", _folder("runs/attribute"))
    _flag(given, int, "sheet_images", "Images on the contact sheet at the most.", 60)
    _flags_of_runs(given)


def calibrate(given: flags.FlagValues) -> None:
    """Makes a calibration: scores of a generator's own images, and of foreign ones.

    jax-origin calibrate --generator=DIR --foreign=photos=DIR --foreign=other=FILE.npz --out=FILE

    jax-origin calibrate --generator=DIR --belonging=DIR --foreign=photos=DIR --out=FILE

    python scripts/calibrate.py takes the same flags. An autoencoder has no prior to draw images
    from: give images that the model made, or photographs to reencode. Without --foreign, a zoo
    generator is calibrated against the zoo's other generators and plain pictures, where the method
    looks at foreign images. With --standard_foreign it is so beside --foreign, too. Add
    photographs, one file for each: a group counts by its sources.

    Exit code: 0; 1 if the command was refused or failed.
    """
    _flags_of_generators(given)
    _flag(given, str, "method", "A name in jax_origin.METHODS; origin suits any.", "origin")
    _flag(given, str, "reference", "Reference generator: score by the ratio of losses.")
    belonging = "Images that the model made, a folder, pattern or FILE.npz; instead of its prior's."
    _flag(given, str, "belonging", belonging)
    reencode = "Photographs that an autoencoder makes its own images of, where none are at hand."
    _flag(given, str, "reencode", reencode)
    _flag(given, list, "foreign", "A foreign group, NAME=DIR or NAME=FILE.npz.")
    fits = "Cut the middle out of images of another size that are given, or resize them."
    _flag(given, ("crop", "resize"), "fit", fits)
    _flag_of_files(given)
    used_for = (
        "A choice that foreign images took part in (a recipe, a threshold), as GROUP=WORD, or WORD "
        "for all groups. They then support no limit on false attribution."
    )
    _flag(given, list, "used_for", used_for)
    _flag(given, bool, "standard_foreign", "Beside --foreign, add a zoo generator's own groups.")
    plain = (
        "Have pictures that say little among the foreign ones: drawn ones, and the files' images "
        "blurred or faded."
    )
    _flag(given, bool, "plain", plain, True)
    conditions = (
        "Edits to calibrate under, names as in jax_origin.images.EDITS, and settings of the "
        "generator, such as jpeg-90,truncation_psi=0.7; without it the method's own."
    )
    _flag(given, tuple, "conditions", conditions)
    _flag(given, float, "alpha", "Rate of false exclusion to use it with; or the method's.")
    _flag(given, float, "beta", "Rate of false attribution to use it with; or the method's.")
    confidence = "Keep alpha with this confidence for this very calibration, not on average."
    _flag(given, float, "confidence", confidence)
    futile = (
        "Whether to stop early on images that fall more slowly than own ones; auto: with both "
        "recipes of origin, where a hundred own images or more are drawn."
    )
    _flag(given, ("auto", "always", "never"), "futility", futile, "auto")
    _flag(given, int, "num_belonging", "Images of the generator's own; or the method's number.")
    _flag(given, int, "num_foreign", "Images of each foreign group at the most; or the method's.")
    _flag(given, int, "seed", "For images and starting points.", 0)
    _flag(given, str, "out", "The calibration file; runs/calibrate/GENERATOR-METHOD.json.")
    _flags_of_devices(given)


def audit(given: flags.FlagValues) -> None:
    """Which of these models made each image, or none? Findings for several candidates.

    jax-origin audit                                  a demonstration on the zoo
    jax-origin audit --images=DIR --out=DIR           your images, the zoo's generators
    jax-origin audit --source='shards/*.tar' --source=TABLE.parquet --layout=openfake
    jax-origin audit --candidate=dcgan-cifar10 --candidate=DIR=CALIBRATION --images=DIR

    python scripts/audit.py takes the same flags. Each candidate's records lie in a folder of their
    own under --out, as Parquet files. After a kill, the same command goes on with the images that
    have none; with another candidate it runs that one alone. With --distributed, several processes
    share the work; with --ray, the workers of a Ray cluster. jax-origin verify checks what was
    written.

    Exit code: 0; 1 if the command was refused or failed; 2 if every file failed; 3 if SIGTERM
    stopped it. Then it has saved what it had, and the same command goes on.
    """
    _flags_of_candidates(given)
    _flags_of_images(given)
    source = (
        "More images: a folder, a pattern, a zip or tar archive, a Parquet file, a data set on "
        "disk, a list of paths; local, gs://, s3:// or https://. docs/audits.md lists them."
    )
    _flag(given, list, "source", source)
    layout = "What says who made each image: a benchmark's name, or package.module:function."
    _flag(given, str, "layout", layout)
    _flag(given, float, "fdr", "False discovery rate over all images and candidates.", 0.05)
    procedure = (
        "bh, Benjamini and Hochberg's, or by, Benjamini and Yekutieli's, which allows any "
        "dependence between tests. Without it bh where it is proven, and by elsewhere."
    )
    _flag(given, str, "fdr_procedure", procedure)
    kept = "How many reconstructions of each verdict are kept, for the report to show."
    _flag(given, int, "reconstructions", kept, 100)
    _flag(given, bool, "plots", "Draw Tippett and PAV plots; needs Matplotlib.")
    _flag(given, bool, "dry_run", "Say what the audit would take, and stop.")
    _flag(given, str, "out", _folder("runs/audit"))
    seconds = "A kill loses the records of about the last so many seconds."
    _flag(given, float, "part_seconds", seconds, 60.0)
    ray = "Ray cluster whose workers share the work: HOST:PORT, auto, or local to begin one here."
    _flag(given, str, "ray", ray)
    shares = "With --ray, how many shares the work is cut into; so many workers at the most."
    _flag(given, int, "shares", shares, 32)
    _flags_of_runs(given)


def verify(given: flags.FlagValues) -> None:
    """Checks an audit: that its records are as they were written, and come out the same again.

    jax-origin verify DIR                 the hashes of all records, and 8 images examined again
    jax-origin verify DIR --sample=0      the hashes alone

    It compares every part of the records with the hash that the next part has of it, and the last
    ones with manifest.json. Then it examines a random sample of images again, under each candidate.
    Run it where the audit ran: sources and candidates are found by the names that it was given.

    Exit code: 0 if all fits; 1 if the command was refused or failed; 2 if something does not fit.
    """
    _flag(given, str, "audit", "The audit's folder; DIR says the same.")
    _flag(given, int, "sample", "How many images are examined again; 0 for none.", 8)
    _flag(given, int, "sample_seed", "For the choice of these images.", 0)
    _flag(given, str, "cache", "Folder of compiled programs; empty: none.", "~/.cache/jax_origin")


def export(given: flags.FlagValues) -> None:
    """Writes an audit's records or findings as JSON lines or CSV, for tables and other programs.

    jax-origin export DIR                                      records, as JSON lines, to the screen
    jax-origin export DIR --format=csv --out=records.csv
    jax-origin export DIR --what=findings --format=csv --out=findings.csv

    Records are those of docs/audits.md: the last of each image under each candidate. Findings have
    a line for each image. An unfinished audit gives what it has so far. Records are read part by
    part, and never all held in memory. A file is whole or not there.

    Exit code: 0; 1 if the command was refused or failed.
    """
    _flag(given, str, "audit", "The audit's folder; DIR says the same.")
    _flag(given, ("records", "findings"), "what", "What is written.", "records")
    _flag(given, ("jsonl", "csv"), "format", "JSON lines, or CSV with a head.", "jsonl")
    _flag(given, str, "out", "The file; without it standard output.")


def ask(given: flags.FlagValues) -> None:
    """Which of these models made this image, or none? Three lines and a page.

    jax-origin ask IMAGE                              the zoo's generators
    jax-origin ask IMAGE --candidate=dcgan-cifar10 --candidate=DIR=CALIBRATION

    python scripts/ask.py takes the same flags. The lines are the answer, the numbers that carry it,
    and what it does not cover. A candidate that makes images of another size is not asked about,
    which is said; with --resize it is.

    Exit code: 0 for any answer, "undecided" among them. 1 if the command was refused or failed, the
    image cannot be read, or no candidate makes images of its size.
    """
    _flag(given, str, "image", "The image's file; IMAGE says the same.")
    _flags_of_candidates(given)
    _flag(given, bool, "resize", "Resize an image of another size.")
    _flag_of_readings(given)
    _flag(given, bool, "json", "Print the answer as a JSON object instead.")
    _flag(given, str, "out", "The page; without it runs/ask/HASH.html, named by the image.")
    _flag(given, int, "seed", "For starting points.", 1)
    _flags_of_devices(given)


def serve(given: flags.FlagValues) -> None:
    """A page on this machine on which images are dropped; and the same as a REST door.

    jax-origin serve                                  the zoo's generators
    jax-origin serve --candidate=dcgan-cifar10 --candidate=DIR=CALIBRATION --port=8080

    curl --data-binary @image.png 'http://127.0.0.1:8000/v1/ask?name=image.png'

    python scripts/serve.py takes the same flags. Needs starlette and uvicorn. Only this machine
    reaches it, unless --host says otherwise. Uploads stay in memory. /openapi.json describes it.

    Exit code: 0 after an interrupt; 1 if the command was refused or failed.
    """
    _flags_of_candidates(given)
    _flag(given, bool, "resize", "Resize images of another size, if a request does not say.")
    _flag_of_readings(given)
    host = "Address to listen on. Any but this machine's own lets others in: there is no password."
    _flag(given, str, "host", host, "127.0.0.1")
    _flag(given, int, "port", "Port to listen on; 0 for any that is free.", 8000)
    _flag(given, int, "max_mib", "The largest file that is taken.", 20)
    _flag(given, int, "max_megapixels", "The largest image that is opened.", 32)
    _flag(given, int, "most_waiting", "How many images wait at the most.", 32)
    _flag(given, int, "seed", "For starting points.", 1)
    _flags_of_devices(given)


def plot(given: flags.FlagValues) -> None:
    """Draws a figure as PNG or SVG, with its numbers as CSV beside it.

    jax-origin plot scores dcgan-cifar10 --out=scores.png
    jax-origin plot roc runs/audit --out=roc.svg
    jax-origin plot pictures a.png b.jpg --generator=DIR --calibration=FILE
    jax-origin plot robustness benchmarks/results/storage.json

    scores: own and foreign scores and the thresholds; roc, det: both rates of error; of a
    calibration, a zoo generator, or an audit's folder. curves, pictures: of images, how the
    inversion goes down, and what it ends with. robustness: rates by storage condition; cost: what
    recipes recover for their evaluations; of results, as roc and det may be. docs/how_to/figures.md
    shows them. Needs Matplotlib.

    Exit code: 0; 1 if the command was refused or failed.
    """
    _flag(given, PLOTS, "figure", "What is drawn; the first word says the same.")
    _flag(given, list, "input", "What it is drawn of; the words after it say the same.")
    out = "The picture, .png or .svg; without it runs/plot/FIGURE.png. A .csv lies beside it."
    _flag(given, str, "out", out)
    where = "Which one of several; for curves and pictures what --generator of attribute takes."
    _flag(given, str, "generator", where)
    _flag(given, str, "method", "Which method, where there are several.")
    _flag(given, str, "condition", "Which condition, such as jpeg-75; scores are of all without.")
    _flag(given, str, "calibration", "For curves and pictures; without it the zoo's own.")
    _flag(given, int, "most", "Images that are drawn at the most.", 12)
    _flag(given, bool, "resize", "Resize images of another size.")
    _flag(given, float, "alpha", "Rate of false exclusion; without it the calibration's.")
    _flag(given, float, "beta", "Rate of false attribution; without it the calibration's.")
    _flag(given, int, "seed", "For starting points.", 1)
    _flags_of_devices(given)


def convert(given: flags.FlagValues) -> None:
    """Converts a published checkpoint into a directory that opens quickly.

    jax-origin convert --source=FILE --kind=stylegan2_ada --out=DIR
    jax-origin convert --source=hf://google/ddpm-cifar10-32 --kind=ddim --out=DIR --verify

    python scripts/convert_checkpoint.py takes the same flags. It prints what became of each array.
    --verify reads the checkpoint with PyTorch too. Of a folder of diffusers, it compares what its
    network and ours make of the same input. Of a file that torch.load or safetensors reads, it
    compares every array. Network pickles, .npz and shards with an index cannot be verified so.

    Exit code: 0; 1 if the command was refused or failed.
    """
    source = "The checkpoint: a file, a folder, or hf://ORG/NAME[/FOLDER]."
    _flag(given, str, "source", source, required=True)
    _flag(given, KINDS, "kind", "Which architecture it holds.", required=True)
    _flag(given, str, "out", "The directory to write.", required=True)
    _flag(given, str, "config", "Arguments of the architecture, as JSON.")
    rounded = "What weights are rounded to; without it they stay as they are."
    _flag(given, ("float16", "float32"), "dtype", rounded)
    _flag(given, bool, "verify", "Compare with what PyTorch reads.")


def zoo(given: flags.FlagValues) -> None:
    """The zoo's generators: which are on this machine; and those that a wheel leaves out.

    jax-origin zoo list
    jax-origin zoo get stylegan2-cifar10
    jax-origin zoo get --all --from=CHECKOUT/jax_origin/zoo

    What get takes is compared with the SHA-256 hashes in the package. It lies in the folder that
    the environment variable JAX_ORIGIN_ZOO names, else in ~/.cache/jax_origin/zoo. Without a
    network, give a folder, or let JAX_ORIGIN_ZOO name the jax_origin/zoo of a checkout. A checkout
    has all generators, and needs none of this.

    Exit code: 0; 1 if the command was refused or failed.
    """
    _flag(given, ("list", "get"), "action", "What to do; zoo ACTION says the same.", "list")
    _flag(given, list, "name", "A generator to get; zoo get NAME ... says the same.")
    _flag(given, bool, "all", "Get all that are not on this machine.")
    where = (
        "A folder or an https:// address, under which files are NAME/FILE; a folder with the files "
        "of a release; or either with {name} and {file} in it. Without it what "
        "JAX_ORIGIN_ZOO_FROM names."
    )
    _flag(given, str, "from", where)


def completion(given: flags.FlagValues) -> None:
    """Prints a script that lets a shell complete commands, flags and generators.

    jax-origin completion bash > ~/.local/share/bash-completion/completions/jax-origin
    source <(jax-origin completion bash)              for this terminal alone
    source <(jax-origin completion zsh)               in ~/.zshrc, after compinit

    Exit code: 0; 1 if the command was refused.
    """
    _flag(given, ("bash", "zsh"), "shell", "Which shell; the first word says the same.")


def settings(define: Callable[[flags.FlagValues], None]) -> ConfigDict:
    """The settings of a command: its flags, each at its default."""
    given, config = flags.FlagValues(), ConfigDict()
    define(given)
    for name in given:
        flag = given[name]
        value = tuple(flag.default) if isinstance(flag.default, list) else flag.default
        empty = config_dict.placeholder(_TYPES.get(flag.flag_type(), tuple))
        config[name] = empty if value is None else value
    return config


def _flags_of_generators(given: flags.FlagValues) -> None:
    where = (
        "Zoo name, directory, checkpoint file, hf://ORG/NAME[/FOLDER], or package.module:factory."
    )
    _flag(given, str, "generator", where, "dcgan-cifar10")
    _flag(given, str, "kind", "Which architecture a checkpoint holds.")


def _flags_of_candidates(given: flags.FlagValues) -> None:
    _flag(given, list, "candidate", "Zoo name, or DIR=CALIBRATION. Without it all the zoo.")
    _flag(given, tuple, "candidates", "The same, several at a time.", ())
    _flag(given, float, "alpha", "Rate of false exclusion, for each candidate.", 0.01)
    _flag(given, float, "beta", "Rate of false attribution, for each candidate.", 0.01)


def _flags_of_images(given: flags.FlagValues) -> None:
    what = "Folder, pattern or single file, also without --images=; without it a demonstration."
    _flag(given, str, "images", what)
    resize = "Resize images of another size, and say so in their records; by a method that judges "
    resize += "windows, enlarge those too small for one."
    _flag(given, bool, "resize", resize)
    _flag_of_readings(given)
    _flag_of_files(given)


def _flag_of_readings(given: flags.FlagValues) -> None:
    reads = "What else images are read as that do not fit as they are: usual is turned, mirrored, "
    reads += "cut, retouched, in part the model's; all is also less of it, and takes long."
    _flag(given, ("usual", "all", "none"), "readings", reads, "usual")


def _flag_of_files(given: flags.FlagValues) -> None:
    every = "Look into every file of a folder, whatever its name, not only at images' suffixes."
    _flag(given, bool, "all_files", every)


def _flags_of_runs(given: flags.FlagValues) -> None:
    """Flags of commands that several processes may share; `settings.begin` reads them."""
    _flag(given, int, "seed", "For starting points and the demonstration's images.", 1)
    _flag(given, bool, "distributed", "Be one of several processes.")
    _flag(given, str, "coordinator", "HOST:PORT of process 0.")
    _flag(given, int, "num_processes", "How many processes there are.")
    _flag(given, int, "process_id", "Which of them this one is, from 0 on.")
    metrics = "File that says how far the run is, for Prometheus; replaced every few seconds."
    _flag(given, str, "metrics", metrics)
    decoders = (
        "Processes that open image files, each for itself: one that hangs or crashes takes no more "
        "along. 0: threads. Without it threads for few images, else 2 to 4 processes."
    )
    _flag(given, int, "decoders", decoders)
    _flag(given, float, "decode_seconds", "How long such a process may take over a file.", 60.0)
    _flags_of_devices(given)


def _flags_of_devices(given: flags.FlagValues) -> None:
    blocks = "Blocks of lanes on each device at a time; without it what memory holds."
    _flag(given, int, "blocks", f"{blocks} No verdict depends on it.")
    cache = "Folder of compiled programs and learned starts; empty: none are kept."
    _flag(given, str, "cache", cache, "~/.cache/jax_origin")


def _folder(first: str) -> str:
    return f"Folder for results; the first of {first}, {first}-2, ... that is free or holds this."


def _flag(
    given: flags.FlagValues, of: Any, name: str, text: str, default: Any = None, **options: Any
) -> None:
    """A flag of a type, or with these choices."""
    if isinstance(of, tuple):
        flags.DEFINE_enum(name, default, of, text, flag_values=given, **options)
    else:
        define, empty = _DEFINE[of]
        define(name, empty if default is None else default, text, flag_values=given, **options)
