"""The command line: `imcc`. Each command imports what it needs, so that help is quick."""

from __future__ import annotations

import atexit
import gc
import signal
import sys
from _thread import interrupt_main
from collections.abc import Sequence
from pathlib import Path
from threading import Timer
from typing import Annotated, Literal

import typer

from imccompiler.report.console import emit_json, fail, print_tables, progress_bar

Objective = Literal["latency", "throughput", "energy"]

COLLECT_AFTER = 3_000_000
"""New objects before Python looks for reference cycles: passes make many objects, few cycles."""

AGAIN_AFTER_S = 0.05

app = typer.Typer(
    name="imcc",
    help="Compile neural networks for in-memory-computing accelerators, and search for both.",
    epilog="Start with: imcc compile digits-cnn --hardware isaac --check -o out",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
hardware_app = typer.Typer(no_args_is_help=True, help="List, show and check machines.")
models_app = typer.Typer(no_args_is_help=True, help="List and export the networks we ship.")
app.add_typer(hardware_app, name="hardware")
app.add_typer(models_app, name="models")

Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder that `imcc compile` wrote.")]
Hardware = Annotated[
    str, typer.Option("--hardware", "-H", metavar="NAME|FILE", help="Preset or YAML file.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the machine."),
]
Effort = Annotated[
    int, typer.Option(min=0, max=3, help="0 heuristics, 1 exact where cheap, 2-3 more time.")
]
Seed = Annotated[int, typer.Option(help="Of every random choice.")]
Goal = Annotated[Objective, typer.Option(help="What the mapping is chosen for.")]
Calibration = Annotated[
    Path | None, typer.Option(metavar="X.npz", help="Inputs by port name, for quantisation.")
]
Pipeline = Annotated[str, typer.Option(help="Passes, such as 'quantize{weight_bits=8},partition'.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415

        typer.echo(f"imcc {version('imccompiler')}")
        raise typer.Exit


@app.callback()
def root(
    *,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Compile neural networks for in-memory-computing accelerators, and search for both."""
    del debug, version  # read by `main`, which handles errors, and by the callback


@app.command("compile", epilog="Example: imcc compile resnet18 -H pimcomp --effort 2 -o out")
def compile_command(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="ONNX file, or a name of `imcc models list`.")
    ],
    hardware: Hardware,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder to write.")],
    *,
    settings: Settings = None,
    bind: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=N", help="A dynamic dimension, or a scalar input."),
    ] = None,
    objective: Goal = "latency",
    passes: Annotated[str | None, typer.Option(help="Another pipeline, in text.")] = None,
    pin: Annotated[
        Path | None, typer.Option(metavar="FILE.yaml", help="Decisions that passes must keep.")
    ] = None,
    effort: Effort = 1,
    seed: Seed = 0,
    calibration: Calibration = None,
    check: Annotated[
        bool, typer.Option("--check", help="Execute, and compare with reference and ONNX Runtime.")
    ] = False,
    shapes_only: Annotated[
        bool, typer.Option("--shapes-only", help="Leave the weights out: time, but no numbers.")
    ] = False,
    backend: Annotated[
        Literal["pimsim"] | None, typer.Option(help="Also write this format into DIR.")
    ] = None,
    crossbars: Annotated[
        Literal["physical", "logical"],
        typer.Option(help="Count crossbars of cells, or of whole weights as PIMCOMP does."),
    ] = "physical",
    print_ir_after: Annotated[
        list[str] | None, typer.Option(metavar="PASS", help="Print the IR after a pass (stderr).")
    ] = None,
    json: Json = False,
) -> None:
    """Compile a network for a machine and write program, report, IR and trace to a folder."""
    from imccompiler.compiler import compile as compile_network  # noqa: PLC0415
    from imccompiler.compiler import parse_bindings  # noqa: PLC0415
    from imccompiler.compiler.arrays import read_arrays  # noqa: PLC0415

    with progress_bar() as progress:
        compilation = compile_network(
            model,
            hardware,
            set=settings or (),
            bind=parse_bindings(bind or ()),
            objective=objective,
            passes=passes,
            pin=pin,
            effort=effort,
            seed=seed,
            calibration=read_arrays(calibration) if calibration else None,
            check=check,
            shapes_only=shapes_only,
            backend=backend,
            crossbars=crossbars,
            output=output,
            print_ir_after=print_ir_after or (),
            printer=lambda text: typer.echo(text, err=True),
            progress=progress,
        )
    report = compilation.report
    if json:
        emit_json(report.model_dump(mode="json"))
    else:
        from imccompiler.report import table  # noqa: PLC0415

        print_tables(table.summary(report))
        typer.echo(f"written to {output}: open {output / 'report.html'}")
    if report.check is not None and not report.check.bit_exact:
        from imccompiler.errors import InternalError  # noqa: PLC0415

        raise InternalError(
            f"{report.check.differing} of {report.check.compared} output values differ "
            "from the reference",
            where=str(output),
        )


@app.command(epilog="Example: imcc run out --input heldout.npz --compare")
def run(
    folder: Folder,
    source: Annotated[
        Path,
        typer.Option("--input", metavar="X.npz", help="Inputs by port name; `label` for accuracy."),
    ],
    *,
    ideal: Annotated[
        bool, typer.Option("--ideal", help="Converters that lose nothing, not the machine's ADC.")
    ] = False,
    compare: Annotated[
        bool, typer.Option("--compare", help="Compare with the float network in ONNX Runtime.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option(metavar="Y.npz", help="Write the outputs by port name.")
    ] = None,
    json: Json = False,
) -> None:
    """Execute a compiled program in numbers."""
    from imccompiler.compiler.arrays import read_arrays, write_arrays  # noqa: PLC0415
    from imccompiler.compiler.folder import update_report  # noqa: PLC0415
    from imccompiler.compiler.verbs import evaluate  # noqa: PLC0415
    from imccompiler.report.table import run_text  # noqa: PLC0415

    arrays = read_arrays(source)
    labels = arrays.pop("label", None)
    with progress_bar() as progress:
        evaluation = evaluate(
            folder, arrays, labels, ideal=ideal, compare=compare, progress=progress
        )
    if output is not None:
        write_arrays(output, evaluation.outputs)
    update_report(folder, run=evaluation.run)
    if json:
        emit_json(evaluation.run.model_dump(mode="json"))
    else:
        typer.echo(run_text(evaluation.run))


@app.command(epilog="Example: imcc simulate out --images 8")
def simulate(
    folder: Folder,
    *,
    images: Annotated[int, typer.Option(min=1, help="Images of the stream.")] = 1,
    json: Json = False,
) -> None:
    """Run a compiled program in time."""
    from imccompiler.compiler.simulation import simulate_folder  # noqa: PLC0415
    from imccompiler.report import table  # noqa: PLC0415

    with progress_bar() as progress:
        progress("simulate", 0, 1)
        report = simulate_folder(folder, images=images)
    if report.simulated is None:
        return
    if json:
        emit_json(report.simulated.model_dump(mode="json"))
    else:
        print_tables(table.figures(report))
        typer.echo(table.simulated_text(report.simulated))


@app.command(epilog="Example: imcc opt out/ir/03-quantize.mlir --passes partition,replicate")
def opt(
    file: Annotated[Path, typer.Argument(metavar="FILE.mlir", help="A module of `imcc compile`.")],
    passes: Pipeline,
    *,
    hardware: Annotated[
        str | None, typer.Option("--hardware", "-H", help="Another machine than the file names.")
    ] = None,
    settings: Settings = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Instead of stdout.")
    ] = None,
    objective: Goal = "latency",
    effort: Effort = 1,
    seed: Seed = 0,
    calibration: Calibration = None,
) -> None:
    """Run passes on an IR file, from any point of the pipeline."""
    from imccompiler.compiler.arrays import read_arrays  # noqa: PLC0415
    from imccompiler.compiler.opt import opt as run_opt  # noqa: PLC0415

    text = run_opt(
        file,
        passes,
        hardware=hardware,
        set=settings or (),
        output=output,
        objective=objective,
        effort=effort,
        seed=seed,
        calibration=read_arrays(calibration) if calibration else None,
    )
    if output is None:
        typer.echo(text, nl=False)


@app.command(epilog="Example: imcc inspect out layer conv1")
def inspect(
    folder: Folder,
    view: Annotated[
        Literal["summary", "layer", "pass", "coverage"], typer.Argument(help="What to look at.")
    ] = "summary",
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Of the layer (or a glob) or pass.")
    ] = None,
    *,
    diff: Annotated[
        bool, typer.Option("--diff", help="Of a pass: what it changed in the IR.")
    ] = False,
    json: Json = False,
) -> None:
    """Look into a compiled folder: summary, layers, the IR after a pass, what runs where."""
    from imccompiler.compiler.folder import read_report  # noqa: PLC0415
    from imccompiler.report import inspect as views  # noqa: PLC0415

    report = read_report(folder)
    if view == "summary":
        emit_json(report.model_dump(mode="json")) if json else print_tables(views.summary(report))
    elif view == "coverage":
        found = report.coverage.model_dump(mode="json")
        emit_json(found) if json else print_tables(views.coverage(report))
    elif view == "layer":
        found = views.layers(report, name)
        if json:
            emit_json([layer.model_dump(mode="json") for layer in found])
        else:
            print_tables(views.layer_tables(report, found, whole=name is not None))
    elif name is None:
        passes = [item.model_dump(mode="json") for item in report.passes]
        emit_json(passes) if json else print_tables(views.passes(report))
    else:
        typer.echo(views.ir_diff(folder, name) if diff else views.ir_text(folder, name), nl=False)


@app.command(epilog="Example: imcc search examples/space_digits.yaml --trials 200 -o study")
def search(
    space: Annotated[Path, typer.Argument(metavar="SPACE.yaml", help="What to search over.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="The study; goes on if it exists.")
    ],
    *,
    trials: Annotated[int, typer.Option(min=1, help="Trials of the study in all.")] = 100,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    seed: Annotated[int | None, typer.Option(help="In place of the space's.")] = None,
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Dask scheduler whose workers evaluate.")
    ] = None,
    json: Json = False,
) -> None:
    """Search over networks, hardware and mapping at once."""
    from imccompiler.search import study  # noqa: PLC0415

    with progress_bar() as progress:
        result = study.run(
            space,
            trials=trials,
            workers=workers,
            output=output,
            seed=seed,
            progress=progress,
            scheduler=scheduler,
        )
    emit_json(result.as_json()) if json else print_tables(result.table())


@hardware_app.command("list")
def hardware_list(*, json: Json = False) -> None:
    """List the presets."""
    from imccompiler.hardware.load import load, presets  # noqa: PLC0415

    rows = {name: load(name).description for name in presets()}
    emit_json(rows) if json else print_tables(_two_columns(rows))


@hardware_app.command("show", epilog="Example: imcc hardware show isaac > mine.yaml")
def hardware_show(
    name: Annotated[str, typer.Argument(metavar="NAME|FILE", help="Preset or YAML file.")],
    *,
    settings: Settings = None,
    json: Json = False,
) -> None:
    """Print a machine as YAML, `extends` and overrides resolved."""
    from imccompiler.hardware.load import dump, load  # noqa: PLC0415

    machine = load(name, settings or ())
    emit_json(machine.model_dump(mode="json")) if json else typer.echo(dump(machine), nl=False)


@hardware_app.command("check")
def hardware_check(
    file: Annotated[str, typer.Argument(metavar="NAME|FILE", help="Preset or YAML file.")],
    *,
    settings: Settings = None,
) -> None:
    """Check a machine: exit code 0 if it is valid, else every error with its line."""
    from imccompiler.hardware.load import load  # noqa: PLC0415

    machine = load(file, settings or ())
    typer.echo(f"{file} is valid: {machine.name}, {machine.core_count} cores")


@models_app.command("list")
def models_list(*, json: Json = False) -> None:
    """List the networks."""
    from imccompiler import models  # noqa: PLC0415

    rows = {name: models.describe(name).description for name in models.names()}
    emit_json(rows) if json else print_tables(_two_columns(rows))


@models_app.command("export", epilog="Example: imcc models export resnet18 -o resnet18.onnx")
def models_export(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of `imcc models list`.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE.onnx")],
    *,
    seed: Annotated[int, typer.Option(help="Draws the weights of a network not trained.")] = 0,
) -> None:
    """Write a network as ONNX."""
    from imccompiler import models  # noqa: PLC0415

    models.export(name, output, seed=seed)
    typer.echo(f"wrote {output}")


def _two_columns(rows: dict[str, str]) -> object:
    from imccompiler.report.table import two_columns  # noqa: PLC0415

    return two_columns(rows)


def _interrupt_again(unraisable: sys.UnraisableHookArgs) -> None:
    """Ctrl-C in a callback from native code is lost there: interrupt again, outside of it."""
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        Timer(AGAIN_AFTER_S, interrupt_main).start()
    else:
        sys.__unraisablehook__(unraisable)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 2 the input, 3 does not fit, 1 ours, 130 Ctrl-C."""
    if arguments is None:  # a process of our own
        signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(128 + signal.SIGTERM))
        sys.unraisablehook = _interrupt_again
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    gc.set_threshold(COLLECT_AFTER)
    atexit.register(gc.freeze)  # what is left goes with the process, whether in cycles or not
    try:
        app(arguments)
    except Exception as error:  # noqa: BLE001
        fail(error, debug="--debug" in arguments)


if __name__ == "__main__":
    main()
