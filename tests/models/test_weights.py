"""Weights from files and from the hub's cache, and the messages where they are not available."""

import argparse
import fractions
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
from conftest import PATIENCE
from safetensors.torch import save_file

import models
from models import WeightsError
from models.weights import files, hub

ROOT = Path(__file__).parents[2]
SALIENCY = ROOT.parent / "shared" / "weights" / "vit_small_patch14_saliency.safetensors"
TINY = {"architecture": "test_vit", "num_classes": 10}


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pt"])
@pytest.mark.parametrize("name", ["vit", "vit_tome"])
def test_file_restores_a_model(tmp_path, suffix, name):
    model = models.build(name, image_size=64, **TINY)
    file = tmp_path / f"best{suffix}"
    if suffix == ".safetensors":
        save_file(model.state_dict(), file)
    else:
        torch.save({"model": model.state_dict(), "epoch": 3}, file)
    loaded = models.build(name, str(file), image_size=64, **TINY)
    assert all(torch.equal(value, loaded.state_dict()[key]) for key, value in model.state_dict().items())
    models.fetch_weights(name, str(file), image_size=64, **TINY)


def test_other_head_and_image_size(tmp_path):
    small = models.build("vit", image_size=64, **TINY)
    save_file(small.state_dict(), tmp_path / "small.safetensors")
    large = models.build(
        "vit", str(tmp_path / "small.safetensors"), image_size=128, architecture="test_vit", num_classes=3
    )
    assert large.head.weight.shape == (3, 64)
    assert large.pos_embed.shape == (1, 65, 64)
    assert torch.equal(large.blocks[0].attn.qkv.weight, small.blocks[0].attn.qkv.weight)
    assert large.pos_embed[:, 1:].mean().item() == pytest.approx(small.pos_embed[:, 1:].mean().item(), abs=1e-2)


def test_scratch_vit_and_small_stem_take_their_own_checkpoints(tmp_path):
    for name, options in {
        "scratch_vit": {
            "image_size": 8,
            "patch_size": 4,
            "width": 16,
            "depth": 1,
            "heads": 2,
            "feed_forward": 8,
        },
        "resnet18": {"small_stem": True},
    }.items():
        model = models.build(name, **options)
        save_file(model.state_dict(), tmp_path / f"{name}.safetensors")
        loaded = models.build(name, str(tmp_path / f"{name}.safetensors"), **options)
        assert all(torch.equal(value, loaded.state_dict()[key]) for key, value in model.state_dict().items())


def test_small_stem_takes_the_centre_of_large_kernels(tmp_path):
    plain = models.build("resnet18")
    save_file(plain.state_dict(), tmp_path / "plain.safetensors")
    small = models.build("resnet18", str(tmp_path / "plain.safetensors"), small_stem=True)
    assert torch.equal(small.conv1.weight, plain.conv1.weight[:, :, 2:5, 2:5])


def test_a_mismatch_names_the_first_keys(tmp_path):
    state = models.build("vit", image_size=64, **TINY).state_dict()
    del state["cls_token"]
    state["extra"] = torch.zeros(1)
    save_file(state, tmp_path / "odd.safetensors")
    with pytest.raises(WeightsError, match=r"odd\.safetensors .*missing: cls_token; unexpected: extra"):
        models.build("vit", str(tmp_path / "odd.safetensors"), image_size=64, **TINY)


def test_another_architecture_is_refused_in_one_line(tmp_path):
    save_file(models.build("resnet18").state_dict(), tmp_path / "resnet.safetensors")
    with pytest.raises(WeightsError) as caught:
        models.fetch_weights("vit", str(tmp_path / "resnet.safetensors"), image_size=64, **TINY)
    assert "missing" in str(caught.value) and "\n" not in str(caught.value)
    wide = {"architecture": "vit_tiny_patch16_224", "image_size": 64}
    save_file(models.build("vit", depth=1, **wide).state_dict(), tmp_path / "wide.safetensors")
    with pytest.raises(WeightsError, match=r"other shape|do not fit"):
        models.build("vit", str(tmp_path / "wide.safetensors"), depth=1, embed_dim=96, **wide)


@pytest.mark.parametrize("content", [b"", b"not weights", b"\x80\x04K*."])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_unreadable_files_are_named(tmp_path, content, suffix):
    file = tmp_path / f"broken{suffix}"
    file.write_bytes(content)
    with pytest.raises(WeightsError, match="broken"):
        models.build("vit", str(file), image_size=64, **TINY)


def test_missing_file_and_unpublished_weights():
    with pytest.raises(WeightsError, match=r"nowhere\.pth does not exist"):
        models.fetch_weights("vit", "nowhere.pth", image_size=64, **TINY)
    with pytest.raises(WeightsError, match="no pretrained weights are published for model 'scratch_vit'"):
        models.fetch_weights("scratch_vit", "timm")


def test_description_names_the_tag():
    assert models.describe_weights("resnet18", "timm") == f"timm:{hub.tagged('resnet18')}"
    assert models.describe_weights("vit", "timm").startswith("timm:vit_base_patch16_224.augreg")
    tagged = "vit_small_patch16_224.augreg_in1k"
    assert models.describe_weights("vit_tome", "timm", architecture=tagged) == f"timm:{tagged}"


