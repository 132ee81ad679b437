"""`model: timm` over timm's families: each trains, is timed and is exported, at 32 px or at the size it asks for."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import yaml
from fake_study import trial_row, write_tables
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

import models
from analysis.use.export import export
from analysis.use.predict import Classifier
from models import engines
from models.engines import Source
from models.layers.precision import has_bfloat16
from models.weights import hub
from record.errors import UserError
from study.space.checking import check_models
from study.space.reading import resolve
from trainables.image_classification.config import Config
from trainables.image_classification.loop import Loop
from trainables.image_classification.profile import noise, profile
from trainables.pace import Yardstick

CPU = torch.device("cpu")
CLASSES = 4
SHAPE = {"height": 24, "width": 24, "classes": CLASSES}
TRAINING = Config(batch_size=8, epochs=1)

FAST = (
    "mobilenetv4_conv_small", "convnext_atto", "efficientvit_m0", "ghostnet_050", "levit_128s", "regnetx_002",
)  # fmt: skip
AT_32 = (
    "caformer_s18", "coatnet_pico_rw_224", "convit_tiny", "davit_tiny", "deit_tiny_patch16_224", "densenet121", "dla34",
    "eca_nfnet_l0", "edgenext_xx_small", "efficientformerv2_s0", "efficientnet_b0", "efficientnet_lite0",
    "efficientvit_b0", "fastvit_t8", "focalnet_tiny_srf", "gcvit_xxtiny", "hardcorenas_a", "hgnetv2_b0",
    "inception_next_atto", "lcnet_050", "mambaout_femto", "maxvit_pico_rw_256", "mixer_s32_224", "mobilenetv3_small_100",
    "mobileone_s0", "mobilevit_xxs", "mobilevitv2_050", "pit_ti_224", "poolformer_s12", "pvt_v2_b0", "rdnet_tiny",
    "regnety_002", "repghostnet_050", "repvgg_a0", "repvit_m0_9", "resnet18", "resnet26d", "resnetv2_50",
    "resnext50_32x4d", "seresnext26d_32x4d", "starnet_s1", "swin_tiny_patch4_window7_224", "swinv2_cr_tiny_ns_224",
    "tf_efficientnet_b0", "tiny_vit_5m_224", "tinynet_e", "visformer_tiny", "xcit_nano_12_p16_224",
)  # fmt: skip
LARGER = {"crossvit_tiny_240": 240, "efficientformer_l1": 224, "ghostnetv2_100": 48, "inception_v3": 96}
FAMILIES = {**dict.fromkeys((*FAST, *AT_32), 32), **LARGER}

STEMS = {  # architecture: side of the features of a 32 px image, and with a small stem
    "mobilenetv4_conv_small": (1, 2), "fastvit_t8": (1, 2), "resnet26d": (1, 4), "densenet121": (1, 4),
    "repvgg_a0": (1, 2), "tf_efficientnet_b0": (1, 2), "poolformer_s12": (1, 4),
}  # fmt: skip


def options_of(architecture: str, **more: Any) -> dict[str, Any]:
    return {"architecture": architecture, "image_size": FAMILIES[architecture], **more}


def families() -> list[Any]:
    return [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in FAMILIES]


def one_step(options: dict[str, Any]) -> Loop:
    """A training of one step on noise, in bfloat16 where the CPU has it."""
    loop = Loop(TRAINING, "timm", options, "none", noise(TRAINING, **SHAPE), CPU)
    assert math.isfinite(loop.train_step(np.arange(TRAINING.batch_size), 1e-4, torch.Generator()).item())
    for name, parameter in loop.model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
    return loop


def gradient(model: nn.Module, images: Tensor, bfloat16: bool) -> Tensor:
    """The gradient of all parameters, (parameters,), of a weighted sum of the logits.

    Running statistics, since those of so few images amplify rounding; no cross-entropy, since it saturates, or its
    gradients nearly cancel, in a network at its initial values.
    """
    model = copy.deepcopy(model).eval()
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        logits = model(images).float()
    loss = (logits * torch.linspace(1, 2, CLASSES)).sum()
    return torch.cat([each.flatten() for each in torch.autograd.grad(loss, list(model.parameters()))])


def check_gradients(model: nn.Module, side: int) -> None:
    images = torch.randn(8, 3, side, side).to(memory_format=torch.channels_last)
    exact, low = gradient(model, images, False), gradient(model, images, True)
    assert nn.functional.cosine_similarity(exact, low, dim=0) > 0.9
    assert 0.8 < low.norm() / exact.norm() < 1.25


def check_export(loop: Loop, options: dict[str, Any], folder: Path) -> None:
    """The exported model predicts what the trained one does, from a study that holds just this trial."""
    study = write_tables(folder / "study", [trial_row("net-000", 0.9, 100.0)])
    (study / "study.yaml").write_text(yaml.safe_dump({"models": {"net": {"model": "timm", **options}}}))
    data = {"classes": list("abcd"), "decoded_size": 24}
    (study / "environment.json").write_text(json.dumps({"data": data}))
    (study / "checkpoints").mkdir()
    torch.save({"loop": loop.state_dict(), "rows": []}, study / "checkpoints" / "net-000.pt")
    export(study, "net-000", folder / "model")
    image = loop.data.train.images[0]
    Image.fromarray(image).save(folder / "image.png")
    [(_, probabilities)] = Classifier(folder / "model").classify([folder / "image.png"])
    with loop.inference():
        expected = loop.logits(torch.from_numpy(image[None])).softmax(1)[0]
    assert torch.allclose(torch.as_tensor(probabilities), expected, atol=0.02)


@pytest.mark.parametrize("architecture", families())
def test_a_family_trains_and_is_exported(architecture: str, tmp_path: Path) -> None:
    options = options_of(architecture)
    loop = one_step(options)
    if has_bfloat16(CPU):
        check_gradients(loop.model, options["image_size"])
    check_export(loop, options, tmp_path)
    save_file({name: t.contiguous() for name, t in loop.model.state_dict().items()}, tmp_path / "w.safetensors")
    again = models.build("timm", str(tmp_path / "w.safetensors"), num_classes=CLASSES, **options)
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in loop.model.state_dict().items())


@pytest.mark.slow
@pytest.mark.parametrize("architecture", FAMILIES)
def test_a_family_is_timed(architecture: str) -> None:
    row = profile(TRAINING, "timm", options_of(architecture), CPU, SHAPE, train_threads=1, yardstick=Yardstick(CPU))
    assert row["train_images_per_second"] > 0 and row["inference_images_per_second"] > 0
    assert row["parameters"] > 100_000 and row["gflops_per_image"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("architecture", FAMILIES)
def test_a_family_answers_alike_in_every_engine_of_floats(architecture: str) -> None:
    """Logits are compared by their size: those of some families begin near zero."""
    pytest.importorskip("onnxruntime", reason=engines.EXTRA)
    torch.manual_seed(0)
    network = models.build("timm", num_classes=CLASSES, **options_of(architecture)).eval()
    classifier = engines.Classifier(network, Source(24, 24, FAMILIES[architecture], (0.5,) * 3, (0.25,) * 3))
    images = np.random.default_rng(0).integers(0, 256, (9, 24, 24, 3), dtype=np.uint8)
    eager, *others = (
        engines.find(name).compile(classifier, threads=1, calibration=None, bfloat16=False)
        for name in (engines.EAGER, "onnxruntime", "openvino")
    )
    expected = eager(images)
    for runner in others:
        for batch in (9, 1):
            largest = np.abs(runner(images[:batch]) - expected[:batch]).max()
            assert largest <= 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("architecture", ["ghostnetv2_100", *(pytest.param(n, marks=pytest.mark.slow) for n in LARGER)])
def test_the_smallest_size_is_named(architecture: str) -> None:
    size = LARGER[architecture]
    with pytest.raises(ValueError, match=rf"^image_size 32 does not fit .*; use {size}$"):
        models.config_class("timm")(architecture=architecture, image_size=32)


@pytest.mark.parametrize("architecture", STEMS)
@torch.no_grad()
def test_a_small_stem_keeps_the_resolution_and_the_kernels(architecture: str) -> None:
    options = {"architecture": architecture, "image_size": 32}
    plain, small = models.build("timm", **options).eval(), models.build("timm", small_stem=True, **options).eval()
    images = torch.randn(1, 3, 32, 32)
    sides = tuple(model.forward_features(images).shape[-1] for model in (plain, small))
    assert sides == STEMS[architecture]
    small.load_state_dict(plain.state_dict())


@pytest.mark.parametrize("architecture", ["regnetx_002", "repvgg_a0", "mobilenetv3_small_100"])
@pytest.mark.skipif(not has_bfloat16(CPU), reason="this CPU does not compute in bfloat16")
def test_gradients_are_right_where_maps_shrink_to_one_pixel(architecture: str) -> None:
    """At 16 px the last stages get maps of one pixel."""
    torch.manual_seed(0)
    model = models.build("timm", architecture=architecture, image_size=16, num_classes=CLASSES)
    check_gradients(model.to(memory_format=torch.channels_last), 16)


def test_initial_weights_do_not_depend_on_what_was_checked_before() -> None:
    def weights() -> Tensor:
        torch.manual_seed(3)
        return models.build("timm", architecture="lcnet_035", image_size=40).classifier.weight

    first = weights()  # checks the size, whose result is remembered
    assert torch.equal(first, weights())


def test_facts_are_those_of_the_architecture() -> None:
    tagged = "resnet18.a1_in1k"
    assert models.describe_weights("timm", "timm", architecture="resnet18") == f"timm:{hub.tagged('resnet18')}"
    assert models.describe_weights("timm", "timm", architecture=tagged) == f"timm:{tagged}"
    model = models.build("timm", architecture=tagged, image_size=32)
    assert models.normalisation(model)[0] == timm.models.get_pretrained_cfg(tagged).mean
    assert models.published_facts(model)["classifier"] == "fc"


@torch.no_grad()
def test_a_model_with_a_small_stem_compiles_into_one_graph() -> None:
    model = models.build("timm", architecture="test_resnet", image_size=16, small_stem=True).eval()
    images = torch.randn(2, 3, 16, 16)
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    assert torch.allclose(compiled(images), model(images), atol=1e-5)


def test_rates_reach_the_model() -> None:
    """Also a rate of zero, where the architecture's own is another."""
    model = models.build("timm", architecture="swin_tiny_patch4_window7_224", image_size=32)
    assert not any(getattr(part, "drop_prob", 0) for part in model.modules())
    model = models.build("timm", image_size=32, drop_path_rate=0.2, drop_rate=0.3)
    assert any(getattr(part, "drop_prob", 0) for part in model.modules()) and model.drop_rate == 0.3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"architecture": "mobilenetv4_conv_smal"}, "is not known to timm; did you mean 'mobilenetv4_conv_small'"),
        ({"architecture": "vgg11", "image_size": 8}, "image_size 8 does not fit architecture 'vgg11'"),
        ({"architecture": "convnext_atto", "small_stem": True}, "cuts patches of 4 px; leave it out"),
        ({"architecture": "levit_128s", "image_size": 32, "batch_size": 1}, "must be 2 or more: 'timm' normalises"),
    ],
)
def test_a_space_is_refused_in_one_line(settings: dict[str, Any], message: str) -> None:
    raw = {
        "description": "x",
        "data": {"name": "digits"},
        "objectives": ["val_accuracy"],
        "models": {"net": {"model": "timm", **settings}},
    }
    with pytest.raises(UserError, match=message) as caught:
        check_models(resolve(raw, "x"), "x")
    assert "\n" not in str(caught.value)
