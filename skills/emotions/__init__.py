"""What somebody feels, as far as words, face and voice tell. Its skill is `fused.emotion`.

The package is not called as the skill is: importing it would put a module in the place of `skills.emotions`.
"""
