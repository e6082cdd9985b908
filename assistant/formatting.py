"""Format quantities for people."""


def format_bytes(count: int) -> str:
    """Return a size in decimal units with one decimal: "12 kB", "3.4 MB", "1.2 GB"."""
    if count >= 0.95e9:
        return f"{count / 1e9:.1f} GB"
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.0f} kB"
