"""Models that hold a conversation, behind one protocol of three members."""
