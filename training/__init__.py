"""Training of the bundled model and of the emotion skill: one command a stage, listed in training/README.md.

Every stage reads what the earlier ones wrote to the work folder, and can be run again. Seeds are fixed. Reading order
for the bundled model:

    data          data, splits, names         archives, dev splits, accepted names
                  features                    feature maps of the frozen tower (stage 1)
                  caption_rules, questions    exchanges about an image, derived by rule (words in question_tables)
                  synthetic_images, blends, replay_data
                  curriculum                  the training mix
                  packed_sequences            all conversations about an image in one sequence
    model         recipe, decoder, vision_encoder, vision_inputs
    training      word_targets, words         the word head (stage 2)
                  trainer, rewards, connector, ablations (stage 3)
    results       prepare (stage 0), export (stage 4), answering, metrics, evaluation_tasks, evaluate (stage 5)

`confidence` calibrates `parley vqa`. The emotion skill: `faces` (data: fer2013), `voices` (emodb), `emotion_states` and
`emotion_text` (goemotions), then `fusion`. `calibration` fits temperatures for them.
"""
