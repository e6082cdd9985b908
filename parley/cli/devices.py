"""`parley devices`: microphones and speakers, and whether they work."""

import json

import click

from assistant.errors import VoiceError
from parley.cli.terminal import notify, write_out

_TEST_SECONDS = 2.0
# Quieter than this, in decibels of full scale, is a microphone that is muted.
_MUTED = -80.0


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option("--test", "tested", is_flag=True, help="Play a tone, and listen to the microphone for two seconds.")
@click.option("--microphone", metavar="NAME", default="default", help="Which to test: a number or part of a name.")
@click.option("--speaker", metavar="NAME", default="default", help="Which to test: a number or part of a name.")
def devices(as_json: bool, tested: bool, microphone: str, speaker: str) -> None:
    """List microphones and speakers, and test them."""
    from dataclasses import asdict

    from voice.audio.devices import list_devices

    found = list_devices()
    if as_json:
        write_out(json.dumps([asdict(device) for device in found], ensure_ascii=False) + "\n")
    else:
        for device in found:
            kinds = [kind for kind, able in (("microphone", device.inputs), ("speaker", device.outputs)) if able]
            defaults = [
                kind
                for kind, is_default in (("microphone", device.default_input), ("speaker", device.default_output))
                if is_default
            ]
            usual = f"  (default {' and '.join(defaults)})" if defaults else ""
            write_out(f"{device.number:3}  {device.name}  {', '.join(kinds)}, {device.rate} Hz{usual}\n")
    if not found and (tested or not as_json):
        notify("There are no microphones and no speakers on this machine. Files can be transcribed and written.")
    if tested and not found:
        # That there are none has been said.
        raise click.exceptions.Exit(1)
    if tested and not all([_test_speaker(speaker), _test_microphone(microphone)]):
        raise click.exceptions.Exit(1)


def _test_speaker(wanted: str) -> bool:
    import numpy as np

    from voice.audio.devices import Speaker

    rate = 22_050
    seconds = np.arange(round(_TEST_SECONDS / 2 * rate)) / rate
    # It fades in and out, since a sudden end is a click.
    tone = (0.2 * np.sin(2 * np.pi * 440 * seconds) * np.sin(np.pi * seconds / seconds[-1])).astype(np.float32)
    try:
        with Speaker(rate, wanted) as speaker:
            notify(f"Playing a tone on {speaker.name} …")
            speaker.write(tone)
    except VoiceError as error:
        notify(str(error))
        return False
    return True


def _test_microphone(wanted: str) -> bool:
    import numpy as np

    from voice.audio.devices import record

    try:
        notify("Say something …")
        samples, _ = record(_TEST_SECONDS, wanted)
    except VoiceError as error:
        notify(str(error))
        return False
    peak = 20 * np.log10(max(float(np.abs(samples).max()), 1e-10))
    if peak < _MUTED:
        notify("The microphone gives silence: it may be muted, or not allowed to this program.")
        return False
    notify(f"The microphone works: the loudest was {peak:.0f} dB of full scale.")
    return True
