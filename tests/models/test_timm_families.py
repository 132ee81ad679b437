"""`vit` and `vit_tome` on one of each kind of timm VisionTransformer, against timm and against each other."""

import copy
import threading

import pytest
import timm
import torch

import models
from models import vit_tome
from models.layers.token_merging import token_counts

TINY = {"architecture": "vit_tiny_patch16_224", "patch_size": 4, "embed_dim": 32, "depth": 4, "num_heads": 2}

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


@pytest.mark.parametrize("architecture", FAMILIES)
@pytest.mark.parametrize("name", ["vit", "vit_tome"])
def test_patches_are_left_out_in_training_only(architecture, name):
    torch.manual_seed(0)
    options = shrunk(architecture) | ({"tome_ratio": 0.5} if name == "vit_tome" else {})
    whole, dropping = models.build(name, **options), models.build(name, patch_drop_rate=0.5, **options)
    dropping.load_state_dict(whole.state_dict())
    images = torch.randn(2, 3, options["image_size"], options["image_size"])
    counts = []
    for block in dropping.blocks:
        block.register_forward_pre_hook(lambda _, inputs: counts.append(getattr(inputs[0], "x", inputs[0]).shape[1]))
    dropping(images).square().sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in dropping.parameters())
    patches = [count - dropping.num_prefix_tokens for count in counts]
    assert patches == ([32, 32, 32] if name == "vit" else [32, 27, 22])  # 11, 11 and 10 of 64 merge, so 5 of 32
    assert torch.equal(dropping.eval()(images), whole.eval()(images))


@pytest.fixture
def merging():
    torch.manual_seed(0)
    return models.build("vit_tome", image_size=32, tome_ratio=0.5, **TINY)


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
    plain = models.build("vit", image_size=32, **TINY).eval()
    plain.load_state_dict(merging.state_dict())
    assert vit_tome.set_ratio(merging.eval(), 0.0) == [0, 0, 0, 0]
    assert torch.equal(merging(images), plain(images))
    assert vit_tome.set_ratio(merging, 0.5) == [8, 8, 8, 8]
    assert not torch.equal(merging(images), plain(images))
