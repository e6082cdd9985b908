"""`parley devices`: list microphones and speakers, and test them."""

import click

from assistant.errors import VoiceError
from assistant.text_cleaning import clean_line
from parley.cli.options import as_json_option
from parley.cli.terminal import notify, write_json, write_out

_TEST_SECONDS = 2.0
_MUTED_DBFS = -80.0
"""A microphone whose peak is below this is muted."""


@click.command()
@as_json_option
@click.option("--test", "run_test", is_flag=True, help="Play a tone and record for two seconds.")
@click.option("--microphone", metavar="NAME", default="default", help="Device to test: a number or part of a name.")
@click.option("--speaker", metavar="NAME", default="default", help="Device to test: a number or part of a name.")
def devices(as_json: bool, run_test: bool, microphone: str, speaker: str) -> None:
    """List microphones and speakers, and test them."""
    from dataclasses import asdict

    from voice.audio.devices import list_devices

    all_devices = list_devices()
    if as_json:
        write_json([asdict(device) for device in all_devices])
    else:
        for device in all_devices:
            kinds = [kind for kind, able in (("microphone", device.inputs), ("speaker", device.outputs)) if able]
            defaults = [
                kind
                for kind, is_default in (("microphone", device.default_input), ("speaker", device.default_output))
                if is_default
            ]
            default_note = f"  (default {' and '.join(defaults)})" if defaults else ""
            write_out(
                f"{device.number:3}  {clean_line(device.name)}  {', '.join(kinds)}, {device.rate} Hz{default_note}\n"
            )
    if not all_devices and (run_test or not as_json):
        notify("There are no microphones and no speakers on this machine. Files can be transcribed and written.")
    if run_test and not all_devices:
        # The notice above says why.
        raise click.exceptions.Exit(1)
    if run_test and not all([_test_speaker(speaker), _test_microphone(microphone)]):
        raise click.exceptions.Exit(1)


def _test_speaker(device_name: str) -> bool:
    import numpy as np

    from voice.audio.devices import Speaker

    rate = 22_050
    seconds = np.arange(round(_TEST_SECONDS / 2 * rate)) / rate
    # Faded in and out: a sudden end clicks.
    tone = (0.2 * np.sin(2 * np.pi * 440 * seconds) * np.sin(np.pi * seconds / seconds[-1])).astype(np.float32)
    try:
        with Speaker(rate, device_name) as speaker:
            notify(f"Playing a tone on {speaker.name} …")
            speaker.write(tone)
    except VoiceError as error:
        notify(str(error))
        return False
    return True


def _test_microphone(device_name: str) -> bool:
    import numpy as np

    from voice.audio.devices import record

    try:
        notify("Say something …")
        samples, _ = record(_TEST_SECONDS, device_name)
    except VoiceError as error:
        notify(str(error))
        return False
    peak = 20 * np.log10(max(float(np.abs(samples).max()), 1e-10))
    if peak < _MUTED_DBFS:
        notify("The microphone is silent: it may be muted, or this program may not use it.")
        return False
    notify(f"The microphone works: the peak was {peak:.0f} dB of full scale.")
    return True
