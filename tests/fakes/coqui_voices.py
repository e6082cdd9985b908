"""Coqui voices of the real kinds, small and untrained: they speak noise."""

from pathlib import Path

import pytest

NEEDS_COQUI = [
    pytest.mark.gpu_stack,
    # Deprecation warnings of coqui-tts and its dependencies.
    pytest.mark.filterwarnings("ignore"),
]

_TRAINING_TEXT = "the cat sleeps in the sun, and nobody wakes it."


def random_vits(folder: Path) -> Path:
    """Write a VITS voice into `folder`, whose audio has about the right length."""
    import torch
    from TTS.tts.configs.vits_config import VitsConfig
    from TTS.tts.models.vits import Vits, VitsArgs

    layers = {"num_layers_text_encoder": 2, "num_layers_flow": 2, "num_layers_posterior_encoder": 2}
    widths = {"hidden_channels": 32, "hidden_channels_ffn_text_encoder": 64, "upsample_initial_channel_decoder": 64}
    config = VitsConfig(
        model_args=VitsArgs(init_discriminator=False, use_sdp=False, **layers, **widths), use_phonemes=False
    )
    torch.manual_seed(0)
    torch.save({"model": Vits(config).state_dict(), "step": 0}, folder / "best_model.pth")
    config.save_json(str(folder / "config.json"))
    return folder


def random_xtts(folder: Path) -> Path:
    """Write an XTTS voice into `folder` that speaks for as long as it may. Its speaker is Ada."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from TTS.tts.configs.xtts_config import XttsConfig
    from TTS.tts.layers.xtts.tokenizer import VoiceBpeTokenizer
    from TTS.tts.models.xtts import Xtts, XttsArgs, XttsAudioConfig

    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = ["[STOP]", "[UNK]", "[SPACE]", "[START]", "[en]", "[de]"]
    trainer = trainers.BpeTrainer(vocab_size=80, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator([_TRAINING_TEXT, "abcdefghijklmnopqrstuvwxyz"], trainer)
    tokenizer.save(str(folder / "vocab.json"))
    width = 64
    codes = {"gpt_num_audio_tokens": 36, "gpt_start_audio_token": 34, "gpt_stop_audio_token": 35}
    sizes = {"gpt_layers": 2, "gpt_n_model_channels": width, "gpt_n_heads": 4, "decoder_input_dim": width}
    limits = {"gpt_max_audio_tokens": 60, "gpt_max_text_tokens": 400}
    arguments = XttsArgs(
        **codes, **sizes, **limits, gpt_use_perceiver_resampler=True, tokenizer_file=str(folder / "vocab.json")
    )
    config = XttsConfig(model_args=arguments, audio=XttsAudioConfig(), languages=["en", "de"])
    torch.manual_seed(0)
    model = Xtts.init_from_config(config)
    model.tokenizer = VoiceBpeTokenizer(vocab_file=str(folder / "vocab.json"))
    model.init_models()
    with torch.no_grad():
        # The stop token is never likely.
        model.gpt.mel_head.bias[35] = -100.0
    torch.save({"model": model.state_dict()}, folder / "model.pth")
    ada = {"gpt_cond_latent": torch.randn(1, 32, width), "speaker_embedding": torch.randn(1, 512, 1)}
    torch.save({"Ada": ada}, folder / "speakers_xtts.pth")
    config.save_json(str(folder / "config.json"))
    return folder
