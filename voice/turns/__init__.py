"""Turn taking: voice activity, end of turn, interruptions."""
