"""The whole way in one call: data of any kind in, a segmentation out, with settings chosen by what the data are."""
