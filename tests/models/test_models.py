"""Every model file: it builds, learns and saves; a new file is tested by existing. Then what is special to each."""

import dataclasses

import pytest
import torch

import models
from models import scratch_vit

TINY_VIT = {"architecture": "vit_tiny_patch16_224", "patch_size": 4, "embed_dim": 32, "depth": 4, "num_heads": 2}
TINY = {
    "scratch_vit": {"patch_size": 4, "width": 32, "depth": 2, "heads": 2, "feed_forward": 64},
    "resnet18": {"small_stem": True},
    "vit": TINY_VIT,
    "vit_tome": {**TINY_VIT, "tome_ratio": 0.5},
}
PAPER_SIZED = (*TINY, "translation_transformer")  # their defaults are the sizes of the papers
IMAGE_MODELS = [
    name
    for name in models.available()
    if "image_size" in {field.name for field in dataclasses.fields(models.config_class(name))}
]


@pytest.mark.parametrize("name", IMAGE_MODELS)
def test_model_learns_and_saves(name):
    torch.manual_seed(0)
    options = {"image_size": 32, "num_classes": 7, **TINY.get(name, {})}
    model = models.build(name, **options)
    images, labels = torch.randn(16, 3, 32, 32), torch.arange(16) % 7
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    losses = []
    for _ in range(5):
        loss = torch.nn.functional.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]

    twin = models.build(name, **options).eval()
    twin.load_state_dict(model.state_dict())
    model.eval()
    assert model(images).shape == (16, 7)
    assert torch.equal(twin(images), model(images))
    mean, std = models.normalisation(model)
    assert len(mean) == len(std) == 3 and min(std) > 0


@pytest.mark.parametrize("name", models.available())
def test_defaults_make_a_model(name):
    config = models.config_class(name)()
    assert dataclasses.is_dataclass(config) and config.__dataclass_params__.frozen
    assert sum(p.numel() for p in models.build(name).parameters()) > (1_000_000 if name in PAPER_SIZED else 0)
    assert models.describe_weights(name, "none") == "none"
    assert models.describe_weights(name, "some/where/best.safetensors") == "file:best.safetensors"


def test_scratch_vit_is_the_reports():
    model = scratch_vit.build(scratch_vit.Config())
    assert model.project.weight.shape == (768, 768) and model.head.weight.shape == (10, 768)
    assert model.positions.shape == (196, 768) and len(model.encoder.layers) == 6


@torch.no_grad()
def test_scratch_vit_reads_each_patch_and_an_appended_zero_row():
    config = scratch_vit.Config(image_size=8, patch_size=4, width=16, depth=1, heads=2, feed_forward=32)
    model = scratch_vit.build(config).eval()
    images = torch.randn(2, 3, 8, 8)
    rows = []
    for top in (0, 4):
        for left in (0, 4):
            patch = images[:, :, top : top + 4, left : left + 4].flatten(1)
            rows.append(patch @ model.project.weight.T + model.positions[len(rows)])
    rows.append(torch.zeros(2, 16))
    expected = model.encoder(torch.stack(rows, 1))[:, 4] @ model.head.weight.T
    assert torch.allclose(model(images), expected, atol=1e-5)


@pytest.mark.parametrize("name", ["vit", "vit_tome"])
@pytest.mark.parametrize("width", [64, 256])
@pytest.mark.parametrize(
    ("weight_init", "limit"),
    [("moco", lambda width: (6 / (width + width)) ** 0.5), ("jax", lambda width: (6 / (width + 3 * width)) ** 0.5)],
)
def test_random_weights_of_a_vit_may_follow_its_width(name, width, weight_init, limit):
    """limit: of Xavier's uniform distribution, the root of 6 over inputs and outputs (Glorot and Bengio 2010)."""
    options = {"image_size": 16, "patch_size": 4, "embed_dim": width, "depth": 2, "num_heads": 4}
    usual, ours = models.build(name, **options), models.build(name, weight_init=weight_init, **options)
    assert usual.blocks[1].attn.qkv.weight.std().item() == pytest.approx(0.02, rel=0.05)
    weights = ours.blocks[1].attn.qkv.weight
    assert weights.abs().max().item() == pytest.approx(limit(width), rel=0.01)
    assert weights.std().item() == pytest.approx(limit(width) / 3**0.5, rel=0.05)


def test_unknown_random_weights_are_refused():
    with pytest.raises(ValueError, match=r"^weight_init is 'xavier'; use jax, moco, reset or null$"):
        models.config_class("vit")(weight_init="xavier")
    with pytest.raises(models.WeightsError, match=r"^weight_init moco is for random weights, not timm; leave it out$"):
        models.build("vit", weights="timm", weight_init="moco")


def test_resnet_of_half_the_width_has_about_a_quarter_of_the_parameters():
    counts = {w: sum(p.numel() for p in models.build("resnet18", width=w).parameters()) for w in (64, 32)}
    assert counts[64] == 11_181_642  # ResNet-18 with ten classes
    assert 0.2 < counts[32] / counts[64] < 0.3
    with pytest.raises(models.WeightsError, match="fit width 64"):
        models.build("resnet18", "timm", width=32)


def test_small_stem_keeps_four_times_the_resolution():
    images = torch.randn(1, 3, 32, 32)
    plain, small = models.build("resnet18").eval(), models.build("resnet18", small_stem=True).eval()
    assert plain.forward_features(images).shape[-1] == 1
    assert small.forward_features(images).shape[-1] == 4
