"""Generate replay data: questions without an image, answered by the original decoder.

    python -m training.replay_data --decoder DECODER --work WORK

After training on captions alone, the adapter would answer "What is the capital of France?" like a caption. So some 150
questions are made from templates, the original decoder answers them, and stage 3 mixes its answers in
(self-distillation). Writes `WORK/chatter.jsonl`, one question and answer a line.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import torch

MAX_NEW_TOKENS = 44
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


def replay_questions() -> list[str]:
    """Return all questions, in a fixed order."""
    return list(dict.fromkeys(template.format(topic) for template, topics in TEMPLATES for topic in topics))


@torch.inference_mode()
def generate_answers(decoder: Path, questions: list[str]) -> Iterator[tuple[str, bool]]:
    """Yield the greedy answer to each question, and True if it was truncated at `MAX_NEW_TOKENS`.

    Args:
        decoder: A transformers folder.
        questions: Questions of one turn each.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(decoder, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(decoder, dtype=torch.bfloat16).eval()
    for first in range(0, len(questions), BATCH):
        batch = questions[first : first + BATCH]
        prompts = [
            tokenizer.apply_chat_template(
                [{"role": "user", "content": question}], tokenize=False, add_generation_prompt=True
            )
            for question in batch
        ]
        inputs = tokenizer(prompts, return_tensors="pt", padding=True)
        output = model.generate(**inputs, max_new_tokens=MAX_NEW_TOKENS, do_sample=False)
        for row in output[:, inputs.input_ids.shape[1] :]:
            ended = (row == tokenizer.eos_token_id).any().item()
            yield str(tokenizer.decode(row, skip_special_tokens=True)), not ended


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--decoder", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    arguments = parser.parse_args()
    questions = replay_questions()
    with (arguments.work / "chatter.jsonl").open("w") as file:
        answers = generate_answers(arguments.decoder, questions)
        for question, (answer, truncated) in zip(questions, answers, strict=True):
            file.write(json.dumps({"question": question, "answer": answer, "cut": truncated}) + "\n")


if __name__ == "__main__":
    main()
