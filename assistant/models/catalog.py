"""Vision-language models that are known to work well, each pinned to one revision.

The catalog is data: choosing a model needs neither the hub nor torch, only the number of free bytes. Reasons for these:

    Qwen3-VL       reads text and sees detail best for its size among open licenses; many languages; four sizes
    Qwen3.5, 3.8   newer and stronger; most of its layers have linear attention, so each prompt is prefilled completely
    SmolVLM2       for GPUs with very little memory
    Gemma 4        a small KV cache for a long conversation, and an open license; from 70 tokens an image
    Gemma 3        fewest tokens per image at full detail
    InternVL3.5    the other strong family with an open license

Other models run by their hub id as well.

Revisions were compared with those that several independent projects pin, not with the hub itself. Profiles follow from
the models' own configurations and add up to the published number of parameters, less those that transformers does not
load: the layers of Qwen3.5 that predict several tokens, and the keys and values that Gemma 4's layers share.
"""

from dataclasses import dataclass

from assistant.models.memory import (
    DEFAULT_CONTEXT,
    RESERVED_FRACTION,
    ModelProfile,
    auto_quantization,
    estimate,
    precision_for,
)


@dataclass(frozen=True)
class CatalogEntry:
    """One model of the catalog.

    Attributes:
        name: Short name that people use.
        repository: Id on the hub.
        revision: Commit on the hub.
        license: Short name of the license.
        download_bytes: Size of the weights on the hub.
        profile: Sizes that decide how much memory the model takes.
        image_tokens: Context tokens that an image takes, for people.
        languages: Languages that the model knows, for people.
        auto_selectable: True if `--model auto` may choose it.
        gated: True if the hub asks people to accept the license first.
        required_packages: Packages that the model's processor needs.
    """

    name: str
    repository: str
    revision: str
    license: str
    download_bytes: int
    profile: ModelProfile
    image_tokens: str
    languages: str
    auto_selectable: bool = False
    gated: bool = False
    required_packages: tuple[str, ...] = ()

    def memory_bytes(self, quantization: str, device: str = "cuda", context_tokens: int = DEFAULT_CONTEXT) -> int:
        """Estimate the bytes it takes with a context of `context_tokens`."""
        precision = precision_for(self.quantization_for(quantization), device)
        return estimate(self.profile, precision, context_tokens).total

    def quantization_for(self, quantization: str) -> str:
        """Return `quantization`, with "auto" resolved for this model on a GPU."""
        return auto_quantization(self.profile) if quantization == "auto" else quantization


_QWEN_IMAGE_TOKENS = "1 for 32 x 32 pixels"
_QWEN_LANGUAGES = "over 100; reads 32 in pictures"
_QWEN3_5_LANGUAGES = "over 200"

