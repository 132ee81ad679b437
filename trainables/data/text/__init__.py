"""Translation data sets: a file of this folder with a function `load(data_dir, options) -> TextData`."""