def run_alone(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """In a fresh process, since the hub's client reads its settings when imported."""
    environment = {"PATH": "/usr/bin:/bin", **environment}
    return subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
        timeout=PATIENCE,
    )


def test_a_missing_network_is_reported_quickly_in_one_line(tmp_path):
    nowhere = "http://127.0.0.1:9"  # the discard port: refuses at once
    code = (
        "import time, models\nstart = time.perf_counter()\n"
        "try: models.fetch_weights('vit', 'timm', architecture='test_vit')\n"
        "except models.WeightsError as error: print(error)\n"
        "assert time.perf_counter() - start < 20"
    )
    result = run_alone(code, HF_HOME=str(tmp_path), https_proxy=nowhere, HTTPS_PROXY=nowhere)
    assert result.returncode == 0 and result.stderr == "", result.stderr
    assert result.stdout.count("\n") == 1
    for word in ("no network", "--weights none", "--weights FILE", str(tmp_path)):
        assert word in result.stdout


def test_cached_hub_weights_need_no_network(tmp_path):
    published = timm.models.get_pretrained_cfg("test_vit")
    snapshot = tmp_path / "hub" / f"models--timm--{published.architecture}.{published.tag}" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("abc")
    source = timm.create_model("test_vit")
    save_file(source.state_dict(), snapshot / "model.safetensors")
    nowhere = "http://127.0.0.1:9"
    code = (
        "import models\nmodel = models.build('vit_tome', 'timm', architecture='test_vit', image_size=64, tome_ratio=0.5)\n"
        "print(model.blocks[1].mlp.fc1.weight.sum().item(), model.pretrained_cfg['file'])\n"
        "try: models.build('vit', 'timm', architecture='test_vit', image_size=64, embed_dim=32)\n"
        "except models.WeightsError as error: print(error)"
    )
    result = run_alone(code, HF_HOME=str(tmp_path), https_proxy=nowhere)
    assert result.returncode == 0 and result.stderr == "", result.stderr
    value, error = result.stdout.splitlines()
    assert value == f"{source.blocks[1].mlp.fc1.weight.sum().item()} None"
    assert "do not fit these options" in error


@pytest.mark.skipif(not SALIENCY.is_file(), reason=f"the shared weights {SALIENCY.name} are not on this machine")
def test_shared_dinov2_weights_load():
    options = {"architecture": "vit_small_patch14_dinov2", "image_size": 112, "num_classes": 10}
    model = models.build("vit", str(SALIENCY), **options)
    assert model.pos_embed.shape == (1, 65, 384) and model.pos_embed.dtype == torch.float32
    stored = files.read(str(SALIENCY))["blocks.11.mlp.fc2.weight"]
    assert torch.equal(model.blocks[11].mlp.fc2.weight, stored.float())
    models.build("vit_tome", str(SALIENCY), tome_ratio=0.5, **options)


@pytest.mark.parametrize(
    ("average", "key", "value", "description"),
    [
        ("model_ema", "", 1.0, "best.pth#model"),
        ("model_ema", "#model_ema", 2.0, "best.pth#model_ema"),
        ("state_dict_ema", "", 1.0, "best.pth#model"),
        ("state_dict_ema", "#state_dict_ema", 2.0, "best.pth#state_dict_ema"),
        ("ema", "#ema", 2.0, "best.pth#ema"),
        ("epoch_weights", "", 1.0, "best.pth"),
    ],
)
def test_an_average_beside_the_weights_is_named_and_can_be_chosen(tmp_path, average, key, value, description):
    file = tmp_path / "best.pth"
    average_weights = {"w": torch.tensor([2.0])}
    nested = {"module": average_weights} if average == "ema" else average_weights
    torch.save({"model": {"w": torch.tensor([1.0])}, average: nested}, file)
    assert files.read(f"{file}{key}")["w"].item() == value
    assert models.describe_weights("resnet18", f"{file}{key}") == f"file:{description}"


def test_an_unknown_key_names_those_of_the_file(tmp_path):
    torch.save({"model": {"w": torch.ones(1)}, "epoch": 3}, tmp_path / "best.pth")
    with pytest.raises(WeightsError, match=r"best\.pth has no #ema; it has model, epoch"):
        files.read(f"{tmp_path / 'best.pth'}#ema")


def test_options_of_a_trainer_beside_the_weights_do_no_harm(tmp_path):
    args = argparse.Namespace(lr=0.1, output=tmp_path)
    torch.save({"model": {"w": torch.ones(1)}, "args": args}, tmp_path / "best.pth")
    assert files.read(str(tmp_path / "best.pth"))["w"].item() == 1


def test_other_objects_beside_the_weights_are_named(tmp_path):
    torch.save({"model": {"w": torch.ones(1)}, "config": fractions.Fraction(1, 3)}, tmp_path / "best.pth")
    with pytest.raises(
        WeightsError, match=r"best\.pth also holds a fractions\.Fraction, .* state dict alone"
    ) as caught:
        files.read(str(tmp_path / "best.pth"))
    assert "\n" not in str(caught.value)


def test_random_weights_take_no_memory_before_a_study() -> None:
    """3 GB of them; in a process of its own, whose peak is its own."""
    program = (
        "import resource, models\n"
        "models.fetch_weights('scratch_vit', 'none', depth=1)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "models.fetch_weights('scratch_vit', 'none', width=2048, feed_forward=8192, depth=15, heads=16)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 500_000  # kB
