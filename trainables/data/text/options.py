"""How text becomes tokens."""

from __future__ import annotations

from dataclasses import dataclass

from record.settings import setting


@dataclass(frozen=True)
class TextOptions:
    """What a space may set under `data.text`."""

    min_frequency: int = setting(2, "occurrences in the training text below which a token is unknown")
    vocabulary: str = setting("train", "splits that the vocabulary is built from: train, or all three")
    max_tokens: int = setting(128, "pairs with a longer sentence are skipped, and counted")
    source: str | None = setting(None, "ending of the source files, which is also their language: de")
    target: str | None = setting(None, "ending of the target files, which is also their language: en")

    def __post_init__(self) -> None:
        for name, valid, what in (
            ("min_frequency", self.min_frequency >= 1, "1 or more"),
            ("vocabulary", self.vocabulary in ("train", "all"), "'train' or 'all'"),
            ("max_tokens", self.max_tokens >= 1, "1 or more"),
        ):
            if not valid:
                raise ValueError(f"{name} must be {what}, got {getattr(self, name)!r}")
