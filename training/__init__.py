"""Train the weights of the bundled model and of the emotion skill: one command a stage, listed in training/README.md.

Every stage reads what the earlier ones wrote to WORK and can be run again; seeds are fixed.

    data         data, features, splits, names       images, their tower features, dev splits, accepted names
                 questions, question_tables, caption_rules    questions and answers derived from captions by rule
                 synthetic_images, blends, replay_data        training data made here
                 curriculum, packed_sequences        the training mix, and its packing into token sequences
    models       recipe, decoder, vision_encoder     hyperparameters, decoder with LoRA, trained vision layers
    commands     prepare, words, connector, ablations, export, evaluate
    reward       rewards                             self-critical training on CIDEr-D
    evaluation   answering, evaluation_tasks, metrics

The emotion skill, and the confidence of `parley vqa`:

    data         fer2013, emodb, goemotions          faces, voices and comments with their labels
    faces        faces, face_figures, fer_network    training; evaluation beside the `fer` package
    voices       voices, voice_head, voice_baseline  command; linear heads; the head with a speaker baseline
    text         emotion_states, emotion_text, emotion_text_figures    hidden states, training, evaluation
    fusion       fusion, fusion_pools                weights of text, face and voice
    shared       calibration, multilabel             temperatures, thresholds, weight files
    confidence   confidence                          calibration of answers
"""
