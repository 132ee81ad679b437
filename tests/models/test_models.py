"""Every model file: it builds, learns, saves; a new file is tested by existing. Then what is special to each."""

import copy
import dataclasses
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import timm
import torch

import models
from models import resnet18, scratch_vit, vit_tome
from models.layers.precision import has_bfloat16
from models.layers.token_merging import token_counts

TINY_VIT = {
    "architecture": "vit_tiny_patch16_224",
    "embed_dim": 32,
    "depth": 4,
    "num_heads": 2,
    "patch_size": 4,
}
TINY = {
    "scratch_vit": {"patch_size": 4, "width": 32, "depth": 2, "heads": 2, "feed_forward": 64},
    "resnet18": {"small_stem": True},
    "vit": TINY_VIT,
    "vit_tome": {**TINY_VIT, "tome_ratio": 0.5},
}
IMAGE_MODELS = [
    name
    for name in models.available()
    if "image_size" in {field.name for field in dataclasses.fields(models.config_class(name))}
]

# One of each kind of timm VisionTransformer, at 8 x 8 patches.
FAMILIES = {
    "test_vit": 16,
    "test_vit2": 16,
    "test_vit3": 16,  # registers, attention pooling over all tokens
    "test_vit4": 16,
    "vit_small_patch16_224": 16,
    "vit_base_patch16_224.mae": 16,
    "vit_base_patch16_clip_224": 16,  # norm before the blocks
    "vit_base_patch16_siglip_224": 16,  # no class token, attention pooling
    "vit_base_patch16_reg4_gap_256": 16,  # registers, average pooling
    "vit_small_patch14_dinov2": 14,  # layer-scale
    "vit_small_patch14_reg4_dinov2": 14,
    "deit_tiny_patch16_224": 16,
    "deit_tiny_distilled_patch16_224": 16,  # two heads
    "deit3_small_patch16_224": 16,  # no position for the class token
    "beit3_base_patch16_224": 16,  # norms inside attention and feed-forward
    "aimv2_large_patch14_224": 14,  # SwiGLU, RMS norm
    "flexivit_small": 16,
    "vit_base_patch16_rpn_224": 16,  # norm after attention
    "vit_small_patch16_18x2_224": 16,  # two attentions side by side
    "vit_base_patch16_xp_224": 16,  # attention beside feed-forward, key norm
    "vit_dlittle_patch16_reg1_gap_256": 16,  # differential attention
    "vit_dpwee_patch16_reg1_gap_256": 16,
}


def shrunk(architecture: str) -> dict[str, object]:
    patch_size = FAMILIES[architecture]
    return {
        "architecture": architecture,
        "image_size": 8 * patch_size,
        "depth": 3,
        "embed_dim": 32,
        "num_heads": 2,
        "num_classes": 5,
    }


@pytest.mark.parametrize("name", IMAGE_MODELS)
def test_model_learns_and_saves(name):
    torch.manual_seed(0)
    options = {"image_size": 32, "num_classes": 7, **TINY.get(name, {})}
    model = models.build(name, **options)
    images, labels = torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 2, 3])
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
    assert model(images).shape == (4, 7)
    assert torch.equal(twin(images), model(images))
    mean, std = models.normalisation(model)
    assert len(mean) == len(std) == 3 and min(std) > 0


@pytest.mark.parametrize("name", models.available())
def test_defaults_make_a_model(name):
    config = models.config_class(name)()
    assert dataclasses.is_dataclass(config) and config.__dataclass_params__.frozen
    assert sum(p.numel() for p in models.build(name).parameters()) > 1_000_000
    assert models.describe_weights(name, "none") == "none"
    assert models.describe_weights(name, "some/where/best.safetensors") == "file:best.safetensors"


def test_importing_the_registry_is_light():
    code = "import sys, models; models.available(); print({'torch', 'timm', 'ray'} & set(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert result.stdout.strip() == "set()", result.stderr


