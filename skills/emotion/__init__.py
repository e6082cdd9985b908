"""What somebody feels, as far as words, face and voice tell."""
