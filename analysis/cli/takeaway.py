"""The verbs that take something out of a study: a model to use, trials for other tools.

python -m analysis export results/digits_compare --trial best --to my_model
python -m analysis export results/digits_compare --to deployed --engine openvino
python -m analysis predict my_model photos/ more/image.jpg > classes.csv
"""

import csv
import sys
from pathlib import Path
from typing import Annotated

import typer

from analysis.cli.arguments import Folder, TrialOption
from analysis.cli.output import print_notes

app = typer.Typer()


@app.command()
def export(
    folder: Folder,
    to: Annotated[Path, typer.Option(metavar="DIR", help="Where to write the model.")],
    trial: TrialOption = "best",
    engine: Annotated[
        str,
        typer.Option(metavar="NAME", help="What runs it: torch, torch_compile, onnxruntime, openvino, openvino_int8."),
    ] = "torch",
    calibrate: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Training images for openvino_int8 [default: those that the study kept]."),
    ] = None,
) -> None:
    """Take a trained model away: weights, or the files of another engine; configuration and model card."""
    from analysis.use.export import export as export_model

    exported = export_model(folder, trial, to, engine, calibrate)
    print_notes([f"{to}: {exported.model}, trial {exported.trial}, engine {exported.engine}"])


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(metavar="DIR", help="An exported model.")],
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Image files, or folders of them.")],
) -> None:
    """Classify images: CSV with the most likely class and the second.

    Broken images are reported on standard error, and the exit status is 1.
    """
    from analysis.use.predict import Classifier, expand_folders

    files = expand_folders(images)
    classifier = Classifier(model)
    classes = classifier.exported.classes
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(["file", "class", "probability", "second_class", "second_probability"])
    broken = 0
    for file, result in classifier.classify(files):
        if isinstance(result, str):
            print_notes([f"{file}: not a readable image, {result}"])
            broken += 1
            continue
        best, second = (-result).argsort()[:2]
        table.writerow([file, classes[best], f"{result[best]:.6f}", classes[second], f"{result[second]:.6f}"])
    if broken:
        raise typer.Exit(1)


@app.command()
def tensorboard(folder: Folder) -> None:
    """Write the trials for TensorBoard, to STUDY_DIR/tensorboard."""
    from analysis.trackers.tensorboard import write_events

    print(f"tensorboard --logdir {write_events(folder)}")


@app.command()
def mlflow(
    folder: Folder,
    uri: Annotated[str, typer.Option(help="Tracking server or store, such as http://localhost:5000.")],
) -> None:
    """Log the trials that have ended to MLflow; those that are there already are not logged again."""
    from analysis.trackers.mlflow_log import log_study

    print(f"{log_study(folder, uri)} trials logged to {uri}")
