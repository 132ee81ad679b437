"""One data set of parallel text per file: a module with the names of `trainables.data.text.text_data.TextDataSet`."""
