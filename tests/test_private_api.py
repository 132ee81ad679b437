"""Parts of other packages that they may change without notice, one test for each that the project uses.

After an upgrade of Ray, Optuna, timm, ... a failure here says what moved and which of our files use it. A new private
use fails `test_private_names_are_listed` or `test_inner_modules_are_listed` until it is listed and tested here.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import sqlite3
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from private_uses import ROOMS, foreign_private_names, inner_modules, sources, users

from trainables.data.images.published import SETS, Published

PRIVATE = {
    "_core",  # numpy._core.multiarray, named in pickles
    "_is_amx_tile_supported",  # torch.cpu
    "_is_avx512_bf16_supported",  # torch.cpu
    "_labels",  # torchvision's OxfordIIITPet
    "_pos_embed",  # timm's VisionTransformer
    "_raylet",  # ray
    "_samples",  # torchvision's GTSRB
    "_trial_id",  # optuna's FrozenTrial
}
INNER_MODULES = {
    "huggingface_hub.constants",
    "ray._raylet",
    "ray.tune.execution.class_cache",
    "tensorboardX.summary",
    "timm.layers.attention",
    "timm.models.vision_transformer",
    "torchvision.datasets.utils",
}
ENVIRONMENT = {  # variable -> the package that reads it
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "mlflow",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "ray",
    "RAY_ADDRESS": "ray",
    "RAY_AIR_NEW_OUTPUT": "ray",
    "RAY_AUTH_MODE": "ray",
    "RAY_AUTH_TOKEN": "ray",
    "RAY_AUTH_TOKEN_PATH": "ray",
    "RAY_DEDUP_LOGS": "ray",
    "RAY_OVERRIDE_JOB_RUNTIME_ENV": "ray",
    "RAY_JOB_STOP_WAIT_TIME_S": "ray",
    "RAY_TMPDIR": "ray",
    "RAY_USAGE_STATS_ENABLED": "ray",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "ray",
    "TUNE_MAX_PENDING_TRIALS_PG": "ray",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "ray",
}


def moved(what: str, name: str) -> str:
    """The message of a failure: what moved, and our files that mention `name`."""
    return f"{what} has moved or changed; used in {', '.join(users(name)) or 'no file of ours'}"


def foreign(path: str) -> Any:
    """The part of another package at "module:name", or at "module"; the test fails where there is none."""
    try:
        return pkgutil.resolve_name(path)
    except (ImportError, AttributeError):
        pytest.fail(moved(path, re.split("[.:]", path)[-1]))


def parameters(function: Any) -> list[str]:
    """The names of the parameters, without **."""
    return [p.name for p in inspect.signature(function).parameters.values() if p.kind is not p.VAR_KEYWORD]


# -- the lists above are complete


def test_private_names_are_listed() -> None:
    uses = foreign_private_names(sources())
    new = {name: sorted(files) for name, files in uses.items() if name not in PRIVATE}
    assert not new, f"private names of other packages: {new}; list each in PRIVATE and write a test for it"
    assert not PRIVATE - uses.keys(), "no longer used: remove from PRIVATE, and its test"


def test_inner_modules_are_listed() -> None:
    uses = inner_modules(sources())
    new = {path: sorted(files) for path, files in uses.items() if path not in INNER_MODULES}
    assert not new, f"undocumented modules: {new}; list each in INNER_MODULES and test what is used of it"
    assert not INNER_MODULES - uses.keys(), "no longer used: remove from INNER_MODULES, and its test"


def test_environment_variables_are_listed() -> None:
    used = {name for text in sources().values() for name in re.findall(r"\b(?:RAY|TUNE|MLFLOW)_[A-Z_]+\b", text)}
    assert used == ENVIRONMENT.keys(), "list in ENVIRONMENT the variables that our files name, and no others"


def test_a_new_private_use_is_noticed() -> None:
    files = {
        "a.py": "import ray._private\nfrom optuna.storages._rdb import models\nself._mine = frozen._trial_id\n",
        "b.py": "def _own(x): return x._mine, x._asdict(), x.__dict__, getattr(x, '_secret')\n_own(1)\nx._theirs = 1\n",
    }
    names = foreign_private_names(files)
    assert names.keys() == {"_private", "_rdb", "_trial_id", "_secret", "_theirs"} and names["_secret"] == {"b.py"}
    assert inner_modules(files).keys() == {"ray._private", "optuna.storages._rdb.models"}
    assert not inner_modules({"a.py": "from optuna.trial import TrialState\nfrom ray import tune\nimport torch.hub"})


def test_a_failure_names_what_moved_and_who_uses_it() -> None:
    with pytest.raises(pytest.fail.Exception, match=r"timm\.models:clean_state_dicts has moved .* no file of ours"):
        foreign("timm.models:clean_state_dicts")
    assert moved("x", "_pos_embed") == "x has moved or changed; used in models/vit_tome.py"


# -- torch, numpy, torchvision


@pytest.mark.parametrize("name", ["_is_avx512_bf16_supported", "_is_amx_tile_supported"])
def test_torch_knows_whether_the_processor_has_bfloat16(name: str) -> None:
    assert isinstance(foreign(f"torch.cpu:{name}")(), bool), moved(f"torch.cpu.{name}", name)


def test_numpy_reads_arrays_that_numpy_1_pickled() -> None:
    assert callable(foreign("numpy._core.multiarray:_reconstruct"))


def test_torchvision_knows_where_cifar10_is() -> None:
    download_url = foreign("torchvision.datasets.utils:download_url")
    assert parameters(download_url)[:4] == ["url", "root", "filename", "md5"], moved("download_url", "download_url")
    url, md5 = foreign("torchvision.datasets:CIFAR10.url"), foreign("torchvision.datasets:CIFAR10.tgz_md5")
    assert url.startswith("https://") and len(md5) == 32, moved("torchvision's CIFAR10", "CIFAR10")


def test_torchvision_says_which_image_files_it_would_decode(tmp_path: Path) -> None:
    (tmp_path / "gtsrb" / "GTSRB" / "Final_Test" / "Images").mkdir(parents=True)
    (tmp_path / "gtsrb" / "GT-final_test.csv").write_text("Filename;ClassId\n0.ppm;3\n")
    ((path, label),) = foreign("torchvision.datasets:GTSRB")(tmp_path, split="test")._samples
    assert (Path(path).name, label) == ("0.ppm", 3), moved("GTSRB._samples", "_samples")
    for folder in ("images", "annotations"):
        (tmp_path / "oxford-iiit-pet" / folder).mkdir(parents=True)
    (tmp_path / "oxford-iiit-pet" / "annotations" / "test.txt").write_text("Abyssinian_1 1 1 1\n")
    pets = foreign("torchvision.datasets:OxfordIIITPet")(tmp_path, split="test")
    assert [path.name for path in pets._images] == ["Abyssinian_1.jpg"], moved("OxfordIIITPet._images", "_images")
    assert pets._labels == [0], moved("OxfordIIITPet._labels", "_labels")


@pytest.mark.parametrize("published", SETS.values(), ids=SETS)
def test_torchvision_has_the_classes_and_takes_their_options(published: Published) -> None:
    known = parameters(foreign(f"torchvision.datasets:{published.kind}"))
    assert known[0] == "root" and ("download" in known or published.kind in ("EMNIST", "QMNIST"))
    assert not published.train or {"split", "train"} & set(known)


# -- timm and its hub

PARTS = {  # what models/vit_tome.py and models/vit.py read of timm's layers
    "timm.models.vision_transformer:Block": "attn norm1 ls1 drop_path1 norm2 mlp ls2 drop_path2",
    "timm.models.vision_transformer:ResPostBlock": "attn norm1 drop_path1 norm2 mlp drop_path2",
    "timm.models.vision_transformer:ParallelThingsBlock": "attns ffns",
    "timm.models.vision_transformer:ParallelScalingBlock": "in_norm in_proj head_dim k_norm",
    "timm.models.vision_transformer:DiffParallelScalingBlock": "in_norm in_proj head_dim k_norm num_heads",
    "timm.layers.attention:Attention": "qkv num_heads head_dim q_norm k_norm attn_drop norm gate proj proj_drop",
    "timm.layers:DiffAttention": "qkv num_heads head_dim k_norm",
}


@pytest.mark.parametrize("path", PARTS)
def test_timms_layers_have_their_parts(path: str) -> None:
    layer, name = foreign(path)(8, num_heads=2), path.partition(":")[2]
    for part in PARTS[path].split():
        assert hasattr(layer, part), moved(f"{path}.{part}", name)
    assert parameters(layer.forward)[:2] == ["x", "attn_mask"], moved(f"{path}.forward", name)


def test_timms_parallel_blocks_are_built_as_merging_expects() -> None:
    block = foreign("timm.models.vision_transformer:ParallelThingsBlock")(8, num_heads=2)
    names = {name for name, _ in block.attns[0].named_children()}
    assert names == {"norm", "attn", "ls", "drop_path"}, moved("ParallelThingsBlock.attns", "ParallelThingsBlock")
    for name in ("ParallelScalingBlock", "DiffParallelScalingBlock"):
        block = foreign(f"timm.models.vision_transformer:{name}")(8, num_heads=2)
        rows = [32, 8, 8, 8]  # of in_proj: feed-forward, query, key, value
        assert block.in_split == rows and len(block.in_proj.weight) == sum(rows), moved(f"{name}.in_proj", name)


def test_timms_vision_transformer_has_its_parts() -> None:
    import timm

    model = timm.create_model("test_vit", depth=1, device="meta")
    names = "_pos_embed norm_pre patch_drop patch_embed num_prefix_tokens global_pool blocks embed_dim pretrained_cfg"
    for part in names.split():
        assert hasattr(model, part), moved(f"VisionTransformer.{part}", part)
    assert parameters(model._pos_embed) == ["x"], moved("VisionTransformer._pos_embed", "_pos_embed")
    patches = model.patch_embed
    assert (patches.patch_size, patches.grid_size, patches.num_patches) == ((16, 16), (10, 10), 100)
    options = {"block_fn", "attn_layer", "depth", "embed_dim", "num_heads", "img_size", "patch_size"}
    assert options <= {*parameters(timm.models.VisionTransformer)}, moved("VisionTransformer's options", "block_fn")


def test_timm_describes_and_resamples_weights() -> None:
    import timm

    resample = foreign("timm.models.vision_transformer:checkpoint_filter_fn")
    expected = ["state_dict", "model", "adapt_layer_scale"]
    assert parameters(resample)[:3] == expected, moved("checkpoint_filter_fn", "checkpoint_filter_fn")
    published = timm.models.get_pretrained_cfg("resnet18")
    for part in ("has_weights", "architecture", "tag", "hf_hub_id", "hf_hub_filename", "url"):
        assert hasattr(published, part), moved(f"timm's PretrainedCfg.{part}", "get_pretrained_cfg")
    assert "pretrained_cfg_overlay" in parameters(timm.create_model), moved("create_model", "pretrained_cfg_overlay")


@pytest.mark.parametrize("name", ["ENDPOINT", "HF_HUB_CACHE", "HF_HUB_OFFLINE"])
def test_the_hubs_client_knows_its_cache(name: str) -> None:
    assert isinstance(foreign(f"huggingface_hub.constants:{name}"), str | bool)


# -- ray


def test_ray_names_its_processes() -> None:
    assert callable(foreign("ray._raylet:setproctitle"))


def test_tune_sets_one_variable_for_each_trial() -> None:
    variables = foreign("ray.tune.execution.class_cache:DEFAULT_ENV_VARS")
    assert isinstance(variables, dict) and variables.keys() <= {"PL_DISABLE_FORK"}, moved(
        "DEFAULT_ENV_VARS of ray.tune.execution.class_cache", "class_cache"
    )


def ours(base: type) -> list[type]:
    """The classes of our own that derive, at any depth, from one of Ray's."""
    classes = [cls for direct in base.__subclasses__() for cls in (direct, *ours(direct))]
    return [cls for cls in classes if cls.__module__.startswith(ROOMS)]


