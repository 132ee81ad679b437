"""CIFAR-100: 60,000 photos in a hundred (fine) classes, 32x32 pixels; see trainables/data/images/cifar.py for its forms."""

from __future__ import annotations

from pathlib import Path

from trainables.data.images import ImageData
from trainables.data.images.cifar import Cifar

_NAMES = """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can
    castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin
    elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster
    man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck
    pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk
    skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger
    tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""
CLASSES = tuple(_NAMES.split())
FORMS = Cifar(
    name="cifar100",
    title="CIFAR-100",
    kind="CIFAR100",
    folder="cifar-100-python",
    train_files=("train",),
    test_files=("test",),
    label_key="fine_labels",
    classes=CLASSES,
)


def load(data_dir: Path, image_size: int, seed: int) -> ImageData:
    """CIFAR-100 at its native 32x32. Raises DataError, also if it is neither there nor can be downloaded."""
    return FORMS.load(data_dir, seed)
