"""The registry and what it asks of a model file: names, settings with meanings, refusal of impossible values."""

from __future__ import annotations

import dataclasses
import math
import subprocess
import sys
from pathlib import Path

import pytest
from mypy import api as mypy

import models
from record import tasks
from record.errors import UserError
from record.settings import costs_time, meaning, settable

ROOT = Path(__file__).parents[2]

COSTS_TIME = {
    "resnet18": {"image_size", "small_stem", "width"},
    "scratch_vit": {"image_size", "patch_size", "width", "depth", "heads", "feed_forward", "norm"},
    "translation_transformer": {"layers", "width", "feed_forward", "heads", "norm", "tie_weights", "max_length"},
    "timm": {"image_size", "architecture", "small_stem"},
    "vit": {"image_size", "architecture", "patch_size", "embed_dim", "depth", "num_heads", "patch_drop_rate"},
}
COSTS_TIME["vit_tome"] = COSTS_TIME["vit"] | {"tome_ratio", "tome_schedule"}

PUBLISHED = ("resnet18", "timm", "vit", "vit_tome")  # timm publishes weights for them
COUNTS = {
    "resnet18": ["num_classes", "image_size", "width"],
    "scratch_vit": ["num_classes", "image_size", "patch_size", "width", "depth", "heads", "feed_forward"],
    "translation_transformer": [
        "layers", "width", "feed_forward", "heads", "max_length", "source_vocabulary", "target_vocabulary",
    ],
    "timm": ["num_classes", "image_size"],
    "vit": ["num_classes", "image_size", "patch_size", "embed_dim", "depth", "num_heads"],
}  # fmt: skip
COUNTS["vit_tome"] = COUNTS["vit"]
RATES = {
    "resnet18": ["drop_rate"],
    "scratch_vit": ["dropout"],
    "translation_transformer": ["dropout"],
    "timm": ["drop_rate", "drop_path_rate"],
    "vit": ["drop_rate", "drop_path_rate", "patch_drop_rate"],
    "vit_tome": ["drop_rate", "drop_path_rate", "patch_drop_rate", "tome_ratio"],
}


def test_the_models_are_the_files() -> None:
    files = {path.stem for path in (ROOT / "models").glob("*.py")} - {"__init__"}
    assert set(models.available()) == files >= COSTS_TIME.keys()


def run_alone(code: str) -> str:
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_importing_the_registry_is_light() -> None:
    heavy = "{'torch', 'timm', 'ray', 'numpy', 'pandas'}"
    assert run_alone(f"import sys, models; models.available(); print({heavy} & set(sys.modules))") == "set()"


def test_models_of_our_own_do_not_wait_for_timm() -> None:
    load = "[models.config_class(name) for name in ('scratch_vit', 'translation_transformer')]"
    assert run_alone(f"import sys, models; {load}; print('timm' in sys.modules)") == "False"


def test_importing_every_model_brings_in_no_ray() -> None:
    code = "import sys, models; [models.config_class(m) for m in models.available()]; print('ray' in sys.modules)"
    assert run_alone(code) == "False"


def check_types(*files: Path) -> tuple[str, int]:
    """mypy's report on files that use the models, without following imports into torch and timm."""
    sources = [str(path) for path in (ROOT / "models").glob("*.py")]
    options = ["--config-file", str(ROOT / "pyproject.toml"), "--follow-imports=skip", "--no-warn-unused-ignores"]
    report, _, status = mypy.run([*options, "--cache-dir", str(files[0].parent), *sources, *map(str, files)])
    return report, status


def test_each_file_has_the_names_of_a_model_file(tmp_path: Path) -> None:
    lines = [f"import models, models.{name}" for name in models.available()]
    lines += [f"m{i}: models.ModelFile[models.{n}.Config] = models.{n}" for i, n in enumerate(models.available())]
    lines += [f"p{i}: models.Published = models.{n}" for i, n in enumerate(PUBLISHED)]
    (tmp_path / "uses.py").write_text("\n".join(lines))
    report, status = check_types(tmp_path / "uses.py")
    assert status == 0, report


def test_a_file_with_another_build_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("class Config: ...\n\ndef build(weights: str) -> None: ...")
    (tmp_path / "uses.py").write_text("import models, mine\nm: models.ModelFile[mine.Config] = mine")
    report, status = check_types(tmp_path / "uses.py", tmp_path / "mine.py")
    assert status == 1 and "expression has type Module, variable has type" in report and "ModelFile[Config]" in report


@pytest.mark.parametrize("name", COSTS_TIME)
def test_the_registry_knows_task_and_hub_of_each_model(name: str) -> None:
    assert (models.task(name) == "translation") == (name == "translation_transformer")
    if name in PUBLISHED:
        assert models.describe_weights(name, "timm").startswith("timm:")
    else:
        with pytest.raises(models.WeightsError, match=f"no pretrained weights are published for model '{name}'"):
            models.describe_weights(name, "timm")


@pytest.mark.parametrize("name", COSTS_TIME)
def test_each_setting_says_whether_it_costs_time(name: str) -> None:
    assert costs_time(models.config_class(name)) == COSTS_TIME[name]


@pytest.mark.parametrize("name", models.available())
def test_each_setting_says_what_it_means(name: str) -> None:
    config = models.config_class(name)
    assert models.task(name) in tasks.TASKS
    for field in dataclasses.fields(config):
        assert meaning(field) and not meaning(field).endswith("."), field.name
    assert not settable(config).keys() & {"num_classes", "source_vocabulary", "target_vocabulary"}


