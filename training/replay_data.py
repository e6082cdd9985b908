"""Questions that have nothing to do with a picture, answered by the decoder as it was before it learned to see.

A conversation with a photo in it is still a conversation: without these, the adapter would answer "What is the capital
of France?" like a caption. A few hundred questions are made from templates, the untouched decoder answers them, and
stage 3 mixes its answers in (self-distillation).

    python -m training.replay_data --decoder DECODER --work WORK
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import torch

LONGEST_ANSWER = 44
BATCH = 24

TEMPLATES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "What is the capital of {}?",
        ("France", "Italy", "Japan", "Egypt", "Canada", "Spain", "Kenya", "Brazil", "India", "Norway", "Greece", "Peru"),
    ),
    (
        "What is {}?",
        (
            "gravity", "photosynthesis", "an atom", "inflation", "a black hole", "democracy", "a verb", "DNA", "jazz", "a glacier",
            "an algorithm", "the Moon", "a haiku", "a vaccine", "a database", "origami", "the water cycle", "a noun", "chess", "yoga",
        ),
    ),
    (
        "How do I {}?",
        (
            "boil an egg", "tie a tie", "learn to swim", "write a letter", "plant a tree", "make tea", "save money", "sleep better",
            "clean a window", "start running", "bake bread", "learn Spanish", "sort a list in Python", "remember names", "make friends",
        ),
    ),
    (
        "Why {}?",
        (
            "is the sky blue", "do cats purr", "do leaves fall", "is the sea salty", "do we dream", "do we sleep", "does ice float",
            "do birds sing", "is exercise good for you", "do people travel", "is water wet", "do we have seasons",
        ),
    ),
    (
        "Give me three tips for {}.",
        ("a job interview", "better sleep", "taking photos", "studying", "a healthy diet", "public speaking", "hiking", "saving energy"),
    ),
    (
        "Write a short poem about {}.",
        ("the sea", "a cat", "autumn", "the night", "my dog", "the rain", "a friend", "the mountains", "winter", "coffee"),
    ),
    (
        "Tell me a story about {}.",
        ("a dragon", "a lost dog", "a robot", "two friends", "a sailor", "an old tree", "a curious child", "a clever fox"),
    ),
    (
        "Who was {}?",
        (
            "Albert Einstein", "Marie Curie", "Mozart", "Shakespeare", "Cleopatra", "Isaac Newton", "Leonardo da Vinci", "Gandhi",
            "Charles Darwin", "Aristotle", "Beethoven", "Galileo",
        ),
    ),
    (
        "What is {}?",
        ("2 + 2", "7 times 8", "10 minus 3", "half of 50", "12 divided by 4", "5 squared", "20 plus 30", "9 times 9", "100 minus 1", "3 + 9"),
    ),
    ("Translate '{}' into French.", ("good morning", "thank you", "my friend", "the house", "I am happy", "see you tomorrow")),
    (
        "{}",
        (
            "Hello!", "Hi there.", "Thank you!", "Who are you?", "What can you do?", "Tell me a joke.", "Good morning.", "How are you?",
            "Goodbye.", "What is your name?", "Can you help me?", "Tell me something interesting.", "Let's talk about something else.",
            "Recommend a book.", "What should I cook tonight?", "Name three colours.", "Count to five.", "Name five animals.",
            "What is the largest ocean?", "How many days are in a week?", "Name the planets.", "What is the opposite of hot?",
            "What rhymes with cat?", "List three fruits.", "Say something kind.", "What is the meaning of life?", "Explain rainbows to a child.",
            "Summarise the story of Cinderella.", "Write a birthday wish.", "Write a thank-you note.", "How far is the Sun?", "I feel sad today.",
        ),
    ),
)  # fmt: skip


def questions() -> list[str]:
    """All questions, in a fixed order."""
    return list(dict.fromkeys(template.format(topic) for template, topics in TEMPLATES for topic in topics))


@torch.inference_mode()
def answers(decoder: Path, asked: list[str]) -> Iterator[tuple[str, bool]]:
    """The greedy answer to each, cut after `LONGEST_ANSWER` tokens, and whether it was cut."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(decoder, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(decoder, dtype=torch.bfloat16).eval()
    for first in range(0, len(asked), BATCH):
        batch = asked[first : first + BATCH]
        prompts = [
            tokenizer.apply_chat_template(
                [{"role": "user", "content": question}], tokenize=False, add_generation_prompt=True
            )
            for question in batch
        ]
        inputs = tokenizer(prompts, return_tensors="pt", padding=True)
        written = model.generate(**inputs, max_new_tokens=LONGEST_ANSWER, do_sample=False)[
            :, inputs.input_ids.shape[1] :
        ]
        for row in written:
            ended = (row == tokenizer.eos_token_id).any().item()
            yield str(tokenizer.decode(row, skip_special_tokens=True)), not ended


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--decoder", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    arguments = parser.parse_args()
    asked = questions()
    with (arguments.work / "chatter.jsonl").open("w") as file:
        for question, (answer, cut) in zip(asked, answers(arguments.decoder, asked), strict=True):
            file.write(json.dumps({"question": question, "answer": answer, "cut": cut}) + "\n")


if __name__ == "__main__":
    main()
