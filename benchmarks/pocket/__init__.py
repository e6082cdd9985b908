"""Evaluation of the bundled model through the chat: conversation, pictures, personas, languages.

Reading order: `cases` (a case, and files of replies), `drawings` (images whose content is known), `tasks` (the cases of
each part), `scores` and `counting` (the rules by which replies count), `answering` (asks a model as the chat does), and
`__main__`.
"""