@pytest.mark.parametrize(("name", "field"), [(name, field) for name in COUNTS for field in COUNTS[name]])
@pytest.mark.parametrize("value", [0, -1, False])
def test_a_count_is_one_or_more(name: str, field: str, value: int) -> None:
    with pytest.raises(ValueError, match=rf"^{field} must be 1 or more, got {value}$"):
        models.config_class(name)(**{field: value})


@pytest.mark.parametrize(("name", "field"), [(name, field) for name in RATES for field in RATES[name]])
@pytest.mark.parametrize("value", [-0.1, 1.0, 1.5, math.nan])
def test_a_rate_is_zero_to_below_one(name: str, field: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"^{field} .*{value}"):
        models.config_class(name)(**{field: value})
    assert models.config_class(name)(**{field: 0.999})


@pytest.mark.parametrize("name", COSTS_TIME)
def test_every_number_has_a_bound(name: str) -> None:
    numbers = {
        f.name for f in dataclasses.fields(models.config_class(name)) if f.type in ("int", "int | None", "float")
    }
    assert numbers == {*COUNTS[name], *RATES[name]}


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("scratch_vit", {"image_size": 30}, "image_size 30 is not a multiple of patch_size 16"),
        ("scratch_vit", {"width": 100, "heads": 3}, "width 100 is not a multiple of heads 3"),
        ("scratch_vit", {"norm": "middle"}, "norm is 'middle'; use 'post'"),
        ("translation_transformer", {"width": 10, "heads": 4}, "width 10 is not a multiple of heads 4"),
        ("translation_transformer", {"norm": "none"}, "norm is 'none'; use 'post'"),
        ("vit", {"image_size": 100}, "image_size 100 is not a multiple of patch size 16; use 96 or 112"),
        ("vit", {"image_size": 8}, "image_size 8 is not a multiple of patch size 16; use 16"),
        ("vit", {"image_size": 30, "patch_size": 4}, "image_size 30 is not a multiple of patch size 4; use 28 or 32"),
        ("vit", {"embed_dim": 100, "num_heads": 3}, "embed_dim 100 is not a multiple of num_heads 3"),
        ("vit", {"architecture": "vit_smal_patch16_224"}, "architecture 'vit_smal_.*'vit_small_patch16_224'"),
        ("vit", {"architecture": "swin_tiny_patch4_window7_224"}, "architecture '.*is not a VisionTransformer"),
        ("timm", {"architecture": "mobilenetv4_conv_smal"}, "architecture 'mobile.*'mobilenetv4_conv_small'"),
        (
            "timm",
            {"architecture": "resnet18.nope"},
            "architecture 'resnet18' has no weights tagged 'nope'; tags: a1_in1k",
        ),
        (
            "timm",
            {"architecture": "vgg11", "image_size": 8},
            r"image_size 8 does not fit architecture 'vgg11' \(.*\); use 32",
        ),
        ("timm", {"architecture": "ghostnetv2_100", "image_size": 32}, "image_size 32 does not fit .*; use 48$"),
        (
            "timm",
            {"architecture": "ghostnet_050", "drop_path_rate": 0.1},
            "drop_path_rate must be 0: architecture 'ghost",
        ),
        (
            "timm",
            {"architecture": "convnext_atto", "small_stem": True},
            "small_stem does not fit .*patches of 4 px; leave",
        ),
        (
            "timm",
            {"architecture": "mixer_s32_224", "small_stem": True},
            "small_stem does not fit .*patches of 32 px; leave",
        ),
        ("timm", {"architecture": "dla34", "small_stem": True}, "small_stem does not fit .*no strided convolution"),
        (
            "timm",
            {"architecture": "levit_128s", "small_stem": True},
            "small_stem does not fit .* at 224 px .*leave it out",
        ),
        ("vit_tome", {"architecture": "vit_small_patch16_224.nope"}, "architecture .* no weights tagged 'nope'; tags:"),
        ("vit_tome", {"tome_ratio": 1.0}, "tome_ratio is 1.0; it is a share of the patch tokens"),
        ("vit_tome", {"tome_schedule": "linear"}, "tome_schedule is 'linear'; use 'constant' or 'decreasing'"),
    ],
)
def test_impossible_values_are_refused_before_anything_is_built(
    name: str, options: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        models.config_class(name)(**options)


@pytest.mark.parametrize("architecture", ["vit_dlittle_patch16_reg1_gap_256", "vit_dpwee_patch16_reg1_gap_256"])
@pytest.mark.parametrize("sizes", [(12, 12), (9, 3), (None, 256), (5, None)])
def test_differential_attention_splits_each_head_in_two(
    architecture: str, sizes: tuple[int | None, int | None]
) -> None:
    with pytest.raises(ValueError, match=r"^num_heads \d+ must divide embed_dim \d+ into even parts"):
        models.config_class("vit")(architecture=architecture, embed_dim=sizes[0], num_heads=sizes[1])


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("vit_tomb", {}, r"unknown model 'vit_tomb'; did you mean 'vit_tome'"),
        ("token_merging", {}, "unknown model 'token_merging'"),
        ("layers", {}, "unknown model 'layers'"),
        ("vit", {"imagesize": 32}, r"has no option 'imagesize'; did you mean 'image_size' .*\?"),
    ],
)
def test_unknown_names_are_refused_with_the_nearest(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        models.build(name, **options)


def test_options_that_only_timm_can_judge_are_named() -> None:
    with pytest.raises(ValueError, match="options of architecture 'vit_base_patch16_224' do not fit together"):
        models.build("vit", embed_dim=100)
