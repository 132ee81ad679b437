"""A trained translation model of a study: it translates sentences, and shows what it attends to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

import models
from analysis.read.study_folder import StudyError, load
from analysis.use.export import check_fit, checkpoint, find_trial, resolved, split_settings, trained_weights
from models.inputs.text import BEGIN, END, Vocabulary
from models.layers.precision import has_bfloat16
from models.outputs.attention_maps import captured
from models.outputs.decoding import Search, padded, translate

TEXT = "text.json"


class Attended(NamedTuple):
    """One translation with its attention: name of the layer -> weights (heads, queries, keys)."""

    source: list[str]  # the encoder's tokens
    target: list[str]  # the decoder's, the beginning first
    reference: str | None
    translation: str
    maps: dict[str, Tensor]


class Translator:
    """The model of a trial, ready to translate. Raises `StudyError` where the folder holds none that is whole."""

    def __init__(self, study_folder: Path, trial: str = "best", device: torch.device | None = None) -> None:
        """trial: a name, "best" or "knee", as `analysis export` takes it. device: the first GPU, if there is one."""
        study = load(study_folder)
        if study.spec.get("task") != "translation":
            raise StudyError(f"{study_folder} is no translation study; name one whose task is translation")
        row = find_trial(study, study_folder, trial)
        self.trial = str(row["trial"])
        self.source, self.target, self.references = _text(study_folder)
        sizes = {"source_vocabulary": len(self.source), "target_vocabulary": len(self.target)}
        model, options, self.settings = split_settings(study, row)
        network: Any = models.build(model, **resolved(model, options | sizes)).eval()
        check_fit(network, trained_weights(checkpoint(study_folder, self.trial)), self.trial)
        self.device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.network = network.to(self.device)

    def translate(self, sentences: Sequence[str], beams: int | None = None) -> list[str]:
        """One translation for each sentence; nothing for an empty one. beams: the study's, by default.

        Raises `StudyError`, naming the line, where one is longer than the model takes.
        """
        read = [self.source.read(sentence) for sentence in sentences]
        longest = self.network.config.max_length - 1
        for number, tokens in enumerate(read, 1):
            if len(tokens) > longest:
                raise StudyError(f"sentence {number} has {len(tokens)} tokens; this model takes {longest}: split it")
        some = [i for i, tokens in enumerate(read) if tokens]
        found = self._search([np.array(read[i]) for i in some], beams)
        written = dict(zip(some, map(self.target.write, found), strict=True))
        return [written.get(i, "") for i in range(len(read))]

    def attend(self, sentence: str) -> Attended:
        """Translate one sentence and capture the attention of every layer over the finished translation."""
        tokens = self.source.read(sentence)
        if not tokens:
            raise StudyError("--sentence is empty; give a sentence to translate")
        [translation] = self.translate([sentence])
        [found] = self._search([np.array(tokens)], None)
        source = torch.from_numpy(padded([np.array(tokens)])).to(self.device)
        target = torch.tensor([[BEGIN, *found]], device=self.device)
        with captured(self.network) as maps, torch.inference_mode():
            self.network(source, target)
        given = [token.text for token in self.source.cut(sentence)]
        return Attended(
            [*given, self.source.tokens[END]],
            self.target.words([BEGIN, *found]),
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


def _text(folder: Path) -> tuple[Vocabulary, Vocabulary, dict[str, str]]:
    try:
        content = json.loads((folder / TEXT).read_text(encoding="utf-8"))
        vocabularies = (Vocabulary.from_dict(content[side]) for side in ("source", "target"))
        return *vocabularies, dict(content["references"])  # type: ignore[return-value]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StudyError(f"{folder / TEXT} (the vocabularies) cannot be read: {error}; restore it") from error
