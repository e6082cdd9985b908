"""Count the loops that `assistant.models.loop_guard` finds, and the replies that it ends without reason.

    python -m benchmarks loops                            kept texts and the sources of Python's standard library
    python -m benchmarks.loops MODEL… [--prompts N]       replies of models to open questions, without a results file

A model answers each question three times without the guard: greedily, greedily with a repetition penalty of 1.1, and as
its makers advise. The control is a second look at the whole reply: it is in a loop if its last quarter repeats itself
to the letter, numbers aside. So the table says what each way of sampling does about loops, how many of them the guard
finds, how many others it ends (few of them without reason), and how many tokens it saves.
"""

import argparse
import re
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from assistant.messages import user
from assistant.models.base import ChatModel, GenerationOptions
from assistant.models.reply_text import ReplyText
from benchmarks.figures import Figure
from benchmarks.loop_texts import LOOPS, RIGHT, Reply

MAX_TOKENS = 500
# Characters, as a long reply has them.
_FILE_CHARACTERS = 8000
_NUM_FILES = 400
# Characters: a piece of text is about a token.
_PIECE = 4

QUESTIONS = (
    "Write a limerick about a cat who sails.",
    "Tell me a bedtime story about a lighthouse keeper.",
    "Give me ten ideas for a rainy Sunday.",
    "Explain how a bicycle stays upright.",
    "Write a poem about autumn leaves.",
    "What are the benefits of walking every day?",
    "Describe a perfect breakfast.",
    "Write a short essay on why people travel.",
    "How do I bake sourdough bread? Give all steps.",
    "Write a song about the sea with a chorus.",
    "List fifteen animals that live in the desert.",
    "Write a letter to a friend who moved abroad.",
    "What should I pack for a week in the mountains?",
    "Explain photosynthesis to a child.",
    "Write a dialogue between a king and a gardener.",
    "Give me a plan to learn the guitar in three months.",
    "Why is the sky blue? Explain in detail.",
    "Tell me about the history of tea.",
    "Erzähle mir eine Geschichte über einen kleinen Drachen.",
    "Escribe un poema sobre el mar.",
    "写一首关于春天的诗。",
    "Write a Python class for a bank account with tests.",
    "Write an HTML page with a table of ten countries and capitals.",
    "Invent a language and give twenty words with translations.",
    "Write a list of rules for a school library.",
    "Write the lyrics of a lullaby.",
    "Give me tips for sleeping better.",
    "Tell me a joke, then another, then another.",
    "Write a rap about vegetables.",
    "Explain recursion with an example.",
)
"""Open questions, for development. Those that models are judged by are others."""

WAYS = {
    "greedy": GenerationOptions(MAX_TOKENS, temperature=0, repetition_penalty=1),
    "greedy, repetition penalty 1.1": GenerationOptions(MAX_TOKENS, temperature=0, repetition_penalty=1.1),
    "as the makers advise": GenerationOptions(MAX_TOKENS, seed=1),
}


class Verdict(NamedTuple):
    """Outcome for one reply: whether it was ended, and how many characters were shown."""

    ended: bool
    shown: int


def watch(reply: Reply) -> Verdict:
    """Let the guard read a reply piece by piece."""
    text = ReplyText(request=reply.request)
    shown = 0
    for start in range(0, len(reply.text), _PIECE):
        shown += len(text.push(reply.text[start : start + _PIECE]))
        if text.ending:
            break
    return Verdict(text.ending == "loop", shown)


def is_in_loop(text: str) -> bool:
    """Return True if the last quarter of `text` repeats itself to the letter, numbers and white space aside."""
    text = re.sub(r"\s+", " ", re.sub(r"\d+", "0", text)).strip()
    length = max(len(text) // 4, 100)
    tail = text[-length:]
    return len(text) >= 2 * length and any(
        text[-length - period : -period] == tail for period in range(1, len(text) - length)
    )


def measure(_runs: int) -> list[Figure]:
    """Judge the kept texts and the sources of the standard library: always the same result."""
    right = [watch(reply) for reply in RIGHT.values()]
    loops = [watch(reply) for reply in LOOPS.values()]
    files = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))[:_NUM_FILES]
    sources = [file.read_text("utf-8", errors="replace")[:_FILE_CHARACTERS] for file in files]
    began = time.process_time()
    ended = [watch(Reply(source)).ended for source in sources]
    microseconds = (time.process_time() - began) * 1e6 / sum(map(len, sources))
    return [
        Figure(f"replies ended without reason, of {len(right)}", "", (sum(each.ended for each in right),), 0),
        Figure(f"Python sources ended without reason, of {len(sources)}", "", (sum(ended),), 0),
        Figure(f"loops missed, of {len(loops)}", "", (sum(not each.ended for each in loops),), 0),
        Figure("shown of a loop", "characters", tuple(float(each.shown) for each in loops)),
        Figure("time of the guard", "microseconds a character", (microseconds,)),
    ]


def count(name: str, replies: Sequence[tuple[Reply, int]]) -> str:
    """Return a line of the table for `replies`, each with its number of tokens."""
    verdicts = [(watch(reply), is_in_loop(reply.text), tokens, len(reply.text)) for reply, tokens in replies]
    in_loop = [verdict for verdict, looping, _, _ in verdicts if looping]
    without_reason = sum(verdict.ended for verdict, looping, _, _ in verdicts if not looping)
    saved = sum(tokens * (1 - verdict.shown / length) for verdict, _, tokens, length in verdicts if length)
    written = sum(tokens for _, _, tokens, _ in verdicts)
    return (
        f"{name:32}{len(verdicts):8}{len(in_loop):9}{sum(each.ended for each in in_loop):7}{without_reason:16}"
        f"{saved / written if written else 0:13.0%}"
    )


def answer(model: ChatModel, question: str, options: GenerationOptions) -> tuple[Reply, int]:
    """Return the whole reply to `question`, without the guard, and its number of tokens."""
    stream = model.stream([user(question)], options, threading.Event())
    chunks: list[str] = []
    while True:
        try:
            item = next(stream)
        except StopIteration as end:
            return Reply("".join(chunks), question), end.value.reply_tokens
        if isinstance(item, str):
            chunks.append(item)


def compare(name: str, num_prompts: int, build: Callable[[str], ChatModel], max_tokens: int) -> None:
    """Print the table of one model."""
    model = build(name)
    columns = f"{'replies':>8}{'in loop':>9}{'found':>7}{'others ended':>16}{'tokens saved':>13}"
    print(f"{name}\n{'':32}{columns}", flush=True)
    for way, chosen in WAYS.items():
        options = replace(chosen, max_tokens=max_tokens)
        print(count(way, [answer(model, question, options) for question in QUESTIONS[:num_prompts]]), flush=True)
    model.close()


def main(arguments: list[str]) -> None:
    """Run from the command line."""
    from assistant.settings import load
    from parley.factory.models import build_model

    parser = argparse.ArgumentParser(prog="python -m benchmarks.loops", description=__doc__)
    parser.add_argument("models", nargs="+", metavar="MODEL", help="what --model takes")
    parser.add_argument("--prompts", type=int, default=len(QUESTIONS), help="number of questions (default: all)")
    parser.add_argument("--max-tokens", type=int, default=MAX_TOKENS, help=f"longest reply (default: {MAX_TOKENS})")
    given = parser.parse_args(arguments)
    for name in given.models:
        compare(name, given.prompts, lambda name: build_model(load({"model": name}).settings), given.max_tokens)


if __name__ == "__main__":
    main(sys.argv[1:])