@pytest.mark.parametrize(
    "path",
    [
        "ray.tune.search:Searcher",
        "ray.tune.schedulers:TrialScheduler",
        "ray.tune.callback:Callback",
        "ray.tune:Trainable",
    ],
)
def test_our_hooks_have_the_parameters_that_ray_passes(path: str) -> None:
    """Ray passes some by position and others by keyword."""
    base, name = foreign(path), path.partition(":")[2]
    for module in ("study.tuning", "trainables.tune_adapter"):
        importlib.import_module(module)
    assert ours(base), f"no class of ours derives from {path}"
    for cls in ours(base):
        hooks = {key: hook for key, hook in vars(cls).items() if inspect.isfunction(hook) and not key.startswith("__")}
        for key, hook in hooks.items():
            if key in dir(base):
                assert not key.startswith("_"), f"{cls.__name__}.{key} overrides a private method of {path}"
                expected = parameters(getattr(base, key))
                own = parameters(hook)[: len(expected)] if key == "setup" else parameters(hook)
                assert own == expected, moved(f"{path}.{key}({', '.join(expected)})", name)


def test_tune_has_the_signals_and_trial_attributes_that_we_use() -> None:
    assert foreign("ray.tune.search:Searcher.FINISHED") == "FINISHED"
    assert foreign("ray.tune.schedulers:TrialScheduler.STOP") != foreign("ray.tune.schedulers:TrialScheduler.CONTINUE")
    trial = foreign("ray.tune.experiment:Trial")
    assert "config" in parameters(trial) and parameters(trial.get_error) == ["self"], moved("Tune's Trial", "get_error")


