"""Images that users attach. Reading order: `images`, `pixels`, `paths_in_text`, `file_types`, `url_fetch`."""