def test_importing_every_model_brings_in_no_ray():
    code = "import sys, models; [models.config_class(m) for m in models.available()]; print('ray' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert result.stdout.strip() == "False", result.stderr


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("vit_tomb", {}, r"unknown model 'vit_tomb'; did you mean 'vit_tome'"),
        ("token_merging", {}, "unknown model 'token_merging'"),
        (
            "vit",
            {"imagesize": 32},
            r"has no option 'imagesize'; did you mean 'image_size' .*\?",
        ),
        ("vit", {"architecture": "vit_smal_patch16_224"}, "not known to timm; .*'vit_small_patch16_224'"),
        ("vit", {"architecture": "swin_tiny_patch4_window7_224"}, "is not a VisionTransformer"),
        (
            "vit",
            {"architecture": "vit_small_patch16_224.nope"},
            "no weights tagged 'nope'; tags: .*augreg_in1k",
        ),
        ("vit", {"image_size": 100}, "image_size 100 is not a multiple of patch size 16; use 96 or 112"),
        ("vit", {"embed_dim": 100}, "do not fit together"),
        ("vit_tome", {"tome_ratio": 1.0}, "tome_ratio is 1.0"),
        ("scratch_vit", {"image_size": 30}, "image_size 30 is not a multiple of patch_size 16"),
    ],
)
def test_bad_options_are_named(name, options, message):
    with pytest.raises(ValueError, match=message):
        models.build(name, **options)


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


def test_resnet_of_half_the_width_has_about_a_quarter_of_the_parameters():
    counts = {w: sum(p.numel() for p in models.build("resnet18", width=w).parameters()) for w in (64, 32)}
    assert counts[64] == 11_181_642  # ResNet-18 with ten classes
    assert 0.2 < counts[32] / counts[64] < 0.3
    with pytest.raises(ValueError, match="width is 0"):
        models.build("resnet18", width=0)
    with pytest.raises(models.WeightsError, match="fit width 64"):
        models.build("resnet18", "timm", width=32)


@pytest.mark.skipif(not has_bfloat16(torch.device("cpu")), reason="this CPU does not compute in bfloat16")
def test_gradients_of_single_pixels_are_right_in_bfloat16():
    """At 16 px the last stage of a ResNet-18 gets maps of one pixel."""
    torch.manual_seed(0)
    layer = models.build("resnet18").to(memory_format=torch.channels_last).layer4[0].conv1
    x = torch.randn(32, 256, 1, 1).to(memory_format=torch.channels_last)

    def gradient(bfloat16: bool) -> torch.Tensor:
        remains = [torch.full((1 << 18,), torch.nan) for _ in range(20)]
        del remains  # freed memory holds nothing that a computation may read
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            y = layer(x)
        return torch.autograd.grad(y.float().square().sum(), layer.weight)[0]

    exact = gradient(bfloat16=False)
    for _ in range(5):
        assert (gradient(bfloat16=True) - exact).abs().max() < 0.05 * exact.abs().max()


def test_a_single_pixel_is_convolved_with_the_kernels_centre():
    layer = resnet18.Downsampling(3, 5, 3, stride=2, padding=1, bias=False)
    for side in (1, 2, 5):
        x = torch.randn(2, 3, side, side)
        expected = torch.nn.functional.conv2d(x, layer.weight, stride=2, padding=1)
        assert torch.allclose(layer(x), expected, atol=1e-6)


def test_small_stem_keeps_four_times_the_resolution():
    images = torch.randn(1, 3, 32, 32)
    plain, small = models.build("resnet18").eval(), models.build("resnet18", small_stem=True).eval()
    assert plain.forward_features(images).shape[-1] == 1
    assert small.forward_features(images).shape[-1] == 4


@pytest.mark.parametrize("architecture", FAMILIES)
@torch.no_grad()
def test_the_plain_model_is_timms(architecture):
    torch.manual_seed(0)
    options = shrunk(architecture)
    model = models.build("vit", **options).eval()
    named = {"img_size" if name == "image_size" else name: value for name, value in options.items()}
    timms = timm.create_model(named.pop("architecture"), **named).eval()
    timms.load_state_dict(model.state_dict())
    images = torch.randn(2, 3, options["image_size"], options["image_size"])
    assert torch.equal(model(images), timms(images))


@pytest.mark.parametrize("architecture", FAMILIES)
@torch.no_grad()
def test_tome_at_ratio_zero_is_the_plain_model(architecture):
    torch.manual_seed(0)
    options = shrunk(architecture)
    plain, merging = models.build("vit", **options).eval(), models.build("vit_tome", **options).eval()
    assert list(merging.state_dict()) == list(plain.state_dict())
    merging.load_state_dict(plain.state_dict())
    images = torch.randn(2, 3, options["image_size"], options["image_size"])
    assert torch.equal(merging(images), plain(images))


