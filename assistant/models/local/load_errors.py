"""Translate the errors of model libraries into one sentence, and keep their output off the screen."""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from logging import ERROR, getLogger

import torch

from assistant.errors import MissingExtraError, ModelError, ParleyError, first_line

_silencing = threading.Lock()


@contextmanager
def translate_errors(source: str) -> Iterator[None]:
    """Turn what transformers, safetensors, the hub or an allocator raise into `ModelError` or `MissingExtraError`.

    Args:
        source: Name of the model that is being loaded, for the message.
    """
    from safetensors import SafetensorError

    try:
        yield
    except SafetensorError as error:
        raise ModelError(f"The weights of {source} are damaged: get a fresh copy of it.") from error
    except RecursionError as error:
        raise ModelError(f"A file of {source} is nested too deeply: get a fresh copy of it.") from error
    except (MemoryError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise ModelError(
                f"There is not enough memory for {source}: close other programs or choose a smaller model."
            ) from error
        if "ignore_mismatched_sizes" in str(error):
            raise ModelError(
                f"The weights of {source} have other shapes than its config.json says: get a fresh copy of it."
            ) from error
        raise ModelError(f"{source} cannot be loaded: {reason(error)}.") from error
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # Impossible values in a configuration raise these anywhere in transformers.
        raise ModelError(f"{source} has a configuration that cannot be used: {reason(error)}.") from error
    except ImportError as error:
        raise MissingExtraError(f"{source} needs a package that is not installed: {reason(error)}.") from error
    except OSError as error:
        raise ModelError(f"{source} cannot be read: {reason(error)}.") from error
    except BaseException as error:
        if isinstance(error, ParleyError) or not _is_library_fault(error):
            raise
        raise ModelError(f"A file of {source} is damaged ({reason(error)}): get a fresh copy of it.") from error


def _is_library_fault(error: BaseException) -> bool:
    # Libraries in Rust raise plain exceptions for damaged files, and for failed assertions one that is no `Exception`.
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def is_out_of_memory(error: BaseException) -> bool:
    """Return True if `error` reports that memory ran out. On the CPU torch has no exception type for that."""
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in str(error)


def reason(error: BaseException) -> str:
    """Return the first line of an error's message, without the hub's guesses about a web address."""
    return first_line(error).partition(". If you were trying")[0]


@contextmanager
def silence_libraries() -> Iterator[None]:
    """Suppress progress bars and warnings of transformers and the hub: the terminal app owns the screen."""
    from transformers.utils import logging

    with _silencing, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
        logging.set_verbosity_error()
        # On the CPU it reports which of its kernels are missing.
        getLogger("bitsandbytes").setLevel(ERROR)
        logging.disable_progress_bar()
        try:
            yield
        finally:
            logging.set_verbosity(verbosity)
            if bars:
                logging.enable_progress_bar()
