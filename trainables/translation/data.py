"""The data of translation as a study uses them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sacrebleu.metrics import BLEU

from models.inputs.text import Vocabulary
from record import contents
from record.folder import StudyFolder
from trainables.data import DataError
from trainables.data.text.loading import load_text
from trainables.data.text.text_data import Pairs
from trainables.translation.config import DataOptions


@dataclass(frozen=True)
class Data:
    """What a search may see: training and validation pairs. The test split is kept apart from it."""

    source_vocabulary: Vocabulary
    target_vocabulary: Vocabulary
    train: Pairs
    validation: Pairs


def load_data(
    name: str, data_dir: Path, options: DataOptions, image_sizes: Sequence[int] = (), seed: int = 0
) -> tuple[Data, Pairs, str]:
    """(training and validation pairs, test pairs, what was really read). The splits are the data set's own.

    Raises DataError.
    """
    whole = load_text(name, data_dir, options.text)
    data = Data(whole.source_vocabulary, whole.target_vocabulary, whole.train, whole.validation)
    return data, whole.test, whole.note


def check_train_size(data: Data, train_size: int | None) -> None:
    """Raises DataError if there are fewer than `train_size` training pairs."""
    if train_size is not None and train_size > len(data.train):
        raise DataError(f"train_size {train_size} is impossible: there are {len(data.train)} training pairs")


def model_options(data: Data) -> dict[str, int]:
    """The fields of a model's Config that the data decide."""
    return {"source_vocabulary": len(data.source_vocabulary), "target_vocabulary": len(data.target_vocabulary)}


def shape(data: Data) -> dict[str, int]:
    """What `profile` needs to know about the data: sizes of the vocabularies, mean tokens per sentence."""
    source, target = (round(float(side.lengths.mean())) for side in (data.train.source, data.train.target))
    return {**model_options(data), "source_tokens": source, "target_tokens": target}


def bleu(translations: Sequence[str], pairs: Pairs) -> tuple[float, str]:
    """(score, 0 to 100, and signature) of sacreBLEU, of plain cased sentences against the split's one reference each."""
    metric = BLEU()
    score = metric.corpus_score(list(translations), [list(pairs.target_text)]).score
    return score, str(metric.get_signature())


def describe(data: Data, test: Pairs) -> dict[str, object]:
    """What environment.json says about the data besides their sizes. `baseline`: BLEU of the source sentences as they
    are, against the references."""
    return {
        "languages": [data.source_vocabulary.language, data.target_vocabulary.language],
        **shape(data),
        "baseline": {
            name: bleu(split.source_text, split)[0] for name, split in (("validation", data.validation), ("test", test))
        },
    }


def keep(folder: StudyFolder, data: Data, test: Pairs) -> None:
    """Write the vocabularies, and the reference translations of the validation and test sentences."""
    references = {
        source: target
        for pairs in (data.validation, test)
        for source, target in zip(pairs.source_text, pairs.target_text, strict=True)
    }
    text = contents.Text(data.source_vocabulary.to_dict(), data.target_vocabulary.to_dict(), references)
    contents.write_text_data(folder, text)
