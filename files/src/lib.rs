//! What source and sink share about files: formats, folders.
