"""A trained translation model of a study: it translates sentences, and shows what it attends to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from sacrebleu.metrics import BLEU
from torch import Tensor

import models
from analysis.read.errors import StudyError
from analysis.read.study_folder import load
from analysis.use.trained_model import complete_options, find_trial, load_state, read_state, split_settings
from models.inputs.text import BEGIN, END, Vocabulary
from models.layers.precision import has_bfloat16
from models.outputs.attention_maps import captured
from models.outputs.decoding import Search, padded, translate
from record.contents import read_text_data
from record.folder import StudyFolder


class Attended(NamedTuple):
    """One translation with its attention: name of the layer -> weights (heads, queries, keys)."""

    source: list[str]  # the encoder's tokens
    target: list[str]  # the decoder's, the start token first
    reference: str | None
    translation: str
    maps: dict[str, Tensor]


class Translator:
    """The model of a trial, ready to translate. Raises `UserError` where the folder does not hold a complete one."""

    def __init__(self, study_folder: Path, trial: str = "best", device: torch.device | None = None) -> None:
        """trial: a name, "best" or "knee", as `analysis export` takes it. device: the first GPU, if there is one."""
        study, folder = load(study_folder), StudyFolder(study_folder)
        if not folder.text.exists():
            raise StudyError(f"{study_folder} is not a translation study: it has no {folder.text.name}; name another")
        row = find_trial(study, folder, trial)
        self.trial = str(row["trial"])
        text = read_text_data(folder)
        try:
            self.source, self.target = Vocabulary.from_dict(text.source), Vocabulary.from_dict(text.target)
        except (KeyError, TypeError) as error:
            raise StudyError(f"{folder.text} does not hold two vocabularies ({error!r}); restore it") from error
        self.references = text.references
        sizes = {"source_vocabulary": len(self.source), "target_vocabulary": len(self.target)}
        model, options, self.settings = split_settings(study, row)
        network: Any = models.build(model, **complete_options(model, options | sizes)).eval()
        load_state(network, read_state(folder, self.trial), self.trial)
        self.device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.network = network.to(self.device)

    def translate(self, sentences: Sequence[str], beams: int | None = None) -> list[str]:
        """One translation per sentence, "" for an empty one. beams: the study's, by default.

        Raises `StudyError`, naming the sentence, where one is longer than the model accepts.
        """
        sources = [self.source.read(sentence) for sentence in sentences]
        longest = self.network.config.max_length - 1
        for number, tokens in enumerate(sources, 1):
            if len(tokens) > longest:
                raise StudyError(f"sentence {number} has {len(tokens)} tokens; this model takes {longest}: split it")
        filled = [i for i, tokens in enumerate(sources) if tokens]
        targets = self._search([np.array(sources[i]) for i in filled], beams)
        translations = dict(zip(filled, map(self.target.write, targets), strict=True))
        return [translations.get(i, "") for i in range(len(sources))]

    def attend(self, sentence: str) -> Attended:
        """Translate one sentence and capture the attention of every layer over the finished translation."""
        tokens = self.source.read(sentence)
        if not tokens:
            raise StudyError("--sentence is empty; give a sentence to translate")
        [translation] = self.translate([sentence])
        [best] = self._search([np.array(tokens)], None)
        source = torch.from_numpy(padded([np.array(tokens)])).to(self.device)
        target = torch.tensor([[BEGIN, *best]], device=self.device)
        with captured(self.network) as maps, torch.inference_mode():
            self.network(source, target)
        words = [token.text for token in self.source.cut(sentence)]
        return Attended(
            [*words, self.source.tokens[END]],
            self.target.words([BEGIN, *best]),
            self.references.get(sentence.strip()),
            translation,
            {name: weights[0].cpu() for name, weights in maps.items()},
        )

    def _search(self, sources: list[np.ndarray], beams: int | None) -> list[list[int]]:
        try:
            search = Search(
                beams or int(self.settings.get("beams", 1)), float(self.settings.get("length_penalty", 0.6))
            )
        except ValueError as error:
            raise StudyError(f"--beams: {error}") from error
        reduced = bool(self.settings.get("bfloat16", True)) and has_bfloat16(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=reduced):
            return translate(self.network, sources, search)


def sacrebleu(translations: Sequence[str], references: Sequence[str]) -> str:
    """sacreBLEU's own line: its signature, BLEU of plain cased sentences (0 to 100) with a 95 % interval over sentences."""
    metric = BLEU()
    score = metric.corpus_score(list(translations), [list(references)], n_bootstrap=1000)
    return str(score.format(signature=metric.get_signature().format()))