@cache
def text_of(package: str) -> str:
    """The Python sources of a package; of ray only the parts that start it, jobs and Tune."""
    root = Path(str(foreign(package).__file__)).parent
    parts = (
        [root / part for part in ("_private", "_common", "dashboard/modules/job", "tune")]
        if package == "ray"
        else [root]
    )
    return "\n".join(path.read_text(encoding="utf-8") for part in parts for path in part.rglob("*.py"))


@pytest.mark.parametrize("name", ENVIRONMENT)
def test_environment_variables_are_still_read(name: str) -> None:
    assert re.search(rf"\b{name}\b", text_of(ENVIRONMENT[name])), moved(f"the environment variable {name}", name)


# -- optuna, tensorboardX, typer


def test_optuna_continues_a_running_trial_by_its_number_in_the_storage() -> None:
    import optuna

    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(storage=storage)
    study.ask()
    [frozen] = study.get_trials()
    assert hasattr(frozen, "_trial_id"), moved("optuna's FrozenTrial._trial_id", "_trial_id")
    storage.set_trial_user_attr(frozen._trial_id, "note", "again")
    assert study.get_trials()[0].user_attrs == {"note": "again"}, moved("optuna's trial id", "_trial_id")


def test_optunas_tables_can_be_read_by_sql(tmp_path: Path) -> None:
    import optuna

    study = optuna.create_study(storage=f"sqlite:///{tmp_path}/study.db")
    trial = study.ask({"lr": optuna.distributions.FloatDistribution(0.1, 1.0)})
    trial.set_user_attr("trial", "vit-000")
    connection = sqlite3.connect(tmp_path / "study.db")
    attributes = "SELECT trial_id, key, value_json FROM trial_user_attributes"
    params = "SELECT trial_id, param_name, param_value, distribution_json FROM trial_params"
    try:
        assert connection.execute(attributes).fetchall() == [(1, "trial", '"vit-000"')]
        [(number, name, value, distribution)] = connection.execute(params).fetchall()
    except sqlite3.OperationalError as error:
        pytest.fail(moved(f"optuna's table ({error})", "trial_params"))
    finally:
        connection.close()
    kind = foreign("optuna.distributions:json_to_distribution")(distribution)
    assert (number, name) == (1, "lr") and kind.to_external_repr(value) == trial.params["lr"]


def test_tensorboardx_writes_hyper_parameters(tmp_path: Path) -> None:
    records = foreign("tensorboardX.summary:hparams")({"lr": 0.1}, {"val_accuracy": 0.5})
    assert len(records) == 3, moved("tensorboardX.summary.hparams", "hparams")
    with foreign("tensorboardX:SummaryWriter")(str(tmp_path)) as writer:
        assert callable(writer.file_writer.add_summary), moved("SummaryWriter.file_writer", "file_writer")


def test_typer_raises_an_error_of_its_own_for_bad_input() -> None:
    import typer

    app = typer.Typer()
    app.command()(lambda: None)
    with pytest.raises(foreign("typer.exceptions:TyperException")) as caught:
        app(["--nonsense"], standalone_mode=False)
    assert "--nonsense" in caught.value.format_message(), moved("typer's TyperException", "TyperException")