@pytest.mark.parametrize("architecture", FAMILIES)
def test_merging_equal_patches_changes_nothing(architecture):
    """Two kinds of patches, without positions: merging equals is exact only with attention and pooling in proportion
    to size."""
    torch.manual_seed(0)
    options = shrunk(architecture)
    plain = models.build("vit", **options).eval()
    merging = models.build("vit_tome", tome_ratio=0.75, **options).eval()
    with torch.no_grad():
        for parameter in plain.parameters():  # at their initial values most layers hardly matter
            parameter.copy_(torch.randn_like(parameter) * 0.3)
        if plain.pos_embed is not None:
            plain.pos_embed.zero_()
    merging.load_state_dict(plain.state_dict())
    patch_size = FAMILIES[architecture]
    kinds = torch.randn(2, 3, patch_size, patch_size)
    choice = torch.randint(2, (3, 8, 8), generator=torch.Generator().manual_seed(1))
    choice[:, 0, :2] = torch.tensor([0, 1])
    images = kinds[choice].permute(0, 3, 1, 4, 2, 5).reshape(3, 3, 8 * patch_size, 8 * patch_size)

    expected = plain(images)
    assert (merging(images) - expected).abs().max() < 1e-3 * expected.abs().max()

    final = vit_tome.trace(merging, images)[-1]
    for image in range(3):
        for token in range(16):
            assert len(choice[image].flatten()[final[image] == token].unique()) == 1


@pytest.mark.parametrize("architecture", FAMILIES)
def test_merging_leaves_prefix_tokens_alone_and_trains(architecture):
    torch.manual_seed(0)
    options = shrunk(architecture)
    merging = models.build("vit_tome", tome_ratio=0.85, **options)
    images = torch.randn(3, 3, options["image_size"], options["image_size"])
    traced = vit_tome.trace(merging, images)
    counts = token_counts([block.merges for block in merging.blocks], 64)
    assert counts[-1] == 64 - round(0.85 * 64)
    for held, count in zip(traced, counts, strict=True):
        assert held.shape == (3, 64)
        assert all(image.unique().tolist() == list(range(count)) for image in held)

    merging(images).square().sum().backward()
    unused = [name for name, p in merging.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert unused == []


@pytest.fixture
def merging():
    torch.manual_seed(0)
    return models.build("vit_tome", image_size=32, **TINY["vit_tome"])


def test_tome_with_activation_checkpointing(merging):
    images = torch.randn(2, 3, 32, 32)
    merging(images).square().sum().backward()
    expected = [p.grad.clone() for p in merging.parameters()]
    merging.zero_grad()
    merging.set_grad_checkpointing(True)
    merging(images).square().sum().backward()
    assert all(torch.allclose(p.grad, e, atol=1e-6) for p, e in zip(merging.parameters(), expected, strict=True))


@torch.no_grad()
def test_tome_compiles_into_one_graph(merging):
    images = torch.randn(2, 3, 32, 32)
    compiled = torch.compile(merging.eval(), backend="aot_eager", fullgraph=True)
    assert torch.allclose(compiled(images), merging(images), atol=1e-5)


@torch.no_grad()
def test_tome_in_threads_and_copies(merging):
    merging.eval()
    batches = [torch.randn(2, 3, 32, 32) for _ in range(8)]
    expected = [merging(batch) for batch in batches]
    results: dict[int, torch.Tensor] = {}

    def work(index: int) -> None:
        with torch.no_grad():
            results[index] = merging(batches[index])

    threads = [threading.Thread(target=work, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.allclose(results[i], expected[i], atol=1e-6) for i in range(8))
    assert torch.equal(copy.deepcopy(merging)(batches[0]), merging(batches[0]))


@torch.no_grad()
def test_tome_under_bfloat16_autocast(merging):
    images = torch.randn(2, 3, 32, 32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = merging.eval()(images)
    assert torch.allclose(low.float(), merging(images), atol=0.1)


@torch.no_grad()
def test_ratio_of_a_built_model_can_be_changed(merging):
    images = torch.randn(2, 3, 32, 32)
    plain = models.build("vit", image_size=32, **TINY_VIT).eval()
    plain.load_state_dict(merging.state_dict())
    assert vit_tome.set_ratio(merging.eval(), 0.0) == [0, 0, 0, 0]
    assert torch.equal(merging(images), plain(images))
    assert vit_tome.set_ratio(merging, 0.5) == [8, 8, 8, 8]
    assert not torch.equal(merging(images), plain(images))
