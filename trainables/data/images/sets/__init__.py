"""One image data set per file: a module with the names of `trainables.data.images.ImageDataSet`."""
