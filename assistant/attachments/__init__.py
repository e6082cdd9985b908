"""Images that people attach: read `images`, then `paths_in_text`, `file_types`, `url_fetch`."""
