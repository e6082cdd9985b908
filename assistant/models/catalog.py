"""A short list of vision-language models that are known to be good, each at one revision.

The list is data: choosing from it needs neither the hub nor torch, only a number of free bytes. Why these: Qwen3-VL
reads text and sees detail best for its size among the models of an open licence, in many languages, and comes in four
sizes; SmolVLM2 is for cards with next to no memory; Gemma 3 spends the fewest tokens on a picture and on its memory of
a long conversation; InternVL3.5 is the other strong family of an open licence. Anything else runs by its id as well.

Revisions were compared with those that several independent projects pin, not with the hub itself. Shapes are those of
the models' own configurations: they add up to the published number of parameters, to the last one.
"""

from dataclasses import dataclass

from assistant.models.memory import SPARE, USUAL_CONTEXT, Shape, automatic_quantization, estimate, precision


@dataclass(frozen=True)
class Entry:
    """One model.

    `repository` and `revision` are those of the hub; `download` are bytes; `picture_tokens` is what a picture takes of
    the context. `automatic` ones are what `--model auto` chooses from. `gated` ones are given only to those who have
    accepted their terms on the hub. `needs` are packages without which its processor cannot be built.
    """

    name: str
    repository: str
    revision: str
    licence: str
    download: int
    shape: Shape
    picture_tokens: str
    languages: str
    automatic: bool = False
    gated: bool = False
    needs: tuple[str, ...] = ()

    def bytes_in(self, quantization: str, device: str = "cuda", context_tokens: int = USUAL_CONTEXT) -> int:
        """Bytes it takes with a context of `context_tokens`."""
        return estimate(self.shape, precision(self.held_in(quantization), device), context_tokens).total

    def held_in(self, quantization: str) -> str:
        """`quantization`, with "auto" decided for this model."""
        return automatic_quantization(self.shape) if quantization == "auto" else quantization


_QWEN_PICTURE = "1 for 32 x 32 pixels"
_QWEN_LANGUAGES = "over 100; reads 32 in pictures"

CATALOGUE = (
    Entry(
        "qwen3-vl-2b",
        "Qwen/Qwen3-VL-2B-Instruct",
        "89644892e4d85e24eaac8bacfd4f463576704203",
        "Apache-2.0",
        2 * 2_127_532_032,
        Shape(1_409_286_144, 718_245_888, 12_582_912, 57_344, 67_108_864),
        _QWEN_PICTURE,
        _QWEN_LANGUAGES,
        automatic=True,
        needs=("torchvision",),
    ),
    Entry(
        "qwen3-vl-4b",
        "Qwen/Qwen3-VL-4B-Instruct",
        "ebb281ec70b05090aa6165b016eac8ec08e71b17",
        "Apache-2.0",
        2 * 4_437_815_808,
        Shape(3_633_315_840, 804_499_968, 24_903_680, 73_728, 80_740_352),
        _QWEN_PICTURE,
        _QWEN_LANGUAGES,
        automatic=True,
        needs=("torchvision",),
    ),
    Entry(
        "qwen3-vl-8b",
        "Qwen/Qwen3-VL-8B-Instruct",
        "0c351dd01ed87e9c1b53cbc748cba10e6187ff3b",
        "Apache-2.0",
        2 * 8_767_123_696,
        Shape(6_945_767_424, 1_821_356_272, 50_331_648, 73_728, 109_051_904),
        _QWEN_PICTURE,
        _QWEN_LANGUAGES,
        automatic=True,
        needs=("torchvision",),
    ),
    Entry(
        "qwen3-vl-32b",
        "Qwen/Qwen3-VL-32B-Instruct",
        "0cfaf48183f594c314753d30a4c4974bc75f3ccb",
        "Apache-2.0",
        2 * 33_357_390_064,
        Shape(31_205_621_760, 2_151_768_304, 131_072_000, 131_072, 199_229_440),
        _QWEN_PICTURE,
        _QWEN_LANGUAGES,
        automatic=True,
        needs=("torchvision",),
    ),
    Entry(
        "smolvlm2-500m",
        "HuggingFaceTB/SmolVLM2-500M-Video-Instruct",
        "7b375e1b73b11138ff12fe22c8f2822d8fe03467",
        "Apache-2.0",
        4 * 507_482_304,
        Shape(314_572_800, 192_909_504, 2_457_600, 20_480, 23_592_960),
        "64 a tile, up to 17 tiles",
        "English",
        automatic=True,
        needs=("torchvision", "num2words"),
    ),
    Entry(
        "smolvlm2-2.2b",
        "HuggingFaceTB/SmolVLM2-2.2B-Instruct",
        "482adb537c021c86670beed01cd58990d01e72e4",
        "Apache-2.0",
        4 * 2_246_784_880,
        Shape(1_610_612_736, 636_172_144, 16_777_216, 98_304, 67_108_864),
        "81 a tile, up to 17 tiles",
        "English",
        needs=("torchvision", "num2words"),
    ),
    Entry(
        "gemma-3-4b",
        "google/gemma-3-4b-it",
        "093f9f388b31de276ce2de164bdc2081324b9767",
        "Gemma terms",
        2 * 4_300_079_472,
        Shape(3_208_642_560, 1_091_436_912, 26_214_400, 10_240, 83_886_080, 59_392, 1024),
        "256",
        "over 140",
        gated=True,
    ),
    Entry(
        "gemma-3-12b",
        "google/gemma-3-12b-it",
        "96b6f1eccf38110c56df3a15bffe176da04bfd80",
        "Gemma terms",
        2 * 12_187_325_040,
        Shape(10_758_389_760, 1_428_935_280, 58_982_400, 32_768, 125_829_120, 163_840, 1024),
        "256",
        "over 140",
        gated=True,
    ),
    Entry(
        "internvl3.5-8b",
        "OpenGVLab/InternVL3_5-8B-HF",
        "741a7d03020411e666c6109218ab71e08151ef86",
        "Apache-2.0",
        2 * 8_528_244_736,
        Shape(6_945_767_424, 1_582_477_312, 50_331_648, 73_728, 109_051_904),
        "256 a tile, up to 13 tiles",
        "many; best in English and Chinese",
        needs=("torchvision",),
    ),
)


def find(name: str) -> Entry | None:
    """The entry that people call `name`, or whose id on the hub that is."""
    return next((entry for entry in CATALOGUE if name in (entry.name, entry.repository)), None)


def best_fit(free: int, quantization: str = "auto") -> Entry | None:
    """The largest of the automatic entries that fits into `free` bytes of a GPU, with a usual context."""
    room = free * (1 - SPARE)
    fitting = [entry for entry in CATALOGUE if entry.automatic and entry.bytes_in(quantization) <= room]
    return max(fitting, key=lambda entry: entry.shape.parameters, default=None)