CATALOG = (
    CatalogEntry(
        "qwen3-vl-2b",
        "Qwen/Qwen3-VL-2B-Instruct",
        "89644892e4d85e24eaac8bacfd4f463576704203",
        "Apache-2.0",
        2 * 2_127_532_032,
        ModelProfile(1_409_286_144, 718_245_888, 12_582_912, 57_344, 67_108_864),
        _QWEN_IMAGE_TOKENS,
        _QWEN_LANGUAGES,
        auto_selectable=True,
        required_packages=("torchvision",),
    ),
    CatalogEntry(
        "qwen3-vl-4b",
        "Qwen/Qwen3-VL-4B-Instruct",
        "ebb281ec70b05090aa6165b016eac8ec08e71b17",
        "Apache-2.0",
        2 * 4_437_815_808,
        ModelProfile(3_633_315_840, 804_499_968, 24_903_680, 73_728, 80_740_352),
        _QWEN_IMAGE_TOKENS,
        _QWEN_LANGUAGES,
        auto_selectable=True,
        required_packages=("torchvision",),
    ),
    CatalogEntry(
        "qwen3-vl-8b",
        "Qwen/Qwen3-VL-8B-Instruct",
        "0c351dd01ed87e9c1b53cbc748cba10e6187ff3b",
        "Apache-2.0",
        2 * 8_767_123_696,
        ModelProfile(6_945_767_424, 1_821_356_272, 50_331_648, 73_728, 109_051_904),
        _QWEN_IMAGE_TOKENS,
        _QWEN_LANGUAGES,
        auto_selectable=True,
        required_packages=("torchvision",),
    ),
    CatalogEntry(
        "qwen3-vl-32b",
        "Qwen/Qwen3-VL-32B-Instruct",
        "0cfaf48183f594c314753d30a4c4974bc75f3ccb",
        "Apache-2.0",
        2 * 33_357_390_064,
        ModelProfile(31_205_621_760, 2_151_768_304, 131_072_000, 131_072, 199_229_440),
        _QWEN_IMAGE_TOKENS,
        _QWEN_LANGUAGES,
        auto_selectable=True,
        required_packages=("torchvision",),
    ),
    CatalogEntry(
        "qwen3.5-2b",
        "Qwen/Qwen3.5-2B",
        "15852e8c16360a2fea060d615a32b45270f8a8fc",
        "Apache-2.0",
        2 * 2_274_069_824,
        ModelProfile(1_372_717_056, 840_524_608, 12_582_912, 6_144, 67_108_864),
        _QWEN_IMAGE_TOKENS,
        _QWEN3_5_LANGUAGES,
        required_packages=("torchvision",),
    ),
    CatalogEntry(
        "qwen3.5-4b",
        "Qwen/Qwen3.5-4B",
        "851bf6e806efd8d0a36b00ddf55e13ccb7b8cd0a",
        "Apache-2.0",
        2 * 4_659_865_088,
        ModelProfile(3_569_090_560, 970_174_976, 23_592_960, 16_384, 77_594_624),
        _QWEN_IMAGE_TOKENS,
        _QWEN3_5_LANGUAGES,
        required_packages=("torchvision",),
    ),
    CatalogEntry(
        "qwen3.5-9b",
        "Qwen/Qwen3.5-9B",
        "c202236235762e1c871ad0ccb60c8ee5ba337b9a",
        "Apache-2.0",
        2 * 9_653_104_368,
        ModelProfile(6_918_504_448, 2_491_309_296, 50_331_648, 16_384, 109_051_904),
        _QWEN_IMAGE_TOKENS,
        _QWEN3_5_LANGUAGES,
        required_packages=("torchvision",),
    ),
    CatalogEntry(
        "qwen3.8-27b",
        "Qwen/Qwen3.8-27B",
        "1d4bf0f2ff6012fd82039f2fa52739d0dd7c60c0",
        "Apache-2.0",
        2 * 27_781_427_952,
        ModelProfile(24_350_556_160, 3_006_172_400, 89_128_960, 32_768, 148_897_792),
        _QWEN_IMAGE_TOKENS,
        _QWEN3_5_LANGUAGES,
        required_packages=("torchvision",),
    ),
    CatalogEntry(
        "smolvlm2-500m",
        "HuggingFaceTB/SmolVLM2-500M-Video-Instruct",
        "7b375e1b73b11138ff12fe22c8f2822d8fe03467",
        "Apache-2.0",
        4 * 507_482_304,
        ModelProfile(314_572_800, 192_909_504, 2_457_600, 20_480, 23_592_960),
        "64 a tile, up to 17 tiles",
        "English",
        auto_selectable=True,
        required_packages=("torchvision", "num2words"),
    ),
    CatalogEntry(
        "smolvlm2-2.2b",
        "HuggingFaceTB/SmolVLM2-2.2B-Instruct",
        "482adb537c021c86670beed01cd58990d01e72e4",
        "Apache-2.0",
        4 * 2_246_784_880,
        ModelProfile(1_610_612_736, 636_172_144, 16_777_216, 98_304, 67_108_864),
        "81 a tile, up to 17 tiles",
        "English",
        required_packages=("torchvision", "num2words"),
    ),
    CatalogEntry(
        "gemma-4-e2b",
        "google/gemma-4-E2B-it",
        "3e22461f65e89153144f8adb70e3b8c2cc9845a7",
        "Apache-2.0",
        2 * 5_123_178_051,
        ModelProfile(1_876_819_968, 3_227_477_536, 18_874_368, 3_072, 50_331_648, 6_144, 512),
        "70 to 280",
        "over 140",
        required_packages=("torchvision",),
    ),
    CatalogEntry(
        "gemma-4-e4b",
        "google/gemma-4-E4B-it",
        "ee0ef6023621cff504d758262d4e04895a5af4a2",
        "Apache-2.0",
        2 * 7_996_156_490,
        ModelProfile(3_972_792_320, 3_968_308_512, 27_525_120, 8_192, 83_886_080, 20_480, 512),
        "70 to 280",
        "over 140",
        required_packages=("torchvision",),
    ),
    CatalogEntry(
        "gemma-3-4b",
        "google/gemma-3-4b-it",
        "093f9f388b31de276ce2de164bdc2081324b9767",
        "Gemma terms",
        2 * 4_300_079_472,
        ModelProfile(3_208_642_560, 1_091_436_912, 26_214_400, 10_240, 83_886_080, 59_392, 1024),
        "256",
        "over 140",
        gated=True,
    ),
    CatalogEntry(
        "gemma-3-12b",
        "google/gemma-3-12b-it",
        "96b6f1eccf38110c56df3a15bffe176da04bfd80",
        "Gemma terms",
        2 * 12_187_325_040,
        ModelProfile(10_758_389_760, 1_428_935_280, 58_982_400, 32_768, 125_829_120, 163_840, 1024),
        "256",
        "over 140",
        gated=True,
    ),
    CatalogEntry(
        "internvl3.5-8b",
        "OpenGVLab/InternVL3_5-8B-HF",
        "741a7d03020411e666c6109218ab71e08151ef86",
        "Apache-2.0",
        2 * 8_528_244_736,
        ModelProfile(6_945_767_424, 1_582_477_312, 50_331_648, 73_728, 109_051_904),
        "256 a tile, up to 13 tiles",
        "many; best in English and Chinese",
        required_packages=("torchvision",),
    ),
)


def find(name: str) -> CatalogEntry | None:
    """Return the entry with this name or hub id, None if there is none."""
    return next((entry for entry in CATALOG if name in (entry.name, entry.repository)), None)


def best_fit(free: int, quantization: str = "auto") -> CatalogEntry | None:
    """Return the largest auto-selectable entry that fits a GPU with `free` bytes and the default context."""
    usable = free * (1 - RESERVED_FRACTION)
    fitting = [entry for entry in CATALOG if entry.auto_selectable and entry.memory_bytes(quantization) <= usable]
    return max(fitting, key=lambda entry: entry.profile.num_parameters, default=None)
