"""Colour images as the published protocols take them: data sets, crops, augmentation on whole batches."""
